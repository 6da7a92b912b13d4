"""Leaderboards and comparisons: who ranks, what is averaged, and what stands beside the papers' numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_results import make_result

from adbench import report
from adbench.errors import ResultError, UnknownNameError
from adbench.tables import Table, render
from adbench.types import METRIC_NAMES, Metrics, Published, Threshold
from adbench.variants import TITLES, boards


def records_of(table: Table) -> list[dict]:
    """The rows as programs see them."""
    return json.loads(render([table], "json"))[0]["rows"]


def footer_of(table: Table) -> dict:
    return json.loads(render([table], "json"))[0]["footers"][0]


def ranks(table: Table) -> list[tuple]:
    return [(row["rank"], row["variant"]) for row in records_of(table)]


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
    """The metric that ranks is shown, and orders the rows."""
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


def test_means_are_over_the_common_classes():
    """A variant that skipped the hard class doesn't win by that, and the note says what is left out."""
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
    """Whoever has less than half of the classes stands below, without a rank, and shrinks nobody's mean."""
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
    """What `adbench run` ends with: a table per variant, a row per class, the mean below."""
    results = [make_result(method, name, image=value) for method in "ab" for name, value in (("x", 0.8), ("y", 1.0))]
    first, second = report.leaderboard(results, by_class=True)
    assert [row["class"] for row in records_of(first)] == ["x", "y"]
    assert footer_of(first)["image_auroc"] == pytest.approx(0.9)
    assert footer_of(first)["seconds"] == 12.0
    assert {row["variant"] for row in records_of(second)} == {"b"}
    assert {"image_auroc", "pixel_auroc", "aupro", "seconds", "images_per_second"} <= set(footer_of(first))


def test_synthetic_data_is_labelled_wherever_it_is_shown():
    """Nobody takes a number on made-up pictures for a real one."""
    results = [make_result(dataset="demo", synthetic=True)]
    trial = SimpleNamespace(method="m", dataset="demo", class_name="x", synthetic=True, checkpoint="f.pt", epoch=3,
                            metrics=Metrics(image_auroc=0.5), threshold=None,
                            protocol=make_result().protocol)  # fmt: skip
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


def test_protocols_are_named_and_told_apart():
    """One line for one protocol; who used which where there are several."""
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
def test_nothing_to_show_names_the_way_out(make):
    """Without results, each report says how to make one."""
    with pytest.raises(ResultError, match="adbench run"):
        make([])


@pytest.mark.parametrize("change", [{"mask_size": "native", "map_resampling": "bilinear"}, {"holdout": 0.1}])
def test_rows_of_different_protocols_are_marked_in_every_format(change):
    """Nobody who reads a ranking, in whatever format, takes numbers of different protocols for alike."""
    other = make_result("b", image=0.8)
    results = [make_result("a", image=0.9), replace(other, protocol=replace(other.protocol, **change))]
    (table,) = report.leaderboard(results)
    assert ranks(table) == [(1, "a"), (2, "b")]
    first, second = (row["protocol"] for row in records_of(table))
    assert first != second
    assert ("masks native (nearest, maps bilinear)" if "mask_size" in change else "10% of the training") in second
    for format_ in ("markdown", "latex"):
        lines = render([table], format_).splitlines()
        assert [re.search(r"\b[AB]\b\W*$", line).group()[0] for line in lines if re.search("90.00|80.00", line)] == [
            "A",
            "B",
        ]
    assert render([table], "csv").count("masks 64x64") == (1 if "mask_size" in change else 2)
    assert any(note.startswith("[B] b: ") for note in table.notes)
    (compared,) = report.compare(results, ["a", "b"], metrics=["image_auroc"])
    assert [column.title for column in compared.columns if column.kind == "percent"] == ["a [A]", "b [B]"]
    assert records_of(compared)[0]["protocols_differ"] is True


def test_equal_protocols_need_no_mark():
    """Where all is alike there is a single line under the table, and programs see the text."""
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
    """JSON and CSV always hold value and rates; other tables show them with --threshold, and their rule."""
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
    """The advice to hold pictures out is for those who have not."""
    (table,) = report.leaderboard([judged("a", 0.1, rule="mean + 3 sd of 6 held-out scores")], threshold=True)
    assert not any("--holdout" in note for note in table.notes)


# ---------------------------------------------------------------- variants


def labels(results) -> set[str]:
    (board,) = boards(results)
    return {variant.label for variant in board.variants}


