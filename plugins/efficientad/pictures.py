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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        hint = "Remove the file from the folder"
        raise DataError(f"picture {path}", found=reason(error), wanted="one that Pillow reads", hint=hint) from error


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
