"""Leaderboards: which variants rank, what is averaged, and what is marked; and the lists of methods, runs and so on."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_results import footer_of, make_result, ranks, records_of

from adbench import report
from adbench.api.scores import METRIC_NAMES, Metrics, Threshold
from adbench.report.render import render
from adbench.results.variants import TITLES
from adbench.util.errors import ResultError

# ---------------------------------------------------------------- leaderboard


def test_ranked_by_the_last_epoch_never_by_the_oracle():
    """A better oracle doesn't help: the last epoch ranks."""
    results = [
        make_result("lucky", image=0.80, oracle={"image_auroc": 1.0}),
        make_result("steady", image=0.90, oracle={"image_auroc": 0.9}),
    ]
    (table,) = report.leaderboard(results)
    assert ranks(table) == [(1, "steady"), (2, "lucky")]
    assert "100.00" not in render([table], "markdown")


def test_ranked_by_any_metric():
    """The ranking metric is shown, and orders the rows."""
    results = [make_result("a", image=0.9, pixel=0.5), make_result("b", image=0.8, pixel=0.6)]
    results = [replace(r, metrics=replace(r.metrics, image_ap=1 - r.metrics.image_auroc)) for r in results]
    assert ranks(report.leaderboard(results)[0]) == [(1, "a"), (2, "b")]
    assert ranks(report.leaderboard(results, metric="pixel_auroc")[0]) == [(1, "b"), (2, "a")]
    (table,) = report.leaderboard(results, metric="image_ap")
    assert ranks(table) == [(1, "b"), (2, "a")]
    assert [round(row["image_ap"], 9) for row in records_of(table)] == [0.2, 0.1]


def test_equal_numbers_share_a_rank():
    """Two perfect methods are both first, and the next one is third."""
    results = [make_result(name, image=value) for name, value in (("a", 1.0), ("b", 0.9), ("c", 1.0))]
    assert ranks(report.leaderboard(results)[0]) == [(1, "a"), (1, "c"), (3, "b")]


def test_seeds_average_and_are_counted():
    """Several seeds of one variant are one row with their mean."""
    results = [make_result(seed=seed, image=value) for seed, value in enumerate((0.8, 0.9, 1.0))]
    (row,) = records_of(report.leaderboard(results)[0])
    assert row["image_auroc"] == pytest.approx(0.9, abs=1e-12)
    assert row["seeds"] == 3


def test_memory_is_the_highest_of_all_runs():
    """What a variant needs is what its most demanding class and seed need, in MB."""
    results = [
        replace(make_result("m", name, seed=seed), peak_memory_bytes=peak)
        for name, seed, peak in (("a", 0, 2_000_000), ("a", 1, 7_400_000), ("b", 0, 3_000_000), ("b", 1, 1_000_000))
    ]
    (row,) = records_of(report.leaderboard(results)[0])
    assert row["peak_mb"] == 7


def test_means_are_over_the_common_classes():
    """A variant without the hard class doesn't gain by that; the note names the left-out class."""
    results = [
        make_result("whole", "easy", image=0.95),
        make_result("whole", "fair", image=0.90),
        make_result("whole", "hard", image=0.50),
        make_result("partial", "easy", image=0.92),
        make_result("partial", "fair", image=0.90),
    ]
    (table,) = report.leaderboard(results)
    assert ranks(table) == [(1, "whole"), (2, "partial")]
    assert [row["classes"] for row in records_of(table)] == [2, 2]
    assert records_of(table)[0]["image_auroc"] == pytest.approx(0.925)
    assert any("2 of 3 classes" in note and "left out: hard" in note for note in table.notes)


def test_a_quick_try_on_one_class_does_not_spoil_the_board():
    """A variant with less than half of the classes is below, without a rank, and changes no other mean."""
    results = [make_result("whole", name, image=0.9) for name in ("a", "b", "c")]
    (table,) = report.leaderboard([*results, make_result("try", "a", image=1.0)])
    assert ranks(table) == [(1, "whole"), (None, "try")]
    assert [row["classes"] for row in records_of(table)] == [3, 1]
    assert any("Not ranked" in note and "try (1 of 3)" in note for note in table.notes)