def test_variants_are_named_by_what_differs():
    """A preset, an option, a backbone or a size makes a row of its own."""
    results = [
        make_result(),
        make_result(preset="cpu"),
        make_result(preset="cpu", overrides={"backbone": "resnet18"}),
        make_result(overrides={"size": (32, 64)}),
    ]
    assert labels(results) == {"msflow", "msflow:cpu", "msflow:cpu,backbone=resnet18", "msflow:size=32x64"}


def test_hidden_differences_are_told_apart():
    """Runs of one name but another precision, option or weights are never averaged."""
    assert labels([make_result(amp="off"), make_result(amp="bf16")]) == {"msflow:amp=off", "msflow:amp=bf16"}
    assert labels([make_result("m", "x", amp="off"), make_result("m", "y", amp="bf16")]) == {"m:amp=off", "m:amp=bf16"}
    changed = [make_result(preset="cpu", options={"lr": lr}) for lr in (0.1, 0.2)]
    assert labels(changed) == {"msflow:cpu,lr=0.1", "msflow:cpu,lr=0.2"}
    weights = make_result(backbone="resnet18")
    other = replace(weights, protocol=replace(weights.protocol, backbone_weights="fedcba987654"))
    assert labels([weights, other]) == {"msflow:weights=0123456789ab", "msflow:weights=fedcba987654"}


def test_runs_that_were_evaluated_otherwise_are_variants_of_their_own():
    """Neither another place to compare maps nor held-out pictures are averaged with the rest."""
    plain = make_result()
    native = replace(plain.protocol, mask_size="native", map_resampling="bilinear")
    assert labels([plain, replace(plain, protocol=native)]) == {"msflow", "msflow:eval-size=native"}
    held = replace(plain, protocol=replace(plain.protocol, holdout=0.1), class_name="nuts")
    assert labels([plain, held]) == {"msflow", "msflow:holdout=0.1"}


def test_options_that_a_preset_sets_per_class_make_no_variant():
    """MSFlow's transistor at another size belongs to the same variant."""
    assert labels([make_result("m", "x", size=(64, 64)), make_result("m", "y", size=(32, 32))]) == {"m"}


def test_runs_on_older_pictures_do_not_count():
    """When a class's pictures changed, only the runs on the newest ones are compared, and a note says so."""
    results = [
        make_result("a", image=0.9, fingerprint="old", finished="2024-01-01"),
        make_result("a", image=0.7, fingerprint="new", finished="2024-01-03", seed=1),
        make_result("b", image=0.8, fingerprint="old", finished="2024-01-02"),
    ]
    (table,) = report.leaderboard(results)
    assert [(row["variant"], row["image_auroc"]) for row in records_of(table)] == [("a", 0.7)]
    assert any("2 older" in note for note in table.notes)


# ---------------------------------------------------------------- compare


def pair():
    return [
        make_result("a", "x", image=0.9),
        make_result("a", "y", image=0.8),
        make_result("a", "z", image=0.1),
        make_result("b", "x", image=0.7),
        make_result("b", "y", image=1.0),
    ]


def test_compare_shows_differences_and_the_common_mean():
    """Classes in rows, differences to the first, and a mean over the classes that both have."""
    table, *others = report.compare(pair(), ["a", "b"])
    assert len(others) == 2
    rows = {row["class"]: row for row in records_of(table)}
    assert rows["x"]["b - a"] == pytest.approx(-0.2)
    assert rows["y"]["b - a"] == pytest.approx(0.2)
    assert rows["z"]["b"] is None
    assert rows["z"]["b - a"] is None
    assert footer_of(table)["a"] == pytest.approx(0.85)
    assert footer_of(table)["b"] == pytest.approx(0.85)
    assert footer_of(table)["b - a"] == pytest.approx(0)
    assert any("left out: z" in note for note in table.notes)
    assert re.search(r"\| z \| 10.00 \| - \| - \|", render([table], "markdown"))


def test_compare_takes_methods_and_variants():
    """A method's name stands for all its variants, a variant's for itself; the order is the command's."""
    results = [
        make_result("a"),
        make_result("a", preset="cpu"),
        make_result("b", amp="off"),
        make_result("b", amp="bf16"),
    ]

    def compared(*names):
        table = report.compare(results, names, metrics=["image_auroc"])[0]
        return [column.key for column in table.columns if column.kind == "percent"]

    assert compared("a:cpu", "a") == ["a:cpu", "a"]
    assert compared("b", "a:cpu") == ["b:amp=off", "b:amp=bf16", "a:cpu"]
    assert compared("b:amp=bf16") == ["b:amp=bf16"]


