"""Shows the progress of downloads and of unpacking: bytes, pace and time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from ..util.sizes import bytes_text
from ..util.text import duration
from .console import status_line

FIRST = 3.0
"""Seconds of one kind of work before its first estimate."""


class Pace:
    """Turns bytes done into texts; work that was done before, such as the start of a file, does not count for it."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no work; ``name`` is that of the data set, and ``clock`` gives seconds."""
        self._name, self._clock = name, clock
        self._what, self._since, self._first = "", 0.0, 0

    def text(self, what: str, done: int, total: int | None) -> str:
        """Describe the present state, such as "visa: download 0.5 of 1.9 GB, 12 MB/s, 2 min left".

        Args:
            what: the kind of work.
            done: bytes done.
            total: all bytes, where they are known.
        """
        now = self._clock()
        if what != self._what or done < self._first:
            self._what, self._since, self._first = what, now, done
        text = f"{self._name}: {what} {bytes_text(done)}" + (f" of {bytes_text(total)}" if total else "")
        passed, moved = now - self._since, done - self._first
        if passed < FIRST or moved <= 0:
            return text
        rate = moved / passed
        left = f", {duration((total - done) / rate)} left" if total and total > done else ""
        return f"{text}, {bytes_text(rate)}/s{left}"


@contextlib.contextmanager
def transfer(name: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show the progress of a data set's download on standard error; yields what to call with it."""
    pace = Pace(name)
    with status_line() as show:
        yield lambda what, done, total: show(pace.text(what, done, total))
