"""Finds the images that people name: files, folders, patterns and lists of these, or a folder in which they arrive."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api.data import IMAGE_SUFFIXES
from ..util.errors import DataError, absent, reason

POLL_SECONDS = 0.5
"""Seconds between two looks into a watched folder."""


@dataclass(frozen=True)
class Source:
    """An image to read, and its name: its path below the folder that was named, or else the file's name."""

    path: Path
    name: str


@dataclass(frozen=True)
class Found:
    """The images that were named, each once, and the files of named folders that are no images by their suffix."""

    images: tuple[Source, ...]
    passed_over: tuple[Path, ...]


def find(named: Iterable[str]) -> Found:
    """Find images in the order in which they are named; those of a folder and of its subfolders by their paths.

    A file that is named itself counts whatever its suffix, and also if it is missing: reading it says what is wrong.
    Hidden files and folders are left out. A pattern such as ``new/**/*.png`` is expanded if no file has that name.

    Args:
        named: files, folders and patterns.

    Raises:
        DataError: a pattern that no file fits, or a folder that can't be read.
    """
    images: dict[Path, Source] = {}
    passed_over: dict[Path, None] = {}
    for text in named:
        for path in _expanded(text):
            if path.is_dir():
                for each in _files_below(path):
                    if is_image(each):
                        images.setdefault(each, Source(each, each.relative_to(path).as_posix()))
                    else:
                        passed_over[each] = None
            else:
                images.setdefault(path, Source(path, path.name))
    return Found(tuple(images.values()), tuple(passed_over))


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def _expanded(text: str) -> list[Path]:
    path = Path(text)
    if os.path.lexists(path) or not glob.has_magic(text):
        return [path]
    fitting = sorted(glob.glob(text, recursive=True))
    if not fitting:
        raise DataError(f"images {text}", found="no file that fits this pattern", wanted="at least one")
    return [Path(each) for each in fitting]


def _files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in the order of their paths; hidden ones and those in hidden folders are left out."""

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and folder.is_dir():
            return  # a folder below it vanished during the look
        raise DataError(f"folder {error.filename}", found=reason(error), hint="Correct its permissions") from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return iter(sorted(found))


def arriving(
    folder: Path,
    *,
    idle: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Sequence[Source]]:
    """Yield the images in a folder and its subfolders, first those that are there, then each when it has arrived.

    An image has arrived when its size and time of change are the same at two looks, so that one that is still being
    written is not read. A file that is replaced arrives again. Nothing is yielded twice.

    Args:
        folder: the folder; it must exist.
        idle: ends after so many seconds without a new image; None goes on for ever.
        clock: seconds that never go back.
        sleep: waits for some seconds.

    Raises:
        DataError: the folder is missing or can't be read.
    """
    if not folder.is_dir():
        raise DataError(f"folder {folder}", found=absent(folder, "folder"), hint="Make it first")
    done: dict[Path, tuple[int, int]] = {}
    before: dict[Path, tuple[int, int]] = {}
    last = clock()
    while True:
        now = {path: state for path in _files_below(folder) if is_image(path) and (state := _state(path)) is not None}
        ready = [path for path, state in now.items() if before.get(path) == state and done.get(path) != state]
        done = {path: state for path, state in done.items() if path in now} | {path: now[path] for path in ready}
        if ready:
            yield [Source(path, path.relative_to(folder).as_posix()) for path in ready]
            last = clock()
        elif any(done.get(path) != state for path, state in now.items()):
            last = clock()  # one is being written
        elif idle is not None and clock() - last >= idle:
            return
        before = now
        sleep(POLL_SECONDS)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None if the file is gone again."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
