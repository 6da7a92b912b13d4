"""Progress of downloads as text."""

from __future__ import annotations

from adbench.cli.transfers import Pace


def test_the_pace_counts_from_where_the_work_began():
    """What an earlier command has loaded counts for no estimate; other work begins anew."""
    now = [0.0]
    pace = Pace("visa", lambda: now[0])
    assert pace.text("download", 500_000_000, 2_000_000_000) == "visa: download 500 MB of 2.0 GB"
    now[0] = 10.0
    expected = "visa: download 600 MB of 2.0 GB, 10 MB/s, 2 min 20 s left"
    assert pace.text("download", 600_000_000, 2_000_000_000) == expected
    assert pace.text("unpack", 1, 10) == "visa: unpack 0.1 KB of 0.1 KB"
    now[0] = 20.0
    assert pace.text("download", 1000, None) == "visa: download 1.0 KB"
