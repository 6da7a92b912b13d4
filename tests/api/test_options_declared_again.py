"""Options that a class declares again: a range holds, unless it has its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from adbench import Options
from adbench.api import registry as plugins
from adbench.api.options import Count, Positive, Range, check, parse
from adbench.util.errors import OptionError

SAMPLE = Path(__file__).parents[2] / "docs" / "sample_plugin" / "adbench_sample.py"


@dataclass(frozen=True)
class Base(Options):
    """Options with ranges, for a family of methods."""

    rate: Positive = 0.5
    parts: tuple[Count, ...] = (2,)
    rounds: Count | None = None
    stride: Count = 2


@dataclass(frozen=True)
class Again(Base):
    """The same options with other defaults, and types without ranges."""

    batch_size: int = 4
    rate: float = 0.1
    parts: tuple[int, ...] = (1, 2)
    rounds: int | None = 7
    stride: Annotated[int, Range(0)] = 0


@dataclass(frozen=True)
class OnceMore(Again):
    """A third class of the line."""

    batch_size: int | None = None
    rate: Literal["slow", "fast"] = "slow"


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        (Again, "batch_size", "0"),
        (Again, "batch_size", "-1"),
        (Again, "rate", "0"),
        (Again, "parts", "3,0"),
        (Again, "rounds", "0"),
        (Again, "stride", "-1"),
        (OnceMore, "batch_size", "0"),
        (OnceMore, "parts", "0"),
    ],
)
def test_a_range_holds_where_an_option_is_declared_again_without_it(kind, key, text):
    """A new default doesn't widen a range, on the command line or in presets; a new range does count."""
    with pytest.raises(OptionError, match=f"option {key} of mine.*from|above"):
        parse(kind, key, text, owner="mine")
    given = tuple(map(int, text.split(","))) if key == "parts" else int(text)
    with pytest.raises(OptionError, match=f"option {key} of mine"):
        check(kind(**{key: given}), owner="mine")


def test_what_an_option_declared_again_may_be():
    """A redeclared option takes None, the new range's values, or text, if its new type does."""
    assert parse(Again, "stride", "0", owner="mine") == 0
    assert parse(Again, "rounds", "none", owner="mine") is None
    assert parse(OnceMore, "rate", "fast", owner="mine") == "fast"
    for kind in (Base, Again, OnceMore):
        check(kind(), owner="mine")


def test_no_method_of_adbench_takes_a_batch_without_images():
    """The range of an option that all methods inherit holds for all of them."""
    for method in plugins.load([SAMPLE]).methods.values():
        for text in ("0", "-1"):
            with pytest.raises(
                OptionError, match=f"option batch_size of {method.name}: found '{text}', wanted a whole"
            ):
                parse(method.options, "batch_size", text, owner=method.name)
