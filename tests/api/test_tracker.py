"""What trackers are told: flat facts, numbers by name, tables, and the frontier of time and accuracy."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.api import FrontierPoint, Metrics, TrackedClass, TrackedEpoch, TrackedResult, TrackedRun, TrackedTable
from adbench.api.scores import METRIC_NAMES
from adbench.api.tracker import flat, frontier


def result(**changes):
    fields = {
        "metrics": Metrics(image_auroc=0.5), "classes": (), "frontier": (), "images": (),
        "checkpoint": Path("last.pt"), "facts": {},
    }  # fmt: skip
    return TrackedResult(**{**fields, **changes})


def test_facts_are_flat():
    """Each option, part of the protocol and package has a name of its own, and a value that every tracker shows."""
    run = TrackedRun(
        title="t", path="demo/brick/tiny/x", method="tiny", variant="tiny:cpu", dataset="demo", classes=("a", "b"),
        seed=3, options={"size": (64, 48), "lr": 0.1}, protocol={"backbone": None, "mask_size": (64, 48)},
        environment={"packages": {"torch": "2.6"}}, command="adbench run", store=Path("x"),
    )  # fmt: skip
    facts = run.facts()
    assert facts["classes"] == "a,b"
    assert facts["options.size"] == facts["protocol.mask_size"] == "64x48"
    assert (facts["options.lr"], facts["seed"], facts["protocol.backbone"]) == (0.1, 3, None)
    assert facts["environment.packages.torch"] == "2.6"
    assert all(value is None or isinstance(value, (str, int, float, bool)) for value in facts.values())


@settings(max_examples=30)
@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.text("ab", min_size=1), inner), max_leaves=8))
def test_flattening_loses_no_value(tree):
    """However deep a mapping is, each of its values is there once."""

    def leaves(value):
        return [leaf for each in value.values() for leaf in leaves(each)] if isinstance(value, dict) else [value]

    assert sorted(flat({"root": tree}).values()) == sorted(leaves(tree))


def test_an_epoch_has_the_numbers_that_are_there():
    """What a method does not say, or was not evaluated, has no value; classes are named where there are several."""
    assert TrackedEpoch(1, 2, fit_seconds=3.0).values() == {"fit_seconds": 3.0}
    one, two = Metrics(image_auroc=0.5), Metrics(image_auroc=1.0, aupro=0.25)
    alone = TrackedEpoch(1, 2, 0.5, 0.1, 3.0, one, {"bolts": one}).values()
    assert alone == {"loss": 0.5, "learning_rate": 0.1, "fit_seconds": 3.0, "image_auroc": 0.5}
    both = TrackedEpoch(1, 2, None, None, 3.0, Metrics(image_auroc=0.75), {"bolts": one, "nuts": two}).values()
    assert both == {
        "fit_seconds": 3.0, "image_auroc": 0.75, "bolts/image_auroc": 0.5, "nuts/image_auroc": 1.0, "nuts/aupro": 0.25,
    }  # fmt: skip


def test_the_class_table_has_a_row_for_each_class():
    """CSV keeps all digits and leaves undefined metrics empty; text that a spreadsheet would run is guarded."""
    rows = (TrackedClass("=bolts", Metrics(image_auroc=1 / 3), 4, 2.5, None),)
    table = result(classes=rows).class_table()
    assert table.columns == ("class", *METRIC_NAMES, "last_epoch", "fit_seconds", "images_per_second")
    (read,) = csv.DictReader(table.csv().splitlines())
    assert (read["class"], read["image_auroc"], read["aupro"]) == ("'=bolts", repr(1 / 3), "")


def test_a_table_in_markdown_keeps_its_shape():
    """A bar or a line break in a name makes neither a column nor a row."""
    text = TrackedTable(("name", "value"), (("a|b\nc", 0.123456789), ("d", None))).markdown()
    assert text.splitlines() == ["| name | value |", "| --- | --- |", "| a\\|b c | 0.123457 |", "| d |  |"]


@given(st.lists(st.floats(0, 1), min_size=1))
def test_the_frontier_is_where_no_earlier_epoch_was_as_good(values):
    """A point is on the frontier exactly if it is above all before it, so the frontier only rises and has the best."""
    points = frontier((number, float(number), value) for number, value in enumerate(values, 1))
    assert [point.image_auroc for point in points] == values
    for point in points:
        assert point.on_frontier == all(other.image_auroc < point.image_auroc for other in points[: point.epoch - 1])
    assert max(point.image_auroc for point in points if point.on_frontier) == max(values)


def test_the_frontier_table_shows_every_evaluated_epoch():
    """Seconds stand beside accuracy, and whether the point is on the frontier."""
    table = result(frontier=(FrontierPoint(2, 1.5, 0.75, True),)).frontier_table()
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "epoch": 2, "fit_seconds": 1.5, "image_auroc": 0.75, "on_frontier": True,
    }  # fmt: skip


def test_a_result_has_the_metrics_that_are_defined():
    """Without masks there is no pixel metric."""
    assert result(metrics=Metrics(image_auroc=0.5, image_ap=0.25)).values() == {"image_auroc": 0.5, "image_ap": 0.25}
    with pytest.raises(AttributeError):
        result().metrics.image_auroc = 1.0
