"""Two threads of which one works at a time: the loop of another program becomes a generator.

Lightning's trainer runs all epochs in one call. adbench evaluates and saves between two epochs, so the trainer runs in
a thread of its own, which waits while adbench works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

import torch

Report = TypeVar("Report")


class StoppedError(Exception):
    """Nobody asks for further epochs: ends the thread's work."""


class _End:
    """Comes after the last report."""


class HandOver(Generic[Report]):
    """Runs ``work`` in a thread and iterates over what it reports; the thread waits until the next report is asked for.

    ``work`` gets this object. It calls ``report`` after each epoch, and ``check`` often. An error of ``work`` is raised
    where the reports are read.
    """

    def __init__(self, work: Callable[[HandOver[Report]], None]) -> None:
        self._work = work
        self._reports: SimpleQueue[Report | BaseException | _End] = SimpleQueue()
        self._turn = threading.Semaphore(0)
        self._stopped = False
        self._threads = 1

    def __iter__(self) -> Iterator[Report]:
        worker = threading.Thread(target=self._run, name="anomalib", daemon=True)
        self._threads = torch.get_num_threads()
        worker.start()
        try:
            while not isinstance(found := self._reports.get(), _End):
                if isinstance(found, BaseException):
                    raise found
                yield found
                self._threads = torch.get_num_threads()
                self._turn.release()
        finally:
            self._stopped = True
            self._turn.release()
            worker.join()

    def report(self, value: Report) -> None:
        """Hand a report over, and wait until the next one is asked for. Raises ``StoppedError`` if none is."""
        self._reports.put(value)
        self._turn.acquire()
        self.check()
        torch.set_num_threads(self._threads)  # the number counts for each thread by itself

    def check(self) -> None:
        """Raise ``StoppedError`` if no further report is asked for."""
        if self._stopped:
            raise StoppedError

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            self._work(self)
        except BaseException as error:  # also a call of sys.exit; it is raised in the other thread
            self._reports.put(error)
        else:
            self._reports.put(_End())
