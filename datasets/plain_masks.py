"""Finds the masks of bad images in folders without a split.

They lie in ``masks`` or ``ground_truth`` beside the images' folders, and are named STEM_mask or STEM of their image,
with any suffix. For CLASS/bad/dent/7.png that is one of these, and the first that exists is taken:

    CLASS/masks/bad/dent/7_mask.png     at the image's own path
    CLASS/masks/dent/7_mask.png         in a folder of its type of defect
    CLASS/masks/7_mask.png              in no folder, if no other bad image is called 7

Or all lie beside their images, as CLASS/bad/dent/7_mask.png.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from adbench.api import Problem

from .layout import MASK_ENDING, folders_in, images_in

MASK_FOLDERS = ("masks", "ground_truth")


def paired(images: Sequence[Path]) -> tuple[list[Path], dict[Path, Path]]:
    """Split the images of one folder into images, and masks (``STEM_mask``) by their image beside them."""
    by_stem = {image.stem: image for image in images}
    masks = {
        by_stem[each.stem.removesuffix(MASK_ENDING)]: each
        for each in images
        if each.stem.endswith(MASK_ENDING) and each.stem.removesuffix(MASK_ENDING) in by_stem
    }
    return [image for image in images if image not in set(masks.values())], masks


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
        beside: Mapping[Path, Path],
        refuse: Callable[[str, str], NoReturn],
    ) -> None:
        self.problems: list[Problem] = []
        self._folder, self._used = folder, set[Path]()
        found = {folder / name: _all_in(folder / name) for name in MASK_FOLDERS}
        having = [place for place, masks in found.items() if masks]
        if len(having) > 1:
            refuse(f"masks in {' and in '.join(path.name for path in having)}", "one folder of masks")
        if having and beside:
            refuse(
                f"masks in {having[0].name} and beside images, such as {next(iter(beside.values())).name}", "one place"
            )
        self.place = having[0] if having else None
        self._masks = found[having[0]] if having else []
        self._by_path = {path.relative_to(having[0]).with_suffix(""): path for path in self._masks} if having else {}
        stems = [image.stem for image, _ in images]
        self._alone = {stem for stem in stems if stems.count(stem) == 1}
        self._chosen = {image: self._choose(image, defect) for image, defect in images} if having else {}
        if beside:
            self._chosen = {image: beside.get(image) or _beside(image) for image, _ in images}

    def of(self, image: Path) -> Path | None:
        """The mask of a bad image, or the path where it was expected; None for a class without masks."""
        return self._chosen.get(image)

    @property
    def are_there(self) -> bool:
        """Whether the class has masks."""
        return self.place is not None or bool(self._chosen)

    @property
    def unused(self) -> list[Path]:
        """Masks of no bad image."""
        return [path for path in self._masks if path not in self._used]

    def _choose(self, image: Path, defect: str) -> Path:
        own = image.parent.relative_to(self._folder)
        for place in (own, Path(defect), Path()):
            for stem in (image.stem + MASK_ENDING, image.stem):
                mask = self._by_path.get(place / stem)
                if mask is None:
                    continue
                if place == Path() and image.stem not in self._alone:
                    hint = f"Put the masks into {self._where(defect)}"
                    self._used.add(mask)
                    self.problems.append(
                        Problem(image, f"a mask {mask} that other images of this name have, too", hint)
                    )
                else:
                    self._used.add(mask)
                    return mask
        return self._where(defect) / f"{image.stem}{MASK_ENDING}.png"

    def _where(self, defect: str) -> Path:
        assert self.place is not None
        return self.place / defect


def _beside(image: Path) -> Path:
    return image.with_name(f"{image.stem}{MASK_ENDING}.png")


def _all_in(folder: Path) -> list[Path]:
    """All images in a folder and in the folders below it, by name."""
    return [*images_in(folder), *(path for inner in folders_in(folder) for path in _all_in(inner))]
