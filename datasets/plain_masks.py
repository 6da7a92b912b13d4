"""Finds the masks of bad images in folders without a split.

They lie in ``masks`` or ``ground_truth`` beside the images' folders, and are named STEM_mask or STEM of their image,
with any suffix and with other endings as well (see ``names``). For CLASS/bad/dent/7.png that is one of these:

    CLASS/masks/bad/dent/7_mask.png     at the image's own path
    CLASS/masks/dent/7_mask.png         in a folder of its type of defect
    CLASS/masks/7_mask.png              in no folder, if no other bad image is called 7

Or all lie beside their images, as CLASS/bad/dent/7_mask.png. Two masks of one image are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NoReturn

from adbench.api import MASK_FOLDERS, Problem, image_stem, nfc

from .layout import MASK_ENDING, folders_in, images_in


class Masks:
    """The masks of a class's bad images; ``place`` is their folder, None if there is none with an image.

    Args:
        folder: the class.
        images: the bad images, with their types of defect.
        beside: masks that lie beside their images.
        refuse: raises an error with what was found and what was wanted, where both folders have masks.
    """

    def __init__(
        self,
        folder: Path,
        images: Sequence[tuple[Path, str]],
        beside: Mapping[Path, Sequence[Path]],
        refuse: Callable[[str, str], NoReturn],
    ) -> None:
        self.problems: list[Problem] = []
        self.used: set[Path] = set()
        self._folder = folder
        found = {folder / name: _all_in(folder / name) for name in MASK_FOLDERS}
        having = [place for place, masks in found.items() if masks]
        if len(having) > 1:
            refuse(f"masks in {' and in '.join(path.name for path in having)}", "one folder of masks")
        if having and beside:
            first = next(iter(beside.values()))[0]
            refuse(f"masks in {having[0].name} and beside images, such as {first.name}", "one place")
        self.place = having[0] if having else None
        self.searched = {*having, *(path.parent for place in having for path in found[place])}
        self._by_path: dict[PurePosixPath, list[Path]] = {}
        for path in found[having[0]] if having else ():
            place = PurePosixPath(nfc(path.relative_to(having[0]).parent.as_posix()))
            for stem in {nfc(path.stem), image_stem(path)} - {None}:
                self._by_path.setdefault(place / str(stem), []).append(path)
        stems = Counter(nfc(image.stem) for image, _ in images)
        self._alone = {stem for stem, count in stems.items() if count == 1}
        self._chosen: dict[Path, Path] = {}
        for image, defect in images if having or beside else ():
            masks = self._in_folder(image, defect) if having else list(beside.get(image, ()))
            self.used.update(masks)
            self._chosen[image] = self._one_of(image, masks) or self._expected(image, defect)

    def of(self, image: Path) -> Path | None:
        """The mask of a bad image, or the path where it was expected; None for a class without masks."""
        return self._chosen.get(image)

    @property
    def are_there(self) -> bool:
        """Whether the class has masks."""
        return self.place is not None or bool(self._chosen)

    def _in_folder(self, image: Path, defect: str) -> list[Path]:
        """All masks of an image in the folder of masks."""
        own = PurePosixPath(nfc(image.parent.relative_to(self._folder).as_posix()))
        stem, found = nfc(image.stem), list[Path]()
        for place in dict.fromkeys((own, PurePosixPath(nfc(defect)))):
            found += self._by_path.get(place / stem, ())
        top = self._by_path.get(PurePosixPath() / stem, ())
        if found or not top:
            return [*found, *(mask for mask in top if stem in self._alone and mask not in found)]
        if stem not in self._alone:
            self.used.update(top)
            hint = f"Put the masks into {self._where(defect)}"
            found_there = f"a mask {top[0]} that other images of this name have, too"
            self.problems.append(Problem(image, found_there, hint))
            return []
        return list(top)

    def _one_of(self, image: Path, masks: Sequence[Path]) -> Path | None:
        if len(masks) > 1:
            names = " and ".join(mask.relative_to(self._folder).as_posix() for mask in masks)
            self.problems.append(Problem(image, f"{len(masks)} masks, {names}", "Keep one of them"))
        return masks[0] if masks else None

    def _expected(self, image: Path, defect: str) -> Path:
        """Where the mask of an image without one was expected."""
        usual = f"{image.stem}{MASK_ENDING}.png"
        return image.with_name(usual) if self.place is None else self._where(defect) / usual

    def _where(self, defect: str) -> Path:
        assert self.place is not None
        return self.place / defect


def _all_in(folder: Path) -> list[Path]:
    """All images in a folder and in the folders below it, by name."""
    return [*images_in(folder), *(path for inner in folders_in(folder) for path in _all_in(inner))]
