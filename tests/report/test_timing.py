"""Timings from different machines or numbers of threads are marked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result, records_of

from adbench import report
from adbench.report.render import render
from adbench.report.runs import class_table
from adbench.results.variants import boards


def on(method: str, number: int, device: str = "a processor") -> object:
    made = make_result(method)
    return replace(made, environment=replace(made.environment, threads=number, device_name=device))


@pytest.mark.parametrize("by_class", [False, True])
def test_timings_of_different_threads_are_marked(by_class):
    """Beside each timing is its number of threads, if the numbers of a table differ."""
    same = report.leaderboard([on("a", 2), on("b", 2)], by_class=by_class)
    assert "timed on" not in render(same, "markdown")
    assert [table.notes.count("Timed on 2 threads.") for table in same] == [1] * len(same)
    tables = report.leaderboard([on("a", 1), on("b", 2)], by_class=by_class)
    rows = {row["variant"]: row for table in tables for row in records_of(table)}
    assert rows["a"]["timed_on"] == "a processor, 1 thread"
    text = render(tables, "markdown")
    assert "timed on" in text
    assert "| 1 thread |" in text
    assert "| 2 threads |" in text
    assert "Timed on" not in text


def test_timings_of_different_processors_are_marked():
    """The same number of threads on another machine is marked, too."""
    (table,) = report.leaderboard([on("a", 2), on("b", 2, "another")])
    assert "another, 2 threads" in render([table], "markdown")


def test_a_shared_gpu_is_named_instead_of_threads():
    """On a GPU the number of threads says nothing about a timing."""
    made = on("a", 8, "a GPU")
    (table,) = report.leaderboard([replace(made, environment=replace(made.environment, device="cuda"))])
    assert "Timed on a GPU." in table.notes


def test_the_page_says_it_under_the_timings_of_a_class():
    """Each table with seconds says on how many threads they were measured."""
    (board,) = boards([on("a", 1), on("b", 1)])
    assert "Timed on 1 thread." in class_table(board, "bolts").notes
