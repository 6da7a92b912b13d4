"""Runs jobs for a command: progress and failures on standard error, and the exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from ..util.errors import AdbenchError, UsageError
from ..util.text import plural
from . import options as arguments
from .console import STOPPED, console, print_tracebacks, say

if TYPE_CHECKING:
    from ..api.registry import Registry
    from ..run.disk_use import MapKind
    from ..run.dispatch import Where
    from ..run.job import Job
    from ..run.plan import Outcome


def run_jobs(
    jobs: Sequence[Job],
    registry: Registry,
    outcomes: list[Outcome],
    *,
    maps: MapKind | None = None,
    may_shorten: bool = True,
    where: Where | None = None,
) -> None:
    """Run with progress on standard error, and add what comes of each job to ``outcomes``.

    Args:
        jobs: what to run.
        registry: finds methods and data sets.
        outcomes: receives the outcomes as they come.
        maps: which maps the caller will keep, if any: their size is announced.
        may_shorten: advise a shorter preset for a long run on a CPU.
        where: the executor; by default this process.
    """
    from ..run import plan as suite
    from ..util import devices
    from .progress import ConsoleWatch

    if where is not None and not where.is_local:
        _run_elsewhere(where, jobs, registry, outcomes, maps)
        return
    for job in jobs:  # a mistake here is one of the command, not of a task
        devices.resolve_amp(job.options.amp, devices.resolve_device(job.device))

    def advice(job: Job) -> str:
        shorter = may_shorten and job.preset != "cpu" and "cpu" in registry.method(job.method).presets
        slow = devices.resolve_device(job.device).type == "cpu"
        return "--preset cpu takes minutes." if shorter and slow else ""

    with ConsoleWatch(console(), len(jobs), advice=advice) as watch:
        _collect(suite.run_here(jobs, registry, watch=watch, maps=maps), outcomes, watch.note)


def _run_elsewhere(
    where: Where, jobs: Sequence[Job], registry: Registry, outcomes: list[Outcome], maps: MapKind | None
) -> None:
    """Run by an executor, with the progress of all jobs on one screen."""
    from ..run.dispatch import run_on
    from .board import ConsoleBoard

    board = ConsoleBoard(console(), len(jobs))
    with board, contextlib.closing(run_on(where, jobs, registry, board=board, maps=maps)) as made:
        _collect(made, outcomes, board.note)


def _collect(made: Iterable[Outcome], outcomes: list[Outcome], note: Callable[[str], None]) -> None:
    """Keep the outcomes of jobs as they come, and say what became of each."""
    failures = Failures(note)
    for outcome in made:
        outcomes.append(outcome)
        if outcome.error is not None:
            failures.add(outcome.job, outcome.error)
        else:
            note(_outcome_line(outcome))
    failures.end()


class Failures:
    """Shows the errors of tasks as they come, and one that several tasks of a method share only once."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._shared: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, job: Job, error: AdbenchError) -> None:
        """Show an error, unless it was shown for another task of the method."""
        tasks = self._shared.setdefault((job.method, str(error)), {})
        if not tasks:
            self._note(f"✗ {job.title}: {error}")
        tasks[job.title.removeprefix(f"{job.method} · ")] = None

    def end(self) -> None:
        """Name the tasks whose error was shown for another one."""
        for (method, _), tasks in self._shared.items():
            if len(tasks) > 1:
                _, *others = tasks
                where = plural(len(others), "other task")
                self._note(f"✗ {method}: the same error in {where}: {', '.join(others)}")


@contextlib.contextmanager
def report_if_stopped(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> Iterator[None]:
    """Say how many tasks were done if the user stops the command, in training or after it."""
    try:
        yield
    except KeyboardInterrupt:
        same = "the same command without --force" if jobs and jobs[0].force else "the same command"
        done = sum(outcome.result is not None for outcome in outcomes)
        say(f"Stopped with {done} of {len(jobs)} tasks done; {same} goes on from here.")
        raise click.exceptions.Exit(STOPPED) from None


def _outcome_line(outcome: Outcome) -> str:
    from ..results.run_files import folder_of
    from ..util.text import duration
    from ..util.threads import threads_text

    job = outcome.job
    assert outcome.result is not None
    if outcome.reused:
        missing = job.keep == "oracle" and not folder_of(job.results, outcome.result).has_oracles()
        there = "already there, but without oracle checkpoints" if missing else "already there, nothing to compute"
        return f"= {job.title}: {there} (--force computes it again)"
    made = outcome.result.environment
    used = f", {threads_text(made.threads)}" if made.device == "cpu" else ""
    return f"✓ {job.title}: {duration(sum(result.timing.total for result in outcome.results))}{used}"


def end_with(errors: Sequence[AdbenchError], *, made_some: bool) -> NoReturn:
    """End the command after errors that were shown, with the exit code of a mistake where there is nothing else."""
    all_mistakes = not made_some and all(isinstance(error, UsageError) for error in errors)
    raise click.exceptions.Exit(UsageError.exit_code if all_mistakes else AdbenchError.exit_code)


def exit_if_failed(outcomes: Sequence[Outcome]) -> None:
    """End the command with the right exit code if a task failed, and say how many did."""
    results = [result for outcome in outcomes for result in outcome.results]
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return
    if arguments.debugging(click.get_current_context()):
        print_tracebacks(errors)
    if len(outcomes) > 1:
        say(f"{len(errors)} of {len(outcomes)} tasks failed{'; the others are stored' if results else ''}.")
    end_with(errors, made_some=bool(results))
