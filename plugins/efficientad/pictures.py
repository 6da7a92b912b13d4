"""Pictures of any folder, for distillation and for the penalty: found, decoded ahead by threads, and resized."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adbench.api import DataError, Size, reason

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of the files that are read, also in capitals."""

_BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a file that it can't decode."""

DECODED = 5_000
"""Pictures of a folder that are decoded to check it; of larger folders, such as ImageNet, only the heads are read."""

_checked: dict[Path, list[Path]] = {}
"""The pictures of each folder that this process has checked: the classes of one command have the same."""

T, R = TypeVar("T"), TypeVar("R")


def find(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted.

    Raises:
        DataError: there is none, or no folder.
    """
    if not folder.is_dir():
        raise DataError(f"folder {folder}", found="no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        wanted = f"files with the endings {', '.join(ENDINGS)}"
        raise DataError(f"folder {folder}", found="no picture", wanted=wanted)
    return found


def read(path: Path, *, grey: bool = False) -> Image.Image:
    """Decode a picture as RGB; ``grey`` gives all channels its brightness.

    Raises:
        DataError: it can't be decoded.
    """
    try:
        with Image.open(path) as image:
            return image.convert("L").convert("RGB") if grey else image.convert("RGB")
    except _BROKEN as error:
        raise _refused(path, error) from error


def checked(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted, after a look at each: a broken one would end a training after hours.

    Up to ``DECODED`` are decoded. Of more only the heads are read, so a picture whose pixels are cut short shows late.

    Raises:
        DataError: there is none, or some can't be read; the message names the first of them, and counts the others.
    """
    found = find(folder)
    if _checked.get(folder) == found:
        return found
    look = _fault if len(found) <= DECODED else _fault_of_head
    faults = [fault for fault in ahead(look, found) if fault is not None]
    if faults:
        first = faults[0]
        more = f"; {len(faults) - 1} more of {len(found)} can't be read either" if len(faults) > 1 else ""
        raise DataError(**{**first.parts, "found": first.parts["found"] + more}) from first
    _checked[folder] = found
    return found


def _fault(path: Path) -> DataError | None:
    try:
        read(path)
    except DataError as error:
        return error
    return None


def _fault_of_head(path: Path) -> DataError | None:
    try:
        with Image.open(path):
            return None
    except _BROKEN as error:
        return _refused(path, error)


def _refused(path: Path, error: Exception) -> DataError:
    hint = "Remove the file from the folder"
    return DataError(f"picture {path}", found=reason(error), wanted="one that Pillow reads", hint=hint)


def resized(image: Image.Image, size: Size) -> Tensor:
    """Resize bilinearly, with all pixels counting where the picture shrinks: uint8 (3, H, W)."""
    pixels = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def central(image: Image.Image, size: Size) -> Tensor:
    """Resize to twice a size, and cut the centre of that size out: uint8 (3, H, W)."""
    height, width = size
    top, left = height // 2, width // 2
    return resized(image, (2 * height, 2 * width))[:, top : top + height, left : left + width]


def ahead(work: Callable[[T], R], jobs: Iterable[T], *, threads: int | None = None) -> Iterator[R]:
    """Results of ``work`` for each job in order, computed by threads while the caller uses earlier ones.

    Args:
        work: called in a thread, with a job.
        jobs: as many are begun as twice the threads.
        threads: None for one for each core, and at most eight.
    """
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
