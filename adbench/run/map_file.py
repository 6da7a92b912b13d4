"""The maps of a test set whose images are cut into tiles: blended one by one, and kept in a mapped file.

Maps of photos of 4000 x 3000 pixels take 48 MB each: a test set of them doesn't fit into memory. The file has no name,
so that nothing is left of it whatever happens. Small test sets stay in memory.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.data import Size
from ..data.arrays import tensor_to_numpy
from ..data.ground_truth import Resized
from ..util.errors import DataError, reason
from ..util.files import cache_folder
from ..util.sizes import bytes_text

IN_MEMORY = 1 << 28
"""Bytes of all maps of a test set up to which they stay in memory."""

SAMPLED = 1 << 24
"""About so many pixels of all maps are looked at for their colours."""


class MapFile:
    """The maps of N images, each float32 (H, W) of its own size, in a mapped file.

    Attributes:
        sizes: height and width of each map.
        highest: (N,) the highest value of each map before it was resized to its size here.

    Args:
        sizes: (H, W) of each.

    Raises:
        DataError: there is too little disk space.
    """

    device = torch.device("cpu")

    def __init__(self, sizes: Sequence[Size]) -> None:
        self.sizes = tuple(sizes)
        self.highest: NDArray[np.float64] = np.full(len(sizes), -np.inf)
        self._ends = np.cumsum([0, *(height * width for height, width in sizes)])
        self._values = _allocated(int(self._ends[-1]))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> torch.Tensor:
        """A map (H, W), float32."""
        return torch.from_numpy(self._part(number))

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[number] for number in range(len(self)))

    def put(self, number: int, values: torch.Tensor) -> None:
        """Keep a map (h, w), resized to its size here as metrics resize it."""
        self.highest[number] = float(values.max())
        found = Resized(values[None], (self.sizes[number],))[0]
        self._part(number)[...] = tensor_to_numpy(torch.as_tensor(found))

    def sample(self) -> NDArray[np.float32]:
        """Pixels (P,) of all maps on an even grid; a sixteenth of them, and less where they are many."""
        stride = max(4, math.isqrt(int(self._ends[-1]) // SAMPLED))
        return np.concatenate([self._part(number)[::stride, ::stride].reshape(-1) for number in range(len(self))])

    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest value of all maps."""
        lows, highs = zip(*((float(each.min()), float(each.max())) for each in self), strict=True)
        return min(lows), max(highs)

    def _part(self, number: int) -> NDArray[np.float32]:
        start, end = self._ends[number : number + 2]
        return self._values[start:end].reshape(self.sizes[number])


def require_space(sizes: Sequence[Size]) -> None:
    """Refuse maps (H, W) for which there is too little disk space, before hours of training. Raises ``DataError``."""
    needed = 4 * sum(height * width for height, width in sizes)
    if needed <= IN_MEMORY:
        return
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache_folder()).free
    except OSError as error:
        raise _no_space(reason(error)) from error
    if free < needed:
        raise _no_space(f"{bytes_text(free)} free of the {bytes_text(needed)} needed")


def _allocated(count: int) -> NDArray[np.float32]:
    """An array (count,) of float32; a large one is mapped from a file that goes with it."""
    require_space([(1, count)])
    if 4 * count <= IN_MEMORY:
        return np.zeros(count, np.float32)
    try:
        with tempfile.TemporaryFile(dir=cache_folder()) as stream:  # the mapping keeps it open
            _take_space(stream.fileno(), 4 * count)
            return np.memmap(stream, np.float32, mode="w+", shape=(count,))
    except OSError as error:
        raise _no_space(reason(error)) from error


def _take_space(file: int, size: int) -> None:
    """Take the disk space of a file at once, where the system can: a disk that gets full later kills the process."""
    if sys.platform != "linux":
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # else the file system can't
            raise


def _no_space(found: str) -> DataError:
    return DataError(
        f"maps of the test images in {cache_folder()}", found=found, wanted="space while they are compared",
        hint="Use a smaller --eval-size, free some space, or set ADBENCH_CACHE to another folder",
    )  # fmt: skip
