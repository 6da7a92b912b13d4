"""Files in all formats score as their models do; they need packages that may not be installed."""

from __future__ import annotations

import pytest

from adbench.run.export import job, writers
from adbench.run.export.runners import open_file

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _packages():
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)


def plan_for(path, target="onnx", **changes):
    return job.Plan(**{"target": target, "output": path, "input": "uint8", "image_size": None, "class_name": "bolts",
                       **changes})  # fmt: skip


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_onnx_scores_alike(model, samples, tmp_path, kind):
    """A file for ONNX Runtime gives the scores, maps and verdicts of its model, and has its metadata."""
    made = job.export(model, samples, plan_for(tmp_path / "a.onnx", input=kind))
    assert made.check.problem == ""
    assert made.check.verdicts == 0
    assert made.check.map.share < 0.02  # a pixel whose grey level is rounded the other way
    assert open_file(tmp_path / "a.onnx", 1).facts == made.facts


def test_large_weights_lie_beside_the_file(model, samples, tmp_path, monkeypatch):
    """Above the limit of the format, here lowered, they are a second file, which the first one finds by its name."""
    monkeypatch.setattr(writers, "LIMIT", 4)
    made = job.export(model, samples, plan_for(tmp_path / "a.onnx"))
    assert made.check.problem == ""
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "a.onnx.data"}
    assert made.files == (tmp_path / "a.onnx.data", tmp_path / "a.onnx")


def test_openvino_scores_alike(model, samples, tmp_path):
    """A file for OpenVINO does, too; its weights are always a second file."""
    pytest.importorskip("openvino")
    made = job.export(model, samples, plan_for(tmp_path / "a.xml", "openvino"))
    assert made.check.problem == ""
    assert {path.name for path in tmp_path.iterdir()} == {"a.xml", "a.bin"}
    assert open_file(tmp_path / "a.xml", 1).facts == made.facts
