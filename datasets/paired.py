"""Reads images that lie beside masks of all of them, where a black mask says that the image is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from adbench import Sample
from adbench.api import DataOptions, Problem, Range, marked

from .layout import images_in

BAD = "defect"
"""The type of defect of data sets that know only one."""


@dataclass(frozen=True)
class SplitOptions(DataOptions):
    """How good images are split, where a data set has no split of its own."""

    test_share: Annotated[float, Range(0, 1)] = 0.2
    """Part of the good images that is for testing; the others are for training."""

    split_seed: Annotated[int, Range(0)] = 0
    """Another number draws other good images for testing. The seed of a run never does."""


USUAL = SplitOptions()


@dataclass(frozen=True)
class Pairs:
    """The images of folders and their masks.

    Attributes:
        good: images with a black mask.
        bad: images with a mask that marks something.
        problems: images whose label isn't known, since their mask is missing or broken.
        unused: masks without an image.
    """

    good: tuple[Sample, ...]
    bad: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    unused: tuple[Path, ...]


def read_pairs(folders: Sequence[Path], ending: str) -> Pairs:
    """Pair each image with the mask whose name is its own and ``ending``, with any suffix; open the masks alone.

    Args:
        folders: with images and masks beside each other.
        ending: after the stem of the image, in any case, such as "_label".
    """
    pairs: list[tuple[Path, Path | None]] = []
    unused: list[Path] = []
    for folder in folders:
        files = images_in(folder)
        masks = {path.stem[: -len(ending)]: path for path in files if path.stem.lower().endswith(ending.lower())}
        images = [path for path in files if path not in set(masks.values())]
        pairs += [(image, masks.get(image.stem)) for image in images]
        stems = {image.stem for image in images}
        unused += [mask for stem, mask in masks.items() if stem not in stems]
    marks = marked([mask for _, mask in pairs if mask is not None])
    good, bad, problems = [], [], []
    for image, mask in pairs:
        if mask is None:
            problems.append(Problem(image, f"no mask {image.stem}{ending}, so its label is unknown", "Add its mask"))
        elif marks[mask] is None:
            problems.append(Problem(mask, "a mask that can't be read", "Replace the file"))
        elif marks[mask]:
            bad.append(Sample(image, 1, BAD, mask))
        else:
            good.append(Sample(image))
    return Pairs(tuple(good), tuple(bad), tuple(problems), tuple(unused))
