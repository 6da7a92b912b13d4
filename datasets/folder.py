"""Your own images: every folder in MVTec layout under the root is a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl
from adbench.api import DataError

from .layout import ROOT_HINT, check_class, check_root, folders_in, is_class, read_class

NAME = "folder"
LAYOUT = "CLASS/train/good, CLASS/test/good, CLASS/test/DEFECT and CLASS/ground_truth/DEFECT"


def classes(root: Path) -> Sequence[str]:
    """Names of the folders in MVTec layout; a root that has this layout itself is the only class.

    Raises:
        DataError: the root is missing, or nothing in it has the layout.
    """
    return list(_find(root))


def load(root: Path, class_name: str) -> Task:
    """List the images of one class.

    Raises:
        UnknownNameError: no such class.
        DataError: the root or the class's images are missing.
    """
    found = _find(root)
    check_class(NAME, class_name, list(found))
    return read_class(NAME, found[class_name])


def _find(root: Path) -> dict[str, Path]:
    check_root(NAME, root)
    if is_class(root):
        folder = root.resolve()
        return {folder.name: folder}
    found = {folder.name: folder for folder in folders_in(root) if is_class(folder)}
    if not found:
        raise DataError(f"data set folder at {root}", found="no class in MVTec layout", wanted=LAYOUT, hint=ROOT_HINT)
    return found


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``folder``."""
    return [Dataset(NAME, "Your own images in MVTec layout", classes, load, f"Layout: {LAYOUT}")]
