"""Feature tables on disk: one file each, complete or not there.

A file is a JSON header of 4096 bytes, then each level's rows, one level after the other. It is written
under a name of its own and renamed when it is complete, so two processes may write the same one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

FORMAT = 1
HEADER = 4096
ALIGNMENT = 64
SUFFIX = ".features"
PART = ".part"

DEFAULT_LIMIT = 20 * 10**9
"""Bytes that all tables together may take by default."""

DISK_SHARE = 0.25
"""Share of the free disk that they may take by default."""

DEAD_AFTER = 3600.0
"""Seconds after which an unfinished file that nobody writes to is removed."""


@dataclass(frozen=True)
class Level:
    """Layout of one image's features of one layer: shape, type, and whether channels lie innermost."""

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
        """Bytes of a row."""
        return self.items * self.type.itemsize

    def flatten(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, items), in the order in which they are kept."""
        return (features.permute(0, 2, 3, 1) if self.channels_last else features).reshape(len(features), self.items)

    def shape(self, rows: Tensor) -> Tensor:
        """(B, items) -> (B, C, H, W), in the memory format in which they were computed; no copy."""
        if self.channels_last:
            return rows.view(-1, self.height, self.width, self.channels).permute(0, 3, 1, 2)
        return rows.view(-1, self.channels, self.height, self.width)


def total_bytes(levels: Sequence[Level], count: int) -> int:
    """Bytes of a table of ``count`` rows."""
    return count * sum(level.row_bytes for level in levels)


class Writer:
    """A table's file in the making."""

    def __init__(self, path: Path, levels: Sequence[Level], count: int) -> None:
        """Begin a file next to ``path``; raises OSError where that can't be done."""
        self.path = path
        self.part = path.with_name(f"{path.stem}-{uuid.uuid4().hex}{PART}")
        self.offsets = _offsets(levels, count)
        self.levels = levels
        self.stream = self.part.open("wb")
        head = {"format": FORMAT, "count": count, "levels": [asdict(level) for level in levels]}
        self.stream.write(json.dumps(head).encode().ljust(HEADER))

    def put(self, start: int, rows: Sequence[Tensor]) -> None:
        """Write each level's rows (B, items) from row ``start`` on; raises OSError when the disk is full."""
        for level, offset, values in zip(self.levels, self.offsets, rows, strict=False):
            self.stream.seek(offset + start * level.row_bytes)
            self.stream.write(values.cpu().contiguous().view(torch.uint8).numpy().data)

    def finish(self) -> None:
        """Give the complete file its name; raises OSError when the disk is full."""
        self.stream.truncate(self.offsets[-1])
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        try:
            os.replace(self.part, self.path)
        except PermissionError:  # Windows, where another process has just finished the same file and reads it
            self.discard()

    def discard(self) -> None:
        """Remove what was written; fine after ``finish``, too."""
        with contextlib.suppress(OSError):
            self.stream.close()
        with contextlib.suppress(OSError):
            self.part.unlink(missing_ok=True)


@dataclass(frozen=True)
class FeatureFiles:
    """The folder of feature tables. ``limit`` is in bytes over all of them; None leaves it to the disk."""

    folder: Path
    limit: int | None = None

    def open(self, name: str, count: int) -> tuple[tuple[Level, ...], list[Tensor]] | None:
        """Map a table's file: its levels, and per level the rows (count, items). None where it isn't there."""
        path = self._path(name)
        try:
            with path.open("rb") as stream:
                head = json.loads(stream.read(HEADER))
            levels = tuple(Level(**level) for level in head["levels"])
            offsets = _offsets(levels, count)
            if (head["format"], head["count"], path.stat().st_size) != (FORMAT, count, offsets[-1]):
                return None
            mapped = torch.from_numpy(np.memmap(path, mode="c", dtype=np.uint8))
            with contextlib.suppress(OSError):
                os.utime(path)  # what was used last is removed last
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # broken, or of another adbench
            return None
        rows = [
            mapped[offset : offset + count * level.row_bytes].view(level.type).view(count, level.items)
            for level, offset in zip(levels, offsets, strict=False)
        ]
        return levels, rows

    def writer(self, name: str, levels: Sequence[Level], count: int) -> Writer | None:
        """Begin a table's file; None where the disk, or its share of it, has no room."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._make_room(_offsets(levels, count)[-1]):
                return None
            return Writer(self._path(name), levels, count)
        except OSError:
            return None

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _make_room(self, need: int) -> bool:
        """Remove dead files, and tables that were not used for longest, until ``need`` bytes fit."""
        now = time.time()
        found: list[tuple[Path, os.stat_result]] = []
        for path in (*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob(f"*{PART}")):
            with contextlib.suppress(OSError):  # gone or renamed meanwhile; or, on Windows, open in another process
                stat = path.stat()
                if path.suffix == PART and now - stat.st_mtime > DEAD_AFTER:
                    path.unlink()
                else:
                    found.append((path, stat))
        used = sum(stat.st_size for _, stat in found)
        free = shutil.disk_usage(self.folder).free
        limit = self.limit if self.limit is not None else min(DEFAULT_LIMIT, int((free + used) * DISK_SHARE))
        if need > min(limit, free + used):
            return False
        for path, stat in sorted(found, key=lambda each: each[1].st_mtime):
            if used + need <= limit and need <= free:
                break
            if path.suffix == SUFFIX:
                with contextlib.suppress(PermissionError):  # Windows: another process reads it
                    path.unlink(missing_ok=True)
                    used -= stat.st_size
                    free += stat.st_size
        return used + need <= limit and need <= free


def _offsets(levels: Sequence[Level], count: int) -> list[int]:
    """Where each level's rows begin in the file, and where the file ends."""
    offsets = [HEADER]
    for level in levels:
        end = offsets[-1] + count * level.row_bytes
        offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
    return offsets
