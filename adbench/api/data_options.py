"""The options of data sets' readers: parsed from text, given to a reader, and those that a user changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ..util.errors import UnknownNameError, UsageError
from .data import DataOptions, Dataset
from .options import check_ranges, option_types, parse, typed


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
    if dataset.options is None:
        wanted = "a data set whose reader has options, such as folder"
        raise UsageError(given, found=f"data set {dataset.name}, whose reader has none", wanted=wanted)
    known = option_types(type(dataset.options))
    if key not in known:
        hint = f"See adbench list datasets {dataset.name}"
        raise UnknownNameError(f"option of data set {dataset.name}", key, known, hint=hint)
    return parse(type(dataset.options), key, text, owner=f"data set {dataset.name}")


def with_options(dataset: Dataset, values: Mapping[str, Any]) -> Dataset:
    """The same data set, read with other options; without values it is the data set itself.

    Args:
        dataset: the data set.
        values: options that differ from those it reads with, in Python's or JSON's types.

    Raises:
        UsageError: the reader has no options, or none of that name, or the value isn't of its type or range.
    """
    if not values:
        return dataset
    if dataset.options is None or dataset.configure is None:
        raise UsageError(f"data set {dataset.name}", found=f"options {', '.join(values)}", wanted="none: it has none")
    owner = f"data set {dataset.name}"
    options = replace(dataset.options, **typed(type(dataset.options), values, owner))
    check_ranges(options, owner=owner)
    configured: Dataset = dataset.configure(options)
    return configured


def changes(options: DataOptions | None) -> dict[str, Any]:
    """The options that differ from the defaults of their class."""
    if options is None:
        return {}
    usual = asdict(type(options)())
    return {key: value for key, value in asdict(options).items() if value != usual[key]}
