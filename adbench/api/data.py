"""Records of data: images, the tasks made of them, and the readers that find them. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Size = tuple[int, int]
"""Height and width in pixels."""

EvalSize = Size | Literal["native"]
"""Where maps and masks are compared: at one size, or at each image's own."""

GOOD = "good"
"""The defect type of an image without a defect."""


@dataclass(frozen=True)
class Sample:
    """One image: where it lies, whether it is defective, and where its mask lies (None when good)."""

    path: Path
    label: int = 0
    defect: str = GOOD
    mask: Path | None = None


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file or folder of a data set, with the way out."""

    path: Path
    found: str
    hint: str


@dataclass(frozen=True)
class Task:
    """One class of one data set: good training images, and test images of both kinds."""

    dataset: str
    class_name: str
    root: Path
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    synthetic: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when an image is added, removed, relabelled or of another length.

        Files are not opened; ``identity.data_digest`` knows their contents.
        Paths count relative to the root, so that a copied data set has the same fingerprint.
        """
        digest = hashlib.sha256()
        for part, samples in (("train", self.train), ("test", self.test)):
            for sample in samples:
                files = [path for path in (sample.path, sample.mask) if path is not None]
                names = [relative_path(path, self.root) for path in files]
                sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
                digest.update(repr((part, sample.label, sample.defect, names, sizes)).encode())
        return digest.hexdigest()[:12]


def relative_path(path: Path, root: Path) -> str:
    """Name a file below the data set's root, with forward slashes on every platform."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@dataclass(frozen=True)
class Dataset:
    """A data set reader.

    ``classes(root)`` names the classes; ``load(root, class_name)`` finds the images of one without
    opening them. Both raise ``DataError`` where the folder is missing. A data set that makes itself
    (``demo``) takes no root: it gets the cache folder.
    """

    name: str
    summary: str
    classes: Callable[[Path], Sequence[str]]
    load: Callable[[Path, str], Task]
    source: str = ""
    needs_root: bool = True
    synthetic: bool = False


def size_text(size: EvalSize) -> str:
    """Write a size as people give it: "256x640", or "native"."""
    return size if isinstance(size, str) else "x".join(map(str, size))
