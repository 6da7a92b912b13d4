"""Finds the images that people name: files, folders, patterns and lists of these, or a folder in which they arrive."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api import names
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
    """The images that were named, each once, and what was not taken for one.

    Attributes:
        images: in the order in which they were named.
        passed_over: files of named folders that are no images by their suffix.
        masks: files of named folders that are the masks of images.
        named_masks: images that have the name of another one's mask, but were named themselves.
    """

    images: tuple[Source, ...]
    passed_over: tuple[Path, ...]
    masks: tuple[Path, ...] = ()
    named_masks: tuple[Path, ...] = ()


def find(named: Iterable[str]) -> Found:
    """Find images in the order in which they are named; those of a folder and of its subfolders by their paths.

    A file that is named itself counts whatever its name, and also if it is missing: reading it says what is wrong. A
    pattern such as ``new/**/*.png`` is expanded if no file has that name. In folders, and among the files that fit a
    pattern, hidden files and masks are left out. Masks lie beside their images or in a folder of masks that is not
    named, by the rule of data sets' readers (``api.names``).

    Args:
        named: files, folders and patterns.

    Raises:
        DataError: a pattern that no file fits, or a folder that can't be read.
    """
    images: dict[Path, Source] = {}
    passed_over: dict[Path, None] = {}
    masks: dict[Path, None] = {}
    themselves: list[Path] = []
    for text in named:
        path = Path(text)
        if os.path.lexists(path) or not glob.has_magic(text):
            if not path.is_dir():
                images.setdefault(path, Source(path, path.name))
                themselves.append(path)
                continue
            files = dict.fromkeys(_files_below(path), path)
            found = _in_folder(path, files)
        else:
            files = _fitting(text)
            found = _of_pattern(Path(text), files)
        for each in found.images:
            images.setdefault(each, Source(each, each.relative_to(files[each]).as_posix()))
        passed_over |= dict.fromkeys(found.others)
        masks |= dict.fromkeys(found.masks)
    left = (path for path in masks if path not in images)
    return Found(tuple(images.values()), tuple(passed_over), tuple(left), tuple(sorted(_beside(themselves))))


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def _fitting(pattern: str) -> dict[Path, Path]:
    """The files that fit a pattern or lie in a folder that does, each with the folder below which its name counts.

    Raises:
        DataError: none fits.
    """
    fitting = sorted(glob.glob(pattern, recursive=True))
    if not fitting:
        raise DataError(f"images {pattern}", found="no file that fits this pattern", wanted="at least one")
    files: dict[Path, Path] = {}
    for path in map(Path, fitting):
        if path.is_dir():
            for each in _files_below(path):
                files.setdefault(each, path)
        elif names.is_visible(path.name):
            files.setdefault(path, path.parent)
    return files


# ---------------------------------------------------------------- images, masks and other files


@dataclass(frozen=True)
class _Sorted:
    """Files by what they are, each in the order in which they came."""

    images: list[Path]
    masks: list[Path]
    others: list[Path]


def _in_folder(folder: Path, files: Iterable[Path]) -> _Sorted:
    """Tell the files below a folder apart."""
    return _told_apart(files, lambda place: place.relative_to(folder).parts)


def _of_pattern(pattern: Path, files: Iterable[Path]) -> _Sorted:
    """Tell the files of a pattern apart. Folders that it names are taken as they are, and so is its suffix."""
    fixed = {names.name_key(part) for part in pattern.parts if not glob.has_magic(part)}
    suffix = "" if glob.has_magic(pattern.suffix) else pattern.suffix
    return _told_apart(files, lambda place: [part for part in place.parts if names.name_key(part) not in fixed], suffix)


def _told_apart(files: Iterable[Path], unnamed: Callable[[Path], Iterable[str]], suffix: str = "") -> _Sorted:
    """Tell images from masks and from other files.

    Args:
        files: their paths.
        unnamed: the parts of a folder's path that the user did not name.
        suffix: one that images have beside the usual ones.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in files:
        (images if is_image(path) or path.suffix == suffix != "" else others).append(path)
    folders = dict.fromkeys(path.parent for path in images)
    of_masks = {place for place in folders if any(map(names.is_mask_folder, unnamed(place)))}
    masks = {path for path in images if path.parent in of_masks}
    masks |= _beside(path for path in images if path not in masks)
    return _Sorted(
        [path for path in images if path not in masks], [path for path in images if path in masks], others
    )  # fmt: skip


def _beside(images: Iterable[Path]) -> set[Path]:
    """The files that are masks of others beside them; where there are some, also those whose image is gone."""
    folders: dict[Path, list[Path]] = {}
    for path in images:
        folders.setdefault(path.parent, []).append(path)
    found = [(files, names.masks_beside(files)) for files in folders.values()]
    if not any(each.masks for _, each in found):
        return set()
    return {mask for files, each in found for mask in {*files} - {*each.images} | {*each.lone}}


def _files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in the order of their paths; hidden ones and those in hidden folders are left out."""

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and folder.is_dir():
            return  # a folder below it vanished during the look
        raise DataError(f"folder {error.filename}", found=reason(error), hint="Correct its permissions") from error

    found: list[Path] = []
    for place, inner, files in os.walk(folder, onerror=refuse):
        inner[:] = filter(names.is_visible, inner)
        found += [Path(place, name) for name in files if names.is_visible(name)]
    return iter(sorted(found))


def arriving(
    folder: Path,
    *,
    idle: float | None = None,
    tell_masks: Callable[[Sequence[Path]], object] = lambda masks: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Sequence[Source]]:
    """Yield the images in a folder and its subfolders, first those that are there, then each when it has arrived.

    An image has arrived when its size and time of change are the same at two looks, so that one that is still being
    written is not read. A file that is replaced arrives again. Nothing is yielded twice. Masks are left out as by
    ``find``, but one that arrives before its image can't be told from one.

    Args:
        folder: the folder; it must exist.
        idle: ends after so many seconds without a new image; None goes on for ever.
        tell_masks: called with masks that were left out and not told before.
        clock: seconds that never go back.
        sleep: waits for some seconds.

    Raises:
        DataError: the folder is missing or can't be read.
    """
    if not folder.is_dir():
        raise DataError(f"folder {folder}", found=absent(folder, "folder"), hint="Make it first")
    done: dict[Path, tuple[int, int]] = {}
    before: dict[Path, tuple[int, int]] = {}
    told: set[Path] = set()
    last = clock()
    while True:
        found = _in_folder(folder, _files_below(folder))
        if masks := [path for path in found.masks if path not in told]:
            tell_masks(masks)
            told.update(masks)
        now = {path: state for path in found.images if (state := _state(path)) is not None}
        ready = [path for path, state in now.items() if before.get(path) == state and done.get(path) != state]
        done = {path: state for path, state in done.items() if path in now} | {path: now[path] for path in ready}
        if ready:
            told.update(ready)
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
