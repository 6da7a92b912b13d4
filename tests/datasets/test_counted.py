"""Warnings of numbers of images that differ from the published ones."""

from __future__ import annotations

from pathlib import Path

from adbench_datasets.counted import count_warnings
from hypothesis import given
from hypothesis import strategies as st

from adbench import Sample, Task
from adbench.api import Counts

NUMBERS = st.tuples(*[st.integers(0, 4)] * 4)


def task(train: int, good: int, cut: int, hole: int) -> Task:
    """A class with so many images."""
    bad = [Sample(Path("x"), 1, "cut")] * cut + [Sample(Path("x"), 1, "hole")] * hole
    return Task("made", "bolts", Path(), (Sample(Path("x")),) * train, (*[Sample(Path("x"))] * good, *bad))


@given(NUMBERS, NUMBERS)
def test_only_other_numbers_are_named(found, published):
    """There is a warning where any number differs, and it names each of those and no other."""
    wanted = dict(zip(("for training", "good for testing", "cut", "hole"), published, strict=True))
    there = dict(zip(wanted, found, strict=True))
    counts = Counts(published[0], good=published[1], kinds={"cut": published[2], "hole": published[3]})
    named = [f"{there[key]} {key} ({wanted[key]})" for key in wanted if there[key] != wanted[key]]
    line = f"Warning: made/bolts: other numbers than published (in brackets): {', '.join(named)}."
    assert count_warnings(task(*found), {"bolts": counts}) == ((line,) if named else ())


def test_what_is_not_published_is_not_compared():
    """Neither a class without numbers, nor a number that no source gives; numbers of the whole data set don't count."""
    assert count_warnings(task(1, 1, 1, 0), {"nuts": Counts(9), "": Counts(9)}) == ()
    assert count_warnings(task(1, 1, 1, 0), {"bolts": Counts(good=1)}) == ()


def test_a_data_set_without_a_split_is_compared_as_a_whole():
    """Its good images are counted in training and testing together."""
    found = count_warnings(task(2, 1, 1, 1), {"bolts": Counts(total=(3, 2))})
    assert found == ()
    (line,) = count_warnings(task(2, 2, 1, 1), {"bolts": Counts(total=(3, 3))})
    assert "4 good (3), 2 defective (3)" in line


def test_an_unknown_kind_is_named():
    """A folder more than published is a type of defect with no published image."""
    (line,) = count_warnings(task(1, 1, 1, 2), {"bolts": Counts(kinds={"cut": 1})})
    assert line.endswith("2 hole (0).")
