"""Several small pieces of work at once on a CPU, each on its share of the processor.

A step on a few hundred vectors is too small for many threads: they wait for each other at each of its hundred
operations. Where there are several such chains of steps that don't depend on each other, as CFLOW-AD's decoders,
it is faster to run them side by side, each on fewer threads.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")

AHEAD = 2
"""Pieces of work that may wait in a lane before ``put`` does."""

M_ARENA_MAX = -8
"""glibc's number for how many heaps there may be."""

INTERRUPTIBLE = 1.0
"""Seconds that a wait takes at most at a time, since Ctrl-C can't end one on every system."""


@dataclass
class _Work(Generic[T]):
    steps: Iterator[T]
    future: Future[list[T]]
    grad: bool
    inference: bool
    results: list[T] = field(default_factory=list)

    def advance(self) -> bool:
        """Take one step; whether it was the last."""
        with torch.inference_mode(self.inference), torch.set_grad_enabled(self.grad):
            try:
                self.results.append(next(self.steps))
            except StopIteration:
                self.future.set_result(self.results)
                return True
        return False


@dataclass
class _Lane:
    waiting: deque[_Work[Any]] = field(default_factory=deque)
    busy: bool = False
    last: float = math.inf  # seconds that the last work took
    spent: float = 0.0  # and those of the present one so far

    @property
    def left(self) -> float:
        """Seconds that what waits will take, as far as one can tell."""
        return len(self.waiting) * self.last - self.spent


class Lanes:
    """Runs work in lanes: one piece after the other within a lane, side by side between lanes.

    On anything but a CPU, and on a single thread, work is done when it is put. Results don't depend on which thread
    did what; their last digits depend on the number of threads, as torch's do.

    Args:
        count: how many lanes.
        device: where the work computes.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.threads = torch.get_num_threads() if device.type == "cpu" else 1
        self.workers = min(count, self.threads)
        self._lanes = [_Lane() for _ in range(count)]
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._closed = False
        self._pool: list[threading.Thread] = []

    def __enter__(self) -> Lanes:
        """Start the threads."""
        if self.workers > 1:
            _share_heap()
            ready = threading.Barrier(self.workers + 1)
            self._pool = [threading.Thread(target=self._run, args=(ready,), daemon=True) for _ in range(self.workers)]
            for thread in self._pool:
                thread.start()
            ready.wait()
            torch.set_num_threads(self.threads)  # of this thread and of later ones
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the steps under way, drop what waits, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._pool:
            while thread.is_alive():
                thread.join(INTERRUPTIBLE)

    def put(self, lane: int, steps: Iterator[T]) -> Future[list[T]]:
        """Have a generator run to its end after what was put into the lane before; waits where the lane is full.

        Returns:
            What will hold all that the generator yields.

        Raises:
            BaseException: what some work raised before; nothing else is done after that.
        """
        work = _Work(steps, Future(), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
        if not self._pool:
            while not work.advance():
                pass
            return work.future
        with self._changed:
            while len(self._lanes[lane].waiting) >= AHEAD and self._error is None:
                self._changed.wait(INTERRUPTIBLE)
            if self._error is not None:
                raise self._error
            self._lanes[lane].waiting.append(work)
            self._changed.notify_all()
        return work.future

    def _run(self, ready: threading.Barrier) -> None:
        torch.get_num_threads()  # the first call in a thread sets the process's number, which must not come later
        torch.set_num_threads(self.threads // self.workers)
        ready.wait()
        while (lane := self._take()) is not None:
            started = time.perf_counter()
            work, done = lane.waiting[0], True
            try:
                done = work.advance()
            except BaseException as error:  # whatever it is: a thread that ends without a word leaves others waiting
                work.future.set_exception(error)
                with self._changed:
                    self._error = error
            with self._changed:
                lane.busy = False
                lane.spent += time.perf_counter() - started
                if done:
                    lane.waiting.popleft()
                    lane.last, lane.spent = lane.spent, 0.0
                if self._error is not None:
                    self._drop(self._error)
                self._changed.notify_all()

    def _take(self) -> _Lane | None:
        """The free lane with the most work left; None where there will be no more."""
        with self._changed:
            while not self._closed:
                free = [lane for lane in self._lanes if lane.waiting and not lane.busy]
                if free:
                    lane = max(free, key=lambda lane: lane.left)
                    lane.busy = True
                    return lane
                self._changed.wait()
        return None

    def _drop(self, error: BaseException) -> None:
        for lane in self._lanes:
            while lane.waiting and not lane.busy:
                dropped = lane.waiting.popleft()
                if not dropped.future.done():
                    dropped.future.set_exception(error)


def result_of(future: Future[T]) -> T:
    """What work came to, once it is done; Ctrl-C ends the wait."""
    while not future.done():
        wait([future], INTERRUPTIBLE)
    return future.result()


def _share_heap() -> None:
    """Have threads allocate from one heap; else glibc gives each its own, and none uses what another gave back."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such setting, or need none
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