def test_nothing_in_common_is_no_ranking():
    """Variants on different classes are shown, but not ranked."""
    (table,) = report.leaderboard([make_result("a", "x"), make_result("b", "y")])
    assert [rank for rank, _ in ranks(table)] == [None, None]
    assert any("no class is common" in note for note in table.notes)


def test_a_metric_that_nobody_has_is_said_to_be_missing():
    """The classes are common, so that they aren't the reason for no ranking."""
    (table,) = report.leaderboard([make_result("a", "x"), make_result("b", "x")], metric="aupimo")
    assert [rank for rank, _ in ranks(table)] == [None, None]
    assert "Not ranked: no variant has AUPIMO." in table.notes


def test_a_metric_without_masks_is_averaged_where_it_is_defined():
    """Pixel metrics of a class without masks are left out for all; a method without maps shows none."""
    results = [
        make_result("a", "masked", pixel=0.9),
        make_result("a", "unmasked", pixel=None),
        make_result("b", "masked", pixel=None),
        make_result("b", "unmasked", pixel=None),
    ]
    (table,) = report.leaderboard(results)
    values = {row["variant"]: row["pixel_auroc"] for row in records_of(table)}
    assert values == {"a": 0.9, "b": None}
    assert any(note.startswith("pixel AUROC is the mean over masked") for note in table.notes)


def test_by_class_shows_each_class_and_the_mean():
    """The table at the end of ``adbench run``: one per variant, with a row per class and the mean below."""
    results = [make_result(method, name, image=value) for method in "ab" for name, value in (("x", 0.8), ("y", 1.0))]
    first, second = report.leaderboard(results, by_class=True)
    assert [row["class"] for row in records_of(first)] == ["x", "y"]
    assert footer_of(first)["image_auroc"] == pytest.approx(0.9)
    assert footer_of(first)["seconds"] == 12.0
    assert {row["variant"] for row in records_of(second)} == {"b"}
    assert {"image_auroc", "pixel_auroc", "aupro", "seconds", "images_per_second"} <= set(footer_of(first))


def test_synthetic_data_is_labelled_wherever_it_is_shown():
    """A number on synthetic images is always marked as such."""
    results = [make_result(dataset="demo", synthetic=True)]
    trial = SimpleNamespace(method="m", dataset="demo", class_name="x", synthetic=True, checkpoint="f.pt", epoch=3,
                            metrics=Metrics(image_auroc=0.5), threshold=None, tied_images=0, test_images=8,
                            protocol=make_result().protocol, labelled=True)  # fmt: skip
    shown = [
        *report.leaderboard(results),
        *report.leaderboard(results, by_class=True),
        *report.compare(results, ["msflow"]),
        report.list_runs(results),
        report.trial_table([trial]),
    ]
    for table in shown:
        assert "demo (synthetic)" in render([table], "markdown")
        assert all(row["synthetic"] is True for row in records_of(table))
    assert "synthetic" not in render(report.leaderboard([make_result()]), "markdown")


def test_data_sets_have_boards_of_their_own():
    """Numbers of different data sets are never in one ranking."""
    found = report.leaderboard([make_result("a", dataset="one"), make_result("b", dataset="two")])
    assert [ranks(table) for table in found] == [[(1, "a")], [(1, "b")]]


def test_protocols_are_named_and_marked():
    """One protocol is one line; several have a line each, with their variants."""
    same = [make_result(name, backbone="resnet18") for name in "ab"]
    (table,) = report.leaderboard(same)
    (line,) = [note for note in table.notes if "masks" in note]
    for fact in (
        "64x64",
        "stretch",
        "lanczos",
        "nearest",
        "anomaly map",
        "last epoch",
        "resnet18",
        "0123456789ab",
        "fp32",
    ):
        assert fact in line
    (table,) = report.leaderboard([*same, make_result("c", size=(32, 96), amp="bf16")])
    assert any("protocols differ" in note for note in table.notes)
    assert any(note.startswith("[B] c: 32x96") and "bf16" in note for note in table.notes)


