"""Tables of methods, their options and their checks, of data sets and backbones, and of the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.backbone_table import describe
from ..api.data import Dataset
from ..api.method import Method, Preset
from ..api.option_meanings import option_meanings
from ..api.options import option_text, option_types, to_json, type_name
from ..api.registry import KIND_TITLES, Plugin, Registry
from ..util.cache import LIMIT_VARIABLE, Entry
from ..util.sizes import bytes_text
from ..util.text import plural
from .tables import Column, Table

if TYPE_CHECKING:
    from ..results.audits import Check
    from ..run.check_outcome import CheckResult


def methods(registry: Registry, audits: Mapping[str, str] | None = None) -> Table[Method]:
    """A table of all methods: name, presets, settings, paper.

    Args:
        registry: all methods.
        audits: what ``adbench check-method`` found, in a few words, of those methods that it checked.
    """
    found = audits or {}
    columns: tuple[Column[Method], ...] = (
        Column("method", "method", lambda method: method.name, role="key"),
        Column("summary", "summary", lambda method: method.summary),
        Column("presets", "presets", lambda method: ", ".join(method.presets)),
        Column("settings", "settings", lambda method: ", ".join(method.settings)),
        Column("audit", "audit", lambda method: found.get(method.name), audience="all" if found else "programs"),
        Column("paper", "paper", lambda method: method.paper),
    )
    return Table("Methods", columns, tuple(registry.methods.values()), ("adbench list methods NAME shows options",))


def datasets(registry: Registry) -> Table[Dataset]:
    """A table of all data sets, and where to get them."""
    columns: tuple[Column[Dataset], ...] = (
        Column("dataset", "dataset", lambda data: data.name, role="key"),
        Column("summary", "summary", lambda data: data.summary + (" (synthetic)" if data.synthetic else "")),
        Column("source", "source", lambda data: data.source or "made on first use"),
    )
    with_options = [name for name, data in registry.datasets.items() if data.options is not None]
    notes = (f"adbench list datasets NAME shows options ({', '.join(with_options)})",) if with_options else ()
    return Table("Data sets", columns, tuple(registry.datasets.values()), notes)


def options_of_dataset(dataset: Dataset) -> Table[_Option]:
    """The options of a data set's reader: type, default, meaning."""
    kind = type(dataset.options)
    types, meanings, defaults = {}, {}, {}
    if dataset.options is not None:
        types, meanings, defaults = option_types(kind), option_meanings(kind), to_json(dataset.options)
    columns: tuple[Column[_Option], ...] = (
        Column("option", "option", lambda option: option.key, role="key"),
        Column("type", "type", lambda option: type_name(option.kind)),
        Column("default", "default", lambda option: option_text(option.key, defaults[option.key]), whole=True),
        Column("meaning", "meaning", lambda option: option.meaning),
    )
    rows = tuple(_Option(key, kind, meanings[key]) for key, kind in types.items())
    notes = ("Give them as --data-option KEY=VALUE",) if rows else ("Its reader has no options.",)
    return Table(f"Options of data set {dataset.name}: {dataset.summary}", columns, rows, notes)


@dataclass(frozen=True)
class _Backbone:
    """One backbone: its channels, or a plugin's words about it; its weights, and who offers it."""

    name: str
    channels: str
    weights: str
    origin: str


def backbones(registry: Registry) -> Table[_Backbone]:
    """A table of all backbones: adbench's own, and those of plugins."""
    columns: tuple[Column[_Backbone], ...] = (
        Column("backbone", "backbone", lambda each: each.name, role="key"),
        Column("channels", "channels", lambda each: each.channels),
        Column("weights", "weights", lambda each: each.weights),
        Column("origin", "from", lambda each: each.origin),
    )
    rows = [
        *(_Backbone(info.name, ", ".join(map(str, info.channels)), info.weights, "adbench") for info in describe()),
        *(_Backbone(entry.name, entry.summary, entry.weights, registry.origin_of_backbone(entry.name))
          for entry in registry.backbones.values()),
    ]  # fmt: skip
    notes = (
        "Channels at strides 4, 8, 16 and 32, which are layers 1 to 4.",
        "Any timm model: timm:NAME. The layers of a vision transformer (timm:vit_...) are its blocks, from 1.",
    )
    return Table("Backbones", columns, tuple(rows), notes)


