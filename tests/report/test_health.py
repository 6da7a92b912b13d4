"""Tables of the doctor's findings and of weights."""

from __future__ import annotations

from pathlib import Path

from adbench.backbones.weight_files import WeightFile
from adbench.report import health
from adbench.run.doctor.finding import Finding


def test_findings_keep_their_order_and_are_counted_in_the_title():
    """Programs get the four facts of each under fixed keys."""
    found = [Finding("torch", "red", "gone", "pip install torch"), Finding("Python", "green", "3.11")]
    table = health.findings(found)
    assert table.title == "Doctor: 1 green, 1 red"
    assert [column.key for column in table.columns_for("programs")] == ["status", "check", "found", "remedy"]
    assert table.column("text") == ["gone -> pip install torch", "3.11"]
    assert table.column("check") == ["torch", "Python"]


def test_weights_have_their_state_with_a_note():
    """A damaged file says why; a path is for programs."""
    table = health.weights([WeightFile("a", "damaged", "https://host/file", Path("/a"), 5, "another content")])
    assert table.column("state") == ["damaged: another content"]
    assert table.column("path") == [str(Path("/a"))]
    assert table.column("from") == ["host"]
    assert "path" not in [column.key for column in table.columns_for("people")]
