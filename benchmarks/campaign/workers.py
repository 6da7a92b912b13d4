"""Kills of workers and of the command under an executor; the same command then ends as one that nobody killed.

One command trains all methods of the campaign, two at once. Its numbers must be those of ``--executor local``.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

from . import data, worker_faults
from .children import Ended, Order, run
from .compare import content_of
from .kills import last_line, wrong_end
from .tally import Row
from .worker_faults import WorkerFault

Name = Literal["processes", "ray"]
EXECUTORS: tuple[Name, ...] = ("processes", "ray")

KILLS_AT_ONCE = 3
"""Kills in one command at most: Ray starts a job again three times."""

OPERATIONS, SECONDS = 250, 4.0
"""File operations and seconds of the processor of a worker, in which it is killed; a few are too late."""

TRIES = 5
"""Commands in a row that may end before any of their kills."""

PATIENCE = 60.0
"""Seconds in which the processes of a killed command must be gone."""

BUSY = "is being computed by another process"
"""What the same command says while a worker of the killed one still stores what is done."""


class Crew:
    """A command with two workers that is killed in many ways.

    Args:
        executor: its name.
        place: a folder for everything.
    """

    def __init__(self, executor: Name, place: Path) -> None:
        images = place / "images"
        if not images.exists():
            data.make(images)
        self._words = data.command(",".join(data.METHODS), images, "--plugin", worker_faults.__file__)
        self._executor, self._place, self._number = executor, place / executor, 0
        self._place.mkdir(parents=True)
        whole = place / "local"
        if not whole.exists():  # one for all executors
            ended = run(Order(self._words, whole))
            if ended.code != 0:
                raise RuntimeError(f"the uninterrupted run ended with {ended.code}: {ended.errors[-500:]}")
        self._wanted = content_of(whole / "results")
        self._temporary = Path(tempfile.mkdtemp(prefix="adb"))  # Ray's sockets need a short path

    def close(self) -> None:
        """Remove what Ray has left."""
        shutil.rmtree(self._temporary, ignore_errors=True)

    def killed(self, draw: random.Random, most: int) -> tuple[int, int, str]:
        """Kill workers or the command, and start it again where it did not end by itself.

        Returns:
            The number of kills, whether the first new start said that a worker was still at work, and what is wrong.
        """
        for _ in range(TRIES):
            self._number += 1
            folder = self._place / str(self._number)
            faults = _faults(draw, most)
            worker_faults.write(folder / "faults", faults)
            ended = run(self._order(folder, hurt=True))
            hits = worker_faults.hits(folder / "faults")
            how = ", ".join(hits)
            busy, problem = self._end(folder, ended, hits)
            problem = problem or _left(folder)
            if problem:
                return max(1, len(hits)), busy, f"{how}: {problem} (kept: {folder})"
            shutil.rmtree(folder)
            if hits:
                return len(hits), busy, ""
        return 1, 0, "it could not be killed before it ended"

    def _end(self, folder: Path, ended: Ended, hits: list[str]) -> tuple[int, str]:
        """Judge how a command ended, start it again if it must be, and judge that."""
        if ended.code == 0:  # Ray starts jobs again, and a worker may be killed after its last job
            return 0, wrong_end(ended, folder, self._wanted)
        said = ended.killed or (ended.code == 1 and "was killed by SIGKILL" in ended.errors)
        if not said or not hits:
            return 0, f"it ended with {ended.code}: {last_line(ended)}"
        again = run(self._order(folder))
        busy = int(again.code == 1 and BUSY in again.errors)
        if busy:
            time.sleep(1)
            again = run(self._order(folder))
        return busy, wrong_end(again, folder, self._wanted)

    def _order(self, folder: Path, *, hurt: bool = False) -> Order:
        words = (*self._words, "--executor", self._executor, "--workers", "2")
        variables = {"PYTHONPATH": str(Path(__file__).parents[2]), "RAY_TMPDIR": str(self._temporary)}
        variables |= {worker_faults.FOLDER: str(folder / "faults")} if hurt else {}
        return Order(words, folder, variables=tuple(variables.items()))


def _faults(draw: random.Random, most: int) -> list[WorkerFault]:
    """Some kills, of which at most the last one is that of the command."""
    number = min(most, KILLS_AT_ONCE)
    head = draw.random() < 0.4
    return [_fault(draw, "head" if head and place == number - 1 else "worker") for place in range(number)]


def _fault(draw: random.Random, victim: Literal["worker", "head"]) -> WorkerFault:
    kind: Literal["kill", "tear", "moment"] = draw.choice(("kill", "moment") if victim == "head" else
                                                          ("kill", "tear", "moment"))  # fmt: skip
    at = round(draw.uniform(0, SECONDS), 2) if kind == "moment" else draw.randrange(OPERATIONS)
    return WorkerFault(victim, kind, at)


def _left(folder: Path) -> str:
    """Wait until all processes of the commands in a folder are gone; name those that are not, and end them."""
    end = time.monotonic() + PATIENCE
    while (alive := _processes(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    for each in alive:
        with suppress(psutil.Error):
            each.kill()
    return f"processes that live on: {len(alive)}" if alive else ""


def _processes(folder: Path) -> list[psutil.Process]:
    """The processes that were started with the cache below a folder."""
    found = []
    for each in psutil.process_iter():
        with suppress(psutil.Error):
            if each.environ().get("ADBENCH_CACHE", "").startswith(f"{folder}{os.sep}"):
                found.append(each)
    return found


def campaign(crew: Crew, what: str, kills: int, draw: random.Random) -> Row:
    """Kill a crew's command, or its workers, ``kills`` times."""
    row = Row(what)
    with row.timing():
        while row.tried < kills:
            number, busy, problem = crew.killed(draw, kills - row.tried)
            row.clear += busy
            row.right += number - busy - bool(problem)
            row.faults += [problem] if problem else []
    return row
