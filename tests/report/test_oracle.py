"""The oracle: shown on request beside the last epoch, marked, and never used for ranking."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from runs import adbench, run_tiny

from adbench import report
from adbench.api.method import Published
from adbench.api.scores import METRIC_NAMES
from adbench.report import oracle
from adbench.report.render import render
from adbench.report.tables import Table
from adbench.results.records import Best, Result

FORMATS = ("json", "csv", "markdown", "latex", "svg")


def run(method: str = "a", class_name: str = "x", *, last: float, best: float, epoch: int = 2, **more: Any) -> Result:
    """A run whose image AUROC was ``last`` at the end and ``best`` at ``epoch``, of 5 evaluations."""
    result = make_result(method, class_name, image=last, pixel=None, aupro=None, **more)
    return replace(result, oracle=(Best("image_auroc", best, epoch),), evaluations=5)


def rows_of(table: Table, part: str = "rows") -> list[dict]:
    """The rows for image AUROC as programs see them."""
    return [row for row in json.loads(render([table], "json"))[0][part] if row["metric"] == "image_auroc"]


def numbers(row: dict) -> tuple[float, ...]:
    return pytest.approx((row["last"], row["oracle"], row["last_minus_oracle"]), abs=1e-12)


def test_it_is_shown_only_where_it_is_asked_for():
    """Without --oracle no format mentions it; with it each of the same tables is followed by one more."""
    results = [run("a", last=0.8, best=0.99), run("b", last=0.9, best=0.9)]
    for tables in (report.leaderboard, lambda runs, **more: report.compare(runs, ["a", "b"], **more)):
        plain, asked = tables(results), tables(results, oracle=True)
        assert all("oracle" not in render(plain, each) and "99.00" not in render(plain, each) for each in FORMATS)
        assert render(asked[::2], "json") == render(plain, "json")
        for table in asked[1::2]:
            assert "oracle" in table.title
            assert oracle.NOTE in table.notes


def test_the_ranking_stays_that_of_the_last_epoch():
    """The best epoch doesn't change a rank, and oracles are in the order of the ranking."""
    ranking, beside = report.leaderboard([run("a", last=0.8, best=1.0), run("b", last=0.9, best=0.9)], oracle=True)
    assert [row["variant"] for row in json.loads(render([ranking], "json"))[0]["rows"]] == ["b", "a"]
    assert [row["variant"] for row in rows_of(beside)] == ["b", "a"]
    assert "rank" not in {column.key for column in beside.columns}


def test_means_are_over_the_classes_of_the_ranking():
    """Last, oracle and their difference are means over the same classes, and last is the ranking number."""
    results = [run("a", name, last=last, best=best) for name, last, best in (("x", 0.8, 0.9), ("y", 0.6, 0.8))]
    results += [
        run("b", "x", last=0.7, best=0.75),
        run("b", "y", last=0.5, best=0.95),
        run("b", "z", last=0.1, best=1.0),
    ]
    ranking, beside = report.leaderboard(results, oracle=True)
    a, b = rows_of(beside)
    assert numbers(a) == (0.7, 0.85, -0.15)
    assert numbers(b) == (0.6, 0.85, -0.25)
    assert [row["last"] for row in (a, b)] == [
        row["image_auroc"] for row in json.loads(render([ranking], "json"))[0]["rows"]
    ]


def test_epochs_and_evaluations_of_several_runs_are_an_extent():
    """One run has its epoch; several seeds have the first and the last of theirs."""
    one, two = run(last=0.8, best=0.9, epoch=3), run(last=0.6, best=0.7, epoch=17, seed=1)
    (alone,) = rows_of(report.leaderboard([one], oracle=True)[1])
    assert (alone["oracle_epoch_first"], alone["oracle_epoch_last"], alone["evaluations_most"]) == (3, 3, 5)
    (_, table) = report.leaderboard([one, replace(two, evaluations=9)], oracle=True)
    (both,) = rows_of(table)
    assert numbers(both) == (0.7, 0.8, -0.1)
    assert (both["oracle_epoch_first"], both["oracle_epoch_last"]) == (3, 17)
    assert (both["evaluations_fewest"], both["evaluations_most"]) == (5, 9)
    assert "| 3 to 17 | 5 to 9 |" in render([table], "markdown")


def test_by_class_each_class_has_its_epoch_and_the_mean_is_below():
    """A row per class and metric, and the mean of each metric."""
    results = [run("a", "x", last=0.8, best=0.9, epoch=3), run("a", "y", last=1.0, best=1.0, epoch=1)]
    (_, table) = report.leaderboard(results, by_class=True, oracle=True)
    assert [(row["class"], row["oracle_epoch_first"]) for row in rows_of(table)] == [("x", 3), ("y", 1)]
    (mean,) = rows_of(table, "footers")
    assert (mean["class"], numbers(mean)) == ("mean (2)", (0.9, 0.95, -0.05))


