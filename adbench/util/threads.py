"""How many threads torch computes with on a CPU: what the machine has free, and what training steps show.

Torch splits each operation evenly over its threads and waits for the slowest. One busy core therefore slows all of
them down, and small operations may be faster on one thread even on an idle machine. Importing this costs no torch.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Literal

import psutil

Choice = int | Literal["auto"] | None
"""What was asked for: a number, "auto", or None to leave torch's number as it is."""

NUMBER_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Where users set a number for all programs; without ``--threads`` it counts."""

BUSY = 0.5
"""Cores in use by other programs from which a machine is called busy."""

SHORTEST_LOOK = 0.5
"""Seconds over which the load is measured at least; the system counts in hundredths."""

WARM_UP, TIMED = 1, 3
"""Steps with a new number of threads that are not timed, and those that are."""

HOPELESS = 1.5
"""A number whose first timed step is slower than the best one by this factor gets no further step."""

RECENT = 6
"""Steps whose median is the present pace."""

SLOWER = 1.4
"""The pace is timed again with all numbers where it is worse than the best seen by this factor."""

GAP, LONGEST_GAP = 12, 1000
"""Measurements between two trials at least; twice as many after each trial that changed nothing, up to the second."""

LOOK_EVERY = 10.0
"""Seconds between two looks at the load during training."""


def default() -> Choice:
    """What counts without ``--threads``: the user's number of ``NUMBER_VARIABLES``, which torch reads, or "auto"."""
    return None if any(os.environ.get(name) for name in NUMBER_VARIABLES) else "auto"


def most() -> int:
    """The largest number that may be asked for; far more could not be started."""
    return max(64, 4 * (os.cpu_count() or 1))


# ---------------------------------------------------------------- the machine


@dataclass(frozen=True)
class Load:
    """What a machine has and what others take of it.

    ``cores`` may be used by this process; ``limit`` is how many of them in full, where a control group grants less.
    ``busy`` is the number of cores that other programs use.
    """

    cores: int
    busy: float
    limit: float

    @property
    def free(self) -> int:
        """Threads that find a core of their own, at least 1."""
        return max(1, math.floor(min(self.limit, self.cores - self.busy) + 0.5))


class Machine:
    """The processors of this process, and the load on them since the last look."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._allowed = _allowed(self._process)
        physical = psutil.cpu_count(logical=False) or len(self._allowed)
        self.limit = min(cpu_quota() or math.inf, len(self._allowed))
        self.cores = max(1, min(math.ceil(self.limit), len(self._allowed), physical))
        self._seen = self._look()
        self._load: Load | None = None
        self._said: int | None = None

    def load(self) -> Load:
        """Measure the load since the last look, or return what that found where it is too recent.

        The first look is at the time since this object was made; it waits for ``SHORTEST_LOOK``.
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
        """The line for users of a busy machine; None where it is not busy, or where the number was told before.

        Args:
            doing: "training" or the like.
            number: threads in use.
        """
        load = self.load()
        if load.busy < BUSY or number == self._said:
            return None
        self._said = number
        cores = _count(load.cores, "core")
        return f"{cores}, {load.busy:.1f} busy with other work: {doing} with {_count(number, 'thread')}."

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
    """The one of this process; the first call starts to measure the load."""
    return Machine()


def _allowed(process: psutil.Process) -> Sequence[int]:
    """Numbers of the processors on which this process may run."""
    with suppress(AttributeError, OSError, psutil.Error):  # macOS has no such thing
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


