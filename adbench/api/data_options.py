"""The options of data sets' readers: parsed from text, given to a reader, and those that a user changed.

Beside its reader's own options, every data set has those of ``Marking``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..util.errors import UnknownNameError, UsageError
from .data import DataOptions, Dataset, Task
from .marking import USUAL, Marking
from .options import check_ranges, option_types, parse, typed

MARKING = tuple(asdict(USUAL))
"""The options that every data set has."""


def parse_change(dataset: Dataset, key: str, text: str, given: str) -> Any:
    """Parse the text of one option of a reader.

    Args:
        dataset: the data set.
        key: the option.
        text: its value.
        given: the option of the command line that gave it, for messages.

    Raises:
        UsageError: the reader has no options.
        UnknownNameError: it has no such option.
        OptionError: the text doesn't fit the option's type.
    """
    if key in MARKING:
        return parse(Marking, key, text, owner=f"data set {dataset.name}")
    if dataset.options is None:
        wanted = "a data set whose reader has options, such as folder"
        raise UsageError(given, found=f"data set {dataset.name}, whose reader has none", wanted=wanted)
    known = option_types(type(dataset.options))
    if key not in known:
        hint = f"See adbench list datasets {dataset.name}"
        if key == "range":  # of images, not of a reader: all data sets of a command share it
            hint = "Give --range, or range at the top of a run file, beside options in it, or in dataset.toml"
        raise UnknownNameError(f"option of data set {dataset.name}", key, [*known, *MARKING], hint=hint)
    return parse(type(dataset.options), key, text, owner=f"data set {dataset.name}")


def with_options(dataset: Dataset, values: Mapping[str, Any]) -> Dataset:
    """The same data set, read with other options; without values it is the data set itself.

    Args:
        dataset: the data set.
        values: options that differ from those it reads with, in Python's or JSON's types.

    Raises:
        UsageError: the reader has no options, or none of that name, or the value isn't of its type or range.
    """
    owner = f"data set {dataset.name}"
    common, own = split(values)
    marking = replace(dataset.marking, **typed(Marking, common, owner))
    if own:
        if dataset.options is None or dataset.configure is None:
            raise UsageError(owner, found=f"options {', '.join(own)}", wanted="none: it has none")
        options = replace(dataset.options, **typed(type(dataset.options), own, owner))
        check_ranges(options, owner=owner)
        dataset = replace(dataset.configure(options), marking=USUAL)
    if marking == dataset.marking:
        return dataset
    return replace(dataset, marking=marking, load=partial(_marked, dataset.load, marking))


def _marked(load: Callable[[Path, str], Task], marking: Marking, root: Path, class_name: str) -> Task:
    return load(root, class_name).marked(marking)


def split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options by name: those that every data set has, and those of the reader."""
    common = {key: value for key, value in values.items() if key in MARKING}
    return common, {key: value for key, value in values.items() if key not in MARKING}


def changes(options: DataOptions | Marking | None) -> dict[str, Any]:
    """The options that differ from the defaults of their class."""
    if options is None:
        return {}
    usual = asdict(type(options)())
    return {key: value for key, value in asdict(options).items() if value != usual[key]}
