"""The sample of docs/ runs an exported file with onnxruntime, NumPy and Pillow alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ONE, TINY, adbench, only_run, run_tiny

SAMPLE = Path(__file__).parents[2] / "docs" / "export_sample.py"


def test_it_is_short_and_imports_no_adbench():
    """About thirty lines, and three packages."""
    text = SAMPLE.read_text(encoding="utf-8")
    imported = {
        (node.names[0].name if isinstance(node, ast.Import) else node.module).partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"json", "sys", "numpy", "onnxruntime", "PIL"}
    assert len(text.splitlines()) <= 36


@pytest.mark.slow
def test_it_scores_as_the_run_did(tiny_data, tmp_path):
    """A line for each image, with the stored score and the verdict."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    assert run_tiny(tiny_data, tmp_path / "results", *ONE).exit_code == 0
    place = tmp_path / "tiny.onnx"
    words = ("--plugin", TINY, "--results", tmp_path / "results", "--data-root", tiny_data)
    done = adbench("export", "tiny", "-o", place, *words)
    assert done.exit_code == 0, done.stderr
    rows = (only_run(tmp_path / "results") / "scores.csv").read_text().splitlines()[1:4]
    paths, scores = zip(*((row.split(",")[0], float(row.split(",")[-1])) for row in rows), strict=True)
    command = [sys.executable, str(SAMPLE), str(place), *(str(tiny_data / path) for path in paths)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    assert [float(line.split("\t")[1]) for line in found] == pytest.approx(scores, rel=1e-3)
    assert {line.split("\t")[2] for line in found} <= {"good", "defective"}
