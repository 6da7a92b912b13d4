"""Kills at file operations and at random moments; the same command then ends as if nothing had happened."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import data
from .children import Child, Ended, Order, run
from .compare import Content, content_of, differences, left_over
from .faults import NO_FAULT, Fault
from .tally import Row

CHAIN = 4
"""Kills of one run that is killed again and again, before it may end."""

TRIES = 5
"""Attempts to kill a run at a moment before it ends by itself."""


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run: what it stored, its file operations, which of them need space, and its seconds."""

    content: Content
    operations: int
    writes: tuple[int, ...]
    cpu: float


class Victim:
    """One command that is killed in many ways.

    Args:
        words: of the command.
        place: a folder for everything.
        prepare: called in each process that is killed or goes on, but not in the uninterrupted one.
    """

    def __init__(self, words: tuple[str, ...], place: Path, prepare: Callable[[], None] | None = None) -> None:
        self.words, self.place, self.prepare = words, place, prepare
        self._number = 0
        place.mkdir(parents=True, exist_ok=True)
        ended = run(Order(words, place / "whole"))
        if ended.code != 0:
            raise RuntimeError(f"the uninterrupted run ended with {ended.code}: {ended.errors[-500:]}")
        self.whole = Whole(content_of(place / "whole" / "results"), ended.operations, ended.writes, ended.cpu)

    def at_operation(self, draw: random.Random) -> tuple[int, str]:
        """Kill the run before, or in, a file operation, and start it again: the number of kills, and what is wrong."""
        most = self.whole.operations
        for _ in range(TRIES):  # how often a state is saved depends on time, and so does the number of operations
            folder, fault = self.new_folder(), self._fault(draw, most)
            if run(self.order(folder, fault)).killed:
                return 1, self.ends_right(folder, f"{fault.kind} at operation {fault.at}")
            most = max(1, fault.at * 2 // 3)
        return 1, "it could not be killed before it ended"

    def at_moment(self, draw: random.Random) -> tuple[int, str]:
        """Kill the run at a moment, and start it again."""
        longest = self.whole.cpu
        for _ in range(TRIES):
            folder, moment = self.new_folder(), draw.uniform(0, longest)
            child = Child(self.order(folder))
            child.kill(moment)
            if child.ended().killed:
                return 1, self.ends_right(folder, f"kill after {moment:.2f} s of the processor")
            longest *= 0.7
        return 1, "it could not be killed before it ended"

    def again_and_again(self, draw: random.Random, kills: int = CHAIN) -> tuple[int, str]:
        """Kill the run and each that goes on, a few times; then let it end."""
        folder, points = self.new_folder(), []
        for number in range(kills):
            fault = self._fault(draw, self.whole.operations // (1 if number else 2))
            ended = run(self.order(folder, fault))
            if ended.killed:
                points.append(f"{fault.kind} at {fault.at}")
            elif ended.code == 0:
                if not number:
                    return 1, f"{fault.kind} at {fault.at}: it ended before"
                break
            else:
                return len(points), f"{', '.join(points)}: {last_line(ended)}"
        return len(points), self.ends_right(folder, ", then ".join(points))

    def _fault(self, draw: random.Random, most: int) -> Fault:
        return Fault(draw.choice(("kill", "kill", "tear")), draw.randrange(most))

    def new_folder(self) -> Path:
        """A folder that is not there yet."""
        self._number += 1
        return self.place / str(self._number)

    def order(self, folder: Path, fault: Fault = NO_FAULT, machine: str = "first") -> Order:
        """The command in a folder, with a fault."""
        return Order(self.words, folder, fault, machine, self.prepare)

    def ends_right(self, folder: Path, how: str) -> str:
        """Start the same command again; say what is wrong with its end, if anything."""
        ended = run(self.order(folder))
        problem = wrong_end(ended, folder, self.whole.content)
        if problem:
            return f"{how}: {problem} (kept: {folder})"
        shutil.rmtree(folder)
        return ""


def wrong_end(ended: Ended, folder: Path, wanted: Content) -> str:
    """What is wrong with the end of a command that goes on after a fault; "" where it ended as an unbroken one."""
    if ended.code != 0:
        return f"the same command then ended with {ended.code}: {last_line(ended)}"
    found = content_of(folder / "results")
    wrong = [*differences(found, wanted), *(f"{name} is left" for name in left_over(folder / "results"))]
    return "; ".join(wrong[:3])


def last_line(ended: Ended) -> str:
    """The last line of what a command said."""
    return (ended.errors.strip().splitlines() or [""])[-1][:300]


def campaign(victim: Victim, what: str, kills: int, draw: random.Random) -> Row:
    """Kill a command ``kills`` times: half of them at file operations, the others at moments and again and again."""
    row = Row(what)
    with row.timing():
        while row.tried < kills:
            way = draw.choice((victim.at_operation, victim.at_operation, victim.at_moment, victim.again_and_again))
            if way == victim.again_and_again:
                count, problem = victim.again_and_again(draw, min(CHAIN, kills - row.tried))
            else:
                count, problem = way(draw)
            row.right += count - bool(problem)
            row.faults += [problem] if problem else []
    return row


def victim_of(method: str, place: Path, *words: str) -> Victim:
    """A run of one of the campaign's methods."""
    images = place / "images"
    if not images.exists():
        data.make(images)
    return Victim(data.command(method, images, *words), place / "-".join((method, *words)).replace("--", ""))
