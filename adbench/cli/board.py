"""Shows tasks that run at once: on a terminal a line for each and one for all, in a log a line now and then."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import TaskID

from ..run.job import Job
from ..run.watch import Board
from ..util.text import duration
from .console import LOG_EVERY
from .progress import BAR, BAR_FROM, MEASURED, ConsoleWatch, fit, shown

NAMED = 3
"""Running tasks that a line in a log names."""


class ConsoleBoard(ConsoleWatch, Board):
    """Shows all tasks of a command on standard error, with the time left for all together."""

    def __init__(self, console: Console, tasks: int) -> None:
        """Show ``tasks`` tasks in all."""
        super().__init__(console, tasks)
        self.lanes: list[Lane] = []
        self.done = 0
        self.whole: TaskID | None = None
        self.since: float | None = None
        self.logged = time.monotonic()
        self._numbers: dict[int, int] = {}
        self._said: set[str] = set()

    def expect(self, tasks: int) -> None:
        """Start to count: only these tasks are left."""
        self.tasks = tasks
        if self.bars and tasks:
            self.whole = self.bars.add_task("all tasks", total=tasks, facts="")
        self.show()

    def of(self, job: Job) -> Lane:
        """Show one more running task."""
        self.since = self.since or time.monotonic()
        lane = Lane(self, self._numbers.setdefault(id(job), len(self._numbers)))
        self.lanes.append(lane)
        lane.start(job)
        self.show()
        return lane

    def ended(self) -> None:
        """Count a task that has ended."""
        self.done += 1
        self.show()

    def note(self, message: str) -> None:
        """Print a line above the bars, unless it was printed before: each worker says what holds for all."""
        if message not in self._said:
            self._said.add(message)
            super().note(message)

    def left_of_all(self) -> float | None:
        """Seconds until the last task ends, at the pace since the first one began; None while it is unknown."""
        if self.since is None:
            return None
        gone, part = time.monotonic() - self.since, self.done + sum(lane.fraction for lane in self.lanes)
        return gone * (self.tasks - part) / part if part > 0 and gone >= MEASURED else None

    def line(self, name: str, facts: list[str]) -> str:
        """One line of the board: columns of their own would be as wide as the widest name and the widest facts."""
        width = self.console.width - (BAR if self.console.width >= BAR_FROM else 0) - 1
        name, text = fit(name, facts, width)
        return shown(f"{name} {text}")

    def show(self) -> None:
        """Show how far all tasks are: on the bar at once, in a log now and then."""
        left = self.left_of_all()
        facts = [f"{self.done} of {self.tasks} tasks done", f"{len(self.lanes)} running"]
        if left is not None and self.done < self.tasks:
            facts.append(f"about {duration(left)} left")
        if self.bars and self.whole is not None:
            part = self.done + sum(lane.fraction for lane in self.lanes)
            self.bars.update(self.whole, completed=part, description=self.line("all tasks", facts))
        elif not self.live and time.monotonic() - self.logged >= LOG_EVERY:
            self.logged = time.monotonic()
            named = [f"{lane.name}: {lane.facts}" if lane.facts else lane.name for lane in self.lanes[:NAMED]]
            more = [f"and {len(self.lanes) - NAMED} more"] if len(self.lanes) > NAMED else []
            super().note(", ".join(facts) + (f" ({'; '.join([*named, *more])})" if named else ""))


class Lane(ConsoleWatch):
    """One of several running tasks: its line on a terminal. In a log the board speaks for it."""

    def __init__(self, board: ConsoleBoard, number: int) -> None:
        """Show the task with this number, from 0, on a board."""
        super().__init__(board.console, board.tasks)
        self.bars, self.board, self.number = board.bars, board, number
        self.facts = ""

    def show_facts(self, facts: list[str], *, force: bool = False) -> None:
        """Show facts on the task's own bar, and how far all are."""
        self.facts = facts[0] if facts else ""
        if self.bars and self.bar is not None:
            self.bars.update(self.bar, completed=self.fraction, description=self.board.line(self.name, facts))
        self.board.show()

    def warn_if_long(self) -> None:
        """Leave it to the board, which knows how many tasks run at once."""

    def stop(self) -> None:
        """Remove the line."""
        super().stop()
        if self in self.board.lanes:
            self.board.lanes.remove(self)
