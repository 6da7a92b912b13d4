"""Pictures of any folder, beside the training images: found, looked at, decoded ahead by threads, and resized.

DRAEM and GLASS paint with them, and EfficientAD distils its teacher and takes its penalty images from them.
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from adbench.api import DataError, Size, reason

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of the files that are read, also in capitals."""

_BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a file that it can't decode."""

DECODED = 6_000
"""Pictures of a folder that are decoded to check it, such as the 5640 of the Describable Textures Dataset; of larger
folders, such as ImageNet, only the heads are read."""

NAMED = 3
"""Pictures that a message names."""

T, R = TypeVar("T"), TypeVar("R")

_looked_at: dict[Path, tuple[list[tuple[Path, int, int]], Pictures]] = {}
"""The pictures of each folder that this process has looked at, with their times and sizes: classes share a folder."""


@dataclass(frozen=True)
class Pictures:
    """The readable pictures of a folder, sorted, and why others are passed over."""

    folder: Path
    files: tuple[Path, ...]
    faults: dict[Path, str] = field(default_factory=dict)

    def remarks(self, thing: str) -> list[str]:
        """A line that names the pictures which are passed over, if there are any; it begins with ``thing``."""
        if not self.faults:
            return []
        count = len(self.faults)
        total = count + len(self.files)
        verb = "can't be read and is" if count == 1 else "can't be read and are"
        return [f"Warning: {thing}: {count} of {total} pictures {verb} passed over: {self._named()}."]

    def _named(self) -> str:
        named = [f"{file.relative_to(self.folder)} ({fault})" for file, fault in list(self.faults.items())[:NAMED]]
        more = f" and {len(self.faults) - NAMED} more" if len(self.faults) > NAMED else ""
        return ", ".join(named) + more

    def draw(self, row: int, read: Callable[[Path], R]) -> R:
        """Read the picture of a row; one that can't be decoded after all is named, and the next one taken.

        Args:
            row: its number.
            read: opens and decodes a file.

        Raises:
            DataError: a file is gone or can't be opened, or no other one can be decoded.
        """
        for offset in range(len(self.files)):
            file = self.files[(row + offset) % len(self.files)]
            try:
                return read(file)
            except _BROKEN as error:
                if isinstance(error, OSError) and error.errno is not None:  # what is drawn depends on contents alone
                    hint = "Training reads the folder until it ends"
                    raise DataError(f"picture {file}", found=reason(error), hint=hint) from error
                warnings.warn(f"picture {file} can't be read ({fault_text(error)}); the next is taken", stacklevel=2)
        raise DataError(f"folder {self.folder}", found="no picture that can be read")


def readable(folder: Path, *, thing: str = "") -> Pictures:
    """All readable pictures below a folder, after a look at each: a broken one would end a training after hours.

    Up to ``DECODED`` are decoded. Of more only the heads are read, and ``Pictures.draw`` passes over the others that
    are broken.

    Args:
        folder: the folder.
        thing: what messages call it, such as "--aux images=DIR"; by default the folder.

    Raises:
        DataError: there is no readable picture, or no folder.
    """
    thing = thing or f"folder {folder}"
    wanted = f"pictures ({', '.join(ENDINGS)})"
    if not folder.is_dir():
        raise DataError(thing, found="no such folder", wanted=wanted)
    found = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise DataError(thing, found="no picture", wanted=wanted)
    facts = [(path, status.st_mtime_ns, status.st_size) for path in found if (status := path.stat())]
    known, pictures = _looked_at.get(folder, (None, None))
    if pictures is None or facts != known:
        look = _fault if len(found) <= DECODED else _fault_of_head
        faults = {path: fault for path, fault in zip(found, ahead(look, found), strict=True) if fault is not None}
        pictures = Pictures(folder, tuple(path for path in found if path not in faults), faults)
        _looked_at[folder] = facts, pictures
    if not pictures.files:
        raise DataError(thing, found=f"no picture that can be read: {pictures._named()}", wanted=wanted)
    return pictures


def checked(name: str, folder: Path) -> Sequence[str]:
    """Look at the pictures of ``--aux NAME=DIR``, as ``Auxiliary.check`` does; returns a line on those passed over.

    Raises:
        DataError: there is no readable one.
    """
    thing = f"--aux {name}={folder}"
    return readable(folder, thing=thing).remarks(thing)


def _fault(path: Path) -> str | None:
    """Why a picture can't be decoded; None if it can."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (1, 1))  # the decoder of JPEG reads all of the file, but makes an eighth of each side
            image.convert("RGB")
    except _BROKEN as error:
        return fault_text(error)
    return None


def _fault_of_head(path: Path) -> str | None:
    try:
        with Image.open(path):
            return None
    except _BROKEN as error:
        return fault_text(error)


def fault_text(error: BaseException) -> str:
    """Why a picture can't be read, without its path."""
    return "no image" if isinstance(error, UnidentifiedImageError) else reason(error)


def read(path: Path, *, grey: bool = False) -> Image.Image:
    """Decode a picture as RGB; ``grey`` gives all channels its brightness. Raises what Pillow raises."""
    with Image.open(path) as image:
        return image.convert("L").convert("RGB") if grey else image.convert("RGB")


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
