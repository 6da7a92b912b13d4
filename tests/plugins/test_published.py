"""The numbers that methods' authors report: each plugin ships all rows of its file, and commands show them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from made_results import make_result, records_of

from adbench.api import registry
from adbench.api.method import Published
from adbench.api.scores import METRIC_NAMES
from adbench.report.compare import compare
from adbench.report.published import published_table, sources

PLUGINS = Path(__file__).parents[2] / "plugins"
FILES = sorted(PLUGINS.glob("*/published.csv"))
METHODS = {path: path.parent.name.replace("_", "-") for path in FILES}


@pytest.fixture(scope="module")
def methods():
    """The installed methods."""
    return registry.load().methods


def test_the_files_are_found():
    """So that no empty list passes."""
    assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=METHODS.get)
def test_a_plugin_ships_all_rows_of_its_file(path, methods):
    """Each as it is there, with value, policy, setting, shots and configuration; none is of another method."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    method = methods[METHODS[path]]
    assert {row.get("method", method.name) for row in rows} == {method.name}
    assert len(method.published) == len(rows)
    for row, number in zip(rows, method.published, strict=True):
        assert (number.dataset, number.class_name, number.metric) == (row["dataset"], row["class"], row["metric"])
        assert number.value == float(row["percent"]) / 100
        assert number.setting == (row.get("setting") or "one-class")
        assert str(number.shots or "") == (row.get("shots") or "")
        assert number.policy == (row.get("policy") or number.policy)


@pytest.mark.parametrize("path", FILES, ids=METHODS.get)
def test_models_of_all_classes_are_not_taken_for_those_of_one(path, methods):
    """A source that says so has the setting multi-class."""
    for number in methods[METHODS[path]].published:
        if "one model for all classes" in number.source:
            assert number.setting == "multi-class", number


@pytest.mark.parametrize("path", FILES, ids=METHODS.get)
def test_list_methods_shows_each_source(path, methods):
    """A row for each with its policy and setting."""
    method = methods[METHODS[path]]
    shown = {(row["dataset"], row["setting"], row["policy"], row["source"])
             for row in records_of(published_table(method))}  # fmt: skip
    assert shown == {(each.dataset, each.setting, each.policy, each.source) for each in sources(method.published)}
    assert shown


@pytest.mark.parametrize("path", FILES, ids=METHODS.get)
def test_compare_sets_a_run_of_each_setting_beside_them(path, methods):
    """A run of a class for which there are numbers has them in a column that names their policy."""
    method = methods[METHODS[path]]
    first: dict[tuple[object, ...], Published] = {}
    for number in method.published:
        if number.metric in METRIC_NAMES:
            first.setdefault((number.dataset, number.setting, number.shots, number.metric), number)
    assert first
    for number in first.values():
        run = make_result(
            method.name, number.class_name, dataset=number.dataset, setting=number.setting, shots=number.shots,
            classes=(number.class_name,) if number.setting == "multi-class" else (),
        )  # fmt: skip
        (table,) = compare([run], [method.name], metrics=[number.metric], vs_published={method.name: method.published})
        titles = " ".join(column.title for column in table.columns) + " ".join(table.notes)
        assert number.policy in titles, (number, titles)
