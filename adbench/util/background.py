"""Writes files while a GPU goes on computing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")


class Background:
    """Makes calls in order: in its own thread for a GPU, and at once for a CPU, which is busy anyway.

    Arguments must not lie on a GPU: only the main thread uses it.

    Args:
        device: the device that should not wait.
        ahead: number of calls that may wait for the current one.
    """

    def __init__(self, device: torch.device, ahead: int = 0) -> None:
        self.ahead = ahead
        self._pool = None if device.type == "cpu" else ThreadPoolExecutor(1)
        self._calls: deque[Future[None]] = deque()

    @property
    def busy(self) -> bool:
        """Whether a call is still being made."""
        return any(not call.done() for call in self._calls)

    def call(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call ``function`` as soon as no more than ``ahead`` calls wait.

        Raises:
            BaseException: raised by this call or by an earlier one; the calls after that are made nevertheless.
        """
        if self._pool is None:
            function(*args, **kwargs)
            return
        while self._calls and (len(self._calls) > self.ahead or self._calls[0].done()):
            self._take_first()
        self._calls.append(self._pool.submit(function, *args, **kwargs))

    def wait(self) -> None:
        """Wait until all calls are made. Raises the error of the first that failed."""
        while self._calls:
            self._take_first()

    def close(self, *, wait: bool = True) -> None:
        """End the thread after the remaining calls, whose errors are lost; ``wait`` for them, or return at once."""
        if self._pool is not None:
            self._pool.shutdown(wait=wait)

    def _take_first(self) -> None:
        error = self._calls.popleft().exception()
        if error is not None:
            for call in self._calls:
                call.exception()
            self._calls.clear()
            raise error
