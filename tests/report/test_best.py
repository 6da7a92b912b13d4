"""Marks of the best values, and of those that don't differ significantly from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_histograms import made
from made_results import make_result

from adbench import report
from adbench.report.confidence import Confidence
from adbench.report.tables import AnyTable


def marks(table: AnyTable, key: str) -> list[str | None]:
    """The marks of a column, from top to bottom, the footers last."""
    return [table.marks.of(key, row) for row in (*table.rows, *table.footers)]


def test_the_best_of_each_metric_is_marked_and_so_are_ties():
    """A near method is tied with the best, a far one is not; the column of a name or a time has no mark."""
    results, sure = made({"best": 2.0, "near": 1.9, "none": 0.0})
    (table,) = report.leaderboard(results, ties=sure)
    assert marks(table, "image_auroc") == ["best", "tied", None]
    assert marks(table, "images_per_second") == marks(table, "variant") == [None] * 3
    notes = table.marks.notes()
    assert notes[0] == "Bold: the best of its column."
    assert notes[1].startswith("\u2020: not significantly worse than the best")


def test_a_comparison_marks_the_best_of_each_class_and_of_the_mean():
    """In each row the best of the methods is marked, and differences are not."""
    results, sure = made({"best": 4.0, "none": 0.0})
    table = report.compare(results, ["none", "best"], metrics=["image_auroc"], confidence=sure)[0]
    assert marks(table, "best") == ["best"] * 4
    assert marks(table, "none") == [None] * 4
    assert marks(table, "best - none") == [None] * 4
    assert list(table.marks.notes()) == ["Bold: the best of its row."]


def test_many_variants_are_marked_in_their_column():
    """Of more than four variants people see a row each; the highest mean is marked."""
    results = [make_result(name, image=0.5 + place / 10) for place, name in enumerate("abcde")]
    nothing = Confidence(lambda run: None)
    table = report.compare(results, list("abcde"), metrics=["image_auroc"], confidence=nothing)[0]
    assert marks(table, "mean")[-1] == "best"
    assert marks(table, "mean")[0] is None


def test_without_histograms_the_best_alone_is_marked_and_a_note_says_why():
    """Nothing is called tied that was not compared."""
    results, _ = made({"best": 2.0, "near": 1.9})
    (table,) = report.leaderboard(results, ties=Confidence(lambda run: None))
    assert marks(table, "image_auroc") == ["best", None]
    assert table.marks.notes()[1].startswith("Not compared with the best: best (image AUROC), near (image AUROC): ")
    (bare,) = report.leaderboard(results)
    assert marks(bare, "image_auroc") == ["best", None]
    assert len(bare.marks.notes()) == 1


@pytest.mark.parametrize("values", [(0.9, 0.9), (0.9, None), (None, None)])
def test_equal_values_share_the_mark_and_a_single_value_has_none(values):
    """Bold says more than "the only number"; a method without the metric takes no part."""
    results = [make_result(name, image=0.5, aupro=value) for name, value in zip("ab", values, strict=True)]
    (table,) = report.leaderboard(results)
    assert marks(table, "aupro") == (["best", "best"] if values == (0.9, 0.9) else [None, None])


def test_a_variant_that_does_not_rank_has_no_mark():
    """It has too few classes, so its mean doesn't compare."""
    results = [make_result("a", name, image=0.5) for name in ("x", "y", "z")]
    results += [replace(each, method="b") for each in results[:2]] + [make_result("few", "x", image=1.0)]
    (table,) = report.leaderboard(results)
    labels = table.column("variant")
    found = dict(zip(labels, marks(table, "image_auroc"), strict=True))
    assert found == {"a": "best", "b": "best", "few": None}
