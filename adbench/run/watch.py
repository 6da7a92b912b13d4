"""Callbacks for the progress of long work."""

from __future__ import annotations

from ..results.records import EpochRecord
from .job import Job


class Watch:
    """Receives every event of a task; this base class ignores them."""

    def look_at(self, job: Job) -> None:
        """A task's data is being read, before anything is trained."""

    def expect(self, tasks: int) -> None:
        """The number of tasks to train is known."""

    def start(self, job: Job) -> None:
        """A task begins."""

    def stage(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` images have passed ``what`` ("decode", "features", ...)."""

    def announce(self, epoch: int, total: int) -> None:
        """Training starts after ``epoch`` of ``total`` epochs."""

    def step(self, done: int, total: int) -> None:
        """``done`` of ``total`` images of this epoch have been trained on."""

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is finished."""

    def note(self, message: str) -> None:
        """A message for the user."""

    def stop(self) -> None:
        """The task has ended, successfully or not."""


class Board(Watch):
    """Receives the events of a command whose tasks run at once, in other processes; this base class ignores them.

    Workers repeat what others have said, so ``note`` is to show each message only once.
    """

    def of(self, job: Job) -> Watch:
        """A watch for one of the tasks, which has just begun; it is stopped when the task ends."""
        return Watch()

    def ended(self) -> None:
        """A task has ended, successfully or not, or was never begun."""
