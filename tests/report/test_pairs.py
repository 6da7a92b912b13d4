"""The family of Holm's correction: every comparison that a table shows, and no other."""

from __future__ import annotations

import pytest
from made_results import make_result

from adbench.report import pairs
from adbench.report.confidence import Confidence
from adbench.results.variants import boards
from adbench.stats.comparison import Difference
from adbench.stats.intervals import Interval

P_VALUES = {
    ("bolts", "a", "b"): 0.001, ("bolts", "a", "c"): 0.02, ("bolts", "b", "c"): 0.5,
    ("nuts", "a", "b"): 0.004, ("nuts", "a", "c"): 0.03, ("nuts", "b", "c"): 0.9,
    ("mean", "a", "b"): 0.0005, ("mean", "a", "c"): 0.01, ("mean", "b", "c"): 0.2,
}  # fmt: skip

BY_HAND = {
    ("mean", "a", "b"): 0.0045,  # 9 x 0.0005
    ("bolts", "a", "b"): 0.008,  # 8 x 0.001
    ("nuts", "a", "b"): 0.028,  # 7 x 0.004
    ("mean", "a", "c"): 0.06,  # 6 x 0.01
    ("bolts", "a", "c"): 0.1,  # 5 x 0.02
    ("nuts", "a", "c"): 0.12,  # 4 x 0.03
    ("mean", "b", "c"): 0.6,  # 3 x 0.2
    ("bolts", "b", "c"): 1.0,  # 2 x 0.5
    ("nuts", "b", "c"): 1.0,  # 0.9, raised to the one before
}
"""Holm's correction of these nine p-values: the smallest by 9, the next by 8, and so on, never falling."""


class Known(Confidence):
    """Comparisons with known p-values."""

    def __init__(self, missing=()):
        super().__init__(lambda run: None)
        self.missing = missing

    def key(self, first, second, classes):
        return classes[0] if len(classes) == 1 else "mean", first.label, second.label

    def difference(self, first, second, classes, metric):
        key = self.key(first, second, classes)
        return None if key in self.missing else Difference(0.1, Interval(0.0, 0.2), P_VALUES[key])

    def delong(self, first, second, classes):
        return P_VALUES[self.key(first, second, classes)]


def compared(confidence=None, metric="image_auroc", **without):
    """The table of three methods on two classes; ``without`` names a class that lacks the metric."""
    runs = [
        make_result(method, name, image=None if without.get("undefined") == name else value, pixel=value)
        for method, value in (("a", 0.9), ("b", 0.8), ("c", 0.7))
        for name in ("bolts", "nuts")
    ]
    (board,) = boards(runs)
    return pairs.table(board, board.variants, metric, confidence or Known())


def by_key(table, field):
    """A p-value of each row by its class and methods."""
    rows = (*table.rows, *table.footers)
    return {(row.name.split()[0], row.first.label, row.second.label): getattr(row, field) for row in rows}


def test_the_family_is_every_row_of_the_table():
    """Nine rows, those over classes included, are corrected together, as computed by hand; the note says so."""
    table = compared()
    assert by_key(table, "p_holm") == pytest.approx(BY_HAND)
    assert by_key(table, "p") == P_VALUES
    assert any("for all 9 comparisons in this table" in note for note in table.notes)


def test_delongs_p_values_are_corrected_over_the_same_rows():
    """The column has the nine p-values of the same rows."""
    assert by_key(compared(), "delong_p") == pytest.approx(BY_HAND)
    assert set(by_key(compared(metric="pixel_auroc"), "delong_p").values()) == {None}


def test_a_comparison_without_histograms_counts():
    """It was wanted, so the others are corrected for nine all the same."""
    found = by_key(compared(Known(missing={("nuts", "b", "c")})), "p_holm")
    assert found == pytest.approx({**BY_HAND, ("nuts", "b", "c"): None})


def test_a_class_without_the_metric_has_nothing_to_compare():
    """Three pairs on the one class that has it are a family of three."""
    table = compared(undefined="nuts")
    assert any("for all 3 comparisons in this table" in note for note in table.notes)
    assert by_key(table, "p_holm")["bolts", "a", "b"] == pytest.approx(3 * 0.001)
    assert table.footers == ()  # a mean over one class would repeat it


def test_wilcoxons_family_is_the_rows_over_classes():
    """Four classes, three pairs: the smallest p of 1/8 is corrected for three comparisons, the classes have none."""
    runs = [
        make_result(method, f"c{number}", image=value + number / 100 + extra * number / 1000)
        for method, value, extra in (("a", 0.9, 0), ("b", 0.8, 1), ("c", 0.7, 2))
        for number in range(4)
    ]
    (board,) = boards(runs)

    class Alike(Known):
        def difference(self, first, second, classes, metric):
            return Difference(0.1, Interval(0.0, 0.2), 0.01)

        def delong(self, first, second, classes):
            return None

    table = pairs.table(board, board.variants, "image_auroc", Alike())
    assert [row.wilcoxon_p for row in table.footers] == pytest.approx([3 / 8] * 3)
    assert {row.wilcoxon_p for row in table.rows} == {None}
    assert any("for all 3 comparisons over classes" in note for note in table.notes)
