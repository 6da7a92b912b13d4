"""Writes files and folders that are complete or not there, and removes what killed processes left behind.

Everything is written under a temporary name, flushed to the disk and renamed. A temporary name is random and is
created exclusively, so that no other program can plant a link there. Its writer holds a lock on it. The system
releases the lock when the process ends, however it ends. So ``sweep`` knows which files are abandoned.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

D = TypeVar("D", int, int | None)

DEAD_AFTER = 24 * 3600.0
"""Seconds without a write after which a temporary file counts as abandoned if its lock can't tell."""

ATTEMPTS = 3
"""How often ``write`` starts anew where another machine removes its temporary file."""

_LONGEST = 40
"""Characters of a name that its temporary name repeats; a file system allows 255 bytes in all."""

_TEMPORARY = re.compile(r"\..+-[0-9a-f]{32}\.tmp")
_OLD_TEMPORARY = re.compile(
    r"\..+-[0-9a-f]{32}|.+-[0-9a-f]{32}\.part"
    r"|\.(scores\.csv|epochs\.csv|result\.json|evidence\.npz|(state|last|oracle_\w+)\.pt)\.tmp"
)
"""Temporary names of adbench 0.1, whose writers held no lock."""


def cache_folder() -> Path:
    """Return the folder for everything that can be made again: ``ADBENCH_CACHE``, or the platform's own."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ADBENCH_CACHE") or user_cache_dir("adbench", appauthor=False))


# ---------------------------------------------------------------- writing


class NewFile:
    """A file that is being written; ``finish`` puts it in place, ``discard`` or an error removes it.

    Use it as a context manager, or call the two by hand. ``stream`` takes the bytes.

    Args:
        path: where the finished file goes; an older one is replaced. Its folder must exist.

    Raises:
        OSError: the file can't be created.
    """

    def __init__(self, path: Path) -> None:
        """Create an empty file beside ``path``."""
        self.path = path
        self._own, descriptor = _create(path, _create_file)
        self.stream: BinaryIO = os.fdopen(descriptor, "w+b")

    def finish(self) -> None:
        """Flush the file to the disk and give it its name. Raises ``OSError``; the older file is then still there."""
        flush(self.stream)
        if os.name == "nt":  # where an open file can't be renamed
            self.stream.close()
        os.replace(self._own, self.path)
        self.stream.close()
        flush_folder(self.path.parent)

    def discard(self) -> None:
        """Remove what was written. Does nothing after ``finish``."""
        if os.name == "nt":
            with suppress(OSError):
                self.stream.close()
        with suppress(OSError):
            self._own.unlink(missing_ok=True)
        with suppress(OSError):  # closing writes what is left, and the disk may be full
            self.stream.close()

    def __enter__(self) -> BinaryIO:
        return self.stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.discard()


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file with ``fill``. Afterwards it is the whole new one or the old one, even after a power cut.

    ``fill`` may be called again: another machine that doesn't see the lock may take the temporary file for abandoned.

    Raises:
        OSError: it can't be written.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            with NewFile(path) as stream:
                fill(stream)
            return
        except FileNotFoundError:
            if not (left and path.parent.is_dir()):
                raise


TAIL = 1 << 16
"""Bytes at the end of a file that ``append`` looks at."""


def append(path: Path, data: bytes, check: Callable[[bytes], None] | None = None) -> None:
    """Add bytes at the end of a file, all of them or none; a missing file is made.

    Several processes may append to one file at once: none writes into the bytes of another. Where the file's last line
    has no end, since its writer was killed, it gets one first.

    Args:
        path: the file.
        data: the bytes.
        check: called with the file's last line that isn't blank, or its last ``TAIL`` bytes, before anything is
            written; what it raises leaves the file as it is. It isn't called for a file without such a line.

    Raises:
        OSError: it can't be written; the file is as before.
    """
    with path.open("a+b", buffering=0) as stream, _alone(stream.fileno(), path):
        size = stream.seek(0, os.SEEK_END)
        if size:
            stream.seek(max(0, size - TAIL))
            last = stream.read(TAIL).rstrip().rpartition(b"\n")[2]
            if check and (last or size > TAIL):
                check(last)
            stream.seek(size - 1)
            data = data if stream.read(1) == b"\n" else b"\n" + data
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]
        except OSError:
            stream.truncate(size)
            raise


@contextmanager
def _alone(descriptor: int, path: Path) -> Iterator[None]:
    """Wait until no other process appends to a file, and keep others waiting."""
    if fcntl is not None:
        _lock(descriptor)  # closing the file releases it
        yield
        return
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def link_or_copy(source: Path, path: Path) -> None:
    """Give a file a second name: a hard link where the file system has them, else a copy.

    Raises:
        OSError: it can't be written.
    """
    own = _temporary_name(path)
    with source.open("rb") as stream:
        _lock(stream.fileno())  # the link is the same file, so the lock holds for it, too
        try:
            own.hardlink_to(source)
        except OSError:

            def copy(target: BinaryIO) -> None:
                stream.seek(0)
                shutil.copyfileobj(stream, target)

            write(path, copy)
            return
        try:
            os.replace(own, path)
            flush_folder(path.parent)
        finally:
            own.unlink(missing_ok=True)  # replacing a file by a link to itself leaves both names


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Make a temporary folder beside ``place``, which the caller fills and renames; otherwise it is removed.

    Raises:
        OSError: it can't be created.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    own, descriptor = _create(place, _create_folder)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def replace_folder(own: Path, place: Path, *, attempts: int = 5) -> None:
    """Put a folder in place of another one. Where several processes do so at once, the last one wins.

    Raises:
        OSError: it can't be renamed.
    """
    for left in reversed(range(attempts)):
        shutil.rmtree(place, ignore_errors=True)
        try:
            own.rename(place)
        except OSError:
            if not left:
                raise
        else:
            flush_folder(place.parent)
            return


def remove(path: Path) -> None:
    """Remove a file or a folder at once, so that no process sees half of a folder.

    Raises:
        OSError: it isn't there, or it can't be removed: on Windows, because it is open.
    """
    own = _temporary_name(path)
    path.rename(own)
    if own.is_dir() and not own.is_symlink():
        shutil.rmtree(own, ignore_errors=True)
    else:
        own.unlink()


def remove_bare(folder: Path, name: str, *, above: int) -> None:
    """Remove a folder that has nothing but the file ``name``, and up to ``above`` folders over it that become empty.

    What can't be removed stays, without an error.
    """
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [name]:
            (folder / name).unlink()
        for path in (folder, *list(folder.parents)[:above]):
            path.rmdir()


def flush(stream: BinaryIO) -> None:
    """Flush what was written to the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk. Outside POSIX, renaming is durable already."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---------------------------------------------------------------- what killed processes left


