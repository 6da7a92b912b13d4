"""MVTec AD (Bergmann et al., IJCV 2021): 15 classes, in the layout of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl
from adbench.api import Archive, Counts, Facts

from .counted import with_counts
from .layout import check_class, find_root
from .tree import read_class

NAME = "mvtec"
SOURCE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
FOLDERS = ("mvtec", "mvtec_ad", "mvtec_anomaly_detection", "MVTec", "MVTec_AD", "MVTecAD", "mvtec-ad")
COUNTS = {
    "bottle": Counts(209, good=20, bad=63),
    "cable": Counts(224, good=58, bad=92),
    "capsule": Counts(219, good=23, bad=109),
    "carpet": Counts(280, good=28, bad=89),
    "grid": Counts(264, good=21, bad=57),
    "hazelnut": Counts(391, good=40, bad=70),
    "leather": Counts(245, good=32, bad=92),
    "metal_nut": Counts(220, good=22, bad=93),
    "pill": Counts(267, good=26, bad=141),
    "screw": Counts(320, good=41, bad=119),
    "tile": Counts(230, good=33, bad=84),
    "toothbrush": Counts(60, good=12, bad=30),
    "transistor": Counts(213, good=60, bad=40),
    "wood": Counts(247, good=19, bad=60),
    "zipper": Counts(240, good=32, bad=119),
}
CLASSES = tuple(COUNTS)
ARCHIVE = Archive(
    "mvtec_anomaly_detection.tar.xz",
    "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download/420938113-1629952094/"
    "mvtec_anomaly_detection.tar.xz",
    "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
)
FACTS = Facts(
    classes=CLASSES,
    licence="CC BY-NC-SA 4.0",
    citation="Bergmann, Batzner, Fauser, Sattlegger, Steger: The MVTec anomaly detection dataset, IJCV 129, 2021",
    page=SOURCE,
    masks="one per defective image",
    archives=(ARCHIVE,),
    counts=COUNTS,
)


def classes(root: Path) -> Sequence[str]:
    """The 15 classes; raises ``DataError`` where the root is missing or holds none of them."""
    find_root(NAME, root, FOLDERS, CLASSES, SOURCE)
    return CLASSES


def load(root: Path, class_name: str) -> Task:
    """List the images of one class, in the root or in a folder below it with the data set's usual name.

    Raises:
        UnknownNameError: no such class.
        DataError: the root, the class or its images are missing.
    """
    check_class(NAME, class_name, CLASSES)
    return with_counts(read_class(NAME, find_root(NAME, root, FOLDERS, CLASSES, SOURCE) / class_name), FACTS)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``mvtec``."""
    return [Dataset(NAME, "MVTec AD: 10 objects and 5 textures", classes, load, SOURCE, facts=FACTS)]
