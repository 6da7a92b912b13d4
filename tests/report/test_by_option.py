"""The table by option: fair means over the rest, and what is said where runs are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result, records_of

from adbench import report
from adbench.report.render import render
from adbench.results.records import Result
from adbench.util.errors import ResultError, UnknownNameError


def run(dimensions: int, image: float | None, name: str = "x", method: str = "padim", **more) -> Result:
    """A run with one changed option; more of them by name."""
    return make_result(method, name, image=image, overrides={"dimensions": dimensions, **more})


def means(table) -> list[tuple]:
    return [(row["option"], row["value"], row["runs"], row["image_auroc"]) for row in records_of(table)]


def test_each_value_has_the_mean_over_the_rest():
    """Classes and other options are averaged; numbers are in their order, not in that of their texts."""
    values = {(100, "1,2"): 0.9, (100, "3"): 0.7, (50, "1,2"): 0.5, (50, "3"): 0.3}
    runs = [
        run(dimensions, value + shift, name, layers=tuple(map(int, layers.split(","))))
        for (dimensions, layers), value in values.items() for name, shift in (("x", 0.0), ("y", 0.1))
    ]  # fmt: skip
    (table,) = report.by_option(runs, ["dimensions", "layers"])
    assert means(table) == [
        ("dimensions", "50", 4, pytest.approx(0.45)), ("dimensions", "100", 4, pytest.approx(0.85)),
        ("layers", "1,2", 4, pytest.approx(0.75)), ("layers", "3", 4, pytest.approx(0.55)),
    ]  # fmt: skip
    assert not any("left out" in note for note in table.notes)


def test_only_what_all_values_have_is_compared():
    """A value that was tried on an easy class alone gains nothing by it, and a note says what is left out."""
    runs = [run(50, 0.6, "hard"), run(50, 0.9, "easy"), run(100, 0.95, "easy")]
    (table,) = report.by_option(runs, ["dimensions"])
    assert means(table) == [("dimensions", "50", 1, 0.9), ("dimensions", "100", 1, 0.95)]
    assert "dimensions of padim: 1 of 2 left out, which not all values have." in table.notes


def test_values_without_a_common_rest_are_shown_with_a_warning():
    """Each mean is then over its own runs."""
    (table,) = report.by_option([run(50, 0.6, "x"), run(100, 0.7, "y")], ["dimensions"])
    assert means(table) == [("dimensions", "50", 1, 0.6), ("dimensions", "100", 1, 0.7)]
    assert any("so the means don't compare" in note for note in table.notes)


def test_methods_have_rows_of_their_own():
    """Values of two methods are not averaged; a method without the option has no row."""
    runs = [run(size, value, method=name) for name, value in (("a", 0.5), ("b", 0.7)) for size in (50, 100)]
    (table,) = report.by_option([*runs, make_result("c", "x")], ["dimensions"])
    assert [(row["method"], row["value"]) for row in records_of(table)] == [
        ("a", "50"), ("a", "100"), ("b", "50"), ("b", "100"),
    ]  # fmt: skip
    assert "| option | method | value | runs | image AUROC |" in render([table], "markdown")


def test_settings_are_not_averaged():
    """A value that was tried few-shot as well has a row for each setting, with a column that says which."""
    usual = [run(size, value) for size, value in ((50, 0.8), (100, 0.9))]
    few = [
        make_result("padim", "x", image=value, overrides={"dimensions": size}, setting="few-shot", shots=2)
        for size, value in ((50, 0.4), (100, 0.3))
    ]
    (table,) = report.by_option([*usual, *few], ["dimensions"])
    assert [(row["setting"], row["value"], row["image_auroc"]) for row in records_of(table)] == [
        ("one-class", "50", 0.8), ("one-class", "100", 0.9), ("few-shot=2", "50", 0.4), ("few-shot=2", "100", 0.3),
    ]  # fmt: skip
    (table,) = report.by_option(usual, ["dimensions"])
    assert "setting" not in records_of(table)[0]


def test_the_weights_follow_the_backbone():
    """Two backbones have different weights, which is no second difference between their runs."""
    runs = [make_result("a", "x", backbone=name, overrides={"backbone": name}) for name in ("one", "two")]
    runs = [replace(run, protocol=replace(run.protocol, backbone_weights=run.protocol.backbone)) for run in runs]
    (table,) = report.by_option(runs, ["backbone"])
    assert [note for note in table.notes if "compare" in note] == []
    assert [row["runs"] for row in records_of(table)] == [1, 1]


def test_another_metric_and_all_metrics_for_programs():
    """People see the ranked metric first; programs see all eight."""
    (table,) = report.by_option([run(50, 0.5), run(100, 0.6)], ["dimensions"], metric="pixel_ap")
    assert records_of(table) == []  # no run has it
    (table,) = report.by_option([run(50, 0.5), run(100, 0.6)], ["dimensions"])
    assert {"image_f1max", "pixel_f1max", "aupro_05"} <= set(records_of(table)[0])
    assert "F1" not in render([table], "markdown")


def test_an_unknown_option_or_no_result_is_an_error():
    """The message offers the nearest option."""
    with pytest.raises(UnknownNameError, match="Did you mean 'dimensions'"):
        report.by_option([run(50, 0.5)], ["dimension"])
    with pytest.raises(ResultError):
        report.by_option([], ["dimensions"])
