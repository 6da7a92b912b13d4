"""The cache folder: its limit, its content, and what is removed first when it is full.

Decoded images (``pictures/``) and features (``features/``) share one limit. The longest unused entries go first, but
nothing that a process has open: a process that maps a file holds a shared lock on it (``hold``) as long as it does.
"""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from . import files, integrity, plain_files
from .sizes import bytes_of

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

LIMIT_VARIABLE = "ADBENCH_CACHE_LIMIT"
"""Bytes that images and features may take together, such as 100GB."""

DEFAULT_LIMIT = 50 * 10**9
DISK_SHARE = 0.1
"""Share of the whole disk; the smaller of the two is the default limit."""

WAIT_BETWEEN = 0.1
"""Seconds between two looks at a lock that another process holds."""

Kind = Literal["images", "features"]

FOLDERS: dict[Kind, str] = {"images": "pictures", "features": "features"}
"""Folder of each kind in the cache folder."""


@dataclass(frozen=True)
class Entry:
    """An entry of the cache: a store of images, or a file of features.

    ``used`` is the time of its last use, in seconds since 1970.
    """

    kind: Kind
    path: Path
    bytes: int
    used: float

    @property
    def about(self) -> str:
        """Description of its content for people; "" if it can't be read."""
        path = self.path / "store.json" if self.path.is_dir() else self.path
        with suppress(OSError, ValueError), os.fdopen(_open_unused(path), "rb") as stream:
            return str(integrity.unseal(stream.readline(1 << 20)).get("about", ""))
        return ""


def limit(root: Path | None = None) -> int:
    """Bytes that images and features may take: ``ADBENCH_CACHE_LIMIT``, or a tenth of the disk, but at most 50 GB.

    Raises:
        OptionError: the variable holds no number of bytes.
    """
    given = bytes_of(LIMIT_VARIABLE)
    if given is not None:
        return given
    folder = root or files.cache_folder()
    while not folder.exists():
        folder = folder.parent
    return min(DEFAULT_LIMIT, int(DISK_SHARE * shutil.disk_usage(folder).total))


def places(root: Path | None = None) -> tuple[Path, ...]:
    """The folders that share the limit."""
    return tuple((root or files.cache_folder()) / name for name in FOLDERS.values())


def entries(folders: Iterable[Path] | None = None) -> list[Entry]:
    """The entries of the cache, the longest unused first; temporary files are left out."""
    found = []
    for folder in places() if folders is None else folders:
        kind: Kind = "images" if folder.name == FOLDERS["images"] else "features"
        temporary = set(files.temporaries(folder))
        with suppress(OSError):
            for path in folder.iterdir():
                if path not in temporary and not path.is_symlink():
                    with suppress(OSError):  # removed meanwhile
                        found.append(_entry(kind, path))
    return sorted(found, key=lambda entry: entry.used)


def _entry(kind: Kind, path: Path) -> Entry:
    inside = [each for each in path.iterdir() if each.is_file()] if path.is_dir() else [path]
    found = [each.stat() for each in inside]
    used = max((max(status.st_atime, status.st_mtime) for status in found), default=path.stat().st_mtime)
    return Entry(kind, path, sum(status.st_size for status in found), used)


def _open_unused(path: Path) -> int:
    """Open a file to inspect it, which doesn't count as use where the system can tell the difference."""
    with suppress(PermissionError):  # another user's file
        return os.open(path, os.O_RDONLY | getattr(os, "O_NOATIME", 0))
    return os.open(path, os.O_RDONLY)


def total(folders: Sequence[Path]) -> int:
    """Bytes in some folders, including files that are being written."""
    size = sum(entry.bytes for entry in entries(folders))
    for folder in folders:
        for path in files.temporaries(folder):
            size += plain_files.size_of(path)
    return size


# ---------------------------------------------------------------- what is in use


