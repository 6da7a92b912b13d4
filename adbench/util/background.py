"""Writing files while a GPU goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")


class Background:
    """Makes calls one after the other: in a thread of its own for a GPU, and at once for a CPU, which is busy anyway.

    Arguments must not lie on a GPU, which only the main thread uses.

    Args:
        device: what should not have to wait.
        ahead: so many calls may wait for the one that is being made.
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
        """Call ``function``, once there is room.

        Raises:
            BaseException: what the call raised, or one before it; those behind that were made nevertheless.
        """
        if self._pool is None:
            function(*args, **kwargs)
            return
        while self._calls and (len(self._calls) > self.ahead or self._calls[0].done()):
            self._take_first()
        self._calls.append(self._pool.submit(function, *args, **kwargs))

    def wait(self) -> None:
        """Wait until all calls are made. Raises what the first of them raised that failed."""
        while self._calls:
            self._take_first()

    def close(self, *, wait: bool = True) -> None:
        """End the thread after the calls that are left, whose errors are lost; ``wait`` for that, or go on."""
        if self._pool is not None:
            self._pool.shutdown(wait=wait)

    def _take_first(self) -> None:
        error = self._calls.popleft().exception()
        if error is not None:
            for call in self._calls:
                call.exception()
            self._calls.clear()
            raise error
