"""Plugins: found in the entry-point group ``adbench`` or in a given file, and looked up by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pluggy

from ..util import source
from ..util.errors import PluginError, UnknownNameError
from . import hooks as hookspecs
from .backbone import BackboneEntry
from .context import BuildContext
from .data import Dataset
from .data_options import with_options
from .executor import LOCAL, ExecutorEntry
from .loading import GROUP, KINDS, UnusableError, collect, import_file, module_name, path_of, register
from .method import Method
from .options import Options
from .tracker import TrackerEntry

OWN_PLUGINS, OWN_DATASETS = "adbench_plugins", "adbench_datasets"
"""The packages of adbench's own methods and data sets."""

KIND_TITLES = {kind: "data set" if kind == "dataset" else kind for kind in KINDS.values()}
"""Kinds of things that a plugin offers, as sentences name them."""


@dataclass(frozen=True)
class Origin:
    """Origin of a method or backbone: its plugin's module, and "NAME VERSION" of its distribution ("" for a file)."""

    module: str
    distribution: str = ""

    @property
    def label(self) -> str:
        """What counts in a digest of its code besides the source: for an installed plugin its distribution and version.

        For adbench's own plugins these don't count: the version changes with every release, whether or not a number
        moves.
        """
        return "" if self.module.partition(".")[0] == OWN_PLUGINS else self.distribution

    def sources(self, *things: object) -> list[source.Module]:
        """Its module, and for an installed plugin also those that define some of its functions and classes."""
        names = [self.module]
        if self.distribution:  # a plugin file must give the same without being loaded
            names += defining_modules(*things)
        return [module for name in dict.fromkeys(names) if (module := source.module_of(name)) is not None]


def defining_modules(*things: object) -> list[str]:
    """Names of the modules that define functions or classes."""
    found = []
    for thing in things:
        while isinstance(thing, partial):
            thing = thing.func
        name = getattr(thing, "__module__", None)
        if isinstance(name, str):
            found.append(name)
    return found


@dataclass(frozen=True)
class Plugin:
    """An installed plugin, or a given file: what it offers, or why it can't be used.

    ``name`` is that of its entry point, or the path of a file as it was given. ``file`` is where its module lies, None
    if that can't be found. ``offers`` has pairs such as ("method", "padim"). With a ``problem`` it offers nothing, or
    only what its other hooks return.
    """

    name: str
    origin: Origin
    file: Path | None
    offers: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def offers_text(self) -> str:
        """What it offers, for people: "method padim, data set demo", or "nothing"."""
        return ", ".join(f"{KIND_TITLES[kind]} {name}" for kind, name in self.offers) or "nothing"

    @property
    def is_own(self) -> bool:
        """Whether it is a part of adbench."""
        return self.origin.module.partition(".")[0] in (OWN_PLUGINS, OWN_DATASETS)

    def names(self, kind: str) -> list[str]:
        """The names of the methods or others ("method", "dataset", "tracker", ...) that it offers."""
        return [name for each, name in self.offers if each == kind]

    def is_called(self, name: str) -> bool:
        """Whether a text is its name, that of its distribution, or that of something it offers."""
        return name in (self.name, self.origin.distribution.partition(" ")[0], *(offered for _, offered in self.offers))


@dataclass(frozen=True)
class Registry:
    """Methods, data sets, trackers, executors and plugins' backbones by name; ``broken`` names each skipped plugin."""

    methods: Mapping[str, Method]
    datasets: Mapping[str, Dataset]
    broken: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    backbones: Mapping[str, BackboneEntry] = field(default_factory=dict)
    backbone_origins: Mapping[str, Origin] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()
    trackers: Mapping[str, TrackerEntry] = field(default_factory=dict)
    executors: Mapping[str, ExecutorEntry] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """Find a method. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.methods:
            raise UnknownNameError("method", name, self.methods, hint="See adbench list methods, or add --plugin FILE")
        return self.methods[name]

    def package_of(self, method: str) -> str:
        """Distribution and version of a method, or the file of a loose plugin."""
        origin = self.origins.get(method)
        if origin is not None and origin.distribution:
            return origin.distribution
        return _file_of(getattr(self.method(method).build, "__module__", ""))

    def origin_of_backbone(self, name: str) -> str:
        """Distribution and version of a plugin's backbone, or the file of a loose plugin."""
        origin = self.backbone_origins[name]
        return origin.distribution or _file_of(origin.module)

    def backbones_in(self, options: Mapping[str, Any]) -> dict[str, BackboneEntry]:
        """The plugins' backbones that options name; a method gets no others, since their code moves its numbers."""
        named = texts_in(options)
        return {name: entry for name, entry in self.backbones.items() if name in named}

    def offering(self, context: BuildContext, options: Options) -> BuildContext:
        """The context in which a method of these options is built, with the backbones that they name."""
        return replace(context, backbones=self.backbones_in(vars(options)))

    def dataset(self, name: str) -> Dataset:
        """Find a data set. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.datasets:
            raise UnknownNameError("dataset", name, self.datasets, hint="Use --dataset folder --data-root DIR")
        return self.datasets[name]

    def reader(self, dataset: str, options: Mapping[str, Any]) -> Dataset:
        """Find a data set, read with these options. Raises the errors of ``dataset`` and of ``with_options``."""
        return with_options(self.dataset(dataset), options)

    def tracker(self, name: str) -> TrackerEntry:
        """Find a tracker. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.trackers:
            raise UnknownNameError("tracker", name, self.trackers, hint="Add --plugin FILE for another one")
        return self.trackers[name]

    def executor(self, name: str) -> ExecutorEntry:
        """Find an executor other than ``LOCAL``. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.executors:
            hint = "Add --plugin FILE for another one"
            raise UnknownNameError("executor", name, [LOCAL, *self.executors], hint=hint)
        return self.executors[name]


def texts_in(options: Mapping[str, Any]) -> set[str]:
    """All texts among the values of options."""
    values = [value if isinstance(value, (tuple, list)) else (value,) for value in options.values()]
    return {text for each in values for text in each if isinstance(text, str)}


def _file_of(module: str) -> str:
    """Name of a loaded module's file."""
    found = sys.modules.get(module)
    return "unknown" if found is None else Path(getattr(found, "__file__", None) or found.__name__).name


