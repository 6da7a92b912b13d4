"""MTD (Huang et al., The Visual Computer 2020): magnetic tiles with five kinds of defects, in the authors' folders.

    MT_Free/Imgs/exp1_num_1000.jpg, MT_Crack/Imgs/exp1_num_2000.jpg, each with a mask of the same name ending .png

It has no official split. Published results use 80 % of the images of MT_Free for training (DifferNet, PatchCore): where
DifferNet's list ``mtd_train_filenames.txt`` lies beside the folders it is the split, else a fifth is drawn by names as
in ``plain``. Masks have soft edges: a pixel is defective where its value is higher than 127 of 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Sample, Task, hookimpl
from adbench.api import Counts, Facts

from .layout import check_has_test, folders_in, images_in, lines_of, passed_over
from .names import plural
from .paired import USUAL, SplitOptions, divide
from .single import Single

NAME = "mtd"
FREE = "MT_Free"
LIST = "mtd_train_filenames.txt"
HALF = 127
MASK = ".png"
KINDS = {"MT_Blowhole": 115, "MT_Break": 85, "MT_Crack": 57, "MT_Fray": 32, "MT_Uneven": 103}
EMPTY = ("exp3_num_45042", "exp4_num_124690", "exp4_num_352527", "exp4_num_45057")
"""Images of MT_Uneven whose published mask is black."""

KEPT = {kind: number - len(EMPTY) * (kind == "MT_Uneven") for kind, number in KINDS.items()}
FACTS = Facts(
    classes=(NAME,),
    licence="",
    citation="Huang, Qiu, Yuan: Surface defect saliency of magnetic tile, The Visual Computer 36, 2020",
    page="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    masks="one per image, black for good ones, soft edges",
    counts={NAME: Counts(total=(952, sum(KEPT.values())), kinds=KEPT)},
    notes=(
        "The repository is the data set, and its name ends with a dot.",
        f"{len(EMPTY)} of 392 defective images have a black mask and are left out.",
        "No official split: a fifth of the good images is for testing.",
    ),
)


def _holds(folder: Path) -> bool:
    return (folder / FREE / "Imgs").is_dir()


def read(base: Path, options: SplitOptions) -> Task:
    """Find the images and masks, and split the good ones. Raises ``DataError`` for an unreadable list, or no test."""
    kinds = [folder for folder in folders_in(base) if (folder / "Imgs").is_dir()]
    read = {kind: _Kind(kind) for kind in kinds}
    good = [sample for kind, found in read.items() if kind.name == FREE for sample in found.samples]
    bad = [sample for kind, found in read.items() if kind.name != FREE for sample in found.samples]
    left_out = [sample.path.name for sample in bad if sample.path.stem in EMPTY]
    train, test, line = _split(base, good, options)
    others = [path.name + "/" for path in folders_in(base) if path not in kinds]
    unused = [path.relative_to(base).as_posix() for found in read.values() for path in found.unused]
    dark = [f"{NAME}: left out, since their published masks are black: {', '.join(left_out)}."] if left_out else []
    task = Task(
        NAME, NAME, base, train, (*test, *(sample for sample in bad if sample.path.stem not in EMPTY)),
        train_place=base / FREE, options=options, remarks=(line, *dark, *passed_over(NAME, [*others, *unused])),
    )  # fmt: skip
    check_has_test(task, base)
    return task


class _Kind:
    """The images of one folder MT_...; masks are the files .png beside images of another suffix."""

    def __init__(self, folder: Path) -> None:
        files = images_in(folder / "Imgs")
        masks = {path.stem: path for path in files if path.suffix.lower() == MASK}
        images = [path for path in files if path.suffix.lower() != MASK]
        stems = {path.stem for path in images}
        self.unused = [path for stem, path in masks.items() if stem not in stems]
        self.samples = [
            Sample(path)
            if folder.name == FREE
            else Sample(path, 1, folder.name, masks.get(path.stem, path.with_suffix(MASK)), mask_above=HALF)
            for path in images
        ]


def _split(
    base: Path, good: Sequence[Sample], options: SplitOptions
) -> tuple[tuple[Sample, ...], tuple[Sample, ...], str]:
    """Training images, good test images, and a line that says where the split comes from."""
    listed = base / LIST
    if listed.is_file():
        names = {
            Path(line.strip()).stem for line in lines_of(listed, "list", "names of images in UTF-8") if line.strip()
        }
        train = tuple(sample for sample in good if sample.path.stem in names)
        test = tuple(sample for sample in good if sample.path.stem not in names)
        how = f"as {LIST} says"
    else:
        train, test = divide(good, options)
        how = f"test_share={options.test_share:g}, no official split"
    line = f"{NAME}: {plural(len(train), 'good image')} for training, {len(test)} for testing ({how})."
    return train, test, line


MTD = Single(
    NAME, "MTD: magnetic tiles", FACTS, _holds, f"{FREE}/Imgs, MT_Crack/Imgs and others", read,
    copies=(NAME, "magnetic_tile"),
)  # fmt: skip


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``mtd``."""
    return [MTD.dataset(USUAL)]
