"""How often a run's state is saved, and how checkpoints are written while a GPU goes on."""

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
"""Largest share of a task's time that saving its state may take."""

FREE_SECONDS = 0.25
"""Seconds of saving allowed beyond that share, so that small states are saved after each of the first epochs."""

STATE_BYTES = 20 * 10**9
"""Most bytes of states that one training writes, whatever its number of epochs."""

BYTES_PER_SECOND = 5e8
"""Assumed speed of a disk before the first save of a state is timed."""


@dataclass
class SavingPolicy:
    """Decides after which epochs to save a state.

    Saves take at most ``TIME_SHARE`` of the time, and ``STATE_BYTES`` are spread evenly over the epochs. So a break
    costs the training since the last save: one epoch if states are small or epochs are long.
    """

    began: float = field(default_factory=time.monotonic)
    spent: float = 0.0
    last: tuple[int, float] = (int(BYTES_PER_SECOND), 1.0)
    """Bytes and seconds of the last save, from which the next one's seconds are estimated."""

    def due(self, epoch: int, total: int, size: int) -> bool:
        """Whether to save after ``epoch`` (from 1) of ``total``, when a state has ``size`` bytes."""
        return self._has_bytes(epoch, total, size) and self._has_time(size)

    def _has_bytes(self, epoch: int, total: int, size: int) -> bool:
        saves = max(1, STATE_BYTES // max(size, 1))
        return epoch * saves // total > (epoch - 1) * saves // total

    def _has_time(self, size: int) -> bool:
        allowed = TIME_SHARE * (time.monotonic() - self.began) + FREE_SECONDS
        last_size, last_seconds = self.last
        # a ratio of sizes is exactly 1 for equal ones, and a state without tensors takes time as well
        return self.spent + last_seconds * (max(size, 1) / last_size) <= allowed

    def saved(self, size: int, seconds: float) -> None:
        """Count a save of ``size`` bytes that took ``seconds``."""
        self.spent += seconds
        self.last = max(size, 1), seconds


class Saver:
    """Writes the checkpoints of one run.

    On a GPU, tensors are copied to the CPU and written in a thread while the GPU goes on. On a CPU a thread would save
    no time, and a copy would cost memory. Close it when the run ends, however it ends.
    """

    def __init__(self, folder: RunFolder, device: torch.device) -> None:
        self.folder = folder
        self.policy = SavingPolicy()
        self._device, self._background = device, Background(device)

    def save_state(self, payload: Mapping[str, Any], epoch: int, total: int) -> None:
        """Save ``state.pt`` if that is due after ``epoch`` of ``total``.

        Raises:
            ResultError: it can't be written, or an earlier save failed.
        """
        size = total_bytes(payload)
        if not self._background.busy and self.policy.due(epoch, total, size):
            self._run(self._write_state, payload, size)

    def save(self, names: Sequence[str], payload: Mapping[str, Any]) -> None:
        """Save ``NAME.pt`` for each name, written once and linked, after all earlier saves.

        Raises:
            ResultError: it can't be written, or an earlier save failed.
        """
        if names:
            self._run(self._write, payload, names)

    def link(self, source: str, name: str) -> None:
        """Store the checkpoint ``source`` under a second name. Raises the same errors as ``save``."""
        self.wait()
        self.folder.copy_checkpoint(source, name)

    def wait(self) -> None:
        """Wait until everything is on the disk. Raises ``ResultError`` if that fails."""
        self._background.wait()

    def close(self) -> None:
        """End the thread after its present write. Raises nothing, since a run that ends well has waited."""
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
    """The same nested dicts, lists and tuples with tensors copied to the CPU; shared memory stays shared."""
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
    """Bytes of all tensors in nested dicts, lists and tuples; shared memory counts once."""
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
