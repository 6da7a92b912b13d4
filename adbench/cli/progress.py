"""Shows the progress of long work: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn

from ..results.records import EpochRecord
from ..run.job import Job
from ..run.watch import Watch
from ..util.text import duration, printable
from .console import LOG_EVERY

LONG_RUN = 1800.0
"""Seconds for a class above which a run is called long."""

BAR_FROM, BAR = 100, 12
"""Least width of a terminal with a bar, and of the bar, in characters."""

SHORTEST_NAME = 16
"""Characters of a task's name that stay as long as there are facts to leave out."""

MEASURED = 5.0
"""Seconds of training before the first estimate."""


class ConsoleWatch(Watch, AbstractContextManager["ConsoleWatch"]):
    """Shows tasks on standard error, each with epoch, loss and time left."""

    def __init__(self, console: Console, tasks: int, *, advice: Callable[[Job], str] | None = None) -> None:
        """Show ``tasks`` tasks in all; ``advice`` suggests a shorter run for a long job."""
        self.console = console
        self.tasks = tasks
        self.advise = advice
        self.live = console.is_terminal and not console.is_dumb_terminal
        columns: list[ProgressColumn] = [TextColumn("{task.description}"), TextColumn("{task.fields[facts]}")]
        if console.width >= BAR_FROM:
            columns.insert(1, BarColumn(bar_width=None))
        self.bars = Progress(*columns, console=console, transient=True, expand=True) if self.live else None
        self.bar: TaskID | None = None
        self.number = 0
        self.warned = False
        self._reset()

    def _reset(self) -> None:
        self.name = ""
        self.advice = ""
        self.started = time.monotonic()
        self.said = self.started
        self.epochs_done = 0
        self.epochs_total = 0
        self.fraction = 0.0
        self.first_fraction = 0.0
        self.training_since: float | None = None
        self.last_call = self.started
        self.aside = 0.0
        self.results: list[str] = []

    def __enter__(self) -> ConsoleWatch:
        if self.bars:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars:
            self.bars.stop()

    # -- called by the engine

    def look_at(self, job: Job) -> None:
        """Show a bar while images are decoded."""
        self._reset()
        self.name = printable(job.data_name)
        if self.bars:
            self.bar = self.bars.add_task(shown(self.name), total=1.0, facts="looking at the images")

    def expect(self, tasks: int) -> None:
        """Count only these tasks; the others are done or can't run."""
        self.tasks = tasks

    def start(self, job: Job) -> None:
        """Start a new bar."""
        self._reset()
        self.number += 1
        seed = f" seed {job.seed}" if job.seed else ""
        point = f" {job.point}" if job.point else ""
        self.name = printable(f"[{self.number}/{self.tasks}] {job.method} · {job.data_name}{point}{seed}")
        self.advice = self.advise(job) if self.advise else ""
        if self.bars:
            self.bar = self.bars.add_task(shown(self.name), total=1.0, facts="")

    def stage(self, what: str, done: int, total: int) -> None:
        """Show work around training.

        Features are computed once and don't count for the pace; evaluations recur and do.
        """
        gap = self._count_time()
        if what == "features":
            self.aside += gap
        self.show_facts([f"{what} {done}/{total}"])

    def announce(self, epoch: int, total: int) -> None:
        """Remember the number of epochs."""
        self.epochs_done, self.epochs_total = epoch, total
        self.fraction = self.first_fraction = epoch / max(total, 1)
        self._count_time()
        self.training_since, self.aside = self.last_call, 0.0

    def step(self, done: int, total: int) -> None:
        """Move the bar within an epoch."""
        if self.training_since is None or not self.epochs_total:
            return
        self._count_time()
        self.fraction = min(1.0, (self.epochs_done + done / max(total, 1)) / self.epochs_total)
        self._show()
        self.warn_if_long()

    def epoch(self, record: EpochRecord) -> None:
        """Show the finished epoch, its loss and the time left."""
        self._count_time()
        if self.training_since is None:
            self.training_since = self.last_call - record.seconds
        self.epochs_done, self.epochs_total = record.number, record.total
        self.fraction = record.number / max(record.total, 1)
        self.results = [] if record.loss is None else [f"loss {record.loss:.4g}"]
        if record.metrics and record.metrics.image_auroc is not None:
            self.results.append(f"image AUROC {100 * record.metrics.image_auroc:.2f}")
        self._show(force=record.number in (1, record.total))
        self.warn_if_long()

    def note(self, message: str) -> None:
        """Print a line above the bars."""
        self.console.print(shown(message), highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Remove the bar."""
        if self.bars and self.bar is not None:
            self.bars.remove_task(self.bar)
        self.bar = None

    # -- shown

    def _count_time(self) -> float:
        """Seconds since the engine's last call."""
        before, self.last_call = self.last_call, time.monotonic()
        return self.last_call - before

    def _trained(self) -> float:
        """Seconds since training started, without the features."""
        return 0.0 if self.training_since is None else time.monotonic() - self.training_since - self.aside

    def left(self) -> float | None:
        """Seconds of training left, from the pace since it started; None while it is unknown."""
        gained = self.fraction - self.first_fraction
        if self.training_since is None or gained <= 0:
            return None
        return self._trained() * (1 - self.fraction) / gained

    def _show(self, *, force: bool = False) -> None:
        left = self.left()
        waiting = [] if left is None or self.fraction >= 1 else [f"{duration(left)} left"]
        self.show_facts([f"epoch {self.epochs_done}/{self.epochs_total}", *waiting, *self.results], force=force)

    def show_facts(self, facts: list[str], *, force: bool = False) -> None:
        """Show facts, the most important first: on the bar at once, in a log now and then."""
        now = time.monotonic()
        if self.bars and self.bar is not None:
            width = self.console.width - (BAR if self.console.width >= BAR_FROM else 0)
            name, text = fit(self.name, facts, width)
            self.bars.update(self.bar, description=shown(name), completed=self.fraction, facts=shown(text))
        elif not self.live and (force or now - self.said >= LOG_EVERY):
            self.said = now
            self.console.print(shown(f"{self.name}: {_join(facts)}"), highlight=False, soft_wrap=True)

    def warn_if_long(self) -> None:
        """Say once, as soon as the pace is known, that the run will take long."""
        if self.warned or self._trained() < MEASURED:
            return
        left = self.left()
        if left is not None and left > LONG_RUN:
            self.warned = True
            rest = self.tasks - self.number
            more = f", and {rest} more to come" if rest else ""
            advice = f" {self.advice}" if self.advice else ""
            self.note(f"This will take about {duration(left)} for this class on this machine{more}.{advice}")


def fit(name: str, facts: list[str], width: int) -> tuple[str, str]:
    """Fit a name and facts, the most important first, into a line.

    Facts from the fourth on give way to the name. The third stays as long as enough of the name does. The first two
    always stay.
    """
    kept = list(facts)
    shortest = min(SHORTEST_NAME, cell_len(name))
    while len(kept) > 2 and width - cell_len(_join(kept)) - 1 < (cell_len(name) if len(kept) > 3 else shortest):
        kept.pop()
    space = max(0, width - cell_len(_join(kept)) - 1)
    shown = name if cell_len(name) <= space else set_cell_size(name, max(0, space - 1)) + "…" * (space > 0)
    return shown, _join(kept)


def shown(text: str) -> str:
    """Escape text for a rich console: no markup, and control characters as escapes."""
    return escape(printable(text))


def _join(facts: list[str]) -> str:
    return " · ".join(facts)
