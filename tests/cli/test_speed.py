"""``adbench speed`` measures a run or a file, and stores what it measured of a run."""

from __future__ import annotations

import json
import shutil

import pytest
from runs import ONE, TINY, adbench, line_of, only_run, run_tiny

from adbench.results import speeds

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = ("--size", "64", "--seconds", "0", "--largest-batch", "2", "--device", "cpu")


@pytest.fixture
def stored(tiny_data, tmp_path):
    """A folder of results with one run of the tiny method at 64 x 64."""
    done = run_tiny(tiny_data, tmp_path / "results", *ONE)
    assert done.exit_code == 0, done.stderr
    return tmp_path / "results"


def test_a_run_is_measured_and_stands_on_the_board(stored):
    """The table has both batches, the file is in the run's folder, and the leaderboard has the column."""
    done = adbench("speed", "tiny", "--plugin", TINY, "--results", stored, *SHORT, "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)
    (found,) = speeds.read(only_run(stored))
    assert found.own_size == (64, 64)
    board = adbench("leaderboard", "--plugin", TINY, "--results", stored)
    assert "latency" in board.stdout, board.stderr


def test_a_copied_checkpoint_is_not_stored(stored, tmp_path):
    """There is no result beside it."""
    copied = shutil.copy(only_run(stored) / "last.pt", tmp_path / "model.pt")
    done = adbench("speed", copied, "--plugin", TINY, "--results", stored, *SHORT)
    assert done.exit_code == 0, done.stderr
    assert "Not stored" in line_of(done)
    assert not (tmp_path / speeds.SPEED).exists()


@pytest.mark.slow
def test_a_file_is_measured(stored, tiny_data, tmp_path):
    """An exported file is run as it is, and nothing is stored."""
    place = tmp_path / "a.pt2"
    words = ("--to", "torch", "-o", place, "--plugin", TINY, "--results", stored, "--data-root", tiny_data)
    done = adbench("export", "tiny", *words)
    assert done.exit_code == 0, done.stderr
    done = adbench("speed", place, *SHORT)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--trust" in line_of(done)
    done = adbench("speed", place, "--trust", *SHORT)
    assert done.exit_code == 0, done.stderr
    assert "a.pt2" in done.stdout
    assert "one image" in done.stdout
