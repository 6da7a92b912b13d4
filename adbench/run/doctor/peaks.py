"""Memory at the peak of a preset's training: counted or measured for adbench's own methods, or by the user's runs.

``peaks.csv`` has a row for each preset that is known. Those of most presets ``cpu`` were measured in runs of
KolektorSDD on an NVIDIA H200, in bf16 and with cached features; SuperSimpleNet's others in a step on a CPU. ``python
-m benchmarks memory`` prints the others: it counts the bytes of all live tensors in float32, either of two steps and a
scoring at the preset's own size, on tensors without numbers, or while a few small images are trained on and scored,
extrapolated to the preset's size and batch. On a GPU, bf16 takes less, and CUDA's own libraries take ``LIBRARIES``
more.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...api.method import Method
from ...api.options import option_text

if TYPE_CHECKING:
    from ...results.records import Result

TABLE = Path(__file__).with_name("peaks.csv")

COLUMNS = ("method", "preset", "size", "batch", "backbone", "bytes", "least", "how")

LIBRARIES = 500 * 10**6
"""Bytes of a GPU that CUDA's context and libraries take, besides all tensors."""

How = Literal["counted", "measured"]


@dataclass(frozen=True)
class Peak:
    """Bytes that a preset's training and scoring take at their peak.

    Attributes:
        bytes: with whole batches.
        least: where batches are split into single images because memory runs out; the same as ``bytes`` for methods
            whose batches can't be split.
        how: counted, or measured in a run here.
    """

    bytes: int
    least: int
    how: How


@dataclass(frozen=True)
class _Row:
    """A row of the table: the set-up that it holds for, and the bytes."""

    size: str
    batch: int
    backbone: str
    bytes: int
    least: int
    how: How


def set_up(method: Method, preset: str) -> tuple[str, int, str]:
    """What a preset's memory depends on, as in the table: size, batch size and backbone ("" without one)."""
    options = method.presets[preset].options
    return option_text("size", options.size), options.batch_size, str(getattr(options, "backbone", "") or "")


@cache
def _table() -> Mapping[tuple[str, str], _Row]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return {
            (row["method"], row["preset"]): _Row(
                row["size"],
                int(row["batch"]),
                row["backbone"],
                int(row["bytes"]),
                int(row["least"]),
                "measured" if row["how"] == "measured" else "counted",
            )
            for row in csv.DictReader(stream)
        }


def of(method: Method, preset: str, runs: Iterable[Result] = (), *, is_gpu: bool = False) -> Peak | None:
    """The memory of a preset; None if nobody has counted or measured it.

    Args:
        method: the method.
        preset: one of its presets.
        runs: the user's results; those of this preset on a device of this kind count, with what a GPU cached meanwhile.
        is_gpu: the kind of the device.
    """
    row = _table().get((method.name, preset))
    if row is not None and (row.size, row.batch, row.backbone) == set_up(method, preset):
        return Peak(row.bytes, row.least, row.how)
    measured = [
        run.peak_memory_bytes
        for run in runs
        if run.method == method.name and run.preset == preset and not run.overrides
        and run.environment.device.startswith("cuda") == is_gpu
    ]  # fmt: skip
    return Peak(min(measured), min(measured), "measured") if measured else None
