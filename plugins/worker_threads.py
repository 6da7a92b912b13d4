"""Runs chains of small training steps side by side on a CPU, each chain in its own thread.

A step on a few hundred vectors is too small for many threads: they would wait for each other at each of its hundred
operations. CFLOW-AD's decoders don't depend on each other, so each trains in its own thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event, Semaphore
from typing import Generic, TypeVar

import torch

from adbench.api import memory

T = TypeVar("T")

AHEAD = 2
"""Waiting work of a chain at which ``put`` waits, so that features of a whole epoch never pile up."""

INTERRUPTIBLE = 1.0
"""Longest wait in seconds at a time, since on Windows Ctrl-C can't end one."""


class WorkerThreads(Generic[T]):
    """Does the work of each chain in order, and the work of different chains at the same time.

    On a GPU, or where torch has a single thread, ``put`` does the work itself. Results don't depend on which thread
    is faster; their last digits depend on the number of threads, as torch's do.

    Args:
        chains: number of chains.
        device: where the work computes.
    """

    def __init__(self, chains: int, device: torch.device) -> None:
        self.budget = torch.get_num_threads() if device.type == "cpu" else 1
        self._pools = [ThreadPoolExecutor(1) for _ in range(chains if self.budget > 1 else 0)]
        self._work: list[list[Future[list[T]]]] = [[] for _ in range(chains)]
        self._stop = Event()
        # a step more at a time would slow down the longest chain, for which the others wait
        self._at_work = Semaphore(self.budget)

    def __enter__(self) -> WorkerThreads[T]:
        """Start the threads, each with its share of torch's."""
        for pool in self._pools:
            pool.submit(_use_threads, max(1, self.budget // len(self._pools))).result()
        if self._pools:
            torch.set_num_threads(self.budget)  # torch gives the last number that was set to threads that come later
        return self

    def __exit__(self, *error: object) -> None:
        """End the threads after their present steps; waiting work is dropped."""
        self._stop.set()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        if self._pools:
            # glibc gives each thread a heap, keeps what is freed there, and hands the heap to any later thread: every
            # heap would grow to what the largest chain needs (CFLOW-AD's paper preset: 3.5 GB instead of 2.8)
            memory.free()

    def put(self, chain: int, steps: Iterator[T]) -> None:
        """Run a generator to its end in the chain's thread; wait while the chain is ``AHEAD`` pieces behind.

        Raises:
            BaseException: earlier work of the chain raised it.
        """
        if not self._pools:
            self._work[chain].append(_done(list(steps)))
            return
        if len(self._work[chain]) >= AHEAD:
            _result(self._work[chain][-AHEAD])
        self._work[chain].append(self._pools[chain].submit(self._take, steps))

    def results(self) -> list[list[T]]:
        """Wait for all work, and return what the generators of each chain yielded, in order.

        Raises:
            BaseException: any work raised it.
        """
        return [[result for work in chain for result in _result(work)] for chain in self._work]

    def _take(self, steps: Iterator[T]) -> list[T]:
        taken: list[T] = []
        with suppress(StopIteration):
            while not self._stop.is_set():
                with self._at_work:
                    taken.append(next(steps))
        return taken


def _use_threads(count: int) -> None:
    """Let torch use ``count`` threads in this thread."""
    torch.get_num_threads()  # the first call in a thread copies the process's number; do it before setting ours
    torch.set_num_threads(count)


def _done(result: list[T]) -> Future[list[T]]:
    future: Future[list[T]] = Future()
    future.set_result(result)
    return future


def _result(future: Future[T]) -> T:
    """Wait for a result; Ctrl-C ends the wait on every system."""
    while not future.done():
        wait([future], INTERRUPTIBLE)
    return future.result()
