"""Progress of tasks that run at once: a line for each on a terminal, a line now and then in a log, each note once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from adbench import Options
from adbench.cli import board as boards
from adbench.cli import progress
from adbench.cli.board import ConsoleBoard
from adbench.results.records import EpochRecord
from adbench.run.job import Job


class Clock:
    """A clock that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    monkeypatch.setattr(boards.time, "monotonic", clock)
    return clock


def job(method: str, seed: int = 0) -> Job:
    return Job(method, "cpu", (), Options(), "demo", "brick", Path("data"), seed=seed)


def board_to(width: int = 80, *, terminal: bool) -> tuple[ConsoleBoard, io.StringIO]:
    stream = io.StringIO()
    return ConsoleBoard(Console(file=stream, width=width, force_terminal=terminal, color_system=None), 4), stream


def shown(board: ConsoleBoard) -> list[str]:
    """The lines that a terminal shows now."""
    console = Console(file=io.StringIO(), width=board.console.width)
    console.print(board.bars.get_renderable())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_has_a_line_for_all_tasks_and_one_for_each_that_runs(clock, width):
    """Numbers, epochs and the time left of all are there within the width; the line of an ended task goes."""
    board, _ = board_to(width, terminal=True)
    board.expect(4)
    first, second = board.of(job("padim")), board.of(job("dfm", seed=1))
    first.announce(0, 4)
    clock.now += 10
    first.epoch(EpochRecord(2, 4, 0.5, None, 5.0, None))
    second.stage("features", 8, 60)
    lines = shown(board)
    assert "0 of 4 tasks done · 2 running · about 1 min 10 s left" in lines[0]
    assert lines[1].startswith("[1/4] padim · demo/brick")
    assert "epoch 2/4 · 10 s left · loss 0.5" in lines[1]
    assert lines[2].startswith("[2/4] dfm · demo/brick seed 1")
    assert lines[2].endswith("features 8/60")
    assert all(cell_len(line) <= width for line in lines)
    first.stop()
    board.ended()
    assert [line.split(" ·")[0] for line in shown(board)[1:]] == ["[2/4] dfm"]
    assert "1 of 4 tasks done · 1 running" in shown(board)[0]


def test_a_log_has_a_line_now_and_then_for_all_tasks(clock):
    """The tasks print nothing themselves; every 15 seconds one line counts them, and names the first three."""
    board, stream = board_to(terminal=False)
    board.expect(4)
    lanes = [board.of(job(name)) for name in ("padim", "dfm", "cfa", "stfpm")]
    for lane in lanes:
        lane.stage("features", 8, 60)
    assert stream.getvalue() == ""
    clock.now += 15
    lanes[0].stage("features", 16, 60)
    lanes[0].stage("features", 24, 60)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("0 of 4 tasks done, 4 running ([1/4] padim · demo/brick: features 16/60; [2/4] dfm")
    assert line.endswith("; and 1 more)")


def test_each_message_is_shown_once(clock):
    """What every worker says is printed for the first one."""
    board, stream = board_to(terminal=False)
    for text in ("the same", "another", "the same"):
        board.note(text)
    assert stream.getvalue().splitlines() == ["the same", "another"]


def test_a_task_that_starts_again_keeps_its_number(clock):
    """A worker that died counts no further task."""
    board, _ = board_to(terminal=True)
    board.expect(4)
    once = job("padim")
    board.of(once).stop()
    board.of(job("dfm"))
    again = board.of(once)
    assert again.name.startswith("[1/4] padim")