def test_a_comparison_has_a_row_per_class_and_variant():
    """Each variant is beside the others in each class; means are over the common classes."""
    results = [run("a", "x", last=0.8, best=0.9), run("a", "y", last=0.1, best=0.9), run("b", "x", last=0.7, best=0.7)]
    _, table = report.compare(results, ["a", "b"], metrics=["image_auroc"], oracle=True)
    assert [(row["class"], row["variant"]) for row in rows_of(table)] == [("x", "a"), ("x", "b"), ("y", "a")]
    first, second = rows_of(table, "footers")
    assert (numbers(first), numbers(second)) == ((0.8, 0.9, -0.1), (0.7, 0.7, 0.0))


def test_what_is_not_known_is_left_empty():
    """A metric without a value, a run without an oracle, a result older than the count: no number, no error."""
    unknown = replace(run(last=0.8, best=0.9), oracle=(), evaluations=None)
    (_, table) = report.leaderboard([unknown, run("b", last=0.7, best=0.9)], oracle=True)
    row = rows_of(table)[0]
    assert row["last"] == 0.8
    assert {row[key] for key in ("oracle", "last_minus_oracle", "oracle_epoch_first", "evaluations_most")} == {None}
    undefined = [row for row in json.loads(render([table], "json"))[0]["rows"] if row["metric"] == "aupro"]
    assert [row["oracle"] for row in undefined] == [None, None]


values = st.floats(0, 1)


def test_an_oracle_chosen_from_one_evaluation_is_said_to_be_none():
    """A method that was evaluated only at the end has no choice, and its difference of 0 is no merit."""
    once = replace(run("a", last=0.9, best=0.9, epoch=4), evaluations=1)
    (_, table) = report.leaderboard([once, run("b", last=0.8, best=0.9)], oracle=True)
    assert "Evaluated once, so that the oracle is the last epoch itself: a." in table.notes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), values, values), min_size=1, max_size=8))
def test_the_last_epoch_is_never_above_the_oracle(drawn):
    """The oracle is chosen from epochs that include the last, so no difference is positive, nor any mean."""
    results = [
        run(method, name, last=min(pair), best=max(pair), seed=seed) for seed, (method, name, *pair) in enumerate(drawn)
    ]
    for by_class in (False, True):
        for table in report.leaderboard(results, by_class=by_class, oracle=True)[1::2]:
            for row in (*rows_of(table), *rows_of(table, "footers")):
                assert row["last_minus_oracle"] <= 1e-12
                assert row["last_minus_oracle"] == pytest.approx(row["last"] - row["oracle"], abs=1e-12)


def test_against_papers_each_column_names_its_policy():
    """A best-epoch number is compared with our oracle, a last-epoch number with our last, also without --oracle."""
    results = [run("a", last=0.9, best=0.97)]
    published = {
        "a": (
            Published("folder", "x", "image_auroc", 0.95, "last", "their log"),
            Published("folder", "x", "image_auroc", 0.98, "oracle", "their table"),
        )
    }
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published=published)
    shown = {column.title for column in table.columns if column.audience == "all" and column.kind != "text"}
    assert shown == {
        "a (last)",
        "a published (last)",
        "a gap (last)",
        "a (oracle)",
        "a published (oracle)",
        "a gap (oracle)",
    }
    (row,) = json.loads(render([table], "json"))[0]["rows"]
    assert row["a gap (last)"] == pytest.approx(0.9 - 0.95)
    assert row["a gap (oracle)"] == pytest.approx(0.97 - 0.98)
    assert oracle.NOTE in table.notes
    assert "Evaluations to choose the oracle from: a 5." in table.notes


def test_the_oracle_of_a_method_that_published_none_stays_hidden():
    """If the paper gives only its last epoch, our oracle isn't needed and isn't shown."""
    published = {"a": (Published("folder", "x", "image_auroc", 0.95, "last", "their log"),)}
    tables = report.compare([run(last=0.9, best=0.97)], ["a"], metrics=["image_auroc"], vs_published=published)
    assert "oracle" not in render(tables, "json")


def test_the_commands_show_what_was_stored(tiny_data, tmp_path):
    """Leaderboard and compare show the oracle of a real run, with its epoch, in every format."""
    assert run_tiny(tiny_data, tmp_path, "-c", "bolts").exit_code == 0
    (stored,) = (tmp_path / "folder/bolts/tiny").glob("*/result.json")
    document = json.loads(stored.read_text())
    best = {each["metric"]: (each["value"], each["epoch"]) for each in document["oracle"]}
    assert set(best) == {*METRIC_NAMES[:8], "image_fpr95", "pg2", "pb2"}
    for words in (("leaderboard",), ("leaderboard", "--by-class"), ("compare", "tiny")):
        done = adbench(*words, "--results", tmp_path, "--oracle", "--format", "json")
        assert (done.exit_code, done.stderr) == (0, "")
        rows = [row for table in json.loads(done.stdout) for row in table["rows"] if "oracle" in row]
        assert len(rows) == 3
        for row in rows:
            assert (row["oracle"], row["oracle_epoch_first"]) == best[row["metric"]]
            assert row["last"] == document["metrics"][row["metric"]]
        for name in ("table", "csv", "markdown", "latex", "svg"):
            shown = adbench(*words, "--results", tmp_path, "--oracle", "--format", name).stdout
            assert "oracle" in shown
            assert f"{rows[0]['oracle']}" in shown if name == "csv" else f"{100 * rows[0]['oracle']:.2f}" in shown
