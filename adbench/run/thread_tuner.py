"""Finds the number of threads that trains fastest: it times real training steps, and again when they slow down."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..util import threads
from ..util.threads import Load, set_threads

WARM_UP, TIMED = 1, 3
"""Untimed and timed steps with a new number of threads."""

HOPELESS = 1.5
"""A number whose first timed step is slower than the best by this factor gets no further step."""

RECENT = 6
"""Number of steps whose median is the present pace."""

SLOWER = 1.4
"""A pace that is worse than the best one by this factor starts a trial of all numbers."""

GAP, LONGEST_GAP = 12, 1000
"""Fewest measurements between two trials; twice as many after each trial without a change, up to the second."""

LOOK_EVERY = 10.0
"""Seconds between two looks at the load during training."""


@dataclass(frozen=True)
class ThreadUse:
    """How training used threads, as a stopped run remembers it.

    ``choice`` was fastest, and ``pace`` is its seconds per image, or None before a measurement. ``images`` counts the
    training images with each number.
    """

    choice: int
    pace: float | None
    images: Mapping[int, int]

    @property
    def most_used(self) -> int:
        """The number during most of the training."""
        return max(self.images, key=lambda number: self.images[number], default=self.choice)


class ThreadTuner:
    """Times real training steps with several numbers of threads, and continues with the fastest.

    It only learns when a step is done, and sets the number for the next one: no step is made for it. While training
    pauses, for an evaluation, the best number so far is set.

    Args:
        numbers: the candidates; a single one needs no timing.
        start: the first of them to use.
        set_threads: sets the number for later computations.
        free: returns the number of threads that find a free core now.
        clock: seconds, without those that don't belong to a step.
        chosen: called with the number after each trial.
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
        self._paces: dict[int, float] = {}  # of the numbers that were timed
        self._reference = math.inf  # a pace that is certainly reached
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
        """The state to remember."""
        return ThreadUse(self.choice, self._best, dict(self._images))

    def adopt(self, *, per_epoch: bool = False, use: ThreadUse | None = None) -> None:
        """Learn about the training before it begins.

        Args:
            per_epoch: a change takes effect only at the next epoch, so whole epochs are timed.
            use: how earlier sessions used threads. Their choice is kept without another trial.
        """
        self._per_epoch = per_epoch
        if use is None:
            return
        self._images = dict(use.images)
        if len(self.numbers) > 1 and use.pace is not None and use.choice in self.numbers:
            self.choice, self._best, self._waiting = use.choice, use.pace, []
            self._use(self.choice)

    def begin(self) -> None:
        """Start: training goes on now."""
        self._use(self._waiting[0] if self._waiting else self.choice)
        self._mark, self._done, self._epoch_images = self._clock(), 0, 0

    def step(self, done: int) -> None:
        """Note that ``done`` images of an iteration are trained on, at the end of each batch."""
        images = done - self._done if done > self._done else done
        self._done = done
        self._images[self._in_use] = self._images.get(self._in_use, 0) + images
        self._epoch_images += images
        if self._per_epoch:
            return
        now = self._clock()
        seconds, self._mark = now - self._mark, now
        if images >= self._full:  # a smaller last batch has another pace
            self._full = images
            self._add_pace(seconds / images)

    def end(self) -> None:
        """Stop: training pauses."""
        if self._per_epoch and self._epoch_images:
            self._add_pace((self._clock() - self._mark) / self._epoch_images)
        self._use(self.choice)

    def _use(self, number: int) -> None:
        if number != self._in_use:
            self._set_threads(number)
            self._in_use = number

    def _add_pace(self, pace: float) -> None:
        """Process one measurement, and choose the next number."""
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
        """Process a pace within a trial."""
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
        """Between trials: start another one when it is due."""
        self._recent.append(pace)
        if len(self._recent) < (2 if self._per_epoch else RECENT):
            return
        present = median(self._recent)
        self._best = present if self._best is None else min(self._best, present)
        if self._since < (self._gap // GAP if self._per_epoch else self._gap):
            return
        if present > SLOWER * self._best or self._freer():
            # the present number comes last and is timed anew: the cause of its slow-down may be over by then
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
    choice: threads.Choice, *, on_cpu: bool, clock: Callable[[], float], say: Callable[[str], object] = lambda _: None
) -> ThreadTuner:
    """Make the tuner of one training and set the first number.

    Args:
        choice: the value of ``--threads``.
        on_cpu: training computes on the CPU. Elsewhere only the load decides.
        clock: as in ``ThreadTuner``.
        say: called with the line about a busy machine.
    """
    import torch

    if choice == "auto":
        machine = threads.this_machine()
        load = machine.load()
        start = min(load.free, load.cores)

        def report(number: int) -> None:
            if on_cpu and (remark := machine.remark("training", number)):
                say(remark)

        report(start)
        return ThreadTuner(
            candidates(load) if on_cpu else (start,),
            start,
            set_threads=torch.set_num_threads,
            free=lambda: machine.load().free,
            clock=clock,
            chosen=report,
        )
    number = torch.get_num_threads() if choice is None else choice
    return ThreadTuner((number,), number, set_threads=set_threads, clock=clock)


def candidates(load: Load) -> tuple[int, ...]:
    """Numbers of threads worth a trial, ascending: one, all, a half, a quarter, and the number of free cores."""
    cores = load.cores
    wanted = {1, cores, max(1, cores // 2), max(1, cores // 4), min(load.free, cores)}
    return tuple(sorted(wanted))
