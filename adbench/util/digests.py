"""Digests of files' contents. Each file is read once, and its digest kept in a small index in the cache folder.

What else is found out by reading a whole file, in a short text, can be kept in an index of its own.

The index stays small: each write to it also looks at some of the digests that were not looked at for longest, and drops
those whose file is gone.

A digest is kept with the file's size, inode and times of change, so that an unchanged file is not read again. A change
that leaves all of these the same may be missed. On POSIX no program can keep the time of the last status change;
elsewhere a program that sets the time of modification back can.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .files import cache_folder

Watch = Callable[[str, int, int], None]
"""Called with ("hash", files done, files in all)."""

Signature = tuple[int, int, int, int]
"""Shows that a file is unchanged: bytes, inode, and the times of modification and of status change in ns."""

INDEX = "digests.sqlite"

FORMAT = 2
"""Version of the index; another number makes it anew."""

MOST = 1_000_000
"""Most digests in the index, some 200 MB. Beyond it those seen longest ago go, and their files are read again."""

LOOKED_AT = 200
"""Digests, besides as many as are written, that a write looks at: whether their files still exist."""

WORKERS = 4
"""Worker threads that read and hash."""

FRESH, FRESH_COARSE = 100_000_000, 2_000_000_000
"""Nanoseconds after a change in which a file counts as still being written: the next change may have the same time.