def load(plugin_files: Sequence[Path] = ()) -> Registry:
    """Load every installed plugin and the given files.

    An installed plugin that breaks is skipped and named in ``broken``; a given file must work. A given file that is an
    installed plugin's own, as after ``pip install -e .``, counts once.

    Raises:
        PluginError: a plugin file cannot be used, or two plugins offer the same name.
    """
    loading = _Loading()
    loading.installed()
    loading.given(plugin_files)
    return loading.registry()


class _Loading:
    """Plugins by their names in pluggy while they are loaded: what each is called, where it is from, what is wrong."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._problems: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        self._origins: dict[str, Origin] = {}
        self._files: dict[str, Path] = {}

    def installed(self) -> None:
        """Load the plugins of the entry points."""
        packages: dict[int, tuple[str, str]] = {}  # each reading parses the whole metadata, and one has many plugins
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            if point.dist and id(point.dist) not in packages:
                packages[id(point.dist)] = point.dist.name, point.dist.version
            package, version = packages.get(id(point.dist), ("unknown package", ""))
            plugin = f"{point.value} ({package})"
            self._names[plugin] = point.name
            self._origins[plugin] = Origin(point.module, f"{package} {version}" if version else "unknown")
            try:
                register(self._manager, plugin, point.load)
            except UnusableError as error:
                self._reject(plugin, error)

    def given(self, files: Sequence[Path]) -> None:
        """Load plugin files, except those of installed plugins. Raises ``PluginError`` for one that can't be used."""
        installed = {path_of(origin.module) for plugin, origin in self._origins.items() if plugin not in self._problems}
        once = {path.resolve(): path for path in reversed(files)}
        self._files = {f"--plugin {path}": path for place, path in reversed(once.items()) if place not in installed}
        for plugin, path in self._files.items():
            self._names[plugin] = str(path)
            try:
                self._origins[plugin] = Origin(module_name(path))
                register(self._manager, plugin, partial(import_file, path))
            except UnusableError as error:
                self._reject(plugin, error)

    def registry(self) -> Registry:
        """All that the plugins offer. Raises ``PluginError`` where two offer the same name."""
        methods = collect(self._manager, "adbench_methods", Method, self._reject)
        datasets = collect(self._manager, "adbench_datasets", Dataset, self._reject)
        backbones = collect(self._manager, "adbench_backbones", BackboneEntry, self._reject)
        trackers = collect(self._manager, "adbench_trackers", TrackerEntry, self._reject)
        executors = collect(self._manager, "adbench_executors", ExecutorEntry, self._reject)
        of_kind: Sequence[Mapping[str, tuple[str, object]]] = (methods, datasets, backbones, trackers, executors)
        kinds = zip(KINDS.values(), of_kind, strict=True)
        offers = [(plugin, kind, name) for kind, items in kinds for name, (plugin, _) in items.items()]
        origins = self._origins
        return Registry(
            methods={name: method for name, (_, method) in methods.items()},
            datasets={name: dataset for name, (_, dataset) in datasets.items()},
            broken=tuple(
                f"plugin {plugin} is skipped: {each}" for plugin, found in self._problems.items() for each in found
            ),
            origins={name: origins[plugin] for name, (plugin, _) in methods.items()},
            backbones={name: _with_code(entry, origins[plugin]) for name, (plugin, entry) in backbones.items()},
            backbone_origins={name: origins[plugin] for name, (plugin, _) in backbones.items()},
            plugins=tuple(self._plugin(plugin, offers) for plugin in self._names),
            trackers={name: entry for name, (_, entry) in trackers.items()},
            executors={name: entry for name, (_, entry) in executors.items()},
        )

    def _plugin(self, plugin: str, offers: Sequence[tuple[str, str, str]]) -> Plugin:
        origin = self._origins[plugin]
        own = tuple((kind, offered) for owner, kind, offered in offers if owner == plugin)
        problem = "; ".join(self._problems.get(plugin, ()))
        return Plugin(self._names[plugin], origin, path_of(origin.module), own, problem)

    def _reject(self, plugin: str, error: UnusableError) -> None:
        """Note what is wrong with an installed plugin. Raises ``PluginError`` for a given file."""
        if plugin in self._files:
            raise PluginError(plugin, found=str(error), hint="Correct the file, or leave it out") from error
        self._problems.setdefault(plugin, []).append(str(error))


def _with_code(entry: BackboneEntry, origin: Origin) -> BackboneEntry:
    """The entry with a digest of its code as it was imported."""
    return replace(entry, code=source.Sources().digest(origin.sources(entry.build), label=origin.label))
