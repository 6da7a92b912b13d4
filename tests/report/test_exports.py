"""What is said of an exported file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_results import records_of

from adbench.api.scores import Metrics
from adbench.report import exports
from adbench.run.export.check import Check, Difference
from adbench.run.export.facts import Facts
from adbench.run.export.job import Exported

FACTS = Facts(
    method="padim", dataset="demo", class_name="brick", input="uint8", size=(64, 48), image_size=None, threshold=0.1,
    threshold_rule="mean", outputs=("score", "map", "verdict"),
)  # fmt: skip
CHECK = Check(
    images=12, left_out=0, score=Difference(0.002, 4.0), map=Difference(0.1, 5.0), verdicts=1,
    model=Metrics(image_auroc=0.9, pixel_auroc=0.8), file=Metrics(image_auroc=0.9001, pixel_auroc=0.8),
)  # fmt: skip
MADE = Exported((Path("a.onnx"),), 3_000_000, FACTS, "onnxruntime 1.0", CHECK)


def test_differences_and_metrics_are_two_tables():
    """Largest differences with their spread and limit; and the metrics of both that are defined."""
    differences, metrics = exports.tables(MADE, "onnx", ["more"])
    assert differences.title == "padim on demo/brick as ONNX, run by onnxruntime 1.0"
    assert differences.column("share") == [0.0005, 0.02]
    assert differences.column("limit") == [0.001, None]
    assert differences.notes == (
        "12 images; the file takes uint8 images of any size and has 3.0 MB.", "Verdicts differ for 1 image.", "more",
    )  # fmt: skip
    assert [row["metric"] for row in records_of(metrics)] == ["image AUROC", "pixel AUROC"]
    assert metrics.column("difference")[0] > 0


def test_what_is_missing_is_said():
    """Without maps, threshold, labels and with a fixed size."""
    check = replace(CHECK, map=None, verdicts=None, left_out=2, model=Metrics(), file=Metrics())
    (only,) = exports.tables(replace(MADE, check=check, facts=replace(FACTS, image_size=(50, 60))), "onnx")
    assert only.column("what") == ["image score"]
    assert "50x60 images" in only.notes[0]
    assert only.notes[1:] == (
        "2 images of another size left out.", "No verdict: the run suggests no threshold.",
    )  # fmt: skip
