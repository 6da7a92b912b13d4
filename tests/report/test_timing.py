"""Timings from different machines or numbers of threads are marked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result, records_of

from adbench import report
from adbench.report.render import render


def on(method: str, number: int, device: str = "a processor") -> object:
    made = make_result(method)
    return replace(made, environment=replace(made.environment, threads=number, device_name=device))


@pytest.mark.parametrize("by_class", [False, True])
def test_timings_of_different_threads_are_marked(by_class):
    """Beside each timing is its number of threads, if the numbers of a table differ."""
    same = report.leaderboard([on("a", 2), on("b", 2)], by_class=by_class)
    assert "timed on" not in render(same, "markdown")
    tables = report.leaderboard([on("a", 1), on("b", 2)], by_class=by_class)
    rows = {row["variant"]: row for table in tables for row in records_of(table)}
    assert rows["a"]["timed_on"] == "a processor, 1 thread"
    text = render(tables, "markdown")
    assert "timed on" in text
    assert "| 1 thread |" in text
    assert "| 2 threads |" in text


def test_timings_of_different_processors_are_marked():
    """The same number of threads on another machine is marked, too."""
    (table,) = report.leaderboard([on("a", 2), on("b", 2, "another")])
    assert "another, 2 threads" in render([table], "markdown")
