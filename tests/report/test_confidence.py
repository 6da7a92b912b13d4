"""Intervals, letters and p-values in tables, from the files beside the results."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_histograms import made
from made_results import footer_of, make_result, records_of
from rich.console import Console
from runs import adbench

from adbench import report
from adbench.report import confidence
from adbench.report.confidence import Confidence, interval_text, seed_means
from adbench.report.render import render, terminal
from adbench.report.tables import cell_text
from adbench.results.variants import boards
from adbench.stats import intervals
from adbench.stats.comparison import holm
from adbench.stats.intervals import Interval


def test_the_leaderboard_shows_intervals_letters_and_spread():
    """Each metric has its interval around it; far better methods have their own letters, near ones share."""
    results, sure = made({"best": 4.0, "good": 0.9, "fair": 0.8, "none": 0.0}, seeds=2)
    (table,) = report.leaderboard(results, confidence=sure)
    rows = {row["method"]: row for row in records_of(table)}
    for row in rows.values():
        assert row["image_auroc_low"] < row["image_auroc"] < row["image_auroc_high"]
        assert row["image_auroc_sd"] > 0
        assert row["pixel_auroc_low"] is None
    groups = {name: set(row["group"]) for name, row in rows.items()}
    assert groups["best"].isdisjoint(groups["good"])
    assert groups["good"] & groups["fair"]
    assert groups["none"].isdisjoint(groups["good"])


def test_the_leaderboard_says_which_could_be_the_best():
    """There is a column for people and programs with a note; people get letters on request."""
    results, sure = made({"best": 2.0, "near": 1.9, "none": 0.0})
    (table,) = report.leaderboard(results, confidence=sure)
    verdicts = dict(zip(table.column("method"), table.column("not_worse_than_best"), strict=True))
    assert verdicts == {"best": "yes", "near": "yes", "none": "no"}
    assert all((p < 0.05) == (verdict == "no") for p, verdict in
               zip(table.column("best_p"), table.column("not_worse_than_best"), strict=True))  # fmt: skip
    assert any(note.startswith("could be best: not significantly worse than the best") for note in table.notes)
    people = {column.key for column in table.columns_for("people")}
    assert "not_worse_than_best" in people
    assert "group" not in people
    (asked,) = report.leaderboard(results, confidence=sure, letters=True)
    assert "group" in {column.key for column in asked.columns_for("people")}
    assert any("share a letter are not significantly different" in note for note in asked.notes)


def test_missing_histograms_of_the_first_leave_the_best_open():
    """No method is called worse than an unknown best; a poor method without histograms hides nothing."""
    results, sure = made({"best": 4.0, "fair": 1.0, "none": 0.0})
    for lacking, expected in (("best", [None, None, None]), ("fair", ["yes", None, "no"])):
        partly = Confidence(lambda run, lacking=lacking: None if run.method == lacking else sure._read(run))
        (table,) = report.leaderboard(results, confidence=partly)
        assert table.column("not_worse_than_best") == expected


def test_without_histograms_there_is_no_interval_and_no_letter():
    """Older results are ranked as before."""
    results, _ = made({"best": 3.0, "fair": 0.5})
    (table,) = report.leaderboard(results, confidence=Confidence(lambda run: None))
    assert table.column("group") == ["", ""]
    assert table.column("image_auroc_low") == [None, None]


def test_a_variant_without_histograms_is_named_and_does_not_hide_the_others():
    """The others keep their intervals and letters; the note says how to compute the missing ones."""
    results, sure = made({"best": 4.0, "none": 0.0, "old": 1.0})
    partly = Confidence(lambda run: None if run.method == "old" else sure._read(run))
    (table,) = report.leaderboard(results, confidence=partly)
    groups = dict(zip(table.column("method"), table.column("group"), strict=True))
    assert groups == {"best": "a", "old": "", "none": "b"}
    assert any("No intervals for old:" in note and "--force" in note for note in table.notes)


def test_boards_of_several_data_sets_keep_to_their_own():
    """The same methods and classes on another data set have other intervals."""
    good, sure = made({"a": 2.0, "b": 1.0})
    poor, other = made({"a": 0.0, "b": 0.5})
    poor = [replace(result, dataset="mvtec") for result in poor]
    both = Confidence(lambda run: (other if run.dataset == "mvtec" else sure)._read(run))
    together = report.leaderboard([*good, *poor], confidence=both)
    apart = [report.leaderboard(some, confidence=Confidence(both._read)) for some in (good, poor)]
    assert render(together, "json") == render([table for tables in apart for table in tables], "json")


def test_seeds_on_other_images_have_no_interval():
    """With --skip-bad an image may be missing for one seed: no wrong rows are paired, and the table is shown."""
    results, sure = made({"a": 1.0, "b": 0.5}, seeds=2)

    def read(run):
        found = sure._read(run)
        return replace(found, paths=("moved", *found.paths[1:])) if run.method == "a" and run.seed else found

    (table,) = report.leaderboard(results, confidence=Confidence(read))
    low = dict(zip(table.column("variant"), table.column("image_auroc_low"), strict=True))
    assert low["a"] is None
    assert low["b"] is not None


def test_a_metric_that_no_draw_moves_has_no_interval():
    """From a test set without a mistake the bootstrap learns nothing; image AUROC's interval still has a width."""
    results, sure = made({"perfect": 50.0})
    (variant,) = boards(results)[0].variants
    assert sure.interval(variant, ["bolts"], "image_ap") is None
    assert sure.interval(variant, ["bolts"], "image_auroc").low < 1


