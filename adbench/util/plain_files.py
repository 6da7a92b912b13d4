"""Reads files of folders that other people made: plain files only, no links, and without writing anything."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20
"""Bytes that are read at once."""


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link, or a junction of Windows."""
    return path.is_symlink() or getattr(os.path, "isjunction", lambda _: False)(path)


def is_regular(path: Path) -> bool:
    """Whether ``path`` is a plain file, or a link to one: not a folder, a pipe or a device. Raises ``OSError``."""
    return stat.S_ISREG(path.stat().st_mode)


def is_plain(path: Path) -> bool:
    """Whether a path is a file itself: not a link to one, a folder, a pipe or a device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading.

    Raises:
        OSError: it can't be read, or is no plain file.
    """
    if not is_plain(path):
        raise OSError(errno.EINVAL, "a link" if is_link(path) else "no plain file", str(path))
    extra = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # it may be replaced meanwhile
    descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in extra))
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "no plain file", str(path))
    return stream


def blocks_of(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of a stream in blocks."""
    while block := stream.read(BLOCK):
        yield block


def sha256_of(path: Path) -> str:
    """The SHA-256 digest of a plain file. Raises ``OSError``."""
    hasher = hashlib.sha256()
    with open_plain(path) as stream:
        for block in blocks_of(stream):
            hasher.update(block)
    return hasher.hexdigest()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of ``filelock`` on a file; False where that can't be known."""
    if not is_plain(path):
        return False
    if sys.platform == "win32":
        import msvcrt

        try:
            with path.open("r+b") as stream:
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
                msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
        except OSError:
            return True
        return False
    import fcntl

    try:
        with open_plain(path) as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what goes meanwhile counts nothing."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_size
    with suppress(OSError):
        size += 0 if path.is_dir() else path.lstat().st_size
    return size