The second value is for file systems that keep whole seconds.
"""

PATIENCE = 5.0
"""Seconds to wait for another process that writes to the index."""

_AT_ONCE = 500  # variables in one query; SQLite's smallest limit is 999

_FACTS = "path, size, inode, modified, changed, digest"

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, inode INTEGER, modified INTEGER, "
    "changed INTEGER, digest TEXT, seen INTEGER) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS oldest ON files (seen)",
)


class Digests:
    """Digests of files' contents. Making one opens nothing.

    Several processes may use the same index. A broken index is made anew. Where an index can't be opened or written,
    files are read again.
    """

    def __init__(
        self, folder: Path | None = None, name: str = INDEX, read: Callable[[Path], str | None] | None = None
    ) -> None:
        """Keep the index in ``folder``; the cache folder by default.

        Args:
            folder: of the index.
            name: of the index's file.
            read: finds out another short text by reading a file, in place of a digest; None if it can't be read.
        """
        self._folder, self._name, self._read_one = folder, name, read or _digest_of

    @property
    def path(self) -> Path:
        """The index's file."""
        return (self._folder or cache_folder()) / self._name

    def of(
        self, paths: Iterable[Path], watch: Watch | None = None, *, known: Mapping[Path, Signature | None] | None = None
    ) -> dict[Path, str | None]:
        """The digest of each file, 32 hex digits; None where there is no readable file.

        Args:
            paths: regular files, or links to them; anything else counts as unreadable and is not opened.
            watch: called with the progress where files must be read.
            known: the present signatures of these files, if they were looked up before.
        """
        signatures = {path: known[path] for path in paths} if known is not None else signatures_of(paths)
        found: dict[Path, str | None] = dict(self._remembered(signatures))
        unread = [path for path, seen in signatures.items() if seen is not None and path not in found]
        found.update(self._read(unread, signatures, watch))
        return {path: found.get(path) for path in signatures}

    def bytes_to_read(self, paths: Iterable[Path]) -> int:
        """Bytes that ``of`` would read, because the files are new or have changed."""
        signatures = {path: signature(path) for path in dict.fromkeys(paths)}
        known = self._remembered(signatures)
        return sum(seen[0] for path, seen in signatures.items() if seen is not None and path not in known)

    def _read(
        self, paths: Sequence[Path], signatures: dict[Path, Signature | None], watch: Watch | None
    ) -> Iterator[tuple[Path, str | None]]:
        """Hash files in worker threads, and keep the digests of those that no program is writing to."""
        if not paths:
            return
        rows = []
        with ThreadPoolExecutor(min(WORKERS, len(paths))) as pool:
            for number, (path, digest) in enumerate(zip(paths, pool.map(self._read_one, paths), strict=True), 1):
                if watch:
                    watch("hash", number, len(paths))
                before = signatures[path]
                if digest is not None and before is not None and signature(path) == before and not _is_fresh(before):
                    rows.append((_key(path), *before, digest))
                yield path, digest
        self._remember(rows)

    # -- the index

    def _remembered(self, signatures: dict[Path, Signature | None]) -> dict[Path, str]:
        """The kept digests of files that are unchanged."""
        keys = {_key(path): path for path, seen in signatures.items() if seen is not None}
        found: dict[Path, str] = {}

        def look_up(index: sqlite3.Connection) -> None:
            wanted = list(keys)
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                query = f"SELECT {_FACTS} FROM files WHERE path IN ({','.join('?' * len(part))})"
                for key, size, inode, modified, changed, digest in index.execute(query, part):
                    if signatures[keys[key]] == (size, inode, modified, changed):
                        found[keys[key]] = digest

        if keys and self.path.is_file():
            self._with_index(look_up)
        return found

    def _remember(self, rows: Sequence[tuple[object, ...]]) -> None:
        def write(index: sqlite3.Connection) -> None:
            now = time.time_ns()
            with index:
                index.executemany(f"INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, {now})", rows)
                _drop_missing(index, LOOKED_AT + len(rows), now)
                _drop_oldest(index)

        if rows:
            self._with_index(write)

    def _with_index(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Open the index and work on it. Where that fails, nothing is remembered, which is only slower."""
        for _ in range(2):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.closing(sqlite3.connect(self.path, timeout=PATIENCE)) as index:
                    if index.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                        index.execute("DROP TABLE IF EXISTS files")
                        index.execute(f"PRAGMA user_version = {FORMAT}")
                    for statement in _SCHEMA:
                        index.execute(statement)
                    work(index)
                return
            except (sqlite3.OperationalError, OSError):  # locked for long, read-only, or the disk is full
                return
            except (sqlite3.DatabaseError, ValueError, TypeError):  # no index, or not one of ours
                with contextlib.suppress(OSError):
                    self.path.unlink()


def _drop_missing(index: sqlite3.Connection, number: int, now: int) -> None:
    """Look at the ``number`` digests that were not looked at for longest; drop those whose file is gone."""
    query = "SELECT path FROM files WHERE seen <> ? ORDER BY seen LIMIT ?"
    old = [key for (key,) in index.execute(query, (now, number))]
    missing = [key for key in old if not os.path.exists(os.fsdecode(key))]
    index.executemany("UPDATE files SET seen = ? WHERE path = ?", [(now, key) for key in old])
    index.executemany("DELETE FROM files WHERE path = ?", [(key,) for key in missing])


def _drop_oldest(index: sqlite3.Connection) -> None:
    """Keep the ``MOST`` digests that were seen last."""
    (count,) = index.execute("SELECT count(*) FROM files").fetchone()
    if count > MOST:
        oldest = "SELECT path FROM files ORDER BY seen LIMIT ?"
        index.execute(f"DELETE FROM files WHERE path IN ({oldest})", (count - MOST,))


def signature(path: Path) -> Signature | None:
    """Facts that show that a file is unchanged; None where there is no regular file."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a name with a null character
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, _signed(found.st_ino), found.st_mtime_ns, found.st_ctime_ns


def signatures_of(paths: Iterable[Path]) -> dict[Path, Signature | None]:
    """The signature of each file."""
    return {path: signature(path) for path in dict.fromkeys(paths)}


def _signed(number: int) -> int:
    """Fit an unsigned inode of 64 bits, or a larger one, into SQLite's integers."""
    return (number & (1 << 64) - 1) - (number >> 63 & 1) * (1 << 64)


def _is_fresh(seen: Signature) -> bool:
    """Whether the file was changed so recently that another change could leave the same times."""
    changed = max(seen[2], seen[3])
    limit = FRESH_COARSE if changed % 1_000_000_000 == 0 else FRESH
    return time.time_ns() - changed < limit


def _key(path: Path) -> bytes:
    """A file's absolute path as bytes, since a path may not be text."""
    return os.fsencode(os.path.abspath(path))


def _digest_of(path: Path) -> str | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()
