"""Handles out of memory: the same batch in more parts, where that gives the same results.

If the loss of a batch is the mean of its images' losses, its gradient is the sum of those of its parts, so the
optimiser takes the same steps. That does not hold for batch norm in training, whose statistics are those of a part.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import torch

from .errors import TaskError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

WORDS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What torch's allocators and libraries say where they raise a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocator had too little memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)


class MicroBatches:
    """Splits a batch into micro-batches: none until memory runs out, then twice as many each time, for good.

    Args:
        what: the kind of work, for the message: "training".
        say: called with a line of text at each change.
        relieve: frees memory that isn't needed, and returns whether there was any. It is called first.
        splits: whether a batch may be split; if not, too little memory is an error.
        modules: returns the modules whose buffers are set back before a batch that must not be split is tried again:
            batch norm's running statistics count it once.
    """

    def __init__(
        self,
        what: str = "training",
        say: Callable[[str], None] | None = None,
        relieve: Callable[[], bool] | None = None,
        *,
        splits: bool = True,
        modules: Callable[[], Iterable[nn.Module]] = tuple,
    ) -> None:
        self.what, self.say, self.relieve, self.splits, self.modules = what, say, relieve, splits, modules
        self.count = 1
        self._lock = threading.Lock()

    def rows(self, batch: int) -> int:
        """Rows of a batch of ``batch`` that are processed at once."""
        return _rows(batch, self.count)

    def backward(
        self,
        losses: Callable[..., Tensor],
        tensors: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        scale: Callable[[Tensor], Tensor] = lambda loss: loss,
    ) -> Tensor:
        """Set the gradients of the optimiser's parameters to those of the mean loss of a batch.

        Args:
            losses: takes a part of each of ``tensors`` and returns the loss of each row, (b,).
            tensors: each (B, ...), the rows of one batch.
            optimizer: its gradients are set; it takes no step.
            scale: factor of the loss before its gradient is taken, as in a ``GradScaler``.

        Returns:
            The mean loss, (), without a gradient.

        Raises:
            TaskError: not even a single row fits into memory, or the batch must not be split.
        """
        batch = len(tensors[0])
        buffers = None if self.splits or _is_recorded() else _Buffers(self.modules())

        def once(parts: Sequence[Sequence[Tensor]]) -> Tensor:
            optimizer.zero_grad()
            total = tensors[0].new_zeros((), dtype=torch.float32)
            for part in parts:
                loss = losses(*part).sum() / batch
                torch.autograd.backward(scale(loss))
                total = total + loss.detach()
            return total

        return self._until_it_fits(tensors, once, buffers)

    def map(self, function: Callable[..., T], tensors: Sequence[Tensor]) -> list[T]:
        """Call ``function`` on each part of the rows of ``tensors`` in order, and list the results.

        Raises:
            TaskError: not even a single row fits into memory.
        """
        return self._until_it_fits(tensors, lambda parts: [function(*part) for part in parts])

    def more(self, batch: int, count: int, error: BaseException) -> None:
        """Free memory, or use twice as many micro-batches as ``count``, with which it failed, from now on.

        If several threads fail with the same count, it doubles once.

        Raises:
            TaskError: a single row of ``batch`` was processed at once already, or the batch must not be split.
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
                self.say(
                    f"Out of memory: {self.what} goes on in {self.count} micro-batches per batch, "
                    "with the same results."
                )

    def _until_it_fits(
        self,
        tensors: Sequence[Tensor],
        work: Callable[[Sequence[Sequence[Tensor]]], T],
        buffers: _Buffers | None = None,
    ) -> T:
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
            free()  # outside the handler, since the error keeps everything that was computed
            if buffers is not None:
                buffers.restore()


class _Buffers:
    """The present buffers of all modules that are in training."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._kept = [
            (module, name, buffer, buffer.detach().clone())
            for module in dict.fromkeys(inner for outer in modules for inner in outer.modules())
            if module.training
            for name, buffer in module.named_buffers(recurse=False)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Set all of them back, also those that other tensors have replaced."""
        for module, name, buffer, value in self._kept:
            buffer.copy_(value)
            setattr(module, name, buffer)


def _rows(batch: int, count: int) -> int:
    return max(1, -(-batch // count))


def _is_recorded() -> bool:
    """Whether the present code is recorded as a CUDA graph: another try would be recorded after the failed one."""
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
