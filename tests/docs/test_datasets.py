"""The table of docs/datasets.md is that of the data sets' facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from adbench import Dataset
from adbench.api import Counts, registry

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
FIRST = "| data set | classes | train | test good | test defective | masks | licence |"
NONE = "-"


def row(dataset: Dataset) -> str:
    """One line of the table; a data set without a split has its good images under training and testing together."""
    facts = dataset.facts
    known = [facts.counts[name] for name in facts.classes if name in facts.counts]
    whole = facts.counts.get("")
    if whole is None and len(known) == len(facts.classes):
        whole = Counts(
            *(added([getattr(each, name) for each in known]) for name in ("train", "validation", "good", "bad"))
        )
    totals = [each.total for each in [whole, *known] if each is not None and each.total is not None]
    if totals:
        numbers = [f"{totals[0][0]} in all", NONE, str(totals[0][1])]
    else:
        numbers = [NONE if value is None else str(value) for value in (whole.train, whole.good, whole.bad)]
    name = f"[`{dataset.name}`]({facts.page})"
    cells = [name, str(len(facts.classes)), *numbers, facts.masks, facts.licence or "not stated"]
    return f"| {' | '.join(cells)} |"


def added(values: list[int | None]) -> int | None:
    return None if None in values else sum(values)


def published() -> list[Dataset]:
    return [each for each in registry.load().datasets.values() if each.facts is not None and each.facts.page]


def test_the_table_is_that_of_the_facts():
    """Each published data set has its line, in the order of names."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(FIRST)
    found = lines[start + 2 : lines.index("", start)]
    assert found == [row(each) for each in sorted(published(), key=lambda each: each.name)]


@pytest.mark.parametrize("dataset", published(), ids=lambda dataset: dataset.name)
def test_facts_are_whole(dataset):
    """Classes, citation and page are there, checksums have their lengths, and counts name classes and add up."""
    facts = dataset.facts
    assert facts.citation
    assert facts.masks
    assert facts.page.startswith("https://")
    assert len(set(facts.classes)) == len(facts.classes) > 0
    assert {len(each.sha256) for each in facts.archives} <= {0, 64}
    assert {len(each.md5) for each in facts.archives} <= {0, 32}
    assert {each.class_name for each in facts.archives} <= {"", *facts.classes}
    assert set(facts.counts) <= {"", *facts.classes}
    for counts in facts.counts.values():
        assert counts.bad is None or not counts.kinds or sum(counts.kinds.values()) == counts.bad


def test_every_data_set_of_adbench_has_facts():
    """Also those that are made, and your own images."""
    assert [each.name for each in registry.load().datasets.values() if each.facts is None] == []
