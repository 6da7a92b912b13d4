"""Downloads the archives of data sets: goes on where a download broke off, and compares lengths and checksums.

What has come so far lies beside the file, as ``NAME.part``, and in ``NAME.part.json`` what the server said about it.
The file has its own name only when it is whole and its checksum is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ..api.facts import Archive
from ..util import files
from ..util.errors import DataError, first_line, reason
from ..util.plain_files import BLOCK
from ..util.sizes import bytes_text

TRIES = 4
"""Attempts in a row in which nothing comes, before the download is given up for now."""

TIMEOUT = 60.0
"""Seconds without an answer of the server."""

PAUSE = 1.0
"""Seconds before the next attempt; each further one waits twice as long."""

SPARE = 100_000_000
"""Bytes that stay free on the disk."""

AGENT = "adbench (benchmark of anomaly detection)"

Watch = Callable[[str, int, int | None], None]
"""Called with "download" or "checksum", the bytes done, and all bytes where they are known."""


class NoWayError(Exception):
    """The address gives no such file, or there is no network: the file must be got by hand."""


@dataclass(frozen=True)
class _Start:
    """What the server said when a download began, so that a later one goes on with the same file.

    Attributes:
        url: the address.
        mark: of this version of the file (ETag or the time of its change); empty where the server gives none.
        total: bytes of the whole file; None where the server does not say.
    """

    url: str
    mark: str
    total: int | None


def download(archive: Archive, folder: Path, watch: Watch | None = None) -> Path:
    """Load an archive into a folder, or go on where an earlier call broke off; a whole file is not loaded again.

    Args:
        archive: the file; it has a ``url``.
        folder: where it goes; it is made.
        watch: called with the progress.

    Returns:
        the file, with the right length and checksum where these are known.

    Raises:
        NoWayError: the address gives no such file, or there is no network.
        DataError: the content is not the published one, the download broke off (calling again goes on), or the disk
            is full.
    """
    from filelock import Timeout

    path = folder / archive.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if path.is_file():
                require_content(archive, path, watch)
            else:
                _load(archive, path, watch)
    except Timeout as error:
        raise DataError(f"{path}", found="another process that loads it", hint="Wait for that one") from error
    except HTTPError as error:
        raise NoWayError(f"{urlsplit(archive.url).netloc} answers {error.code} {error.reason}") from error
    except OSError as error:
        raise DataError(f"{path} can't be written", found=reason(error), hint="Free some space") from error
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from loading a file meanwhile; afterwards no lock is left, however it ended.

    Raises:
        Timeout: another process loads it.
    """
    from filelock import FileLock

    lock = Path(f"{path}.lock")
    held = FileLock(lock, timeout=0)
    held.acquire()
    try:
        yield
    finally:
        if os.name != "nt":  # which removes no open file
            lock.unlink(missing_ok=True)  # while it is held: afterwards it may be another process's
        held.release()
        if os.name == "nt":
            with suppress(OSError):
                lock.unlink()


def require_content(archive: Archive, path: Path, watch: Watch | None = None) -> None:
    """Compare a file's length and checksum with the published ones, as far as these are known.

    Raises:
        DataError: they differ.
        OSError: it can't be read.
    """
    found = _difference(archive, path, watch)
    if found is not None:
        raise DataError(
            f"{path} is not the published file", found=found[0], wanted=found[1],
            hint="Remove it and get it again; or name it as ARCHIVE in adbench data prepare, if you trust it",
        )  # fmt: skip


def _difference(archive: Archive, path: Path, watch: Watch | None) -> tuple[str, str] | None:
    size = path.stat().st_size
    if archive.bytes is not None and size != archive.bytes:
        return f"{size} bytes", f"{archive.bytes}"
    for name, wanted in (("sha256", archive.sha256), ("md5", archive.md5)):
        if not wanted:
            continue
        digest = _digest(name, path, size, watch)
        return None if digest == wanted.lower() else (f"the {name} {digest[:12]}...", f"{wanted[:12]}...")
    return None


def _digest(name: str, path: Path, size: int, watch: Watch | None) -> str:
    hasher, done = hashlib.new(name, usedforsecurity=False), 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            hasher.update(block)
            done += len(block)
            if watch:
                watch("checksum", done, size)
    return hasher.hexdigest()


