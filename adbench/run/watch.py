"""What long work tells of its progress."""

from __future__ import annotations

from ..results.records import EpochRecord
from .job import Job


class Watch:
    """Told of everything that happens in a task; this one is silent."""

    def look_at(self, job: Job) -> None:
        """Hear that a task's data is looked at, before anything is trained."""

    def expect(self, tasks: int) -> None:
        """Hear how many tasks there are to train."""

    def start(self, job: Job) -> None:
        """Hear that a task begins."""

    def stage(self, what: str, done: int, total: int) -> None:
        """Hear that ``done`` of ``total`` images have gone through ``what`` ("decode", "features", ...)."""

    def announce(self, epoch: int, total: int) -> None:
        """Hear that training starts after ``epoch`` of ``total`` epochs."""

    def step(self, done: int, total: int) -> None:
        """Hear that ``done`` of ``total`` images of this epoch have been seen."""

    def epoch(self, record: EpochRecord) -> None:
        """Hear that an epoch is finished."""

    def note(self, message: str) -> None:
        """Hear something the user should read."""

    def stop(self) -> None:
        """Hear that the task is over, one way or the other."""
