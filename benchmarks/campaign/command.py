"""The whole campaign: which part tries what, and how often."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from . import data, disks, kills, twins, workers
from .tally import NOT_RUN, Kept, Row

KILLS = 100
WORKER_KILLS = 30
INPUTS = 1000
TWINS = 20
OTHER_ERRORS = 40
"""Tries of the whole campaign."""

TENTHS = 10

PARTS = ("kills", "executors", "disks", "twins", "inputs")


@dataclass(frozen=True)
class Step:
    """One row of the table, which ``run`` makes."""

    what: str
    run: Callable[[str], Row]


@dataclass(frozen=True)
class Campaign:
    """A share of the whole campaign, drawn by a seed.

    Attributes:
        seed: another one draws other tries.
        share: of the tries.
        place: a folder for everything.
        say: called with a line before and after each step.
        tenth: which of the campaign's parts it is, for one of ``tenths``.
    """

    seed: int
    share: float
    place: Path
    say: Callable[[str], object]
    tenth: int = 0

    def tenths(self) -> list[Campaign]:
        """The parts of the campaign, of which each tries something of everything: the whole one has ten."""
        number = max(1, round(TENTHS * self.share))
        share, places = round(self.share / number, 6), range(number)
        return [replace(self, share=share, tenth=place, place=self.place / str(place)) for place in places]

    def count(self, whole: int) -> int:
        """A share of a number of tries, at least one."""
        return max(1, round(self.share * whole))

    def draw(self, what: str) -> random.Random:
        """Random numbers of one step, whatever the others drew."""
        return random.Random(f"{self.seed} {self.tenth} {what}")

    def rows(self, parts: Sequence[str], kept: Kept | None = None, seconds: float = math.inf) -> Iterator[Row]:
        """Try everything, one tenth after the other; each row comes when it is done.

        Args:
            parts: of ``PARTS``.
            kept: rows that need not be tried again; those that are done are added.
            seconds: after so many no further step starts, and what is left comes as rows that were not run.
        """
        done = kept.rows() if kept else {}
        end = time.monotonic() + seconds
        for each in self.tenths():
            for step in each.steps(parts):
                if (each.tenth, step.what) in done:
                    yield done[each.tenth, step.what]
                elif time.monotonic() >= end:
                    yield Row(step.what, skipped=NOT_RUN)
                else:
                    self.say(step.what)
                    row = step.run(step.what)
                    self.say(f"{row.what}: {row.text}")
                    if kept and not row.skipped:
                        kept.add(each.tenth, row)
                    yield row

    def steps(self, parts: Sequence[str]) -> list[Step]:
        """What is tried, in the order of the table."""
        steps = {
            "kills": self._kills, "executors": self._executors, "disks": self._disks, "twins": self._twins,
            "inputs": self._inputs,
        }  # fmt: skip
        return [step for name in parts for step in steps[name]()]

    def _kills(self) -> Iterator[Step]:
        """Kills of each method."""
        methods = list(data.METHODS)
        numbers = _shared(self.count(KILLS), len(methods))
        for place, method in enumerate(methods):
            number = numbers[(place + self.tenth) % len(methods)]
            if number:
                yield Step(f"kills: {method}", partial(self._killed, method, number))

    def _killed(self, method: str, number: int, what: str) -> Row:
        return kills.campaign(kills.victim_of(method, self.place), what, number, self.draw(what))

    def _executors(self) -> Iterator[Step]:
        """Kills of workers, and of the command, under each executor of this machine."""
        for executor in workers.EXECUTORS:
            what = f"kills: workers of {executor}, all methods"
            yield Step(what, partial(self._killed_workers, executor, self.count(WORKER_KILLS)))

    def _killed_workers(self, executor: workers.Name, number: int, what: str) -> Row:
        if executor == "ray" and find_spec("ray") is None:
            return Row(what, skipped="skipped: no ray")
        crew = workers.Crew(executor, self.place)
        with closing(crew):
            return workers.campaign(crew, what, number, self.draw(what))

    def _disks(self) -> Iterator[Step]:
        """A full disk at every write, and other errors."""
        every = round(1 / self.share)
        start = (random.Random(self.seed).randrange(every) + self.tenth) % every
        yield Step("a full disk at every write", lambda what: disks.full(
            self._bright(), what, every=every, start=start
        ))  # fmt: skip
        yield Step(f"other errors of the disk ({', '.join(disks.ERRORS)})", lambda what: disks.sampled(
            self._bright(), what, self.count(OTHER_ERRORS), self.draw(what)
        ))  # fmt: skip

    def _twins(self) -> Iterator[Step]:
        """Two processes without a common lock."""
        yield Step("two processes without a common lock", lambda what: twins.campaign(
            self._bright(), what, self.count(TWINS), self.draw(what)
        ))  # fmt: skip

    def _inputs(self) -> Iterator[Step]:
        """Bad images, options, files and so on."""
        from . import inputs  # needs hypothesis

        for kind in inputs.KINDS:
            yield Step(
                f"bad inputs: {kind}", partial(inputs.campaign, self.place / "inputs", kind, self.share, self.seed)
            )

    def _bright(self) -> kills.Victim:
        images = self.place / "images"
        if not images.exists():
            data.make(images)
        return kills.Victim(data.bright(images), self.place / "bright")


def _shared(number: int, parts: int) -> list[int]:
    """Spread a number over parts as evenly as possible."""
    return [number * (part + 1) // parts - number * part // parts for part in range(parts)]
