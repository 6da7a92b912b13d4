"""Run files: a suite of runs as TOML, parsed into records.

    data = "demo"                     # or {name = "mvtec", root = "..."}, or a list of them
    classes = ["brick"]               # or "all"
    methods = ["random", {name = "padim", options = {dimensions = [50, 100]}}]
    seeds = [0, 1]
    preset = "cpu"

Here only the form is checked: names of keys, and types of values. ``suite`` looks up the methods and data sets. Paths
are relative to the folder of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from ..api.data import SETTINGS, Setting
from ..api.levels import Levels
from ..util import toml_files
from ..util.errors import UsageError
from ..util.toml_files import Value, unknown_key

OPTION_KEYS = ("backbone", "weights", "size", "tile", "overlap", "amp")
"""Options of methods that may stand at the top, as the command line has them; any others stand in ``options``."""

KEYS: Mapping[str, str] = {
    "data": "The data set: a name, a table, or a list of them.",
    "classes": 'Class names, or "all".',
    "methods": 'Names, or tables with a name, options, a preset and auxiliary data; or "all".',
    "options": "Options for every method that has them; a list of values is a grid.",
    "seeds": "Seeds: a run for each.",
    "setting": "What one model is trained on; several in a list.",
    "shots": "Training images of each class in the setting few-shot; several in a list.",
    "aux": "Files or folders that methods need beside the images, by name.",
    "backbone": "The backbone, of every method that has one.",
    "weights": "A file with the backbone's state dict, of every method that has one.",
    "size": 'Input size such as 256 or "256x640"; a list of lists or texts is a grid.',
    "tile": "Size of tiles that large images are cut into; size is then that of the whole image.",
    "overlap": "Pixels that neighbouring tiles have in common.",
    "amp": "Precision: off is fp32, auto the fastest that the device has.",
}
"""The keys that a run file has of its own, with their meanings; the others are options of the command."""

DATA_KEYS: Mapping[str, str] = {
    "name": "Name of the data set.",
    "root": "Its folder.",
    "classes": "Its class names, in place of those of the file.",
    "options": "Options of its reader, such as good, bad and test_share of folder.",
    "range": 'Black and white in its images of more than 8 bits, such as "0:4095".',
    "test_split": "The test images to score, of a data set with several sets of them.",
    "eval_size": 'Compare its maps and masks at this size: "native" or such as "256x640".',
    "skip_bad": "Leave out its broken images, and record which.",
}

METHOD_KEYS: Mapping[str, str] = {
    "name": "Name of the method.",
    "options": "Its options; a list of values is a grid, and for options that are lists, a list of lists.",
    "preset": "Its preset, in place of that of the file.",
    "aux": "Files or folders that it needs beside the images, by name.",
}

LAST_SEED = 2**32 - 1
"""The highest seed that NumPy accepts."""

RANGE_WANTED = 'BLACK:WHITE, such as "0:4095"'

ALL = "all"


@dataclass(frozen=True)
class DataEntry:
    """A data set of a run file: what is None is not said there. ``where`` is its place, for messages.

    ``eval_size`` is as the file has it.
    """

    name: str
    where: str
    root: Path | None = None
    classes: tuple[str, ...] | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    levels: Levels | None = None
    test_split: str | None = None
    eval_size: Value | None = None
    skip_bad: bool | None = None


@dataclass(frozen=True)
class MethodEntry:
    """A method of a run file; the values of its options are as the file has them."""

    name: str
    where: str
    preset: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    auxiliary: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFile:
    """A run file; what is None or empty is not said there.

    ``settings`` are pairs of a setting and its shots. ``options`` and ``auxiliary`` are for every method that has them.
    ``others`` are values of options of the command by key.
    """

    path: Path
    data: tuple[DataEntry, ...] = ()
    classes: tuple[str, ...] | None = None
    methods: tuple[MethodEntry, ...] = ()
    options: Mapping[str, Value] = field(default_factory=dict)
    seeds: tuple[int, ...] | None = None
    settings: tuple[tuple[Setting, int | None], ...] | None = None
    auxiliary: Mapping[str, Value] = field(default_factory=dict)
    others: Mapping[str, Value] = field(default_factory=dict)


def read(path: Path, others: Collection[str]) -> RunFile:
    """Read a run file; ``others`` are the keys for options of the command.

    Raises:
        UsageError: it can't be read, is no TOML, or has a key or value that doesn't fit; the message says where.
    """
    if not path.suffix and not path.exists():
        raise UsageError(
            f"{path}", found="no such file", wanted="a run file", hint=f"A method is given as --method {path}"
        )
    return of_value(toml_files.read(path), others)


def parse(text: str, path: Path, others: Collection[str] = ()) -> RunFile:
    """Parse the text of a run file; ``path`` is its place. Raises the errors of ``read``."""
    return of_value(toml_files.parse(text.encode("utf-8", "surrogatepass"), path), others)


def of_value(value: Value, others: Collection[str] = ()) -> RunFile:
    """Turn the content of a TOML file into a run file. Raises the errors of ``read``."""
    found = value.table(known=[*KEYS, *others])
    options = dict(found["options"].table("a table of options")) if "options" in found else {}
    for key in OPTION_KEYS:
        if key in found and key in options:
            options[key].refuse(f"it once, here or as {key} at the top", found="it twice")
        if key in found:
            options[key] = found[key]
    return RunFile(
        path=value.file,
        data=_data(found["data"]) if "data" in found else (),
        classes=_classes(found.get("classes")),
        methods=_methods(found["methods"]) if "methods" in found else (),
        options=options,
        seeds=_seeds(found.get("seeds")),
        settings=_settings(found.get("setting"), found.get("shots")),
        auxiliary=found["aux"].table("a table NAME = PATH") if "aux" in found else {},
        others={key: found[key] for key in found if key not in KEYS},
    )


def _data(value: Value) -> tuple[DataEntry, ...]:
    wanted = 'a name such as "demo", a table with a name, or a list of them'
    entries = tuple(_data_entry(each, wanted) for each in value.items(wanted))
    return _different(entries, value, "data set")


def _data_entry(value: Value, wanted: str) -> DataEntry:
    if isinstance(value.value, str):
        return DataEntry(value.text(), value.where)
    found = value.table(wanted)
    if unknown := next((key for key in found if key not in DATA_KEYS), None):
        error = unknown_key(found[unknown], unknown, DATA_KEYS)
        hint = f"{error.parts['hint']} Options of its reader, such as good and mask_rule, stand in options".strip()
        raise UsageError(**{**error.parts, "hint": hint})
    if "name" not in found:
        value.refuse('a name = "..."', found="no name")
    return DataEntry(
        name=found["name"].text("the name of a data set"),
        where=value.where,
        root=found["root"].path() if "root" in found else None,
        classes=_classes(found.get("classes")),
        options=found["options"].table("a table of options") if "options" in found else {},
        levels=_levels(found["range"]) if "range" in found else None,
        test_split=found["test_split"].text() if "test_split" in found else None,
        eval_size=found.get("eval_size"),
        skip_bad=found["skip_bad"].flag() if "skip_bad" in found else None,
    )


def _levels(value: Value) -> Levels:
    return Levels.parse(value.text(RANGE_WANTED), value.where)


def _different(entries: tuple[DataEntry, ...], value: Value, kind: str) -> tuple[DataEntry, ...]:
    """Refuse a data set that stands there twice and is read in the same way: each run would be there twice."""
    seen = set()
    for entry in entries:
        facts = (entry.name, entry.root, repr({key: each.value for key, each in entry.options.items()}), entry.levels,
                 entry.test_split, entry.eval_size and entry.eval_size.value)  # fmt: skip
        if facts in seen:
            value.refuse(f"each {kind} once, or with other options", found=f"'{entry.name}' twice")
        seen.add(facts)
    return entries


def _classes(value: Value | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    wanted = '"all", or names in a list'
    return tuple(dict.fromkeys(each.text(wanted) for each in value.items(wanted)))


def _methods(value: Value) -> tuple[MethodEntry, ...]:
    wanted = '"all", a name, a table with a name, or a list of them'
    return tuple(_method_entry(each, wanted) for each in value.items(wanted))


def _method_entry(value: Value, wanted: str) -> MethodEntry:
    if isinstance(value.value, str):
        return MethodEntry(value.text(), value.where)
    found = value.table(wanted, known=METHOD_KEYS)
    if "name" not in found:
        value.refuse('a name = "..."', found="no name")
    return MethodEntry(
        name=found["name"].text("the name of a method"),
        where=value.where,
        preset=found["preset"].text("the name of a preset") if "preset" in found else None,
        options=found["options"].table("a table of options") if "options" in found else {},
        auxiliary=found["aux"].table("a table NAME = PATH") if "aux" in found else {},
    )


def _seeds(value: Value | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value.value, list):
        value.refuse("a list such as [0, 1, 2]")
    items = value.items("a list such as [0, 1, 2]")
    return tuple(dict.fromkeys(each.whole(0, LAST_SEED) for each in items))


def _settings(value: Value | None, shots: Value | None) -> tuple[tuple[Setting, int | None], ...] | None:
    """The settings, few-shot once for each number of shots; shots alone mean few-shot."""
    wanted = f"one of {', '.join(get_args(Setting))}, or several in a list"
    if value is None and shots is None:
        return None
    names = ["few-shot"] if value is None else [each.text(wanted) for each in value.items(wanted)]
    few = [] if shots is None else [each.whole(1) for each in shots.items("numbers of training images")]
    found: dict[tuple[Setting, int | None], None] = {}
    for name in names:
        setting = next((each for each in SETTINGS if each == name), None)
        if setting is None:
            assert value is not None
            value.refuse(wanted)
        if setting == "few-shot" and not few:
            assert value is not None
            value.refuse("shots = K as well, the training images of a class", found="few-shot without shots")
        found |= dict.fromkeys((setting, count) for count in (few if setting == "few-shot" else [None]))
    if few and "few-shot" not in names:
        assert shots is not None
        shots.refuse('setting = "few-shot"', found=f"setting {', '.join(names)}")
    return tuple(found)
