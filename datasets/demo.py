"""A synthetic data set that is generated on first use, so that the first run needs no download.

Three classes are cut from the photographed textures inside scikit-image. Five kinds of defect, from easy to hard, are
drawn into test images with exact masks (see ``demo_images``).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adbench import Dataset, Task, hookimpl
from adbench.api import GOOD, Counts, DataError, Facts, files, reason

from .layout import MASK_ENDING, check_class, images_in
from .tree import read_class

if TYPE_CHECKING:
    from .demo_images import DemoImage

NAME = "demo"
FOLDER = "demo-v1"
"""Folder below the cache folder; images that change get another number."""

CLASSES = ("brick", "grass", "gravel")
DEFECTS = ("blur", "hole", "patch", "scratch", "stain")
TRAIN = 60
TEST_GOOD = 20
PER_DEFECT = 8
COUNTS = Counts(TRAIN, good=TEST_GOOD, bad=PER_DEFECT * len(DEFECTS), kinds=dict.fromkeys(DEFECTS, PER_DEFECT))
FACTS = Facts(
    classes=CLASSES,
    licence="Apache-2.0; the photographs of scikit-image are in the public domain",
    citation="adbench",
    masks="one per defective image",
    counts=dict.fromkeys(CLASSES, COUNTS),
    notes=("Made on first use.",),
)


def classes(root: Path) -> Sequence[str]:
    """The three textures; this generates nothing yet."""
    return CLASSES


def load(root: Path, class_name: str) -> Task:
    """List the images of one class; the first call generates the whole data set, in a few seconds.

    Args:
        root: the cache folder.
        class_name: one of ``CLASSES``.

    Raises:
        UnknownNameError: no such class.
        DataError: the cache folder cannot be written.
    """
    check_class(NAME, class_name, CLASSES)
    folder = root / FOLDER
    files.sweep(root)
    if not is_complete(folder):
        _build_at(folder)
    return read_class(NAME, folder / class_name, synthetic=True)


def is_complete(folder: Path) -> bool:
    """Whether all images and masks are there; some are missing where a part of the cache was deleted."""
    return all(
        len(images_in(folder / name / "train" / GOOD)) == TRAIN
        and len(images_in(folder / name / "test" / GOOD)) == TEST_GOOD
        and all(
            len(images_in(folder / name / part / defect)) == PER_DEFECT
            for part in ("test", "ground_truth")
            for defect in DEFECTS
        )
        for name in CLASSES
    )


def build(folder: Path) -> None:
    """Write the whole data set into a folder, always with the same bytes."""
    from .demo_images import defective, good

    for name in CLASSES:
        place = folder / name
        for number in range(TRAIN):
            _save(good(name, "train", number), place, "train", GOOD, number)
        for number in range(TEST_GOOD):
            _save(good(name, "test", number), place, "test", GOOD, number)
        for defect in DEFECTS:
            for number in range(PER_DEFECT):
                severity = 1 - number / (PER_DEFECT - 1)
                _save(defective(name, defect, number, severity), place, "test", defect, number)


def _build_at(folder: Path) -> None:
    """Build beside ``folder``, then rename; where another process was faster, use its data set."""
    try:
        with files.new_folder(folder) as own:
            build(own)
            if not is_complete(folder):
                shutil.rmtree(folder, ignore_errors=True)
                _put(own, folder)
    except OSError as error:
        raise DataError(
            f"demo images at {folder}",
            found=reason(error),
            wanted="space for about 20 MB",
            hint="Free some space, or set ADBENCH_CACHE to another folder",
        ) from error


def _put(own: Path, folder: Path) -> None:
    try:
        own.rename(folder)
    except OSError:
        if not is_complete(folder):
            raise


def _save(image: DemoImage, place: Path, part: str, kind: str, number: int) -> None:
    from PIL import Image

    path = place / part / kind / f"{number:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.pixels).save(path, compress_level=1)
    if image.mask is not None:
        path = place / "ground_truth" / kind / f"{number:03d}{MASK_ENDING}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.mask).save(path, compress_level=1)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``demo``."""
    source = "photographs of scikit-image, defects drawn by adbench"
    summary = "Synthetic defects on three photographed textures"
    return [Dataset(NAME, summary, classes, load, source, False, True, facts=FACTS)]
