"""Finds where data sets lie: in the folders that the user gives, and in folders of their own names below these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api.data import Dataset
from ..util.errors import PLUGIN_ERRORS


@dataclass(frozen=True)
class Place:
    """A folder with a data set.

    Attributes:
        root: for ``--data-root``.
        classes: names of the classes that can be read there.
        images: their images in all splits.
        lacking: names of the classes that can't.
    """

    root: Path
    classes: tuple[str, ...]
    images: int
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listed:
    """A data set, and the places where it was found."""

    dataset: Dataset
    places: tuple[Place, ...] = ()

    @property
    def found(self) -> str:
        """What is found where, in one line; empty where nothing is."""
        texts = []
        for place in self.places:
            count, total = len(place.classes), len(place.classes) + len(place.lacking)
            part = "" if count == total else f" ({count} of {total} classes)"
            texts.append(f"{place.root}{part}")
        return ", ".join(texts)


def is_recognised(dataset: Dataset) -> bool:
    """Whether a folder can be told to hold this data set: its classes have published names."""
    return bool(dataset.facts and dataset.facts.classes)


def find(dataset: Dataset, roots: Iterable[Path]) -> Listed:
    """Look for a data set in each root, and in the folder of its name below it, without opening an image."""
    if not is_recognised(dataset) or not dataset.needs_root:
        return Listed(dataset)
    candidates = [place for root in roots for place in (root, root / dataset.name)]
    if dataset.installed_root is not None and (own := dataset.installed_root()) is not None:
        candidates.append(own)
    places: list[Place] = []
    for root in dict.fromkeys(candidates):
        place = at(dataset, root)
        if place is not None and place.classes:
            places.append(place)
    return Listed(dataset, _apart(places))


def at(dataset: Dataset, root: Path) -> Place | None:
    """What of a data set lies in a folder; None where its reader finds nothing."""
    if not root.is_dir():
        return None
    try:
        names = list(dataset.classes(root))
    except PLUGIN_ERRORS:
        return None
    there, images = [], 0
    for name in names:
        try:
            task = dataset.load(root, name)
        except PLUGIN_ERRORS:
            continue
        there.append(name)
        images += sum(len(samples) for samples in task.splits.values())
    known = dataset.facts.classes if dataset.facts else ()
    lacking = tuple(name for name in (*known, *names) if name not in there)
    return Place(root, tuple(there), images, tuple(dict.fromkeys(lacking)))


def _apart(places: Sequence[Place]) -> tuple[Place, ...]:
    """Leave out a folder below another one that has as many classes: its reader looked there, too."""
    return tuple(
        place
        for place in places
        if not any(
            other.root != place.root
            and place.root.is_relative_to(other.root)
            and len(other.classes) >= len(place.classes)
            for other in places
        )
    )