@pytest.mark.parametrize("make", [report.leaderboard, report.list_runs, lambda r: report.compare(r, ["msflow"])])
def test_nothing_to_show_gives_a_hint(make):
    """Without results, each report says how to make one."""
    with pytest.raises(ResultError, match="adbench run"):
        make([])


@pytest.mark.parametrize("change", [{"size": (32, 32)}, {"holdout": 0.1}])
def test_rows_of_different_protocols_are_marked_in_every_format(change):
    """Every format of a ranking marks numbers of different protocols."""
    other = make_result("b", image=0.8)
    results = [make_result("a", image=0.9), replace(other, protocol=replace(other.protocol, **change))]
    (table,) = report.leaderboard(results)
    assert ranks(table) == [(1, "a"), (2, "b")]
    first, second = (row["protocol"] for row in records_of(table))
    assert first != second
    assert ("32x32 by stretch" if "size" in change else "--holdout 0.1") in second
    for format_ in ("markdown", "latex"):
        lines = render([table], format_).splitlines()
        assert [re.search(r"\b[AB]\b\W*$", line).group()[0] for line in lines if re.search("90.00|80.00", line)] == [
            "A",
            "B",
        ]
    assert render([table], "csv").count("masks 64x64") == 2
    assert any(note.startswith("[B] b: ") for note in table.notes)
    (compared,) = report.compare(results, ["a", "b"], metrics=["image_auroc"])
    assert [column.title for column in compared.columns if column.kind == "percent"] == ["a [A]", "b [B]"]
    assert records_of(compared)[0]["protocols_differ"] is True


def test_equal_protocols_need_no_mark():
    """If all protocols are equal there is a single line under the table, and programs see the text."""
    (table,) = report.leaderboard([make_result("a"), make_result("b")])
    assert "protocol" not in render([table], "markdown").splitlines()[2]
    assert len({row["protocol"] for row in records_of(table)}) == 1
    (compared,) = report.compare([make_result("a"), make_result("b")], ["a", "b"], metrics=["image_auroc"])
    assert records_of(compared)[0]["protocols_differ"] is False


# ---------------------------------------------------------------- thresholds


def judged(method: str, false_alarms: float | None, *, rule: str = "mean + 3 sd of 60 training scores"):
    suggestion = None if false_alarms is None else Threshold(1.5, rule, false_alarms, 0.25)
    return replace(make_result(method), threshold=suggestion)


def test_thresholds_are_there_for_programs_and_for_people_who_ask():
    """JSON and CSV always have value and rates; other tables show them and their rule with --threshold."""
    results = [judged("a", 0.125), judged("b", None)]
    (table,) = report.leaderboard(results)
    row, without = records_of(table)
    assert (row["false_alarm_rate"], row["miss_rate"]) == (0.125, 0.25)
    assert (without["false_alarm_rate"], without["miss_rate"]) == (None, None)
    assert "12.50" not in render([table], "markdown")
    (asked,) = report.leaderboard(results, threshold=True)
    assert "false alarms" in render([asked], "markdown")
    assert "12.50" in render([asked], "markdown")
    notes = "\n".join(asked.notes)
    assert "Thresholds of a: mean + 3 sd of training scores." in notes
    assert "No threshold for b" in notes
    classes, _ = report.leaderboard(results, by_class=True, threshold=True)
    assert records_of(classes)[0]["threshold"] == 1.5
    assert "1.5" in render([classes], "markdown")
    assert footer_of(classes)["false_alarm_rate"] == 0.125


def test_held_out_thresholds_carry_no_warning():
    """The advice to hold images out is for runs without held-out images."""
    (table,) = report.leaderboard([judged("a", 0.1, rule="mean + 3 sd of 6 held-out scores")], threshold=True)
    assert not any("--holdout" in note for note in table.notes)


# ---------------------------------------------------------------- lists


def test_every_metric_has_a_title():
    """People never see a field's name."""
    assert set(TITLES) == set(METRIC_NAMES)


