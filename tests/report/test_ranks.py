"""The table of mean ranks: what counts once, who takes part, and what is said below."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result

from adbench import report
from adbench.report.ranks import Ranked, RankRow, lanes, ranked, table
from adbench.results.variants import boards
from adbench.util.errors import ResultError


def made(values, dataset="folder"):
    """Results of methods on classes, from image AUROCs by method: a value for each class."""
    found = []
    for method, several in values.items():
        for number, value in enumerate(several):
            result = make_result(method, f"class{number}")
            metrics = replace(result.metrics, image_auroc=value)
            found.append(replace(result, dataset=dataset, metrics=metrics, run=f"{dataset}-{method}-{number}"))
    return found


def test_each_class_counts_once():
    """Three methods in the same order on ten classes have the ranks 1, 2 and 3, and no letter in common."""
    found = table(boards(made({"c": [0.7] * 10, "a": [0.9] * 10, "b": [0.8] * 10})), "image_auroc", "classes")
    assert found.title == "Mean ranks by image AUROC over 10 classes"
    assert found.column("mean_rank") == [1.0, 2.0, 3.0]
    assert found.column("variant") == ["a", "b", "c"]
    assert "p = 0." in found.notes[0]
    assert found.column("group") == ["a", "ab", "b"]  # the critical difference is 1.05


def test_a_data_set_counts_once_whatever_its_classes():
    """The mean over classes ranks: a wins on two data sets, though b wins in most of the classes."""
    results = made({"a": [0.99, 0.5], "b": [0.6, 0.6]}, "one") + made({"a": [0.9, 0.55, 0.55], "b": [0.6] * 3}, "two")
    found = table(boards(results), "image_auroc", "datasets")
    assert dict(zip(found.column("variant"), found.column("mean_rank"), strict=True)) == {"a": 1.0, "b": 2.0}
    by_class = table(boards(results), "image_auroc", "classes")
    assert by_class.column("mean_rank") == [1.4, 1.6]
    assert by_class.column("variant")[0] == "b"


def test_a_variant_without_a_class_is_left_out_and_named():
    """Ranks of different lists can't be compared."""
    found = table(boards(made({"a": [0.9, 0.9, 0.8], "b": [0.8, 0.7, 0.9], "c": [0.7]})), "image_auroc", "classes")
    assert found.column("variant") == ["a", "b"]
    assert any("Left out, since not all have the same: c" in note for note in found.notes)
    assert any("finds little" in note for note in found.notes)


def test_the_largest_table_is_ranked():
    """Two methods on two data sets are ranked, whatever a third has elsewhere; what only one has is named."""
    results = [*made({"a": [0.9], "b": [0.8]}, "one"), *made({"a": [0.9], "b": [0.8]}, "two")]
    results += [*made({"c": [0.7], "a": [0.6]}, "three"), *made({"c": [0.7]}, "four")]
    found = table(boards(results), "image_auroc", "datasets")
    assert found.column("variant") == ["a", "b"]
    assert any(note.endswith("c, four, three.") for note in found.notes)


def test_too_little_is_one_message():
    """One data set can't be ranked over data sets."""
    with pytest.raises(ResultError, match="found 2 variants on 1 data sets"):
        report.leaderboard(made({"a": [0.9], "b": [0.8]}), rank_by="datasets")


def test_bars_join_rows_that_differ_by_no_more_than_the_critical_difference():
    """Ten classes in one order: ranks 1, 2, 3, critical difference 1.05, so neighbours are joined, the ends aren't."""
    found = ranked(boards(made({"c": [0.7] * 10, "a": [0.9] * 10, "b": [0.8] * 10})), "image_auroc", "classes")
    assert [row.label for row in found.rows] == ["a", "b", "c"]
    assert found.bars == ((0, 1), (1, 2))
    assert found.p_value < 0.001
    assert found.critical_difference == pytest.approx(2.343 * (12 / 60) ** 0.5, abs=1e-3)  # Demsar's table 5


def test_a_test_that_rejects_nothing_says_so():
    """Two classes that disagree show no difference at all."""
    found = ranked(boards(made({"a": [0.9, 0.7], "b": [0.8, 0.8]})), "image_auroc", "classes")
    assert any("rejects nothing" in note for note in found.notes)
    assert found.bars == ((0, 1),)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=6), st.permutations(range(3)))
def test_the_order_of_the_variants_moves_nothing(values, order):
    """Ranks, bars and p-value are the same however the results are sorted, where no two mean ranks are equal."""
    names = ("a", "b", "c")
    columns = {name: [row[number] / 5 for row in values] for number, name in enumerate(names)}
    one, other = (
        ranked(boards(made({names[place]: columns[names[place]] for place in places})), "image_auroc", "classes")
        for places in (range(3), order)
    )
    assert {row.label: row.rank for row in one.rows} == {row.label: row.rank for row in other.rows}
    assert one.p_value == pytest.approx(other.p_value)
    if len({row.rank for row in one.rows}) == 3:
        assert (one.rows, one.bars) == (other.rows, other.bars)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=1, max_size=8))
def test_no_two_bars_of_a_lane_share_a_variant(spans):
    """Lanes are as few as the bars that lie over one variant."""
    bars = tuple(sorted((start, start + length) for start, length in spans))
    found = Ranked("", tuple(RankRow(str(each), each, "") for each in range(26)), bars, 1.0, 0.0, ())
    chosen = lanes(found)
    covered = {
        (lane, place) for (first, last), lane in zip(bars, chosen, strict=True) for place in range(first, last + 1)
    }
    assert len(covered) == sum(last - first + 1 for first, last in bars)
    deepest = max(sum(first <= place <= last for first, last in bars) for place in range(26))
    assert max(chosen) + 1 == deepest
