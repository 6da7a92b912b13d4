"""Trackers made for tests: one that records all that it is told, and may fail or disturb the random generators."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from adbench.api import Package, Tracker, TrackerEntry, TrackerRun


@dataclass
class Recorder(Tracker):
    """Keeps its events; ``fails_in`` names the event that raises ``error``."""

    fails_in: str = ""
    error: BaseException = field(default_factory=lambda: RuntimeError("no server"))
    disturbs: bool = False
    id: str = "id"
    events: list[tuple[str, object]] = field(default_factory=list)

    def _hear(self, event, told):
        self.events.append((event, told))
        if self.disturbs:
            for seed in (torch.manual_seed, np.random.seed, random.seed):
                seed(7)
        if event == self.fails_in:
            raise self.error

    def run_started(self, run):
        self._hear("run_started", run)
        return TrackerRun(f"{self.id}{len(self.of('run_started'))}" if self.id else "", "a place")

    def epoch(self, epoch):
        self._hear("epoch", epoch)

    def finished(self, result):
        self._hear("finished", result)

    def failed(self, failure):
        self._hear("failed", failure)

    def of(self, event):
        """What was told with the events of this kind."""
        return [told for name, told in self.events if name == event]

    @property
    def names(self):
        """The kinds of events, in order."""
        return [name for name, _ in self.events]


def entry(tracker: Tracker, name: str = "recorder", packages: Sequence[Package] = ()) -> TrackerEntry:
    """Offer a tracker under a name."""
    return TrackerEntry(name, "made for a test", lambda: tracker, packages)