def hold(stream: BinaryIO) -> None:
    """Keep an open file from being removed, until it and all its mappings are closed."""
    if fcntl is not None:
        with suppress(OSError):  # it is about to be removed, which what is open outlives; or there are no locks
            fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)


def touch(path: Path) -> None:
    """Note that a file is used now. Its modification time stays."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def in_use(entry: Entry) -> bool:
    """Whether a process has the entry open. Windows doesn't say it, but doesn't remove open files either."""
    if fcntl is None:
        return False
    inside = entry.path.iterdir() if entry.path.is_dir() else [entry.path]
    return any(_is_held(path) for path in inside)


def _is_held(path: Path) -> bool:
    assert fcntl is not None
    with suppress(OSError), path.open("rb") as stream:
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# ---------------------------------------------------------------- made once

LOCKS, LOCK_DIGITS = "locks", 2
"""Folder of the locks in the cache folder, and digits of a digest that name one; some things share a lock."""

_is_making: ContextVar[bool] = ContextVar("is making something for the cache", default=False)


@contextmanager
def making(path: Path) -> Iterator[bool]:
    """Let one process at a time make an entry of the cache; the others wait, and then find it made.

    It is no more than a courtesy, since entries are put in place whole: where the file system has no locks, two
    processes make the same. A process that makes one thing waits for no other one, so that none wait in a circle.

    Args:
        path: of the entry.

    Yields:
        Whether it had to wait, so that the entry may be there now.
    """
    if _is_making.get():
        yield False
        return
    from filelock import FileLock, Timeout

    waited = False
    name = hashlib.sha256(str(path).encode("utf-8", "surrogatepass")).hexdigest()[:LOCK_DIGITS]
    folder = files.cache_folder() / LOCKS
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / name)
            try:
                held.enter_context(lock.acquire(timeout=0))
            except Timeout:
                waited = True
                held.enter_context(lock.acquire(poll_interval=WAIT_BETWEEN))
        while waited and _is_being_written(path):  # on a GPU, the last rows are written while it goes on computing
            time.sleep(WAIT_BETWEEN)
        token = _is_making.set(True)
        try:
            yield waited
        finally:
            _is_making.reset(token)


def _is_being_written(path: Path) -> bool:
    files.sweep(path.parent)
    return any(each.name.startswith(f".{path.stem}") for each in files.temporaries(path.parent))


# ---------------------------------------------------------------- space


def free_space(need: int, folders: Sequence[Path], most: int, *, must: bool = False) -> bool:
    """Remove the longest unused entries until ``need`` more bytes fit on the disk and into ``most`` bytes in all.

    Args:
        need: bytes to be written.
        folders: the folders that count, and from which entries may go.
        most: bytes that the folders may take.
        must: remove what can be removed, even if that is not enough.

    Returns:
        Whether they fit.
    """
    for folder in folders:
        files.sweep(folder)
    used = total(folders)
    free = min((shutil.disk_usage(folder).free for folder in folders if folder.is_dir()), default=need)
    going = []
    for entry in entries(folders):
        if used + need <= most and need <= free:
            break
        if not in_use(entry):
            going.append(entry)
            used, free = used - entry.bytes, free + entry.bytes
    fits = used + need <= most and need <= free
    removed = [remove(entry) for entry in going] if fits or must else []
    return fits and all(removed)


def remove(entry: Entry) -> bool:
    """Remove an entry at once, so that no process sees half of it; return whether it is gone."""
    with suppress(OSError):
        files.remove(entry.path)
    return not entry.path.exists()


def prune(most: int | None = None, root: Path | None = None) -> list[Entry]:
    """Reduce the cache to its limit, and return the removed entries. Entries in use stay."""
    folders = places(root)
    before = entries(folders)
    most = limit(root) if most is None else most
    if sum(entry.bytes for entry in before) > most:
        gc.collect()  # unmaps files of unreachable objects
    free_space(0, folders, most, must=True)
    return [entry for entry in before if not entry.path.exists()]