def test_a_single_class_is_compared_once():
    """The row over classes would repeat it."""
    results, sure = made({"a": 3.0, "b": 0.5})
    bolts = [result for result in results if result.class_name == "bolts"]
    _, table = report.compare(bolts, ["a", "b"], metrics=["image_auroc"], confidence=sure)
    assert (len(table.rows), len(table.footers)) == (1, 0)
    assert not any("Wilcoxon" in note for note in table.notes)


def test_the_mean_of_classes_is_surer_than_a_class():
    """Three classes together have a narrower interval than any of them."""
    results, sure = made({"good": 1.0})
    (board,) = boards(results)
    (variant,) = board.variants
    each = [sure.interval(variant, [name], "image_auroc") for name in variant.runs]
    together = sure.interval(variant, list(variant.runs), "image_auroc")
    assert together.high - together.low < min(one.high - one.low for one in each)


def test_compare_says_which_pairs_differ_significantly():
    """There is a row per pair and class and one over all classes; Holm never makes a p-value smaller."""
    results, sure = made({"a": 3.0, "b": 0.5, "c": 0.5})
    _, table = report.compare(results, ["a", "b", "c"], metrics=["image_auroc"], confidence=sure)
    rows = json.loads(render([table], "json"))[0]
    rows = [*rows["rows"], *rows["footers"]]
    assert len(table.rows) == 9
    assert len(table.footers) == 3
    assert all(row["p_holm"] >= row["p"] for row in rows)
    over_all = {(row["first"][0], row["second"][0]): row for row in rows if row["class"] == "mean (3)"}
    assert [row["told_apart"] for row in over_all.values()] == ["yes", "yes", "no"]
    assert over_all["a", "b"]["difference"] < 0
    assert over_all["a", "b"]["difference_high"] < 0
    assert all(row["wilcoxon_p"] is not None for row in over_all.values())
    assert [row["delong_p"] < 0.05 for row in over_all.values()] == [True, True, False]
    _, other = report.compare(results, ["a", "b", "c"], metrics=["image_ap"], confidence=sure)
    assert not any("DeLong" in note for note in other.notes)


def test_many_variants_are_compared_with_the_first_unless_every_pair_is_asked_for():
    """The correction is for what each table shows: people see five comparisons, programs these and each class."""
    results, sure = made({name: 3.0 if name == "a" else 0.5 for name in "abcdef"})
    tables = report.compare(results, list("abcdef"), metrics=["image_auroc"], confidence=sure)
    across, _, pair_table = tables
    assert [table.audience for table in tables] == ["people", "programs", "programs"]
    pairs = json.loads(render([pair_table], "json"))[0]["footers"]
    assert [(row["first"], row["second"]) for row in pairs] == [("a", name) for name in "bcdef"]
    assert across.column("p_holm") == [None, *holm([row["p"] for row in pairs])]
    whole = json.loads(render([pair_table], "json"))[0]
    shown = [*whole["rows"], *whole["footers"]]
    assert [row["p_holm"] for row in shown] == holm([row["p"] for row in shown])
    assert across.column("told_apart")[1:] == ["yes"] * 5
    assert any("all 5 comparisons in this table" in note for note in across.notes)
    every = report.compare(results, list("abcdef"), metrics=["image_auroc"], confidence=sure, every_pair=True)[-1]
    assert (len(every.footers), every.audience) == (15, "all")


def test_four_methods_at_80_columns_say_which_pair_each_row_is():
    """Class and both methods are in each part; difference, p and verdict in the first."""
    results, sure = made({"msflow": 3.0, "cflow": 1.0, "padim": 0.5, "random": 0.0})
    for method in ("msflow", "cflow", "padim", "random"):
        results = [replace(run, preset="cpu") if run.method == method else run for run in results]
    names = ["msflow", "cflow", "padim", "random"]
    pairs = report.compare(results, names, metrics=["image_auroc"], confidence=sure)[-1]
    console = Console(width=80, file=io.StringIO(), highlight=False)
    console.print(terminal.to_rich(pairs, 80))
    lines = console.file.getvalue().splitlines()
    heads = [lines[number - 1] for number, line in enumerate(lines) if line.startswith("───")]
    assert len(heads) == 2
    assert all(head.split()[:3] == ["class", "a", "b"] for head in heads)
    assert re.search(r"b - a +\(Holm\) +significant", heads[0])
    assert "Wilcoxon" in heads[1]
    rows = [line for line in lines if re.match(r"(bolts|nuts|rings|mean \(3\)) +\w+:cpu +\w+:cpu ", line)]
    assert len(rows) == 2 * (3 + 1) * 6


