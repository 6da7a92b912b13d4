"""Computes backbone outputs once, for all epochs, seeds and methods that need the same ones.

A table is kept on the device if it fits there, else in memory, else in a mapped file; otherwise it is computed anew
each time. A table that fits on disk is written there, too, and later runs map its file: rows are read on first use,
and all processes share the system's copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch
from torch import Tensor

from ..util import cache
from ..util.background import Background
from ..util.memory import MicroBatches
from ..util.numerics import NUMERICS
from ..util.sizes import bytes_of
from .feature_files import FORMAT, FeatureFiles, Level, Writer, total_bytes

BUDGET_VARIABLE = "ADBENCH_FEATURE_BUDGET"
"""Bytes that tables may take on the device, and as many in memory, such as 4GB; by default half of the free bytes."""

DISK_VARIABLE = "ADBENCH_FEATURE_DISK"
"""Bytes that all tables may take on disk, within the limit of the cache (``util.cache``)."""

FREE_SHARE = 0.5
CHUNK = 8

WRITES_AHEAD = 4
"""Chunks of features that may wait for writing while a GPU computes the next ones."""

IDLE_TABLES = 8
"""Unused tables that are kept for the next method or seed; more would let memory grow from class to class."""

Place = Literal["device", "memory", "disk", "none"]
Compute = Callable[[Tensor], list[Tensor]]
Watch = Callable[[str, int, int], None]


class Table:
    """The features of all images of a set."""

    def __init__(self, rows: _Rows | None, compute: Compute, count: int, device: torch.device) -> None:
        self._rows, self._compute = rows, compute
        self.count, self.device = count, device

    @property
    def place(self) -> Place:
        """Where the table is: "device", "memory" or "disk"; "none" is computed anew each time."""
        return self._rows.place if self._rows else "none"

    @property
    def bytes(self) -> int:
        """Bytes kept."""
        return self._rows.bytes if self._rows else 0

    def __len__(self) -> int:
        return self.count

    def gather(self, rows: Tensor) -> list[Tensor]:
        """Return features on the device, exactly as they were computed.

        Args:
            rows: row numbers, int64 (B,), on the CPU. Consecutive rows are not copied on their device: don't change
                the result in place.

        Returns:
            One (B, C, H, W) tensor per level.

        Raises:
            IndexError: a row that doesn't exist.
        """
        rows = rows.to("cpu", torch.int64)
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= self.count):
            raise IndexError(f"rows {int(rows.min())} to {int(rows.max())} of a table of {self.count}")
        if self._rows is None:
            with torch.no_grad():
                return self._compute(rows)
        return self._rows.gather(rows, self.device)

    def move(self, rows: _Rows | None) -> None:
        """Move the table to another place, or compute its features anew from now on."""
        self._rows = rows


@dataclass(eq=False)
class _Rows:
    """Stored features: per level the rows (count, items)."""

    levels: tuple[Level, ...]
    flat: list[Tensor]
    place: Place

    @property
    def bytes(self) -> int:
        return total_bytes(self.levels, len(self.flat[0]))

    def put(self, start: int, rows: Sequence[Tensor]) -> None:
        for kept, values in zip(self.flat, rows, strict=True):
            kept[start : start + len(values)] = values

    def gather(self, rows: Tensor, device: torch.device) -> list[Tensor]:
        first = int(rows[0]) if len(rows) else 0
        if torch.equal(rows, torch.arange(first, first + len(rows))):
            chosen = [flat[first : first + len(rows)] for flat in self.flat]
        else:
            index = rows.to(self.flat[0].device, non_blocking=True)
            chosen = [flat.index_select(0, index) for flat in self.flat]
        if self.place != "device" and device.type == "cuda":
            chosen = [values.pin_memory().to(device, non_blocking=True) for values in chosen]
        elif self.place != "device":
            chosen = [values.to(device) for values in chosen]
        return [level.shape(values) for level, values in zip(self.levels, chosen, strict=True)]


@dataclass(eq=False)
class _Entry:
    """Stored rows, the table that may be using them, and their name on disk."""

    rows: _Rows
    handle: weakref.ref[Table]
    name: str


class FeatureCache:
    """Keeps feature tables within a budget; unused ones go first.

    Args:
        budget: bytes on the device, and as many in memory. None: ``ADBENCH_FEATURE_BUDGET``, or half of the free
            bytes when a table is made.
        folder: folder of tables on disk; None for ``features`` in adbench's cache folder.
        say: called with a line of text if a damaged file is made again.
    """

    def __init__(
        self, budget: int | None = None, folder: Path | None = None, *, say: Callable[[str], None] | None = None
    ) -> None:
        images, features = cache.places()
        others = (images,) if folder is None else ()
        self.budget = budget if budget is not None else bytes_of(BUDGET_VARIABLE)
        self.files = FeatureFiles(folder or features, bytes_of(DISK_VARIABLE), others, say)
        self.seconds = 0.0  # spent on computing tables or reading them from disk
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # the last used comes last
        self._lock = threading.RLock()

    def table(
        self,
        key: str,
        count: int,
        compute: Compute,
        device: torch.device,
        *,
        watch: Watch | None = None,
        chunk: int = CHUNK,
        about: str = "",
    ) -> Table:
        """Find a table in this process or on disk, or make it.

        Rows are computed in ascending chunks of ``chunk``, so that a row's numbers don't depend on the order in which
        batches read it later. Only a table that is kept nowhere computes rows on demand.

        Args:
            key: names everything that changes the numbers: images, size, backbone, precision.
            count: number of rows, at least 1.
            compute: row numbers (B,) int64 on the CPU -> features (B, C, H, W) of each level on ``device``.
            device: where the features are needed.
            watch: called with ("features", done, count) while the table is computed.
            chunk: rows per call of ``compute``.
            about: describes the table for people.
        """
        if count < 1:
            raise ValueError(f"a feature table of {count} rows")
        name = _name(key, count, chunk, device)
        compute = _in_micro_batches(compute)
        with self._lock:
            entry = self._entries.get(f"{name} {device}")
            table = entry.handle() if entry else None
            if table is None:
                began = time.monotonic()
                rows = entry.rows if entry else self._open(name, count, device)
                if rows is None:
                    with torch.no_grad(), cache.making(self.files.folder / name) as waited:
                        rows = self._open(name, count, device) if waited else None
                        rows = rows or self._make(name, count, compute, device, watch, chunk, about)
                self.seconds += time.monotonic() - began
                table = Table(rows, compute, count, device)
                if rows is not None:
                    self._entries[f"{name} {device}"] = _Entry(rows, weakref.ref(table), name)
            if table.place != "none":
                self._entries.move_to_end(f"{name} {device}")
            for idle, _ in self._idle()[:-IDLE_TABLES]:
                del self._entries[idle]
            return table

    def clear(self) -> None:
        """Forget the tables of this process; files stay."""
        with self._lock:
            self._entries.clear()

    def forget_idle(self) -> None:
        """Forget unused tables: those of a finished class."""
        with self._lock:
            for name, _ in self._idle():
                del self._entries[name]

    def leave(self, device: torch.device) -> int:
        """Free the memory of features on ``device``, and return its bytes.

        Tables in use continue from their file. Without a file, those of a GPU move to the CPU's memory or are computed
        anew. Those of a CPU stay, since computing them takes longest of all.
        """
        freed = 0
        with self._lock:
            for key, entry in list(self._entries.items()):
                table, rows = entry.handle(), entry.rows
                if rows.place == "disk" or rows.flat[0].device != device:
                    continue
                moved = None if table is None else self._elsewhere(entry.name, rows)
                if moved is None and table is not None and device.type == "cpu":
                    continue
                freed += rows.bytes
                if table is not None:
                    table.move(moved)
                if moved is None:
                    del self._entries[key]
                else:
                    entry.rows = moved
        return freed

    def _elsewhere(self, name: str, rows: _Rows) -> _Rows | None:
        """The same rows in their file, or on the CPU; None if there is too little memory."""
        found = self.files.open(name, len(rows.flat[0]))
        if found is not None:
            levels, mapped = found
            return _Rows(levels, mapped, "disk")
        cpu = torch.device("cpu")
        if rows.flat[0].device != cpu and self._free_space("memory", cpu, rows.bytes):
            with contextlib.suppress(RuntimeError, MemoryError):
                return _Rows(rows.levels, [flat.cpu() for flat in rows.flat], "memory")
        return None

    def _open(self, name: str, count: int, device: torch.device) -> _Rows | None:
        """Open a table from disk, on the device if it fits."""
        found = self.files.open(name, count)
        if found is None:
            return None
        levels, mapped = found
        kept = self._allocate(levels, count, device, in_memory=False)
        if kept is None:
            return _Rows(levels, mapped, "disk")
        kept.put(0, mapped)
        return kept

    def _make(
        self, name: str, count: int, compute: Compute, device: torch.device, watch: Watch | None, chunk: int, about: str
    ) -> _Rows | None:
        """Compute a table into memory, into a file, or both; None if it fits neither."""
        starts = range(0, count, chunk)
        first = compute(torch.arange(0, min(chunk, count)))
        levels = tuple(Level.of(features) for features in first)
        kept = self._allocate(levels, count, device, in_memory=True)
        writer = self._writer(name, levels, count, about)
        background = Background(device, ahead=WRITES_AHEAD)
        try:
            for start in starts:
                if kept is None and writer is None:
                    return None
                stop = min(start + chunk, count)
                features = first if start == 0 else compute(torch.arange(start, stop))
                rows = [level.flatten(values) for level, values in zip(levels, features, strict=True)]
                if kept is not None:
                    kept.put(start, rows)
                if writer is not None:
                    try:
                        background.call(writer.put, [values.cpu() for values in rows])
                    except OSError:  # the disk is full
                        writer.discard()
                        writer = None
                if watch is not None:
                    watch("features", stop, count)
            if writer is not None:
                with contextlib.suppress(OSError):
                    background.call(writer.finish_or_discard)
                    if kept is None:
                        background.wait()
                    writer = None
        finally:
            if writer is not None:
                with contextlib.suppress(OSError):
                    background.wait()
                writer.discard()
            background.close(wait=False)
        return kept or self._open(name, count, device)

    def _writer(self, name: str, levels: tuple[Level, ...], count: int, about: str) -> Writer | None:
        """Start a file; if it doesn't fit, files of unused tables may go."""
        writer = self.files.writer(name, levels, count, about)
        if writer is None:
            self._forget_idle_files()
            writer = self.files.writer(name, levels, count, about)
        return writer

    def _forget_idle_files(self) -> None:
        """Close files that only this cache keeps open."""
        for name, entry in self._idle():
            if entry.rows.place == "disk":
                del self._entries[name]

    def _allocate(
        self, levels: tuple[Level, ...], count: int, device: torch.device, *, in_memory: bool
    ) -> _Rows | None:
        """Allocate a table on the device, or else in memory if that is allowed; None if it doesn't fit."""
        places: list[tuple[Place, torch.device]] = [("device", device)] if device.type != "cpu" else []
        if in_memory:
            places.append(("memory", torch.device("cpu")))
        for place, where in places:
            if self._free_space(place, where, total_bytes(levels, count)):
                # both allocators raise RuntimeError when they are out of memory
                with contextlib.suppress(RuntimeError, MemoryError):
                    flat = [torch.empty(count, level.items, dtype=level.type, device=where) for level in levels]
                    return _Rows(levels, flat, place)
        return None

    def _free_space(self, place: Place, where: torch.device, need: int) -> bool:
        """Forget unused tables, the longest unused first, until ``need`` bytes fit into the budget."""
        used = sum(entry.rows.bytes for entry in self._entries.values() if _is_at(entry.rows, place, where))
        idle = [(name, entry) for name, entry in self._idle() if _is_at(entry.rows, place, where)]
        limit = self.budget if self.budget is not None else int((_free(where) + used) * FREE_SHARE)
        if need + used - sum(entry.rows.bytes for _, entry in idle) > limit:
            return False
        for name, entry in idle:
            if need + used <= limit:
                break
            used -= entry.rows.bytes
            del self._entries[name]
        return True

    def _idle(self) -> list[tuple[str, _Entry]]:
        """The unused tables, the longest unused first."""
        return [(name, entry) for name, entry in self._entries.items() if entry.handle() is None]


def _in_micro_batches(compute: Compute) -> Compute:
    """Compute fewer rows at a time if memory runs out."""
    micro_batches = MicroBatches("the backbone")

    def compute_some(rows: Tensor) -> list[Tensor]:
        parts = micro_batches.map(compute, [rows])
        return parts[0] if len(parts) == 1 else [torch.cat(level) for level in zip(*parts, strict=True)]

    return compute_some


def _name(key: str, count: int, chunk: int, device: torch.device) -> str:
    """Name of a table. Another kind of device, torch or core may compute other last digits."""
    parts = (FORMAT, key, count, chunk, device.type, torch.__version__, NUMERICS)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _is_at(rows: _Rows, place: Place, where: torch.device) -> bool:
    return rows.place == place and rows.flat[0].device == where


def _free(where: torch.device) -> int:
    """Free bytes on a device; on the CPU also within its container's limit."""
    if where.type == "cuda":
        free, _ = torch.cuda.mem_get_info(where)
        unused = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
        return free + unused
    return min([int(psutil.virtual_memory().available), *_container_free()])


def _container_free() -> Iterator[int]:
    """Bytes that a Linux container may still take, if it has a limit."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            yield max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
