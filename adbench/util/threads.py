"""The number of threads with which torch computes on a CPU: what was asked for, and what the machine has free.

Torch splits each operation evenly over its threads and waits for the slowest. So one busy core slows all of them
down. Small operations may be faster on one thread even on an idle machine. Importing this module imports no torch.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import psutil

from .text import plural

Choice = int | Literal["auto"] | None
"""``--threads``: a number, "auto", or None to keep torch's number."""

NUMBER_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables with which users set a number for all programs; they count without ``--threads``."""

BUSY = 0.5
"""A machine counts as busy from so many cores in use by other programs."""

SHORTEST_LOOK = 0.5
"""Shortest time in seconds over which the load is measured; the system counts in hundredths."""


def default() -> Choice:
    """Choice without ``--threads``: None where ``NUMBER_VARIABLES`` set a number, which torch reads, else "auto"."""
    return None if any(os.environ.get(name) for name in NUMBER_VARIABLES) else "auto"


def workers(most: int) -> int:
    """Number of threads for work whose parts don't wait for each other, such as decoding: up to ``most``.

    It is the number of processors, however busy they are; with ``--threads N`` at most N.
    """
    return max(1, min(most, _asked_for.get() or _processors()))


@lru_cache(maxsize=1)
def _processors() -> int:
    """Number of processors that the affinity mask and the control groups allow."""
    return math.ceil(min(cpu_quota() or math.inf, len(_allowed(psutil.Process()))))


_asked_for: ContextVar[int | None] = ContextVar("threads asked for", default=None)


def most() -> int:
    """The largest number that may be asked for; far more could not be started."""
    return max(64, 4 * (os.cpu_count() or 1))


# ---------------------------------------------------------------- the machine


@dataclass(frozen=True)
class Load:
    """Cores of a machine, and how many of them other programs use.

    This process may use ``cores`` of them. ``limit`` is how many of these it may use in full, where a control group
    grants less. ``busy`` is the number of cores that other programs use.
    """

    cores: int
    busy: float
    limit: float

    @property
    def free(self) -> int:
        """Number of threads that find a core of their own, at least 1."""
        return max(1, math.floor(min(self.limit, self.cores - self.busy) + 0.5))


class Machine:
    """The processors of this process, and their load since the last look."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._allowed = _allowed(self._process)
        physical = psutil.cpu_count(logical=False) or len(self._allowed)  # two threads on one core gain nothing
        self.limit = min(cpu_quota() or math.inf, len(self._allowed))
        self.cores = max(1, min(math.ceil(self.limit), physical))
        self._seen = self._look()
        self._load: Load | None = None
        self._said: int | None = None

    def load(self) -> Load:
        """Measure the load since the last look; too soon after a look, return what that one found.

        The first look covers the time since this object was made. It waits for ``SHORTEST_LOOK``.
        """
        wait = SHORTEST_LOOK - (time.monotonic() - self._seen[0])
        if wait > 0:
            if self._load is not None:
                return self._load
            time.sleep(wait)
        before, self._seen = self._seen, self._look()
        seconds, all_programs, own = (now - then for now, then in zip(self._seen, before, strict=True))
        busy = min(max(0.0, (all_programs - own) / seconds), float(len(self._allowed)))
        self._load = Load(self.cores, busy, self.limit)
        return self._load

    def remark(self, doing: str, number: int) -> str | None:
        """A line about a busy machine for users; None where it is not busy, or where the number is as before.

        Args:
            doing: "training" or the like.
            number: threads in use.
        """
        load = self.load()
        if load.busy < BUSY or number == self._said:
            return None
        self._said = number
        cores = plural(load.cores, "core")
        return f"{cores}, {load.busy:.1f} busy with other work: {doing} with {plural(number, 'thread')}."

    def _look(self) -> tuple[float, float, float]:
        """The time, and the seconds of computing since the start: of all programs, and of this process."""
        each = psutil.cpu_times(percpu=True)
        chosen = [each[number] for number in self._allowed if number < len(each)] or each
        idle = {"idle", "iowait", "guest", "guest_nice"}  # a guest's time counts as "user", too
        if hasattr(os, "nice") and os.nice(0) <= 0:
            idle.add("nice")  # programs that give way to this one
        total = sum(value for times in chosen for name, value in times._asdict().items() if name not in idle)
        own = self._process.cpu_times()
        return time.monotonic(), total, own.user + own.system


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The machine of this process; the first call starts to measure the load."""
    return Machine()


def _allowed(process: psutil.Process) -> Sequence[int]:
    """Numbers of the processors on which this process may run."""
    with suppress(AttributeError, OSError, psutil.Error):  # macOS has no affinity
        numbers: list[int] = process.cpu_affinity()
        if numbers:
            return numbers
    return range(os.cpu_count() or 1)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores that the control groups of this process grant it, v2 or v1; None for no limit.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    groups: list[tuple[str, str]] = []
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            groups.append((controllers, path))
    found: list[float] = []
    for controllers, path in groups:
        names = controllers.split(",")
        mounts = ("", "unified") if not controllers else ("cpu", "cpu,cpuacct") if "cpu" in names else ()
        inner = Path(path.lstrip("/"))
        for mount in mounts:
            for folder in (inner, *inner.parents):  # each level limits those below; a container sees the last ones
                quota = _quota_of(root / "sys/fs/cgroup" / mount / folder)
                found += [] if quota is None else [quota]
    return min(found, default=None)


def _quota_of(folder: Path) -> float | None:
    """The quota of one control group, in cores."""
    with suppress(OSError, ValueError):  # "max", or no such file
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        numbers = [int((folder / name).read_text(encoding="utf-8")) for name in names]
        return numbers[0] / numbers[1] if numbers[0] > 0 else None
    return None


# ---------------------------------------------------------------- the number in use


def set_threads(number: int) -> None:
    """Make torch compute with ``number`` threads from now on."""
    import torch

    if number != torch.get_num_threads():
        torch.set_num_threads(number)


@contextmanager
def using(choice: Choice, say: Callable[[str], object] | None = None) -> Iterator[int]:
    """Compute with the chosen number of threads, then restore the number before; yields the number.

    Args:
        choice: "auto" takes as many threads as find a free core now.
        say: called with the line about a busy machine.
    """
    import torch

    before = torch.get_num_threads()
    number = before
    if choice == "auto":
        load = this_machine().load()
        number = min(load.free, load.cores)
        if say and (remark := this_machine().remark("computing", number)):
            say(remark)
    elif choice is not None:
        number = choice
    token = _asked_for.set(None if choice == "auto" else choice or _asked_for.get())
    set_threads(number)
    try:
        yield number
    finally:
        _asked_for.reset(token)
        set_threads(before)


def threads_text(number: int) -> str:
    """Format a number of threads: "1 thread", "2 threads"."""
    return plural(number, "thread")