def _load(archive: Archive, path: Path, watch: Watch | None) -> None:
    """Load a file in as many attempts as it takes, as long as something comes."""
    if urlsplit(archive.url).scheme not in ("http", "https"):
        raise NoWayError("no address that a program can load it from")
    part = path.with_name(f"{path.name}.part")
    failures, problem, best = 0, "", _length(part)
    while failures < TRIES:
        if failures:
            time.sleep(PAUSE * 2 ** (failures - 1))
        try:
            if _attempt(archive, part, watch):
                _finish(archive, part, path, watch)
                return
            problem = "an answer that ends too early"
        except _ConnectionError as error:
            problem = first_line(error)
        failures = 1 if _length(part) > best else failures + 1
        best = max(best, _length(part))
    if not _length(part):
        raise NoWayError(problem)
    raise DataError(
        f"download of {archive.name} broke off", found=f"{bytes_text(_length(part))} so far ({problem})",
        hint="Run the same command again: it goes on from there",
    )  # fmt: skip


def _finish(archive: Archive, part: Path, path: Path, watch: Watch | None) -> None:
    """Give a file that has come its name if it is the published one, and else remove it."""
    found = _difference(archive, part, watch)
    _record(part).unlink(missing_ok=True)
    if found is not None:
        part.unlink()
        raise DataError(
            f"what {archive.url} gives is not the published file", found=found[0], wanted=found[1],
            hint="Try again later, or see whether its page has a new version: adbench data prepare takes any archive",
        )  # fmt: skip
    os.replace(part, path)
    files.flush_folder(path.parent)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


class _ConnectionError(Exception):
    """The connection failed, so another attempt may succeed; other errors are those of the disk."""


@contextmanager
def _connected(request: Request) -> Iterator[HTTPResponse]:
    try:
        answer = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code >= 500:
            raise _ConnectionError(f"the server answers {error.code}") from error
        raise
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", None)  # of an URLError
        raise _ConnectionError(reason(cause if isinstance(cause, BaseException) else error)) from error
    with answer:
        yield answer


def _attempt(archive: Archive, part: Path, watch: Watch | None) -> bool:
    """Ask for the rest of a file, and write what comes; return whether it is whole."""
    have = _length(part)
    start = _known(part) if have else None
    if start is None or start.url != archive.url:
        have = 0
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have and start is not None:
        headers["Range"] = f"bytes={have}-"
        if start.mark:
            headers["If-Range"] = start.mark
    try:
        with _connected(Request(archive.url, headers=headers)) as answer:
            have, total = _agreed(archive, part, answer, have)
            with part.open("r+b" if have else "wb") as target:
                target.seek(have)
                target.truncate()
                done = _copy(answer, target, have, total, watch)
    except HTTPError as error:
        if error.code != 416:  # nothing is left to send, or the file has become shorter
            raise
        if start is not None and start.total == have:
            return True
        part.unlink(missing_ok=True)
        raise _ConnectionError("the server's file has become shorter") from error
    return done == total if total is not None else True


def _agreed(archive: Archive, part: Path, answer: HTTPResponse, have: int) -> tuple[int, int | None]:
    """From which byte the server sends, and the length of the whole file; keeps these for the next attempt."""
    if answer.headers.get_content_type() == "text/html":
        raise NoWayError(f"the address {archive.url} gives a web page")
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != have:
            part.unlink(missing_ok=True)
            raise _ConnectionError("the server sends another part than was asked for")
        total = None if found[2] == "*" else int(found[2])
    else:  # the whole file, since the server has another version, or knows no parts
        have, length = 0, answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    if archive.bytes is not None and total is not None and total != archive.bytes:
        raise NoWayError(f"the address {archive.url} gives a file of {total} bytes where {archive.bytes} were wanted")
    total = total if total is not None else archive.bytes
    _require_space(part, (total or 0) - have)
    mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    start = {"url": archive.url, "mark": "" if mark.startswith("W/") else mark, "total": total}
    files.write(_record(part), lambda stream: stream.write(json.dumps(start).encode()))
    return have, total


def _copy(answer: HTTPResponse, target: IO[bytes], done: int, total: int | None, watch: Watch | None) -> int:
    """Write what comes, but not more than was announced; return the length of the file."""
    while total is None or done < total:
        try:
            block = answer.read1(BLOCK if total is None else min(BLOCK, total - done))
        except (OSError, HTTPException) as error:
            raise _ConnectionError(reason(error)) from error
        if not block:
            break
        target.write(block)
        done += len(block)
        if watch:
            watch("download", done, total)
    files.flush(target)  # type: ignore[arg-type]
    return done


def _require_space(part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted + SPARE > free:
        raise DataError(
            f"{part.parent}", found=f"{bytes_text(free)} free", wanted=f"{bytes_text(wanted + SPARE)}",
            hint="Free some space, or choose another --to",
        )  # fmt: skip


def _record(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _known(part: Path) -> _Start | None:
    """What was kept of an earlier attempt; None where it can't be used."""
    try:
        found = json.loads(_record(part).read_text(encoding="utf-8"))
        start = _Start(found["url"], found["mark"], found["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_right = isinstance(start.url, str) and isinstance(start.mark, str)
    return start if is_right and isinstance(start.total, int | None) else None
