"""Progress: complete on any terminal, brief in a log, with an early warning about a long run."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from adbench import Options
from adbench.api.scores import Metrics
from adbench.cli import progress
from adbench.cli.progress import ConsoleWatch, fit
from adbench.results.records import EpochRecord
from adbench.run.job import Job
from adbench.run.watch import Watch


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Move the time forward."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def job(method: str = "msflow", preset: str = "paper", device: str = "auto", seed: int = 0) -> Job:
    return Job(method, preset, (), Options(), "demo", "brick", Path("data"), device=device, seed=seed)


def log_watch(tasks: int = 3) -> tuple[ConsoleWatch, io.StringIO]:
    """A watch that writes to a pipe."""
    stream = io.StringIO()
    return ConsoleWatch(Console(file=stream, width=80), tasks, advice=lambda job: "Take a nap."), stream


def terminal_watch(width: int) -> ConsoleWatch:
    """A watch on a terminal of this width."""
    return ConsoleWatch(Console(file=io.StringIO(), width=width, force_terminal=True), 3)


def shown(watch: ConsoleWatch) -> str:
    """The line that a terminal shows now."""
    console = Console(file=io.StringIO(), width=watch.console.width)
    console.print(watch.bars.get_renderable())
    return console.file.getvalue().rstrip()


def record(number: int, total: int, auroc: float | None = None, seconds: float = 1.0) -> EpochRecord:
    metrics = None if auroc is None else Metrics(image_auroc=auroc)
    return EpochRecord(number, total, -12.3456, 1e-3, seconds, metrics)


# ---------------------------------------------------------------- on a terminal


@pytest.mark.parametrize("width", [72, 80, 99, 100, 200])
def test_a_terminal_shows_epoch_loss_and_time_left(clock, width):
    """From 72 columns on, the line of the README's first command shows class, epoch, loss and time left in full."""
    watch = terminal_watch(width)
    watch.start(job(preset="cpu"))
    watch.announce(0, 12)
    clock.wait(30)
    watch.step(100, 100)
    watch.epoch(record(1, 12, 0.98765))
    line = shown(watch)
    for part in ("[1/3] msflow", "demo/brick", "epoch 1/12", "loss -12.35", "5 min 30 s left"):
        assert part in line
    assert "…" not in line
    assert max(map(cell_len, line.splitlines())) <= width


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_still_shows_epoch_and_time_left(clock, width):
    """If the line is too narrow, the name is cut, not the numbers."""
    watch = terminal_watch(width)
    watch.start(job(method="a_method_with_a_very_long_name"))
    watch.announce(0, 120)
    clock.wait(10)
    watch.step(50, 100)
    line = shown(watch)
    assert "epoch 0/120" in line
    assert "39 min 50 s left" in line or "40 min left" in line
    assert "\n" not in line


def test_time_left_is_known_within_the_first_epoch(clock):
    """Half of the first of four epochs took 5 s: 35 s are left."""
    watch = terminal_watch(100)
    watch.start(job())
    watch.announce(0, 4)
    assert watch.left() is None
    clock.wait(5)
    watch.step(5, 10)
    assert watch.left() == pytest.approx(35)


def test_time_left_after_a_resume_counts_this_process_only(clock):
    """A run that resumes after epoch 8 of 10 measures its own pace."""
    watch = terminal_watch(100)
    watch.start(job())
    watch.announce(8, 10)
    clock.wait(20)
    watch.step(10, 10)
    assert watch.left() == pytest.approx(20)


def test_features_do_not_count_as_pace_and_evaluations_do(clock):
    """A minute of backbone before the first step doesn't make epochs look slow; evaluations count, since they recur."""
    watch = terminal_watch(100)
    watch.start(job())
    watch.announce(0, 10)
    clock.wait(60)
    watch.stage("features", 100, 100)
    clock.wait(2)
    watch.step(100, 100)
    assert watch.left() == pytest.approx(18)
    watch.epoch(record(1, 10))
    clock.wait(3)
    watch.stage("score", 50, 50)
    watch.epoch(record(1, 10))
    assert watch.left() == pytest.approx(45)


def test_a_method_that_announces_nothing_has_a_time_left_after_its_first_epoch(clock):
    """Without an announcement the pace is that of the first epoch."""
    watch = terminal_watch(100)
    watch.start(job())
    clock.wait(50)
    watch.step(1, 10)
    assert watch.left() is None
    watch.epoch(record(1, 5, seconds=10))
    assert watch.left() == pytest.approx(40)


def test_work_around_training_is_shown(clock):
    """Decoding and features have their own counts."""
    watch = terminal_watch(100)
    watch.start(job())
    watch.stage("decode", 30, 200)
    assert "decode 30/200" in shown(watch)


def test_the_bar_goes_when_its_task_is_over():
    """After a task nothing of it stays on the screen, and the next one has a number."""
    with terminal_watch(100) as watch:
        watch.start(job())
        watch.stop()
        assert shown(watch) == ""
        watch.start(job(seed=4))
        assert "[2/3] msflow · demo/brick seed 4" in shown(watch)
        watch.stop()


def test_names_with_brackets_are_shown_as_they_are():
    """A name is text, never markup."""
    watch = terminal_watch(100)
    watch.start(job(method="[red]mine[/red]"))
    watch.stage("[bold]", 1, 2)
    assert "[red]mine[/red]" in shown(watch)
    assert "[bold] 1/2" in shown(watch)


