"""Scoring images without labels, and the verdict on each image."""

from __future__ import annotations

import csv
import io
import json
import shutil

import pytest
from conftest import make_class
from runs import TINY, adbench, only_run, run_tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of the tiny method on bolts, as (checkpoint, root of its images)."""
    folder = tmp_path_factory.mktemp("place")
    make_class(folder / "data", "bolts")
    done = run_tiny(folder / "data", folder / "results", "-p", "cpu", "-o", "epochs=1", "--holdout", "0.5")
    assert done.exit_code == 0, done.stderr
    return only_run(folder / "results") / "last.pt", folder / "data"


def scored(place, root, *words):
    checkpoint, _ = place
    return adbench("test", "-m", "tiny", "--plugin", TINY, "--checkpoint", checkpoint, "-d", "folder", "--data-root",
                   root, "--device", "cpu", *words)  # fmt: skip


def rows(done):
    assert done.exit_code == 0, done.stderr
    return [table["rows"] for table in json.loads(done.stdout)]


def test_each_image_gets_its_score_and_verdict(place):
    """They are those of the run: the scores beside its result, and its threshold."""
    checkpoint, root = place
    (metrics,), images = rows(scored(place, root, "--format", "json"))
    with (checkpoint.parent / "scores.csv").open(newline="") as stream:
        stored = {row["path"]: float(row["score"]) for row in csv.DictReader(stream)}
    assert {row["image"]: row["score"] for row in images} == pytest.approx(stored)
    threshold = metrics["threshold"]
    assert {row["verdict"] == "defective" for row in images if row["score"] > threshold} <= {True}
    assert all((row["verdict"] == "defective") == (row["score"] > threshold) for row in images)
    assert [row["score"] for row in images] == sorted((row["score"] for row in images), reverse=True)
    assert {(row["label"], row["defect"]) for row in images} == {("good", "good"), ("defective", "spot")}


def test_a_table_and_csv_show_them_where_asked_for(place):
    """CSV has the metrics, or with --scores a row for each image; a table has both."""
    _, root = place
    lines = [list(csv.DictReader(io.StringIO(scored(place, root, "--format", "csv", *more).stdout)))
             for more in ((), ("--scores",))]  # fmt: skip
    assert [len(each) for each in lines] == [1, 7]
    assert lines[1][0]["image"].startswith("bolts/test/")
    shown = scored(place, root, "--scores").stdout
    assert "image AUROC" in shown
    assert "bolts/test/spot/000.png" in shown
    assert "bolts/test" not in scored(place, root).stdout


@pytest.mark.parametrize("part", ["new", "a/test/unknown"])
def test_images_without_labels_are_scored(place, tmp_path, part):
    """A folder of loose images, or a class with nothing but test/unknown: metrics are dashes, with the reason."""
    _, root = place
    shutil.copytree(root / "bolts/test/spot", tmp_path / part)
    where = tmp_path / "new" if part == "new" else tmp_path
    done = scored(place, where, "--format", "json")
    (metrics,), images = rows(done)
    assert [metrics[key] for key in ("image_auroc", "pixel_auroc", "false_alarm_rate", "miss_rate")] == [None] * 4
    assert metrics["threshold"] is not None
    assert [(row["label"], row["defect"], row["verdict"] in ("good", "defective")) for row in images] == [
        (None, None, True)
    ] * 4
    assert "was trained on folder/bolts and is scored on folder/" in done.stderr
    assert "Metrics -: no labels (" in scored(place, where).stdout


def test_a_run_refuses_images_without_labels(tmp_path, place):
    """No metric is defined on them; the message says what they are good for."""
    _, root = place
    shutil.copytree(root / "bolts/test/spot", tmp_path / "new")
    done = run_tiny(tmp_path / "new", tmp_path / "results")
    assert done.exit_code == 2
    assert "4 images without a label in" in done.stderr
    assert "adbench test scores them" in done.stderr