def test_compare_shows_intervals_and_spread():
    """They are beside each variant's number, for each class and for the mean."""
    results, sure = made({"a": 3.0, "b": 0.5}, seeds=2)
    table, _ = report.compare(results, ["a", "b"], metrics=["image_auroc"], confidence=sure)
    rows = json.loads(render([table], "json"))[0]
    rows = [*rows["rows"], *rows["footers"]]
    assert [row["class"] for row in rows] == ["bolts", "nuts", "rings", "mean (3)"]
    for row in rows:
        for name in ("a", "b"):
            assert row[f"{name} low"] < row[name] < row[f"{name} high"]
            assert row[f"{name} sd"] > 0
    assert any("Seeds: 2 each." in note for note in table.notes)


def test_an_interval_is_computed_once(monkeypatch):
    """However often two tables show it, it is computed once for each variant, class and metric."""
    asked = []
    original = intervals.interval
    monkeypatch.setattr(intervals, "interval", lambda *words: (asked.append(words), original(*words))[1])
    results, sure = made({"a": 3.0, "b": 0.5})
    for format_ in ("json", "markdown"):
        render(report.compare(results, ["a", "b"], metrics=["image_auroc"], confidence=sure), format_)
    assert len(asked) == 2 * 3


def test_a_class_without_the_metric_does_not_count():
    """One class with only good images doesn't remove interval and p-value from the mean over the others."""
    results, sure = made({"a": 3.0, "b": 0.5})
    results = [
        replace(result, metrics=replace(result.metrics, image_auroc=None)) if result.class_name == "nuts" else result
        for result in results
    ]
    _, table = report.compare(results, ["a", "b"], metrics=["image_auroc"], confidence=sure)
    over_all = footer_of(table)
    assert over_all["class"] == "mean (2)"
    assert over_all["p"] < 0.05
    assert any("is not defined in nuts" in note for note in table.notes)


def test_pairs_of_different_protocols_are_marked():
    """The letters are in this table, too, and a column is for programs."""
    results, sure = made({"a": 3.0, "b": 0.5})
    results = [
        replace(result, protocol=replace(result.protocol, holdout=0.1)) if result.method == "b" else result
        for result in results
    ]
    _, table = report.compare(results, ["a", "b"], metrics=["image_auroc"], confidence=sure)
    seen = {key: table.column(key)[0] for key in ("first", "first_marked", "second_marked", "protocols_differ")}
    assert seen == {"first": "a", "first_marked": "a [A]", "second_marked": "b [B]", "protocols_differ": True}
    assert any(note.startswith("[A], [B]: other protocols") for note in table.notes)


def test_a_table_comes_out_the_same_twice():
    """All draws are seeded."""
    results, _ = made({"a": 1.0, "b": 0.5})
    tables = [report.compare(results, ["a", "b"], confidence=made({"a": 1.0, "b": 0.5})[1]) for _ in range(2)]
    assert render(tables[0], "json") == render(tables[1], "json")


def test_other_images_are_not_paired():
    """If two methods were scored on different images there is no p-value."""
    results, sure = made({"a": 1.0, "b": 0.5})
    moved = Confidence(lambda run: replace(sure._read(run), paths=tuple(map(str, range(60, 120)))) if run.method == "b"
                       else sure._read(run))  # fmt: skip
    _, table = report.compare(results, ["a", "b"], metrics=["image_auroc"], confidence=moved)
    assert "No p-values" in table.notes[0]


def test_seeds_that_lack_a_class_do_not_count():
    """The spread is over seeds that have all classes."""
    results, _ = made({"a": 1.0}, seeds=3)
    (board,) = boards([result for result in results if (result.class_name, result.seed) != ("nuts", 2)])
    assert len(seed_means(board.variants[0], ["bolts", "nuts", "rings"], "image_auroc")) == 2


def test_an_interval_is_written_in_percent():
    """One digit is enough for an interval."""
    assert interval_text(Interval(0.8912, 1.0)) == "89.1-100.0"
    assert interval_text(None) is None


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted))
def test_a_value_never_stands_outside_of_its_interval(numbers):
    """As formatted for people, with rounding: 99.99 beside 99.9-100.0, never beside 100.0-100.0."""
    low, value, high = numbers
    first, last = map(float, interval_text(Interval(low, high)).split("-"))
    assert first <= float(cell_text(value, "percent")) <= last