@given(
    st.text("ab·字", min_size=1, max_size=60),
    st.lists(st.text("xyz 9", min_size=1, max_size=20), min_size=1, max_size=5),
    st.integers(1, 150),
)
@settings(max_examples=200, deadline=None)
def test_a_fitted_line_fits_and_keeps_the_first_facts(name, facts, width):
    """Facts that fit are kept; the first two always are; the line is never too wide."""
    kept_name, text = fit(name, facts, width)
    assert text.startswith(" · ".join(facts[:2]))
    assert " · ".join(facts).startswith(text)
    if cell_len(" · ".join(facts[:2])) < width:
        assert cell_len(kept_name) + 1 + cell_len(text) <= width or not kept_name
    if cell_len(name) + 1 + cell_len(" · ".join(facts)) <= width:
        assert (kept_name, text) == (name, " · ".join(facts))


# ---------------------------------------------------------------- in a log


def test_a_log_has_a_line_now_and_then_without_escape_codes(clock):
    """A pipe gets a line for the first and for the last epoch, and one every quarter of a minute."""
    watch, stream = log_watch()
    with watch:
        watch.start(job())
        watch.announce(0, 100)
        for number in range(1, 101):
            clock.wait(1)
            watch.step(10, 10)
            watch.epoch(record(number, 100))
        watch.stop()
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    assert 7 <= len(lines) <= 9
    assert lines[0] == "[1/3] msflow · demo/brick: epoch 1/100 · 1 min 39 s left · loss -12.35"
    assert lines[-1] == "[1/3] msflow · demo/brick: epoch 100/100 · loss -12.35"


def test_a_long_line_in_a_log_is_not_wrapped():
    """A path or an error longer than 80 characters stays in one line."""
    watch, stream = log_watch()
    watch.note("x" * 300)
    assert stream.getvalue() == "x" * 300 + "\n"


def test_no_color_removes_colours(monkeypatch):
    """With NO_COLOR a terminal's line has no colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="truecolor")
    with ConsoleWatch(console, 1) as watch:
        watch.start(job())
        watch.announce(0, 2)
        watch.step(1, 2)
        watch.note("done")
    written = console.file.getvalue()
    assert "\x1b[38" not in written
    assert "\x1b[3" not in written.replace("\x1b[3m", "")


def test_a_dumb_terminal_gets_a_log(monkeypatch):
    """A terminal that can't move its cursor gets the output of a pipe."""
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    watch = ConsoleWatch(Console(file=stream, force_terminal=True), 1)
    with watch:
        watch.start(job())
        watch.epoch(record(1, 1))
    assert watch.bars is None
    assert stream.getvalue().count("epoch 1/1") == 1


# ---------------------------------------------------------------- a long run


def test_a_long_run_prints_its_time_and_a_hint(clock):
    """After its first steps the paper preset on a CPU prints the time it will take, once, and names the preset cpu."""
    watch, stream = log_watch()
    watch.start(job())
    watch.announce(0, 200)
    for done in range(1, 9):
        clock.wait(3)
        watch.step(done, 100)
    hints = [line for line in stream.getvalue().splitlines() if "This will take" in line]
    assert len(hints) == 1
    assert hints[0] == (
        "This will take about 16 h 39 min for this class on this machine, and 2 more to come. Take a nap."
    )
    watch.stop()
    watch.start(job())
    watch.announce(0, 200)
    clock.wait(30)
    watch.step(1, 100)
    assert stream.getvalue().count("This will take") == 1


def test_a_long_run_without_advice_prints_its_time(clock):
    """Without advice only the time is printed."""
    watch, stream = log_watch()
    watch.advise = None
    watch.start(job())
    watch.announce(0, 200)
    clock.wait(10)
    watch.step(1, 100)
    assert "This will take about" in stream.getvalue()
    assert "--preset" not in stream.getvalue()


def test_a_run_of_minutes_is_not_called_long(clock):
    """Neither a short run nor one with slow features gets the warning."""
    watch, stream = log_watch()
    watch.start(job())
    watch.announce(0, 12)
    clock.wait(300)
    watch.stage("features", 200, 200)
    for done in range(1, 201):
        clock.wait(0.05)
        watch.step(done, 200)
    watch.epoch(record(1, 12))
    assert "This will take" not in stream.getvalue()


def test_no_warning_before_the_pace_is_known(clock):
    """The first second of a run doesn't count as a measurement."""
    watch, stream = log_watch()
    watch.start(job())
    watch.announce(0, 1000)
    clock.wait(1)
    watch.step(1, 1000)
    assert "This will take" not in stream.getvalue()


# ---------------------------------------------------------------- words


def test_the_plain_watch_is_silent(capsys):
    """The base class accepts every call and prints nothing."""
    watch = Watch()
    watch.start(job())
    watch.announce(0, 1)
    watch.step(1, 1)
    watch.stage("score", 1, 1)
    watch.epoch(record(1, 1))
    watch.note("nothing")
    watch.stop()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("live", [True, False])
def test_names_are_no_commands_for_the_terminal(live):
    """A class whose name is an escape sequence is shown as text, on the bar, in the log and in notes."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=live, width=100, color_system=None)
    hostile = replace(job(), class_name="\x1b]0;owned\x07")
    with ConsoleWatch(console, 1) as watch:
        watch.look_at(hostile)
        watch.stop()
        watch.start(hostile)
        watch.epoch(EpochRecord(1, 1, 0.5, None, 1.0))
        watch.note("read \x1b]0;owned\x07")
        watch.stop()
    assert "\x1b]0;" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert r"\x1b]0;owned\x07" in out.getvalue()
