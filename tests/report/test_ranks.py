"""The table of mean ranks: what counts once, who takes part, and what is said below."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result

from adbench import report
from adbench.report.ranks import table
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
