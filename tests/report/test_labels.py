"""Labels in tables: a column where there are any."""

from __future__ import annotations

from dataclasses import replace

from made_results import make_result, records_of

from adbench import report
from adbench.report.render import render
from adbench.report.runs import run_table
from adbench.results.variants import boards

LABELLED = [replace(make_result("a", name, seed=seed), label=f"try {seed}") for name in "xy" for seed in (1, 2)]


def test_people_see_a_column_where_any_run_has_a_label():
    """A variant has the labels of its runs, each once; without any there is no column, but programs have the key."""
    (board,) = boards([*LABELLED, make_result("b")])
    runs = [(variant.label, run) for variant in board.variants for run in variant.all_runs]
    shown = [*report.leaderboard([*LABELLED, make_result("b")]), report.list_runs(LABELLED), run_table(board, runs)]
    shown += report.leaderboard(LABELLED, by_class=True)
    for table in shown:
        assert "| label |" in render([table], "markdown")
    assert [row["label"] for row in records_of(shown[0])] == ["try 1, try 2", None]
    assert [row["label"] for row in records_of(shown[1])] == ["try 1", "try 2"] * 2
    (plain,) = report.leaderboard([make_result("b")])
    assert "label" not in render([plain], "markdown")
    assert records_of(plain)[0]["label"] is None


def test_a_comparison_has_its_labels_below():
    """There variants are columns, so a note names the labels."""
    (table,) = report.compare([*LABELLED, make_result("b", "x")], ["a", "b"], metrics=["image_auroc"])
    assert "Labels: a: try 1, try 2." in table.notes
    (table,) = report.compare([make_result("b", "x")], ["b"], metrics=["image_auroc"])
    assert not any("Labels" in note for note in table.notes)
