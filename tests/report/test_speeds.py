"""Measured speeds as a table, and as a column of boards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result

from adbench import report
from adbench.report.speeds import stored, table
from adbench.results import speeds
from adbench.results.run_files import folder_of
from adbench.results.speeds import Latency, Skipped, Speed

MEASURED = Speed(
    model="a", own_size=(64, 48), program="torch 2.6", device="cpu", device_name="a processor", threads=2,
    precision="off", measured="2026-01-01T00:00:00+00:00",
    single=(Latency((64, 48), 1, 0.0123, 0.02, 30, 10**8),), best=(Latency((64, 48), 8, 0.04, 0.05, 30, 10**8),),
    skipped=(Skipped((512, 512), "found 1, wanted 2"),),
)  # fmt: skip


def test_the_table_of_a_measurement():
    """A row for one image and one for the best batch of each size, and one with the reason for a skipped size."""
    made = table(MEASURED)
    assert made.column("what") == ["one image", "best batch", "skipped"]
    assert made.column("median_ms") == [12.3, 40.0, None]
    assert made.column("batch") == [1, 8, None]
    assert "512x512 skipped: found 1, wanted 2." in made.notes
    assert "a processor, 2 threads" in made.title


def measured_of(results, runs, *speeds_of_runs):
    """Store a speed beside each run, and read all."""
    for run, speed in zip(runs, speeds_of_runs, strict=True):
        if speed is not None:
            folder = folder_of(results, run).path
            folder.mkdir(parents=True)
            speeds.write(folder, speed)
    return stored(results, runs)


@pytest.mark.parametrize("by_class", [False, True])
def test_a_board_has_a_column_where_something_was_measured(tmp_path, by_class):
    """The latency stands in the row of its run, and a note says what it is and where it was measured."""
    runs = [make_result("padim"), make_result("msflow")]
    plain = report.leaderboard(runs, latencies=stored(tmp_path, runs), by_class=by_class)
    assert not [column for each in plain for column in each.columns if column.key == "latency_ms"]
    tables = report.leaderboard(runs, latencies=measured_of(tmp_path, runs, MEASURED, None), by_class=by_class)
    found = {}
    for each in tables:
        if any(column.key == "latency_ms" for column in each.columns):
            found |= dict(zip(each.column("variant"), each.column("latency_ms"), strict=True))
    assert found.pop("padim") == pytest.approx(12.3)
    assert set(found.values()) <= {None}
    assert [note for each in tables for note in each.notes if note.endswith("on a processor, 2 threads.")]


def test_latencies_of_different_devices_are_marked(tmp_path):
    """Each row names its device then."""
    runs = [make_result("padim"), make_result("msflow")]
    found = measured_of(tmp_path, runs, MEASURED, replace(MEASURED, device="cuda:0", device_name="a GPU"))
    (board,) = report.leaderboard(runs, latencies=found)
    assert set(board.column("latency_on")) == {"a processor, 2 threads", "a GPU"}
    assert "latency on" in [column.title for column in board.columns_for("people")]
    assert [note for note in board.notes if note.endswith("They were measured on different devices.")]


def test_a_damaged_measurement_is_left_out(tmp_path):
    """The board goes without it, and says so."""
    (run,) = runs = [make_result("padim")]
    measured_of(tmp_path, runs, MEASURED)
    (folder_of(tmp_path, run).path / speeds.SPEED).write_text("{}")
    said = []
    assert stored(tmp_path, runs, said.append).milliseconds(run) is None
    assert "Measure again" in said[0]