@dataclass(frozen=True)
class _Option:
    """One option of a method: its name, its type and its meaning."""

    key: str
    kind: Any
    meaning: str


def options_of(method: Method) -> Table[_Option]:
    """A method's options: type, value in each preset, meaning; a star marks presets that vary by class."""
    columns: tuple[Column[_Option], ...] = (
        Column("option", "option", lambda option: option.key, role="key"),
        Column("type", "type", lambda option: type_name(option.kind)),
        *(_preset_column(name, preset) for name, preset in method.presets.items()),
        Column("meaning", "meaning", lambda option: option.meaning),
    )
    title = f"Options of {method.name}: {method.summary}"
    meanings = option_meanings(method.options)
    rows = tuple(_Option(key, kind, meanings[key]) for key, kind in option_types(method.options).items())
    varies = any(preset.per_class for preset in method.presets.values())
    notes = (*(["* another value for some classes"] if varies else []), f"Settings: {', '.join(method.settings)}.")
    return Table(title, columns, rows, notes)


@dataclass(frozen=True)
class _Requirement:
    """One thing that a method needs beside training images."""

    name: str
    kind: str
    purpose: str
    source: str
    licence: str
    without: str


def requirements_of(method: Method) -> Table[_Requirement]:
    """What a method needs beside training images: packages, and auxiliary data that the user gets from elsewhere."""
    columns: tuple[Column[_Requirement], ...] = (
        Column("requirement", "requirement", lambda each: each.name, role="key"),
        Column("kind", "kind", lambda each: each.kind),
        Column("purpose", "purpose", lambda each: each.purpose),
        Column("source", "source", lambda each: each.source),
        Column("licence", "licence", lambda each: each.licence),
        Column("without", "without it", lambda each: each.without),
    )
    needs = method.requirements
    refused = "the method is refused"
    rows = [
        *(_Requirement(each.name, "package", each.purpose, f"pip install {each.install}", "", refused)
          for each in needs.packages),
        *(_Requirement(each.name, each.kind, each.purpose, each.source, each.licence, each.without or refused)
          for each in needs.auxiliary),
    ]  # fmt: skip
    notes = ("Give files and folders as --aux NAME=PATH",) if needs.auxiliary else ()
    return Table(f"What {method.name} needs beside training images", columns, tuple(rows), notes)


def _preset_column(name: str, preset: Preset) -> Column[_Option]:
    values = to_json(preset.options)
    changed = {key for changes in preset.per_class.values() for key in changes}

    def value(option: _Option) -> str:
        return option_text(option.key, values[option.key]) + ("*" if option.key in changed else "")

    return Column(name, name, value, whole=True)


@dataclass(frozen=True)
class _Plugin:
    """One plugin, or for people all those of adbench itself together."""

    name: str
    offers: str
    distribution: str
    file: str
    problem: str = ""

    @property
    def state(self) -> str:
        """Whether it can be loaded."""
        return "broken" if self.problem else "loaded"


