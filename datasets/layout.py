"""What all readers share: lists of files and folders, the folder of a data set, and what is said of both.

Readers list files and never open them. They run as plugins at each start: they use the standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from adbench import Task
from adbench.api import IMAGE_SUFFIXES, DataError, UnknownNameError, is_visible, name_key, nfc, reason

from .names import plural

MASK_ENDING = "_mask"
"""How the name of a mask ends where one is missing and its path is named."""

TEXTS = ("readme", "license", "licence", "copying", "citation", "changelog")
"""Stems of texts about a data set, in lower case, which lie beside its folders."""

UNREAD = (".avif", ".cr2", ".dcm", ".dng", ".exr", ".heic", ".heif", ".jxl", ".mat", ".nef", ".npy", ".npz", ".raw")
"""Suffixes of images in formats that are not read."""

MOST = 2000
"""Files at which counting the images of a folder that is passed over stops."""

LISTED = 6
"""Number of files that a remark names."""

ROOT_HINT = "Give its folder with --data-root DIR or ADBENCH_DATA"


def check_has_test(task: Task, folder: Path) -> None:
    """Raise ``DataError`` if a task has no test image; the message names the folder they belong in.

    Without training images a task is still good for zero-shot methods; ``Task.train_place`` names where they belong.
    """
    if not task.test:
        raise DataError(
            f"class {task.class_name} of {task.dataset}",
            found=f"no test image in {folder}",
            wanted="at least one",
            hint="Unpack the data set again, or correct the folder",
        )


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder in the order of their names; none if the folder is missing.

    Links that lead nowhere and pipes count, so that reading them is refused and nothing is left out in silence.
    """
    return [path for path in visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()]


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder in the order of their names; none if the folder is missing."""
    return [path for path in visible(folder) if path.is_dir()]


def visible(folder: Path) -> list[Path]:
    """List everything in a folder that is not hidden, by name: in the same order on every platform.

    Raises:
        DataError: the folder may not be read.
    """
    if not folder.is_dir():
        return []
    try:
        found = [path for path in folder.iterdir() if is_visible(path.name)]
    except OSError as error:
        raise DataError(f"folder {folder}", found=reason(error), hint="Correct its permissions") from error
    return sorted(found, key=lambda path: path.name)


def check_root(dataset: str, root: Path, source: str = "") -> None:
    """Raise ``DataError`` if the root is missing; the message says where to get the data set."""
    if not root.is_dir():
        found = "a file" if root.is_file() else "no such folder"
        get = f", or get it from {source}" if source else ""
        raise DataError(f"data set {dataset} at {root}", found=found, wanted="a folder", hint=ROOT_HINT + get)


def find_root(
    dataset: str,
    root: Path,
    nested: Sequence[str],
    classes: Sequence[str],
    source: str,
    holds: Callable[[Path], bool] = Path.is_dir,
) -> Path:
    """Find the folder that contains the classes: the root, or one of its ``nested`` folders.

    Where several do, the one with the most classes wins, then the first.

    Args:
        dataset: the data set's name, for messages.
        root: what the user gave.
        nested: folders below the root that may contain the classes, with forward slashes.
        classes: the names of all classes.
        source: where to get the data set.
        holds: whether a folder with a class's name really is a class.

    Raises:
        DataError: the root is missing, or no class lies in any of these folders.
    """
    check_root(dataset, root, source)
    candidates = [root, *(root / name for name in nested)]
    counts = [sum(holds(folder / name) for name in classes) for folder in candidates]
    if not any(counts):
        raise DataError(
            f"data set {dataset} at {root}",
            found="no folder of any of its classes",
            wanted="one of " + ", ".join(classes),
            hint=f"{ROOT_HINT}, or get it from {source}",
        )
    return candidates[counts.index(max(counts))]


def check_class(dataset: str, class_name: str, classes: Sequence[str]) -> None:
    """Raise ``UnknownNameError`` for a class that the data set does not have."""
    if class_name not in classes:
        raise UnknownNameError(f"class of {dataset}", class_name, classes)


def inner_folder(folder: Path, name: str) -> Path | None:
    """The folder of this name in a folder; where there is none, that whose name differs in capitals; None without one.

    Args:
        folder: where it is searched.
        name: its name, or a path with forward slashes.

    Raises:
        DataError: several names differ in capitals alone, and none is the name.
    """
    place: Path | None = folder
    for part in name.split("/"):
        if place is None or (place / part).is_dir():
            place = place and place / part
            continue
        found = [path for path in folders_in(place) if name_key(path.name) == name_key(part)]
        if len(found) > 1:
            named = " and ".join(path.name for path in found)
            raise DataError(f"folder {place}", found=f"{named}", wanted=f"one folder {part}", hint="Rename one of them")
        place = found[0] if found else None
    return place


def on_disk(root: Path, parts: Sequence[str]) -> Path:
    """The path of these names below a root, with letters in the form in which the disk has them."""
    place = root
    for part in parts:
        inner = place / part
        if not inner.exists():
            inner = next((path for path in visible(place) if nfc(path.name) == nfc(part)), inner)
        place = inner
    return place


def is_text(path: Path) -> bool:
    """Whether a file is a text about a data set, such as readme.txt: nothing is missed without it."""
    return name_key(path.stem) in TEXTS and path.suffix.lower() not in IMAGE_SUFFIXES


def named(paths: Sequence[Path], folder: Path) -> list[str]:
    """Paths below a folder, for ``passed_over``; folders end with a stroke and the number of images in them."""
    return [f"{path.relative_to(folder).as_posix()}{_inside(path) if path.is_dir() else ''}" for path in paths]


def _inside(folder: Path) -> str:
    """What is said of a folder behind its name: "/ (12 images)"."""
    images = files = 0
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images += sum(not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names)
        files += len(names)
        if files > MOST:
            return f"/ (more than {images} images)"
    return f"/ ({plural(images, 'image')})" if images else "/"


def unread(folder: Path, used: Collection[Path], searched: Collection[Path] = ()) -> list[Path]:
    """What lies in a folder and is not used: files, and folders without anything that is; no texts such as readme.

    Args:
        folder: of a class.
        used: files and folders.
        searched: folders in which each file is named, though none may be used.
    """
    inner = {path.parent for path in used}
    above = inner | {parent for path in inner for parent in path.parents} | {*searched}

    def rest(place: Path) -> list[Path]:
        found: list[Path] = []
        for path in visible(place):
            if path in used:
                continue
            if path in above:
                found += rest(path)
            elif not is_text(path):
                found.append(path)
        return found

    return rest(folder)


def passed_over(where: str, names: Sequence[str]) -> list[str]:
    """A line that names what isn't read; none if there is nothing."""
    if not names:
        return []
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    unread = sorted({suffix for name in names if (suffix := Path(name).suffix.lower()) in UNREAD})
    convert = f" Images in {', '.join(unread)} are not read: convert them to PNG or TIFF." if unread else ""
    return [f"{where}: passed over: {', '.join(names[:LISTED])}{more}.{convert}"]


def lines_of(path: Path, thing: str, wanted: str) -> list[str]:
    """The lines of a text file, also where an editor has put a byte order mark in front.

    Args:
        path: the file.
        thing: what it is, for messages.
        wanted: what should be in it, for messages.

    Raises:
        DataError: it can't be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found = reason(error) if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise DataError(f"{thing} {path}", found=found, wanted=wanted) from error