def candidates(load: Load) -> tuple[int, ...]:
    """Numbers of threads worth a trial: one, all, a half, a quarter, and as many as find a free core; ascending."""
    cores = load.cores
    wanted = {1, cores, max(1, cores // 2), max(1, cores // 4), min(load.free, cores)}
    return tuple(sorted(wanted))


# ---------------------------------------------------------------- the number in use


@dataclass(frozen=True)
class ThreadUse:
    """How training used threads, as a broken-off run remembers it.

    ``choice`` is what was fastest and ``pace`` its seconds per image, None before that was measured. ``images``
    counts the images that were trained on with each number.
    """

    choice: int
    pace: float | None
    images: Mapping[int, int]

    @property
    def most_used(self) -> int:
        """The number with which most of training was done."""
        return max(self.images, key=lambda number: self.images[number], default=self.choice)


class ThreadTuner:
    """Times real training steps with several numbers of threads and goes on with the fastest.

    It only hears when a step is done and sets the number for the next one: no step is taken for its sake.
    While training pauses, for an evaluation, the best number so far is set.

    Args:
        numbers: to choose among; with a single one there is nothing to time.
        start: the first of them to use.
        set_threads: sets the number for what is computed from now on.
        free: how many threads find a free core now.
        clock: seconds, but for those that are no part of a step.
        chosen: hears of the number after each trial.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        start: int,
        *,
        set_threads: Callable[[int], object],
        free: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.perf_counter,
        chosen: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.numbers, self.choice = tuple(numbers), start
        self._set_threads, self._free, self._clock, self._chosen = set_threads, free, clock, chosen
        self._per_epoch = False
        self._images: dict[int, int] = {}
        self._best: float | None = None  # seconds per image
        others = [number for number in reversed(self.numbers) if number != start]
        self._waiting = [start, *others] if others else []  # to be timed in the trial under way, the present one first
        self._paces: dict[int, float] = {}  # of those that were
        self._reference = math.inf  # a pace that is surely reached
        self._before = start
        self._taken: list[float] = []
        self._skip = WARM_UP
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._gap, self._since = GAP, 0
        self._free_then, self._looked = free() if len(self.numbers) > 1 else 1, clock()
        self._mark, self._done, self._full = clock(), 0, 0
        self._epoch_images, self._in_use = 0, 0
        self._use(start)

    @property
    def use(self) -> ThreadUse:
        """What to remember."""
        return ThreadUse(self.choice, self._best, dict(self._images))

    def adopt(self, *, per_epoch: bool = False, use: ThreadUse | None = None) -> None:
        """Learn about the training before it begins.

        Args:
            per_epoch: a change has effect at the next epoch only, so whole epochs are timed.
            use: how the sessions before used threads. Their choice is taken over without another trial.
        """
        self._per_epoch = per_epoch
        if use is None:
            return
        self._images = dict(use.images)
        if len(self.numbers) > 1 and use.pace is not None and use.choice in self.numbers:
            self.choice, self._best, self._waiting = use.choice, use.pace, []
            self._use(self.choice)

    def begin(self) -> None:
        """Hear that training goes on now."""
        self._use(self._waiting[0] if self._waiting else self.choice)
        self._mark, self._done, self._epoch_images = self._clock(), 0, 0

    def step(self, done: int) -> None:
        """Hear that ``done`` images of an iteration have been trained on, at the end of each batch."""
        images = done - self._done if done > self._done else done
        self._done = done
        self._images[self._in_use] = self._images.get(self._in_use, 0) + images
        self._epoch_images += images
        if self._per_epoch:
            return
        now = self._clock()
        seconds, self._mark = now - self._mark, now
        if images >= self._full:  # a smaller batch at the end has another pace
            self._full = images
            self._hear(seconds / images)

    def end(self) -> None:
        """Hear that training pauses."""
        if self._per_epoch and self._epoch_images:
            self._hear((self._clock() - self._mark) / self._epoch_images)
        self._use(self.choice)

    def _use(self, number: int) -> None:
        if number != self._in_use:
            self._set_threads(number)
            self._in_use = number

    def _hear(self, pace: float) -> None:
        """Take one measurement, and decide with which number to go on."""
        self._since += 1
        if len(self.numbers) < 2:
            return
        if self._skip and not self._per_epoch:
            self._skip -= 1
        elif self._waiting:
            self._compare(pace)
        else:
            self._watch(pace)

    def _compare(self, pace: float) -> None:
        """Within a trial."""
        self._taken.append(pace)
        hopeless = pace > HOPELESS * min([self._reference, *self._paces.values()])
        if len(self._taken) < (1 if self._per_epoch else TIMED) and not hopeless:
            return
        self._paces[self._waiting.pop(0)] = median(self._taken)
        self.choice = min(self._paces, key=lambda number: self._paces[number])
        self._taken, self._skip = [], WARM_UP
        self._use(self._waiting[0] if self._waiting else self.choice)
        if not self._waiting:
            self._end_trial()

    def _end_trial(self) -> None:
        self._best = self._paces[self.choice]
        self._gap = min(2 * self._gap, LONGEST_GAP) if self.choice == self._before else GAP
        self._since, self._free_then = 0, self._free()
        self._recent.clear()
        self._chosen(self.choice)

    def _watch(self, pace: float) -> None:
        """Between trials: start another one when it is time."""
        self._recent.append(pace)
        if len(self._recent) < (2 if self._per_epoch else RECENT):
            return
        present = median(self._recent)
        self._best = present if self._best is None else min(self._best, present)
        if self._since < (self._gap // GAP if self._per_epoch else self._gap):
            return
        if present > SLOWER * self._best or self._freer():
            # the present number comes last and is timed anew: what slowed it down may be over by then
            self._waiting = [*(number for number in reversed(self.numbers) if number != self.choice), self.choice]
            self._paces, self._reference, self._before = {}, present, self.choice
            self._skip = WARM_UP
            self._use(self._waiting[0])

    def _freer(self) -> bool:
        """Whether more cores are free than when the number was chosen."""
        now = self._clock()
        if now - self._looked < LOOK_EVERY:
            return False
        self._looked = now
        return self._free() > self._free_then


def tuner(
    choice: Choice, *, on_cpu: bool, clock: Callable[[], float], say: Callable[[str], object] = lambda _: None
) -> ThreadTuner:
    """Make the tuner of one training and set the first number.

    Args:
        choice: what was asked for.
        on_cpu: training computes on the CPU. Elsewhere the load alone decides.
        clock: as of ``ThreadTuner``.
        say: hears the line for users of a busy machine.
    """
    import torch

    if choice == "auto":
        machine = this_machine()
        load = machine.load()
        start = min(load.free, load.cores)

        def tell(number: int) -> None:
            if on_cpu and (remark := machine.remark("training", number)):
                say(remark)

        tell(start)
        return ThreadTuner(
            candidates(load) if on_cpu else (start,),
            start,
            set_threads=torch.set_num_threads,
            free=lambda: machine.load().free,
            clock=clock,
            chosen=tell,
        )
    number = torch.get_num_threads() if choice is None else choice
    return ThreadTuner((number,), number, set_threads=_set_if_other, clock=clock)


def _set_if_other(number: int) -> None:
    import torch

    if number != torch.get_num_threads():
        torch.set_num_threads(number)


@contextmanager
def using(choice: Choice, say: Callable[[str], object] | None = None) -> Iterator[int]:
    """Compute with what was asked for, and go back to the number before; yields the number.

    Args:
        choice: "auto" takes as many threads as find a free core now.
        say: hears the line for users of a busy machine.
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
    _set_if_other(number)
    try:
        yield number
    finally:
        _set_if_other(before)


def threads_text(number: int) -> str:
    """Write a number of threads: "1 thread", "2 threads"."""
    return _count(number, "thread")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
