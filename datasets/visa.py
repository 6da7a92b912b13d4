"""VisA (Zou et al., ECCV 2022): 12 classes, one-class split, in the archive's layout or rearranged."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Sample, Task, hookimpl
from adbench.api import Archive, Counts, DataError, Facts

from .counted import with_counts
from .layout import check_class, check_has_test, find_root, named, passed_over, unread
from .tree import is_class, read_class

NAME = "visa"
SOURCE = "https://github.com/amazon-science/spot-diff"
COUNTS = {
    "candle": Counts(900, good=100, bad=100),
    "capsules": Counts(542, good=60, bad=100),
    "cashew": Counts(450, good=50, bad=100),
    "chewinggum": Counts(453, good=50, bad=100),
    "fryum": Counts(450, good=50, bad=100),
    "macaroni1": Counts(900, good=100, bad=100),
    "macaroni2": Counts(900, good=100, bad=100),
    "pcb1": Counts(904, good=100, bad=100),
    "pcb2": Counts(901, good=100, bad=100),
    "pcb3": Counts(905, good=101, bad=100),
    "pcb4": Counts(904, good=101, bad=100),
    "pipe_fryum": Counts(450, good=50, bad=100),
}
CLASSES = tuple(COUNTS)
ARCHIVE = Archive(
    "VisA_20220922.tar",
    "https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
    "2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
    bytes=1_929_840_640,
)
FACTS = Facts(
    classes=CLASSES,
    licence="CC BY 4.0",
    citation="Zou, Jeong, Pemula, Zhang, Dabeer: SPot-the-difference, ECCV 2022, arXiv 2207.14315",
    page=SOURCE,
    masks="one per defective image, with numbers of kinds as values",
    archives=(ARCHIVE,),
    counts=COUNTS,
)
SPLIT = Path("split_csv") / "1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
NORMAL = "normal"

_BASES = ("", "visa", "VisA", "VisA_20220922")
_REARRANGED = ("", "1cls", "visa_pytorch", "VisA_pytorch", "visa_pytorch/1cls", "VisA_pytorch/1cls")
FOLDERS = tuple(f"{base}/{part}".strip("/") for base in _BASES for part in _REARRANGED)[1:]
"""Folders below the root that may contain the classes; the last ones are those of the authors' script."""


def classes(root: Path) -> Sequence[str]:
    """The 12 classes; raises ``DataError`` where the root is missing or holds none of them."""
    _find(root)
    return CLASSES


def load(root: Path, class_name: str) -> Task:
    """List the images of one class, in either layout.

    Raises:
        UnknownNameError: no such class.
        DataError: the root, the class, its images or the split's file are missing.
    """
    check_class(NAME, class_name, CLASSES)
    base = _find(root)
    if _has_archive_layout(base / class_name):
        return with_counts(_read_archive(base, class_name), FACTS)
    return with_counts(read_class(NAME, base / class_name), FACTS)


def _find(root: Path) -> Path:
    return find_root(
        NAME, root, FOLDERS, CLASSES, SOURCE, lambda folder: _has_archive_layout(folder) or is_class(folder)
    )


def _has_archive_layout(folder: Path) -> bool:
    return (folder / "Data" / "Images").is_dir()


def _read_archive(base: Path, class_name: str) -> Task:
    train: list[Sample] = []
    test: list[Sample] = []
    for row in _read_split(base / SPLIT):
        if row["object"] != class_name:
            continue
        image = base / row["image"]
        if row["split"] == "train":
            train.append(Sample(image))
        elif row["label"] == NORMAL:
            test.append(Sample(image))
        else:
            test.append(Sample(image, 1, row["label"], _mask(base, image, row["mask"])))
    used = {path for sample in (*train, *test) for path in sample.files}
    unlisted = [path for place in (base / class_name / "Data" / "Images", base / class_name / "Data" / "Masks")
                for path in unread(place, used)]  # fmt: skip
    remarks = passed_over(f"{NAME}/{class_name}", named(unlisted, base / class_name))
    task = Task(
        NAME, class_name, base, tuple(train), tuple(test), train_place=base / SPLIT, remarks=tuple(remarks)
    )  # fmt: skip
    check_has_test(task, base / SPLIT)
    return task


def _mask(base: Path, image: Path, named: str) -> Path:
    """The mask that the split names, or the path where the archive has it."""
    return base / named if named else image.parents[2] / "Masks" / image.parent.name / f"{image.stem}.png"


def _read_split(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"data set visa: {path}",
            found="no such file",
            wanted="the split that says which images are for training",
            hint=f"Get it from {SOURCE} and put it there",
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            table = [{name: (row[name] or "").strip() for name in COLUMNS} for row in rows] if not missing else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data set visa: {path}", found=str(error), wanted="a CSV file") from error
    if missing:
        raise DataError(
            f"data set visa: {path}",
            found="no column " + ", ".join(missing),
            wanted=",".join(COLUMNS),
            hint=f"Get it again from {SOURCE}",
        )
    return table


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``visa``."""
    return [Dataset(NAME, "VisA: 12 objects, the split for one class at a time", classes, load, SOURCE, facts=FACTS)]