def test_programs_get_all_metrics_and_people_the_main_ones():
    """JSON and CSV of rankings, classes, runs and trials have all eight metrics; no column of a table is added."""
    results = [make_result()]
    trial = SimpleNamespace(method="m", dataset="d", class_name="x", synthetic=False, checkpoint="f.pt", epoch=3,
                            metrics=Metrics(pixel_f1max=0.25), threshold=None, tied_images=0, test_images=8,
                            protocol=make_result().protocol, labelled=True)  # fmt: skip
    tables = [*report.leaderboard(results), *report.leaderboard(results, by_class=True), report.list_runs(results),
              report.trial_table([trial])]  # fmt: skip
    for table in tables:
        assert set(METRIC_NAMES) <= set(render([table], "csv").splitlines()[0].split(","))
        assert "F1-max" not in render([table], "markdown")
    assert records_of(tables[-1])[0]["pixel_f1max"] == 0.25
    (by_ap,) = report.leaderboard(results, metric="image_ap")
    header = render([by_ap], "csv").splitlines()[0].split(",")
    assert [header.count(name) for name in METRIC_NAMES] == [1] * len(METRIC_NAMES)


def test_special_metrics_are_shown_where_most_runs_have_them():
    """AU-sPRO and SegF1 have a column on the boards of data sets that define them, and none for half of the runs."""
    whole = Metrics(0.9, au_spro=0.5, segf1=0.25)
    runs = [replace(make_result("a"), metrics=whole), replace(make_result("b"), metrics=replace(whole, segf1=None))]
    for by_class in (False, True):
        text = render(report.leaderboard(runs, by_class=by_class), "markdown")
        assert "AU-sPRO" in text
        assert "SegF1" not in text
        most = [*runs, replace(make_result("c"), metrics=whole)]
        assert "SegF1" in render(report.leaderboard(most, by_class=by_class), "markdown")
    asked = render(report.leaderboard(runs, metrics=["pb2"]), "markdown")
    assert "PB2" in asked
    assert "AU-sPRO" not in asked
    compared = render(report.compare(runs, ["a", "b"]), "markdown")
    assert "AU-sPRO 0.05 (%)" in compared
    assert "SegF1" not in compared


def test_list_runs_and_trials():
    """Each run is a row with its seed, numbers, time and name; a checkpoint's classes have a mean."""
    results = [make_result(seed=seed) for seed in (0, 1)]
    rows = records_of(report.list_runs(results))
    assert [row["seed"] for row in rows] == [0, 1]
    assert [row["run"] for row in rows] == [result.run for result in results]
    assert rows[0]["finished"] == results[0].finished
    trials = [
        SimpleNamespace(method="m", dataset="d", class_name=name, synthetic=False, checkpoint="f.pt", epoch=3,
                        metrics=Metrics(image_auroc=value), threshold=None, tied_images=0, test_images=8,
                        protocol=make_result().protocol, labelled=True)
        for name, value in (("x", 0.5), ("y", 1.0))
    ]  # fmt: skip
    table = report.trial_table(trials)
    assert footer_of(table)["image_auroc"] == 0.75
    assert footer_of(table)["aupro"] is None
    assert [row["class"] for row in records_of(table)] == ["x", "y"]
    with pytest.raises(ResultError):
        report.trial_table([])


def test_settings_are_rows_of_their_own_and_marked():
    """Each setting ranks as a variant with its name; the protocol says it, and programs have a column."""
    results = [
        make_result(image=0.9),
        make_result(image=0.7, setting="few-shot", shots=2),
        make_result(image=0.8, setting="multi-class", classes=("bolts", "nuts")),
        make_result(image=0.6, setting="zero-shot"),
    ]
    (table,) = report.leaderboard(results)
    rows = [(row["variant"], row["setting"]) for row in records_of(table)]
    assert rows == [
        ("msflow", "one-class"), ("msflow:multi-class", "multi-class"), ("msflow:few-shot=2", "few-shot"),
        ("msflow:zero-shot", "zero-shot"),
    ]  # fmt: skip
    said = "\n".join(table.notes)
    assert "msflow:few-shot=2: few-shot: 2 training images of each class; 64x64" in said
    assert "msflow:multi-class: multi-class: one model of bolts, nuts; 64x64" in said
    assert "msflow:zero-shot: zero-shot: no training image; 64x64" in said
