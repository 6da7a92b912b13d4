"""Finds the masks of a class in MVTec's layout: in a folder for each type of defect, or beside their images.

A mask has the stem of its image, with or without an ending such as _mask (see ``names``). Or a folder of that name has
the masks of one image. More than one mask of an image is refused, unless the data set joins them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adbench import Sample
from adbench.api import IMAGE_SUFFIXES, Problem, by_stem, image_stem, nfc

from .layout import MASK_ENDING, folders_in, images_in, visible


@dataclass(frozen=True)
class Found:
    """The defective images of one type, with masks; what is wrong with them; and masks of no image."""

    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    unused: tuple[Path, ...]


def with_masks(
    kind: str,
    images: Sequence[Path],
    place: Path | None,
    beside: Mapping[Path, tuple[Path, ...]],
    *,
    joins: bool,
) -> Found:
    """Find the masks of all images of one type of defect.

    Args:
        kind: the type of defect.
        images: its images.
        place: the folder of its masks, also if it is not there; None where masks lie beside their images.
        beside: masks beside images.
        joins: whether an image may have several masks.
    """
    files = _Files(place)
    stems = Counter(nfc(image.stem) for image in images)
    samples, problems = [], []
    for image in images:
        stem = nfc(image.stem)
        masks = [*files.of(stem), *beside.get(image, ())]
        if not masks:
            samples.append(Sample(image, 1, kind, files.expected(image)))
        elif len(masks) > 1 and not joins:
            problems.append(_several(image, masks))
        elif stems[stem] > 1:
            found = f"a mask {masks[0]} that other images of this name have, too"
            problems.append(Problem(image, found, "Rename the images"))
        else:
            samples.append(Sample(image, 1, kind, masks[0], tuple(masks[1:])))
    return Found(tuple(samples), tuple(problems), tuple(files.unused()))


def _several(image: Path, masks: Sequence[Path]) -> Problem:
    places = list(dict.fromkeys(path.parent for path in masks))
    if len(places) > 1:
        return Problem(image, f"{len(masks)} masks, {' and '.join(map(str, masks))}", "Keep one of them")
    count = "two" if len(masks) == 2 else str(len(masks))
    names = " and ".join(path.name for path in masks)
    return Problem(image, f"{count} masks, {names} in {places[0]}", "Keep one of them, or join them in one file")


class _Files:
    """The masks of one type of defect by the stem of their image: files, or a folder of files for each image."""

    def __init__(self, place: Path | None) -> None:
        self._place = place
        everything = visible(place) if place is not None else []
        self._folders = {nfc(path.name): path for path in folders_in(place) if images_in(path)} if place else {}
        masks = images_in(place) if place is not None else []
        self._by_stem = by_stem(masks)
        self._ending: dict[str, list[Path]] = {}
        for path in masks:
            if (stem := image_stem(path)) is not None:
                self._ending.setdefault(stem, []).append(path)
        self._rest = [path for path in everything if path.is_dir() or path.suffix.lower() not in IMAGE_SUFFIXES]
        self._masks = masks
        self._taken: set[Path] = set()

    def of(self, stem: str) -> list[Path]:
        """All masks of an image."""
        folder = self._folders.get(stem)
        inner = images_in(folder) if folder is not None else []
        files = [*self._ending.get(stem, ()), *self._by_stem.get(stem, ())]
        self._taken.update(files)
        if folder is not None:
            self._taken.add(folder)
        return [*inner, *files]

    def expected(self, image: Path) -> Path:
        """Where the mask of an image without one was expected."""
        usual = f"{image.stem}{MASK_ENDING}.png"
        if self._place is None:
            return image.with_name(usual)
        return self._place / image.stem / "000.png" if self._folders else self._place / usual

    def unused(self) -> list[Path]:
        """What lies beside the masks and is none of an image."""
        return [path for path in (*self._masks, *self._rest) if path not in self._taken]