def test_compare_names_what_is_there():
    """An unknown name is an error that lists the known ones."""
    with pytest.raises(UnknownNameError, match=r"'c'.*a, b"):
        report.compare(pair(), ["a", "c"])


PUBLISHED = (
    Published("folder", "x", "image_auroc", 0.95, "last", "log, last", 24),
    Published("folder", "x", "image_auroc", 0.981, "oracle", "log, best", 7),
    Published("folder", "y", "image_auroc", 0.991, "oracle", "log, best", 9),
    Published("folder", "x", "image_auroc", 0.98, "oracle", "table"),
    Published("folder", "y", "image_auroc", 0.99, "oracle", "table"),
    Published("folder", "x", "pixel_auroc", 0.5, "last", "log, last", 24),
    Published("elsewhere", "x", "image_auroc", 0.1, "last", "log, last", 24),
)


def test_published_numbers_meet_ours_of_the_same_policy():
    """Last against last, best epoch against our oracle; the gap is ours minus theirs."""
    results = [
        make_result("a", "x", image=0.90, oracle={"image_auroc": 0.97}),
        make_result("a", "y", image=0.80, oracle={"image_auroc": 0.995}),
    ]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": PUBLISHED})
    x, y = records_of(table)
    assert x["a published (last)"] == 0.95
    assert x["a gap (last)"] == pytest.approx(0.90 - 0.95)
    assert x["a published (oracle)"] == 0.98
    assert x["a (oracle)"] == 0.97
    assert x["a gap (oracle)"] == pytest.approx(0.97 - 0.98)
    assert y["a published (last)"] is None
    assert y["a gap (last)"] is None
    assert y["a gap (oracle)"] == pytest.approx(0.995 - 0.99)
    assert footer_of(table)["a gap (last)"] == pytest.approx(-0.05)
    assert footer_of(table)["a gap (oracle)"] == pytest.approx((-0.01 + 0.005) / 2)
    said = "\n".join(table.notes)
    assert "a published (last): log, last." in said
    assert "a published (oracle): table." in said
    assert "a published (last): mean over x only." in said


def test_a_gap_of_another_set_up_is_no_gap_of_reproduction():
    """A variant with another preset than the paper's is named under the gap."""
    results = [make_result("a", "x", preset="cpu"), make_result("a", "x")]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": PUBLISHED})
    assert "Not the papers' set-up, so the gap is not one of reproduction: a:cpu." in table.notes


def test_published_source_with_most_classes_is_taken():
    """The log of all classes is used rather than a table of one."""
    results = [make_result("a", name, image=0.9, oracle={"image_auroc": 0.9}) for name in "xy"]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": PUBLISHED[:4]})
    assert [row["a published (oracle)"] for row in records_of(table)] == [0.981, 0.991]


def test_nothing_published_is_said():
    """A method or data set without published numbers gets a note and no columns."""
    (table,) = report.compare(pair(), ["b"], metrics=["image_auroc"], vs_published={"a": PUBLISHED})
    assert any("Nothing is published for image AUROC of b" in note for note in table.notes)
    assert [column.key for column in table.columns if column.kind == "percent"] == ["b"]


# ---------------------------------------------------------------- lists


def test_every_metric_has_a_title():
    """People never meet a field's name."""
    assert set(TITLES) == set(METRIC_NAMES)


def test_list_runs_and_trials():
    """Each run is a row with its seed, numbers, time and name; a checkpoint's classes have a mean."""
    results = [make_result(seed=seed) for seed in (0, 1)]
    rows = records_of(report.list_runs(results))
    assert [row["seed"] for row in rows] == [0, 1]
    assert [row["run"] for row in rows] == [result.run for result in results]
    assert rows[0]["finished"] == results[0].finished
    trials = [
        SimpleNamespace(method="m", dataset="d", class_name=name, synthetic=False, checkpoint="f.pt", epoch=3,
                        metrics=Metrics(image_auroc=value), threshold=None, protocol=make_result().protocol)
        for name, value in (("x", 0.5), ("y", 1.0))
    ]  # fmt: skip
    table = report.trial_table(trials)
    assert footer_of(table)["image_auroc"] == 0.75
    assert footer_of(table)["aupro"] is None
    assert [row["class"] for row in records_of(table)] == ["x", "y"]
    with pytest.raises(ResultError):
        report.trial_table([])