def sweep(folder: Path) -> int:
    """Remove the abandoned temporary files and folders in ``folder``; return their number.

    What can't be removed stays, without an error.
    """
    removed = 0
    for path in temporaries(folder):
        with suppress(OSError):
            removed += _remove_if_abandoned(path)
    return removed


def temporaries(folder: Path) -> list[Path]:
    """The temporary files and folders in ``folder``, abandoned or not; none where it can't be read."""
    with suppress(OSError):
        return [path for path in folder.iterdir() if _is_temporary(path.name)]
    return []


def _is_temporary(name: str) -> bool:
    return bool(_TEMPORARY.fullmatch(name) or _OLD_TEMPORARY.fullmatch(name))


def _remove_if_abandoned(path: Path) -> bool:
    is_folder = stat.S_ISDIR(path.lstat().st_mode)
    with _opened(path, is_folder) as descriptor:
        held = _is_locked(descriptor) if descriptor is not None and _TEMPORARY.fullmatch(path.name) else None
        if held or (held is None and time.time() - _last_write(path) <= DEAD_AFTER):
            return False
        if descriptor is not None and not _is_still(path, descriptor):
            return False  # its writer has finished it meanwhile
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
        return True


@contextmanager
def _opened(path: Path, is_folder: bool) -> Iterator[int | None]:
    """Open a file or folder to look at its lock; None where it can't be opened."""
    if fcntl is None:
        yield None
        return
    access = os.O_RDONLY if is_folder else os.O_RDWR  # NFS locks only files that are open for writing
    descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _last_write(path: Path) -> float:
    """Time of the last write to ``path``, or to any file in it."""
    times = [path.lstat().st_mtime]
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                times.append(os.lstat(os.path.join(folder, name)).st_mtime)
    return max(times)


# ---------------------------------------------------------------- temporary names


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name[:_LONGEST]}-{secrets.token_hex(16)}.tmp")


def _create_file(own: Path) -> int:
    binary = getattr(os, "O_BINARY", 0)  # without it Windows changes line ends
    return os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | binary, 0o666)  # O_EXCL never follows a link


def _create_folder(own: Path) -> int | None:
    own.mkdir()
    return None if fcntl is None else os.open(own, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _create(path: Path, create: Callable[[Path], D]) -> tuple[Path, D]:
    """Create something under a temporary name and lock it, before another process takes it for abandoned."""
    while True:
        own = _temporary_name(path)
        descriptor = create(own)
        if descriptor is None:
            return own, descriptor
        _lock(descriptor)
        if _is_still(own, descriptor):
            return own, descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a temporary file as long as the descriptor is open, to show other processes that it is in use."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_locked(descriptor: int) -> bool | None:
    """Whether another process holds the lock; takes it if not. None where the file system has no locks."""
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still names the open file."""
    with suppress(OSError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False
