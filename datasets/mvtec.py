"""MVTec AD (Bergmann et al., IJCV 2021): 15 classes, in the layout of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl

from .layout import check_class, find_root, read_class

NAME = "mvtec"
SOURCE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
FOLDERS = ("mvtec", "mvtec_ad", "mvtec_anomaly_detection", "MVTec", "MVTec_AD", "MVTecAD", "mvtec-ad")
CLASSES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
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
    return read_class(NAME, find_root(NAME, root, FOLDERS, CLASSES, SOURCE) / class_name)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``mvtec``."""
    return [Dataset(NAME, "MVTec AD: 10 objects and 5 textures", classes, load, SOURCE)]