# ---------------------------------------------------------------- the commands


@pytest.mark.parametrize(
    "format_", ["table", "csv", *(pytest.param(each, marks=pytest.mark.slow) for each in ("markdown", "latex", "svg"))]
)
def test_intervals_come_in_every_format(ran, format_):
    """``leaderboard --ci`` writes them for people and for programs."""
    done = adbench("leaderboard", "--results", ran, "--ci", "--format", format_)
    assert done.exit_code == 0, done.stderr
    assert ("image_auroc_low" if format_ == "csv" else "95") in done.stdout


def test_real_runs_have_intervals_for_every_metric(ran):
    """From run to leaderboard: for images and pixels, per class and over classes."""
    tables = json.loads(adbench("leaderboard", "--results", ran, "--ci", "--by-class", "--format", "json").stdout)
    for table in tables:
        for row in (*table["rows"], *table["footers"]):
            for metric in ("image_auroc", "pixel_auroc", "aupro"):
                assert row[f"{metric}_low"] <= row[metric] <= row[f"{metric}_high"]


def test_compare_of_real_runs_has_p_values(ran):
    """The stored score histograms of two methods are paired."""
    tables = json.loads(adbench("compare", "tiny", "random", "--results", ran, "--format", "json").stdout)
    pairs = [table for table in tables if "p_holm" in table["rows"][0]]
    assert len(pairs) == 3
    assert all(0 < row["p"] <= 1 for table in pairs for row in table["rows"])


def test_broken_histograms_give_a_warning(ran, tmp_path):
    """A damaged file costs the interval, not the leaderboard."""
    copied = tmp_path / "results"
    shutil.copytree(ran, copied)
    for path in copied.rglob("evidence.npz"):
        path.write_bytes(b"broken")
    done = adbench("leaderboard", "--results", copied, "--ci")
    assert done.exit_code == 0
    assert "Warning" in done.stderr


def test_the_report_has_the_intervals(ran, tmp_path):
    """The page's leaderboard is that of --ci."""
    done = adbench("report", "--results", ran, "-o", tmp_path, "--no-pictures")
    assert done.exit_code == 0, done.stderr
    assert "95 %" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_every_row_uses_its_own_histograms(ran):
    """Two seeds of a variant are both read, not one of them twice."""
    seen = []
    sure = confidence.stored(ran, seen.append)
    from adbench.results import store

    (board,) = boards(store.read_all(ran).results)
    for variant in board.variants:
        found = sure._of(variant, "bolts")
        assert len(found) == 2
        if variant.method == "random":
            assert all(not np.array_equal(a.image_scores, b.image_scores) for a, b in pairwise(found))
    assert seen == []


def test_a_spread_of_a_single_seed_is_explained():
    """Beside rows of several seeds it is "-", in a ranking and in a comparison."""
    results = [make_result("a", seed=seed) for seed in range(3)] + [make_result("b")]
    unknown = Confidence(lambda run: None)
    (table,) = report.leaderboard(results, confidence=unknown)
    assert "sd -: fewer than two seeds have all of these classes." in table.notes
    (table,) = report.leaderboard(results[:3], confidence=unknown)
    assert not any(note.startswith("sd -") for note in table.notes)


def test_forgetting_frees_the_histograms_and_keeps_what_was_computed():
    """Intervals, and whose histograms are there, are not read again; a comparison reads them once more."""
    results, sure = made({"a": 3.0, "b": 0.5})
    read = []
    counted = Confidence(lambda run: read.append(run) or sure._read(run))
    first, second = boards(results)[0].variants
    before = [counted.interval(each, ["bolts", "nuts"], "image_auroc") for each in (first, second)]
    assert counted.unknown([first, second]) == []
    count = len(read)
    counted.forget()
    assert [counted.interval(each, ["bolts", "nuts"], "image_auroc") for each in (first, second)] == before
    assert counted.unknown([first, second]) == []
    assert len(read) == count
    assert counted.difference(first, second, ["bolts"], "image_auroc").value < 0
    assert len(read) > count


def test_a_missing_interval_says_why():
    """PG2 of 30 defective images has none, no group of letters and no p-value, and a line below says so."""
    results, sure = made({"best": 4.0, "fair": 0.8})
    (table,) = report.leaderboard(results, confidence=sure, metrics=("pg2",), metric="pg2")
    assert records_of(table)[0]["pg2"] is not None
    assert records_of(table)[0]["pg2_low"] is None
    assert "95 % - of PG2: 30 defective images, but it takes 50." in table.notes
    (variant, other) = boards(results)[0].variants
    assert sure.difference(variant, other, ["bolts"], "pg2") is None
