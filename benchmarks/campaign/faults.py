"""Faults at file operations of this process: a kill, a write that ends half-way, or an error such as a full disk.

Operations are counted from 0: opening, renaming, linking and removing files, making and removing folders, locking
(Python's audit events, which C code raises, too), and each flush and each write of Python's files. What SQLite writes
is not counted. An operation counts if it is in one of the watched folders, or on an open file. A kill *before* one
operation is a kill *after* the one before it.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["none", "kill", "tear", "full", "error"]

CREATING = os.O_CREAT | os.O_TRUNC
CHANGING = {"os.rename": (0, 2), "os.link": (0, 2), "os.mkdir": (0, 2), "os.truncate": (0, None)}
"""Audit events that a full disk can refuse: where the path stands among their values, and the folder's descriptor."""
REMOVING = {"os.remove": (0, 1), "os.rmdir": (0, 1)}
LOCKING = "fcntl.flock"
LAST_STREAM = 2
"""Descriptors up to that of standard error are no files of the product."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the operation ``at``.

    "kill" ends the process before it; "tear" does, too, but half-way where it is a write. "full" lets it and all later
    ones that need space fail with ``code``, "error" only it. ``unlocked`` makes all locks of files succeed at once, as
    on two machines that share a folder but no locks.
    """

    kind: Kind = "none"
    at: int = 0
    code: int = errno.ENOSPC
    unlocked: bool = False


NO_FAULT = Fault()


class Injector:
    """Counts the operations in some folders, and lets the fault happen. ``install`` can't be undone.

    ``end`` kills the process.
    """

    def __init__(self, fault: Fault, folders: Sequence[Path], end: Callable[[], None] | None = None) -> None:
        self.fault, self.count, self.hit = fault, 0, False
        self._end = end or die
        self.writes_at: list[int] = []
        """The places of the operations that need space."""
        self._folders = tuple(os.path.realpath(folder) + os.sep for folder in folders)
        self._own = os.getpid()

    def install(self) -> None:
        """Watch this process from now on."""
        if self.fault.unlocked:
            _forget_locks()
        fsync = os.fsync

        def counted_fsync(descriptor: Any) -> None:
            self._at(None, needs_space=True)
            fsync(descriptor)

        os.fsync = counted_fsync
        opened = _opener(self)
        builtins.open = io.open = opened
        accessor = getattr(pathlib, "_NormalAccessor", None)  # Python 3.10 keeps its own reference
        if accessor is not None:
            accessor.open = staticmethod(opened)
        sys.addaudithook(self._audit)

    def writes(self, write: Callable[[Any], int], data: Any) -> int:
        """Write to an open file."""
        if self.fault.kind == "tear" and self.count == self.fault.at and os.getpid() == self._own:
            half = memoryview(data).cast("B")
            write(half[: len(half) // 2])
        self._at(None, needs_space=True)
        return write(data)

    def _audit(self, event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = values
            creates = bool(flags & CREATING) if isinstance(flags, int) else bool(set(mode or "") & set("wax"))
            self._at(path, needs_space=creates)
        elif event in CHANGING or event in REMOVING:
            place, descriptor = {**CHANGING, **REMOVING}[event]
            inside = descriptor is not None and values[descriptor] not in (-1, None)
            self._at(None if inside else values[place], needs_space=event in CHANGING)
        elif event == LOCKING:
            self._at(None, needs_space=False)

    def _at(self, path: object, *, needs_space: bool) -> None:
        """Count an operation on a path, or on an open file (None), and let the fault happen if its time has come."""
        if os.getpid() != self._own or not self._watched(path):
            return
        number, fault = self.count, self.fault
        self.count += 1
        if needs_space:
            self.writes_at.append(number)
        if fault.kind in ("kill", "tear") and number == fault.at:
            self._end()
        if (fault.kind == "error" and number == fault.at) or (
            fault.kind == "full" and number >= fault.at and needs_space
        ):
            self.hit = True
            raise OSError(fault.code, os.strerror(fault.code), path if isinstance(path, str) else None)

    def _watched(self, path: object) -> bool:
        if path is None:
            return True
        if not isinstance(path, (str, bytes, os.PathLike)):  # an open file's descriptor, whose path was counted
            return False
        text = os.path.abspath(os.fsdecode(path)) + os.sep
        return text.startswith(self._folders) or os.path.realpath(text).startswith(self._folders)


def die() -> None:
    """End this process as by ``kill -9``."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _forget_locks() -> None:
    import fcntl

    def succeed(descriptor: Any, operation: int) -> None:
        """Lock nothing."""

    fcntl.flock = succeed


def _opener(injector: Injector) -> Callable[..., Any]:
    """Make an ``open`` whose files for writing count their writes."""
    plain = io.open

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            if self.fileno() <= LAST_STREAM:
                return super().write(data)
            return injector.writes(super().write, data)

    def opened(
        file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        if not set(mode) & set("wax+"):
            return plain(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(file, "".join(sorted(set(mode) - set("bt"), key="rwax+".index)), closefd, opener)
        if buffering == 0:
            return raw
        stream = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline, buffering == 1)

    return opened
