"""Finds the folder of a published data set below the one that the user gives: copies differ in their top folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adbench.api import DataError, Facts

from .layout import ROOT_HINT, check_class, check_root, visible

LISTED = 8
"""Number of classes that a remark names."""

Holds = Callable[[Path], bool]
"""Whether a folder with the name of a class really is one."""


@dataclass(frozen=True)
class Base:
    """The classes that lie in a root, by name; ``remarks`` says what is missing there, and what is passed over."""

    folders: dict[str, Path]
    remarks: tuple[str, ...]


def candidates(root: Path) -> list[Path]:
    """The root, the folders in it and those in them: archives and copies differ by so many."""
    first = _inside(root)
    return [root, *first, *(inner for folder in first for inner in _inside(folder))]


def _inside(place: Path) -> list[Path]:
    """The folders in a folder, by name; none in one that may not be read, such as lost+found of a disk.

    A root may be a whole disk: no file in it is asked for more than its name and kind.
    """
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [place / name for name in sorted(names)]


def find_classes(dataset: str, root: Path, facts: Facts, holds: Holds) -> Base:
    """Find the classes of a data set. Of several copies the one with the most classes is read, then the first.

    A class may lie in another folder of its own name, as where each has an archive of its own.

    Args:
        dataset: its name, for messages.
        root: what the user gave.
        facts: its classes and its page.
        holds: whether a folder is a class.

    Raises:
        DataError: the root is missing, or holds none of the classes.
    """
    check_root(dataset, root, facts.page)
    visible(root)  # says so if it may not be read
    found = [(place, _classes_in(place, facts.classes, holds)) for place in candidates(root)]
    place, folders = max(found, key=lambda pair: len(pair[1]))  # the first of the largest
    if not folders:
        raise nothing(dataset, root, facts, "no folder of any of its classes", f"one of {', '.join(facts.classes)}")
    inside = set(folders.values())
    copies = [other for other, classes in found if other != place and not inside.issuperset(classes.values())]
    others = [each for each in _inside(place) if each.name not in facts.classes and holds(each)]
    remarks: list[str] = []
    remarks += missing_classes(f"{dataset} at {place}", facts, folders)
    for what, paths in (("no class of it", others), ("another copy", copies)):
        if paths:
            remarks.append(f"{dataset} at {place}: passed over: {', '.join(map(str, paths))} ({what}).")
    return Base(folders, tuple(remarks))


def missing_classes(where: str, facts: Facts, present: Collection[str]) -> list[str]:
    """A line that names the classes which are not there; none if all are."""
    missing = [name for name in facts.classes if name not in present]
    if not missing:
        return []
    more = f" and {len(missing) - LISTED} others" if len(missing) > LISTED else ""
    named = f"no {', '.join(missing[:LISTED])}{more}"
    return [f"Warning: {where}: {len(facts.classes) - len(missing)} of {len(facts.classes)} classes; {named}."]


def _classes_in(place: Path, names: Iterable[str], holds: Holds) -> dict[str, Path]:
    there = {folder.name for folder in _inside(place)}
    folders = {}
    for name in names:
        for folder in (place / name, place / name / name) if name in there else ():
            if holds(folder):
                folders[name] = folder
                break
    return folders


def class_folder(dataset: str, root: Path, class_name: str, facts: Facts, holds: Holds) -> tuple[Path, tuple[str, ...]]:
    """The folder of one class, and remarks about the root.

    Raises:
        UnknownNameError: the data set has no such class.
        DataError: the root is missing, or the class isn't there.
    """
    check_class(dataset, class_name, facts.classes)
    base = find_classes(dataset, root, facts, holds)
    if class_name not in base.folders:
        raise DataError(
            f"class {class_name} of {dataset}", found=f"no folder {class_name} in {root}",
            wanted=f"this class beside {', '.join(base.folders)}", hint=f"Get it from {facts.page}",
        )  # fmt: skip
    return base.folders[class_name], base.remarks


def find_single(dataset: str, root: Path, facts: Facts, holds: Holds, wanted: str) -> Path:
    """Find the folder of a data set of one class.

    Args:
        dataset: its name, for messages.
        root: what the user gave.
        facts: its page.
        holds: whether a folder is the data set's.
        wanted: what such a folder holds, for messages.

    Raises:
        DataError: the root is missing, or there is no such folder.
    """
    check_root(dataset, root, facts.page)
    visible(root)  # says so if it may not be read
    for place in (inner for each in candidates(root) for inner in (each, each / dataset)):
        if holds(place):
            return place
    raise nothing(dataset, root, facts, "none of its files", wanted)


def find_rearranged(root: Path, names: Sequence[str]) -> Path | None:
    """A copy of a data set of one class in MVTec's layout, in a folder of one of these names or in a folder of that."""
    for place in candidates(root):
        own = place.resolve()
        if {own.name.lower(), own.parent.name.lower()} & set(names) and (place / "train" / "good").is_dir():
            return place
    return None


def nothing(dataset: str, root: Path, facts: Facts, found: str, wanted: str) -> DataError:
    """The error for a root without the data set."""
    if any(next(place.glob("*.parquet"), None) for place in candidates(root)):
        found = "tables (.parquet), which are not read"
    hint = f"{ROOT_HINT}, or get it from {facts.page}"
    return DataError(f"data set {dataset} at {root}", found=found, wanted=wanted, hint=hint)
