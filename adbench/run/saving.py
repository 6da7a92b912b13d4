"""How often the state of a run is saved, and how a checkpoint is written without holding up a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..util.background import Background
from .session import sealed

if TYPE_CHECKING:
    from ..results.store import RunFolder

T = TypeVar("T")

TIME_SHARE = 0.05
"""At most this share of the time that a task has taken goes into saving its state."""

FREE_SECONDS = 0.25
"""So much saving is allowed beyond that share, so that small states are saved after each of a task's first epochs."""

STATE_BYTES = 20 * 10**9
"""At most so many bytes of states are written in one training, however many epochs it has."""

BYTES_PER_SECOND = 5e8
"""What a disk is taken to write before the first save of a state was timed."""


@dataclass
class SavingPolicy:
    """Decides after which epochs a state is worth saving.

    Saves take at most ``TIME_SHARE`` of the time, and ``STATE_BYTES`` are spread evenly over the epochs. So a break
    costs what was trained since the last save: one epoch where states are small or epochs are long.
    """

    began: float = field(default_factory=time.monotonic)
    spent: float = 0.0
    per_byte: float = 1 / BYTES_PER_SECOND

    def due(self, epoch: int, total: int, size: int) -> bool:
        """Whether to save after ``epoch`` (from 1) of ``total``, when a state has ``size`` bytes."""
        return self._has_bytes(epoch, total, size) and self._has_time(size)

    def _has_bytes(self, epoch: int, total: int, size: int) -> bool:
        saves = max(1, STATE_BYTES // max(size, 1))
        return epoch * saves // total > (epoch - 1) * saves // total

    def _has_time(self, size: int) -> bool:
        allowed = TIME_SHARE * (time.monotonic() - self.began) + FREE_SECONDS
        return self.spent + size * self.per_byte <= allowed

    def saved(self, size: int, seconds: float) -> None:
        """Count a save of ``size`` bytes that took ``seconds``."""
        self.spent += seconds
        self.per_byte = seconds / max(size, 1)


class Saver:
    """Writes the checkpoints of one run.

    On a GPU, tensors are copied to the CPU and written in a thread while the GPU goes on. On a CPU that would take as
    long, and the memory of a copy. Close it when the run ends, however that is.
    """

    def __init__(self, folder: RunFolder, device: torch.device) -> None:
        self.folder = folder
        self.policy = SavingPolicy()
        self._device, self._background = device, Background(device)

    def save_state(self, payload: Mapping[str, Any], epoch: int, total: int) -> None:
        """Save ``state.pt`` if that is worth it after ``epoch`` of ``total``.

        Raises:
            ResultError: it can't be written, or what was saved before could not be.
        """
        size = total_bytes(payload)
        if not self._background.busy and self.policy.due(epoch, total, size):
            self._run(self._write_state, payload, size)

    def save(self, names: Sequence[str], payload: Mapping[str, Any]) -> None:
        """Save ``NAME.pt`` for each name, written once and linked, after all that was saved before.

        Raises:
            ResultError: it can't be written, or what was saved before could not be.
        """
        if names:
            self._run(self._write, payload, names)

    def link(self, source: str, name: str) -> None:
        """Store the checkpoint ``source`` under a second name. Raises what ``save`` raises."""
        self.wait()
        self.folder.copy_checkpoint(source, name)

    def wait(self) -> None:
        """Wait until everything is on the disk. Raises ``ResultError`` where it can't be."""
        self._background.wait()

    def close(self) -> None:
        """End the thread when it has written what it is at. Raises nothing, since a run that ends well has waited."""
        self._background.close()

    def _run(self, write: Callable[[Mapping[str, Any], T], None], payload: Mapping[str, Any], how: T) -> None:
        self.wait()  # so that there is one copy at a time
        self._background.call(write, payload if self._device.type == "cpu" else on_cpu(payload), how)

    def _write(self, payload: Mapping[str, Any], names: Sequence[str]) -> None:
        self.folder.save_checkpoint(names[0], payload)
        for name in names[1:]:
            self.folder.copy_checkpoint(names[0], name)

    def _write_state(self, payload: Mapping[str, Any], size: int) -> None:
        started = time.monotonic()
        self.folder.save_checkpoint("state", sealed(payload))
        self.policy.saved(size, time.monotonic() - started)


def on_cpu(value: Any) -> Any:
    """The same nested dicts, lists and tuples with each tensor copied to the CPU; those that share memory still do."""
    copies: dict[tuple[object, ...], torch.Tensor] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            key = (storage.device, storage.data_ptr(), value.dtype)
            if key not in copies:
                flat = torch.empty(0, dtype=value.dtype, device=value.device).set_(storage)
                copies[key] = flat.to("cpu", copy=True)
            return copies[key].as_strided(value.shape, value.stride(), value.storage_offset())
        if isinstance(value, Mapping):
            return {name: copied(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(copied, value))
        return value

    return copied(value)


def total_bytes(value: Any) -> int:
    """Bytes of all tensors in nested dicts, lists and tuples; memory that several share counts once."""
    found: dict[tuple[object, ...], int] = {}

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            found[storage.device, storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping):
            for each in value.values():
                look(each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                look(each)

    look(value)
    return sum(found.values())
