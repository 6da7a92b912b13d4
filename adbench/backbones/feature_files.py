"""Feature tables on disk: one file each, complete or missing.

A file is a JSON header of 16 KB, with a digest over itself and one over each level, then the rows of each level in
turn. It is written under a temporary name and renamed when it is complete, so two processes may write the same file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..util import cache, files, integrity

FORMAT = 2
HEADER = 1 << 14
ALIGNMENT = 64
SUFFIX = ".features"


@dataclass(frozen=True)
class Level:
    """Layout of one image's features of one layer: shape, type, and whether channels are innermost in memory."""

    channels: int
    height: int
    width: int
    dtype: str
    channels_last: bool

    @classmethod
    def of(cls, features: Tensor) -> Level:
        """The layout of (B, C, H, W)."""
        innermost = not features.is_contiguous() and features.is_contiguous(memory_format=torch.channels_last)
        _, channels, height, width = features.shape
        return cls(channels, height, width, str(features.dtype).removeprefix("torch."), innermost)

    @property
    def type(self) -> torch.dtype:
        """The numbers' type."""
        return cast(torch.dtype, getattr(torch, self.dtype))

    @property
    def items(self) -> int:
        """Numbers in a row."""
        return self.channels * self.height * self.width

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.items * self.type.itemsize

    def flatten(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, items), in the stored order."""
        return (features.permute(0, 2, 3, 1) if self.channels_last else features).reshape(len(features), self.items)

    def shape(self, rows: Tensor) -> Tensor:
        """(B, items) -> (B, C, H, W), in the memory format of the computed tensor; without a copy."""
        if self.channels_last:
            return rows.view(-1, self.height, self.width, self.channels).permute(0, 3, 1, 2)
        return rows.view(-1, self.channels, self.height, self.width)


def total_bytes(levels: Sequence[Level], count: int) -> int:
    """Bytes of a table of ``count`` rows."""
    return count * sum(level.row_bytes for level in levels)


class Writer:
    """A table's file that is being written."""

    def __init__(self, path: Path, levels: Sequence[Level], count: int, about: str = "") -> None:
        """Start the file ``path``; raises OSError if that fails."""
        self.levels, self.count, self.about = levels, count, about
        self.offsets = _offsets(levels, count)
        self.file = files.NewFile(path)
        self.hashers = [integrity.Hasher() for _ in levels]
        self.rows = 0

    def put(self, rows: Sequence[Tensor]) -> None:
        """Write each level's next rows (B, items); raises OSError when the disk is full."""
        for level, offset, hasher, values in zip(self.levels, self.offsets, self.hashers, rows, strict=False):
            data = values.cpu().contiguous().view(torch.uint8).numpy().data
            self.file.stream.seek(offset + self.rows * level.row_bytes)
            self.file.stream.write(data)
            hasher.update(data)
        self.rows += len(rows[0])

    def finish(self) -> None:
        """Rename the complete file; raises OSError if the disk is full."""
        self.file.stream.truncate(self.offsets[-1])
        found = [hasher.hexdigest() for hasher in self.hashers]
        levels = [asdict(level) for level in self.levels]
        facts = {"format": FORMAT, "about": self.about, "count": self.count, "levels": levels, "digests": found}
        head = integrity.seal(facts).encode() + b"\n"
        if len(head) > HEADER:
            raise OSError(f"{len(self.levels)} levels don't fit into the header of a feature file")
        self.file.stream.seek(0)
        self.file.stream.write(head.ljust(HEADER))
        try:
            self.file.finish()
        except PermissionError:  # Windows, where another process has just finished the same file and reads it
            self.discard()

    def finish_or_discard(self) -> None:
        """Rename the complete file, or remove it if the disk is full."""
        with contextlib.suppress(OSError):
            self.finish()
        self.discard()

    def discard(self) -> None:
        """Remove what was written; allowed after ``finish``, too."""
        self.file.discard()


@dataclass(frozen=True)
class FeatureFiles:
    """The folder of feature tables.

    ``limit`` is in bytes over all of them. They also share the limit of the cache, with ``others``. ``say`` is called
    with a line about a damaged file.
    """

    folder: Path
    limit: int | None = None
    others: tuple[Path, ...] = ()
    say: Callable[[str], None] | None = None

    def open(self, name: str, count: int) -> tuple[tuple[Level, ...], list[Tensor]] | None:
        """Map a table's file: its levels, and per level the rows (count, items). None if there is no usable file."""
        path = self._path(name)
        try:
            with path.open("rb") as stream:
                cache.hold(stream)  # the mapping keeps the lock when the file is closed
                head = integrity.unseal(stream.read(HEADER))
                if head["format"] != FORMAT:
                    return None
                levels = tuple(Level(**level) for level in head["levels"])
                offsets = _offsets(levels, count)
                if (head["count"], os.fstat(stream.fileno()).st_size) != (count, offsets[-1]):
                    raise ValueError("another length")
                for level, offset, digest in zip(levels, offsets, head["digests"], strict=False):
                    if not integrity.is_intact(path, digest, start=offset, length=count * level.row_bytes):
                        raise ValueError("another content")
                cache.touch(path)
                mapped = torch.from_numpy(np.memmap(stream, mode="c", dtype=np.uint8))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            if self.say:
                self.say("A file of cached features is damaged. Its features are computed again.")
            return None
        rows = [
            mapped[offset : offset + count * level.row_bytes].view(level.type).view(count, level.items)
            for level, offset in zip(levels, offsets, strict=False)
        ]
        return levels, rows

    def writer(self, name: str, levels: Sequence[Level], count: int, about: str = "") -> Writer | None:
        """Start a table's file; None if it fits neither disk nor limit. ``about`` describes it for people."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._free_space(_offsets(levels, count)[-1]):
                return None
            return Writer(self._path(name), levels, count, about)
        except OSError:
            return None

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _free_space(self, need: int) -> bool:
        if self.limit is not None and not cache.free_space(need, [self.folder], self.limit):
            return False
        return cache.free_space(need, [self.folder, *self.others], cache.limit(self.folder))


def _offsets(levels: Sequence[Level], count: int) -> list[int]:
    """Start of each level's rows in the file, and the end of the file."""
    offsets = [HEADER]
    for level in levels:
        end = offsets[-1] + count * level.row_bytes
        offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
    return offsets
