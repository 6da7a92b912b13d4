"""What to do when memory runs out: the same batch in more parts, where that gives the same results.

Where the loss of a batch is the mean of its images' losses, its gradient is the sum of those of its parts, so that an
optimiser takes the same steps. That does not hold for batch norm in training, whose statistics are those of a part.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import torch

from .errors import TaskError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

WORDS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What torch's allocators and libraries say where they raise a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocator had too little memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)


class MicroBatches:
    """In how many passes a batch goes through: one, until memory runs out, and then twice as many for good.

    Args:
        what: what goes through, for the message: "training".
        say: hears, once for each change, that there are more passes now.
        relieve: frees memory that can be done without, and says whether there was any. It is asked first.
        splits: a batch may be split; else memory that runs out is an error.
    """

    def __init__(
        self,
        what: str = "training",
        say: Callable[[str], None] | None = None,
        relieve: Callable[[], bool] | None = None,
        *,
        splits: bool = True,
    ) -> None:
        self.what, self.say, self.relieve, self.splits = what, say, relieve, splits
        self.count = 1
        self._lock = threading.Lock()

    def rows(self, batch: int) -> int:
        """Rows of a batch of ``batch`` that go through at once."""
        return _rows(batch, self.count)

    def backward(
        self,
        losses: Callable[..., Tensor],
        tensors: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        scale: Callable[[Tensor], Tensor] = lambda loss: loss,
    ) -> Tensor:
        """Give the optimiser's parameters the gradients of the mean loss of a batch, and no others.

        Args:
            losses: takes a part of each of ``tensors`` and returns the loss of each row, (b,).
            tensors: each (B, ...), the rows of one batch.
            optimizer: whose gradients are set; it takes no step.
            scale: of the loss before its gradient is taken, as a ``GradScaler`` has it.

        Returns:
            The mean loss, () and without a gradient.

        Raises:
            TaskError: not even a single row fits into memory, or the batch must not be split.
        """
        batch = len(tensors[0])

        def once(parts: Sequence[Sequence[Tensor]]) -> Tensor:
            optimizer.zero_grad()
            total = tensors[0].new_zeros((), dtype=torch.float32)
            for part in parts:
                loss = losses(*part).sum() / batch
                torch.autograd.backward(scale(loss))
                total = total + loss.detach()
            return total

        return self._until_it_fits(tensors, once)

    def map(self, function: Callable[..., T], tensors: Sequence[Tensor]) -> list[T]:
        """Call ``function`` on one part after the other of the rows of ``tensors``, and list what it returns.

        Raises:
            TaskError: not even a single row fits into memory.
        """
        return self._until_it_fits(tensors, lambda parts: [function(*part) for part in parts])

    def more(self, batch: int, count: int, error: BaseException) -> None:
        """Free memory, or take twice as many passes as ``count``, with which it failed, from now on.

        Where several threads fail with the same count, that is one reason and not several.

        Raises:
            TaskError: a single row of ``batch`` went through at once already, or the batch must not be split.
        """
        with self._lock:
            if self.count > count or (self.relieve is not None and self.relieve()):
                return
            if not self.splits:
                raise TaskError(
                    f"memory for {self.what}",
                    found=f"too little for a batch of {batch}, which this method can't split with the same results",
                    hint="Use a smaller -o batch_size, which may change the results, a smaller --size or --backbone, "
                    "or another --device",
                ) from error
            if _rows(batch, count) == 1:
                raise TaskError(
                    f"memory for {self.what}",
                    found=f"too little even for one of {batch} at a time" if batch > 1 else "too little",
                    hint="Use a smaller --size or --backbone, or another --device",
                ) from error
            self.count = 2 * count
            if self.say:
                self.say(f"Out of memory: {self.what} goes on in {self.count} passes per batch, with the same results.")

    def _until_it_fits(self, tensors: Sequence[Tensor], work: Callable[[Sequence[Sequence[Tensor]]], T]) -> T:
        batch = len(tensors[0])
        while True:
            count = self.count
            try:
                rows = _rows(batch, count)
                return work(list(zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)))
            except Exception as error:
                if not is_out_of_memory(error) or _is_recorded():
                    raise
                self.more(batch, count, error)
            free()  # out here, since the error holds on to everything that was computed


def _rows(batch: int, count: int) -> int:
    return max(1, -(-batch // count))


def _is_recorded() -> bool:
    """Whether what runs here is recorded as a graph: another try would be recorded behind what failed."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def free() -> None:
    """Return memory that allocators keep for later to the system: torch's on a GPU, and the C library's on Linux."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such call
            ctypes.CDLL(None).malloc_trim(0)
