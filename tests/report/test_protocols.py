"""Protocols are marked where they move a number, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result, records_of

from adbench import report
from adbench.report.render import render
from adbench.results.records import Result

REGION = {"aupro_map": "region map"}
NATIVE = {"mask_size": "native", "map_resampling": "bilinear"}


def pair(change: dict, **values) -> list[Result]:
    """Two methods, the second with another protocol."""
    first, second = make_result("a", **values), make_result("b", **values)
    return [first, replace(second, protocol=replace(second.protocol, **change))]


def titles(results: list[Result], metric: str) -> list[str]:
    (table,) = report.compare(results, ["a", "b"], metrics=[metric])
    differ = records_of(table)[0]["protocols_differ"]
    shown = [column.title for column in table.columns if column.kind == "percent"]
    assert differ is (shown != ["a", "b"])
    assert differ is any("protocols differ" in note for note in table.notes)
    return shown


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        (REGION, {"aupro"}),
        (NATIVE, {"aupro", "pixel_auroc"}),
        ({"holdout": 0.1}, {"aupro", "pixel_auroc", "image_auroc"}),
    ],
)
def test_a_comparison_marks_what_moves_its_metric(change, marked):
    """The map of AUPRO moves only AUPRO, the masks' size all pixel metrics, the rest every metric."""
    for metric in ("image_auroc", "pixel_auroc", "aupro"):
        wanted = ["a [A]", "b [B]"] if metric in marked else ["a", "b"]
        assert titles(pair(change), metric) == wanted


@pytest.mark.parametrize("change", [REGION, NATIVE])
def test_without_masks_nothing_is_marked(change):
    """There is no pixel metric to move, so no format mentions it."""
    results = pair(change, pixel=None, aupro=None)
    assert all(titles(results, metric) == ["a", "b"] for metric in ("image_auroc", "aupro"))
    (table,) = report.leaderboard(results)
    (note,) = [note for note in table.notes if "64x64" in note]
    assert note == "Protocol: 64x64 by stretch (lanczos); last epoch; no backbone; fp32."
    assert {"AUPRO map", "masks", "protocol"}.isdisjoint(column.title for column in table.columns_for("people"))


@pytest.mark.parametrize(
    ("change", "title", "cells", "behind"),
    [
        (REGION, "AUPRO map", ["anomaly", "region"], "AUPRO"),
        (NATIVE, "masks", ["64x64 (nearest)", "native (nearest, maps bilinear)"], "AUPRO"),
    ],
)
def test_a_leaderboard_says_it_beside_the_metric(change, title, cells, behind):
    """Rows are not marked, but a column after the last moved metric is; programs see the whole text."""
    (table,) = report.leaderboard(pair(change))
    seen = [column.title for column in table.columns_for("people")]
    assert seen[seen.index(title) - 1] == behind
    assert "protocol" not in seen
    (column,) = [column for column in table.columns if column.title == title]
    assert [column.cell(row) for row in table.rows] == cells
    assert any("Mind that" in note for note in table.notes)
    assert any(note.startswith("Protocol: ") for note in table.notes)
    assert len({row["protocol"] for row in records_of(table)}) == 2


def test_a_method_without_maps_differs_in_nothing_that_it_lacks():
    """Its protocol names a map for AUPRO, but it has no AUPRO."""
    first, second = pair(REGION)
    second = replace(second, metrics=replace(second.metrics, pixel_auroc=None, aupro=None))
    (table,) = report.leaderboard([first, second])
    assert {"AUPRO map", "protocol"}.isdisjoint(column.title for column in table.columns_for("people"))


def test_oracles_say_it_in_the_rows_of_the_metric():
    """There is a row for each metric; only that of AUPRO shows the map."""
    (_, table) = report.leaderboard(pair(REGION), oracle=True)
    (column,) = [column for column in table.columns if column.title == "AUPRO map"]
    seen = {(row.variant.label, row.metric): column.cell(row) for row in table.rows}
    assert seen["a", "aupro"] == "anomaly"
    assert seen["b", "aupro"] == "region"
    assert {cell for (_, metric), cell in seen.items() if metric != "aupro"} == {""}


def test_both_kinds_of_difference_are_shown():
    """Rows of another precision have letters, and AUPRO has its column."""
    results = pair({**REGION, "precision": "bf16"})
    (table,) = report.leaderboard(results)
    text = render([table], "markdown")
    assert "| region |" in text
    assert any(note.startswith("[B] b: ") and "AUPRO from" not in note for note in table.notes)


def test_results_from_before_own_pixels_are_marked():
    """Regions of resized masks move AUPRO, so boards show them beside those of the masks' own pixels."""
    results = pair({"regions": "own pixels"})
    (table,) = report.leaderboard(results)
    shown = render([table], "csv")
    assert "regions: those of the resized masks" in shown
    assert "regions: own pixels" in shown
    assert any("Regions of defects are counted in different pixels" in note for note in table.notes)
    assert titles(results, "aupro") == ["a [A]", "b [B]"]
    assert titles(results, "image_auroc") == ["a", "b"]
