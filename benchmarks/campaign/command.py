"""The whole campaign: which part tries what, and how often."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import data, disks, kills, twins
from .tally import Row

KILLS = 100
INPUTS = 1000
TWINS = 20
OTHER_ERRORS = 40
"""Tries of the whole campaign."""

PARTS = ("kills", "disks", "twins", "inputs")


@dataclass(frozen=True)
class Campaign:
    """A part of the whole campaign, drawn by a seed.

    ``share`` is the part of its tries; ``place`` a folder for everything; ``say`` is called with a line before each
    step.
    """

    seed: int
    share: float
    place: Path
    say: Callable[[str], object]

    def count(self, whole: int) -> int:
        """A share of a number of tries, at least one."""
        return max(1, round(self.share * whole))

    def draw(self, what: str) -> random.Random:
        """Random numbers of one step, whatever the others drew."""
        return random.Random(f"{self.seed} {what}")

    def rows(self, parts: Sequence[str]) -> Iterator[Row]:
        """Try everything; each row comes when it is done."""
        steps = {"kills": self.kills, "disks": self.disks, "twins": self.twins, "inputs": self.inputs}
        for name in parts:
            for row in steps[name]():
                self.say(f"{row.what}: {row.text}")
                yield row

    def kills(self) -> Iterator[Row]:
        """Kills of each method."""
        methods = list(data.METHODS)
        kills_of = _shared(self.count(KILLS), len(methods))
        for method, number in zip(methods, kills_of, strict=True):
            if number:
                what = f"kills: {method}"
                self.say(what)
                yield kills.campaign(kills.victim_of(method, self.place), what, number, self.draw(what))

    def disks(self) -> Iterator[Row]:
        """A full disk at every write, and other errors."""
        victim = self._bright()
        what = "a full disk at every write"
        self.say(what)
        yield disks.full(victim, what, every=round(1 / self.share), draw=self.draw(what))
        what = f"other errors of the disk ({', '.join(disks.ERRORS)})"
        self.say(what)
        yield disks.sampled(victim, what, self.count(OTHER_ERRORS), self.draw(what))

    def twins(self) -> Iterator[Row]:
        """Two processes without a common lock."""
        what = "two processes without a common lock"
        self.say(what)
        yield twins.campaign(self._bright(), what, self.count(TWINS), self.draw(what))

    def inputs(self) -> Iterator[Row]:
        """Bad images, options, files and so on."""
        from . import inputs  # needs hypothesis

        yield from inputs.campaign(self.place / "inputs", self.share, self.seed, self.say)

    def _bright(self) -> kills.Victim:
        images = self.place / "images"
        if not images.exists():
            data.make(images)
        return kills.Victim(data.bright(images), self.place / "bright")


def _shared(number: int, parts: int) -> list[int]:
    """Spread a number over parts as evenly as possible."""
    return [number * (part + 1) // parts - number * part // parts for part in range(parts)]
