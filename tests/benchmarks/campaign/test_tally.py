"""The campaign's table."""

from __future__ import annotations

import io

from rich.console import Console

from benchmarks.campaign.tally import Row, show


def test_the_table_counts_and_names_each_fault():
    """Tries are the sum of all ends; a fault is told below; what was skipped says why."""
    rows = [Row("kills", right=7, clear=2, faults=["kill at 3: lost"], seconds=4), Row("ray", skipped="no ray")]
    stream = io.StringIO()
    show(rows, Console(file=stream, width=120))
    text = stream.getvalue()
    (line,) = [line for line in text.splitlines() if line.startswith("│ kills")]
    assert line.replace("│", " ").split() == ["kills", "10", "7", "2", "1", "4"]
    assert "skipped: no ray" in text
    assert "FAULT kills: kill at 3: lost" in text
    assert rows[0].text == "tried 10, right result 7, clear message 2, faults 1, 4 s; kill at 3: lost"
