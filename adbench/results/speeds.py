"""Measured speeds beside a result: ``speed.json`` in the run's folder, with one measurement of each device."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from ..api.data import Size
from ..util import files, integrity
from ..util.errors import ResultError, first_line, reason
from . import serialization

SPEED = "speed.json"
"""Name of the file."""

_AGAIN = "Measure again with adbench speed"


@dataclass(frozen=True)
class Latency:
    """Times of one size and batch, from decoded images on the host to maps on the host.

    Attributes:
        size: height and width of the images.
        batch: images that are scored together.
        median: seconds of a batch.
        p95: seconds that 95 % of the batches don't exceed.
        repeats: measured batches.
        peak_memory_bytes: of the GPU's allocator, or on a CPU of the whole process.
    """

    size: Size
    batch: int
    median: float
    p95: float
    repeats: int
    peak_memory_bytes: int

    @property
    def images_per_second(self) -> float:
        """Images of a second, at the median."""
        return self.batch / self.median


@dataclass(frozen=True)
class Skipped:
    """A size that was not measured, and why."""

    size: Size
    reason: str


@dataclass(frozen=True)
class Speed:
    """One measurement of a model or of a file.

    Attributes:
        model: name of the run, or of the file.
        own_size: height and width that its run scores.
        program: what computed, with its version.
        device: such as "cpu" or "cuda:0".
        device_name: its name.
        threads: that computed on a CPU.
        precision: "off" for fp32, "bf16" or "fp16".
        measured: the time, in ISO format.
        single: a batch of one, for each size.
        best: the batch with the most images per second, for each size.
        skipped: sizes that the method does not take.
        tiled: whether the run cuts images into tiles; then ``own_size`` is that of a tile.
    """

    model: str
    own_size: Size
    program: str
    device: str
    device_name: str
    threads: int
    precision: str
    measured: str
    single: tuple[Latency, ...]
    best: tuple[Latency, ...]
    skipped: tuple[Skipped, ...] = field(default=())
    tiled: bool = False

    def latency(self) -> float | None:
        """Seconds for one image at the run's own size, the median; None if that was not measured."""
        return next((each.median for each in self.single if each.size == self.own_size), None)


@dataclass(frozen=True)
class _File:
    """Content of the file."""

    speeds: tuple[Speed, ...]


def write(folder: Path, speed: Speed) -> Path:
    """Store a measurement beside a result, in place of an older one by the same program on the same device.

    Raises:
        ResultError: the file can't be written.
    """
    kept = []
    if (folder / SPEED).is_file():
        try:
            kept = [each for each in read(folder) if _place(each) != _place(speed)]
        except ResultError:  # a damaged file is replaced
            kept = []
    text = integrity.seal(json.loads(serialization.to_text(_File((*kept, speed)))))
    try:
        files.write(folder / SPEED, lambda stream: stream.write((text + "\n").encode()))
    except OSError as error:
        raise ResultError(f"{folder / SPEED} can't be written", found=reason(error)) from error
    return folder / SPEED


def read(folder: Path) -> tuple[Speed, ...]:
    """The measurements of a run, oldest first; empty if there are none.

    Raises:
        ResultError: the file can't be read, or is not as it was written.
    """
    path = folder / SPEED
    try:
        return serialization.from_content(_File, integrity.unseal(path.read_bytes())).speeds
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ResultError(f"{path} can't be read", found=reason(error)) from error
    except ValueError as error:
        raise ResultError(f"{path} can't be read", found=first_line(error), hint=_AGAIN) from error


def _place(speed: Speed) -> tuple[str, ...]:
    """What a measurement is tied to: another one of the same replaces it."""
    program = speed.program.partition(" ")[0]
    return speed.device_name, str(speed.threads if speed.device == "cpu" else ""), program, speed.precision
