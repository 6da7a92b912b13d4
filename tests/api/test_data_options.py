"""Options of data sets' readers: parsed, given to a reader, and compared with the defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import pytest

from adbench import Dataset, Task
from adbench.api import DataOptions, OptionError, Range, UnknownNameError, UsageError
from adbench.api.data_options import changes, parse_change, with_options


@dataclass(frozen=True)
class Made(DataOptions):
    names: tuple[str, ...] = ("a",)
    share: Annotated[float, Range(0, 1)] = 0.5
    number: int = 0


def load(options: Made, root: Path, class_name: str) -> Task:
    return Task("made", f"{class_name}{options.share:g}{''.join(options.names)}", root, (), options=options)


def reader(options: Made = Made()) -> Dataset:
    return Dataset("made", "", lambda root: ["c"], partial(load, options), options=options, configure=reader)


WITHOUT = Dataset("bare", "", lambda root: [], load)


def test_a_reader_reads_with_the_given_options():
    """Values come from Python or from JSON; the others stay, and so does the reader that was configured."""
    usual = reader()
    other = with_options(with_options(usual, {"share": 0.25}), {"names": ["x", "y"]})
    assert other.load(Path(), "c").class_name == "c0.25xy"
    assert usual.load(Path(), "c").class_name == "c0.5a"
    assert with_options(usual, {}) is usual


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ({"sharing": 1}, UnknownNameError, "Did you mean 'share'?"),
        ({"share": 2}, OptionError, "from 0 to 1"),
        ({"share": "half"}, OptionError, "'half'"),
        ({"share": float("nan")}, OptionError, "nan"),
        ({"names": "a"}, OptionError, "separated by commas"),
        ({"number": True}, OptionError, "a whole number"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, kind, text):
    """They may come from a checkpoint or a result of other people."""
    with pytest.raises(kind) as caught:
        with_options(reader(), values)
    assert text in str(caught.value)


def test_a_reader_without_options_takes_none():
    """With none it is returned as it is."""
    assert with_options(WITHOUT, {}) is WITHOUT
    with pytest.raises(UsageError, match="found options share, wanted none"):
        with_options(WITHOUT, {"share": 1})


def test_texts_are_parsed_by_their_types():
    """As the options of a method are; mistakes name the data set and where its options are listed."""
    assert parse_change(reader(), "names", "b, c", "--names") == ("b", "c")
    assert parse_change(reader(), "share", "0.1", "--share") == 0.1
    with pytest.raises(UnknownNameError, match="See adbench list datasets made"):
        parse_change(reader(), "xyz", "0.1", "--xyz")
    with pytest.raises(OptionError, match="option share of data set made: found 'x'"):
        parse_change(reader(), "share", "x", "--share")
    with pytest.raises(UsageError, match="--share: found data set bare, whose reader has none"):
        parse_change(WITHOUT, "share", "0.1", "--share")


def test_only_what_differs_from_the_defaults_is_changed():
    """A default that the user gave is none; nor is anything without options."""
    assert changes(None) == changes(Made()) == changes(replace(Made(), share=0.5)) == {}
    assert changes(Made(("b",), 0.5, 2)) == {"names": ("b",), "number": 2}
