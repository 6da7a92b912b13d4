"""What data sets without a split of their own share: pairs of images and masks, and a split by names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from adbench import Sample
from adbench.api import DataOptions, Problem, Range, marked, nfc

from .layout import images_in
from .plain import split

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
    pairs: list[tuple[Path, list[Path]]] = []
    unused: list[Path] = []
    for folder in folders:
        files = images_in(folder)
        masks: dict[str, list[Path]] = {}
        for path in files:
            if (stem := nfc(path.stem)).lower().endswith(ending.lower()):
                masks.setdefault(stem[: -len(ending)], []).append(path)
        known = {path for found in masks.values() for path in found}
        images = [path for path in files if path not in known]
        pairs += [(image, masks.get(nfc(image.stem), [])) for image in images]
        stems = {nfc(image.stem) for image in images}
        unused += [path for stem, found in masks.items() if stem not in stems for path in found]
    marks = marked([found[0] for _, found in pairs if len(found) == 1])
    good, bad, problems = [], [], []
    for image, found in pairs:
        if not found:
            problems.append(Problem(image, f"no mask {image.stem}{ending}, so its label is unknown", "Add its mask"))
        elif len(found) > 1:
            names = " and ".join(path.name for path in found)
            problems.append(Problem(image, f"{len(found)} masks, {names}", "Keep one of them"))
        elif marks[found[0]] is None:
            problems.append(Problem(found[0], "a mask that can't be read", "Replace the file"))
        elif marks[found[0]]:
            bad.append(Sample(image, 1, BAD, found[0]))
        else:
            good.append(Sample(image))
    return Pairs(tuple(good), tuple(bad), tuple(problems), tuple(unused))


def divide(
    good: Sequence[Sample], options: SplitOptions, unit: Callable[[Sample], str] = lambda sample: sample.path.name
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split good images into those for training and those for testing, by names as in ``plain``.

    Args:
        good: the good images.
        options: the share for testing, and the split's seed.
        unit: the name that is drawn; images with the same one stay together. By default that of the file.
    """
    units = sorted({unit(sample) for sample in good})
    chosen = {units[place] for place in split(units, options.test_share, options.split_seed)}
    return (
        tuple(sample for sample in good if unit(sample) not in chosen),
        tuple(sample for sample in good if unit(sample) in chosen),
    )