def plugins(registry: Registry, *, every: bool = False) -> list[Table[Any]]:
    """All plugins: what they offer, who offers them, and whether they can be loaded; a table for people and programs.

    Args:
        registry: all plugins.
        every: whether people see each of adbench's own plugins, and not only their number.
    """
    found = sorted(registry.plugins, key=lambda plugin: (not plugin.problem, plugin.is_own))
    own = [] if every else [plugin for plugin in found if plugin.is_own and not plugin.problem]
    rows = [
        _Plugin(plugin.name, plugin.offers_text, plugin.origin.distribution, _short(plugin.file), plugin.problem)
        for plugin in found
        if plugin not in own
    ]
    if own:
        rows.append(_Plugin("adbench's own", _counts(own), own[0].origin.distribution, "(see --all)"))
    columns: tuple[Column[_Plugin], ...] = (
        Column("plugin", "plugin", lambda row: row.name, role="key"),
        Column("state", "state", lambda row: row.state, role="main"),
        Column("offers", "offers", lambda row: row.offers),
        Column("distribution", "distribution", lambda row: row.distribution or None),
        Column("file", "file", lambda row: row.file),
    )
    notes = (
        *(f"{row.name} is broken: {row.problem}." for row in rows if row.problem),
        "adbench plugin new NAME starts one of your own.",
    )
    return [Table("Plugins", columns, tuple(rows), notes, audience="people"), _for_programs(found)]


def _for_programs(found: Sequence[Plugin]) -> Table[Plugin]:
    def distribution(plugin: Plugin, part: int) -> str | None:
        return plugin.origin.distribution.rpartition(" ")[part] or None

    def offers(kind: str) -> Callable[[Plugin], str]:
        return lambda plugin: ",".join(plugin.names(kind))

    columns: tuple[Column[Plugin], ...] = (
        Column("plugin", "plugin", lambda plugin: plugin.name, role="key"),
        Column("state", "state", lambda plugin: "broken" if plugin.problem else "loaded"),
        Column("problem", "problem", lambda plugin: plugin.problem),
        Column("distribution", "distribution", lambda plugin: distribution(plugin, 0)),
        Column("version", "version", lambda plugin: distribution(plugin, 2)),
        Column("file", "file", lambda plugin: None if plugin.file is None else str(plugin.file)),
        *(Column(f"{kind}s", f"{title}s", offers(kind)) for kind, title in KIND_TITLES.items()),
    )
    return Table("Plugins", columns, tuple(found), audience="programs")


def _counts(found: Sequence[Plugin]) -> str:
    """How much some plugins offer: "22 methods, 4 data sets"."""
    counts = {title: sum(len(plugin.names(kind)) for plugin in found) for kind, title in KIND_TITLES.items()}
    return ", ".join(plural(count, title) for title, count in counts.items() if count)


def _short(file: Path | None) -> str:
    """A path as people read it: below the present folder or the home folder, if it lies there."""
    if file is None:
        return "not found"
    for place, name in ((Path.cwd(), Path()), (Path("~").expanduser(), Path("~"))):
        if file.is_relative_to(place):
            return str(name / file.relative_to(place))
    return str(file)


def checks(method: str, results: Sequence[CheckResult | Check]) -> Table[CheckResult | Check]:
    """A table of a method's checks and their outcomes."""
    columns: tuple[Column[CheckResult | Check], ...] = (
        Column("check", "check", lambda result: result.check, role="key"),
        Column("outcome", "outcome", lambda result: result.outcome),
        Column("reason", "what was found", lambda result: result.reason),
    )
    return Table(f"Checks of {method}", columns, tuple(results))


def cached(entries: Sequence[Entry], limit: int, folder: Path) -> Table[Entry]:
    """What lies in the cache, the one used last first."""
    columns: tuple[Column[Entry], ...] = (
        Column("kind", "kind", lambda entry: entry.kind, role="key"),
        Column("about", "what", lambda entry: entry.about or entry.path.name),
        Column("bytes", "size", lambda entry: entry.bytes, "bytes", role="main"),
        Column("used", "last used", lambda entry: f"{datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}", role="main"),
        Column("path", "path", lambda entry: str(entry.path), audience="programs"),
    )
    taken = sum(entry.bytes for entry in entries)
    notes = (
        f"{bytes_text(taken)} in {folder}, which is kept below {bytes_text(limit)} ({LIMIT_VARIABLE}).",
        "adbench cache prune removes what is over the limit; adbench cache clear removes everything.",
    )
    return Table("Cache", columns, tuple(reversed(entries)), notes)
