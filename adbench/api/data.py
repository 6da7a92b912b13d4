"""Records of data: images, the tasks made of them, and the readers that find them. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from ..util.errors import UnknownNameError

Size = tuple[int, int]
"""Height and width in pixels."""

EvalSize = Size | Literal["native"]
"""Where maps and masks are compared: at one size, or at each image's own."""

Setting = Literal["one-class", "multi-class", "few-shot", "zero-shot"]
"""What one model is trained on: one class, several classes at once, a few images of one class, or no image."""

SETTINGS: tuple[Setting, ...] = get_args(Setting)

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


TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Names of the splits of a task; a data set with several tests names these itself."""


@dataclass(frozen=True)
class Task:
    """One class of one data set, as named splits: see ``splits``.

    Attributes:
        dataset: name of the data set.
        class_name: name of the class.
        root: the folder below which paths are told.
        train: good images to train on. It may be empty; then only zero-shot methods can run.
        test: good and defective images that are scored. By default the first of ``tests``.
        synthetic: whether the images were made by a program.
        problems: what is wrong with the files.
        validation: good images that the data set keeps apart from training, where it does.
        tests: the test splits by name, where a data set has several; else empty.
        train_place: where training images were looked for; told where there are none.
    """

    dataset: str
    class_name: str
    root: Path
    train: tuple[Sample, ...]
    test: tuple[Sample, ...] = ()
    synthetic: bool = False
    problems: tuple[Problem, ...] = ()
    validation: tuple[Sample, ...] = ()
    tests: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    train_place: Path | None = None

    def __post_init__(self) -> None:
        if TRAIN in self.tests or VALIDATION in self.tests:
            raise ValueError(f"a test split named '{TRAIN}' or '{VALIDATION}'")
        if self.tests and not self.test:
            object.__setattr__(self, "test", next(iter(self.tests.values())))

    @property
    def splits(self) -> Mapping[str, tuple[Sample, ...]]:
        """All splits by name: "train", "validation" where there is one, and "test" or the tests' own names."""
        validation = {VALIDATION: self.validation} if self.validation else {}
        return {TRAIN: self.train, **validation, **(self.tests or {TEST: self.test})}

    def with_test(self, name: str | None) -> Task:
        """The same task with another test split to score; None stands for the one that is scored by default.

        Raises:
            UnknownNameError: the task has no test split of that name.
        """
        if name is None:
            return self
        tests = self.tests or {TEST: self.test}
        if name not in tests:
            raise UnknownNameError(f"test split of {self.dataset}/{self.class_name}", name, tests)
        return replace(self, test=tests[name])

    def used(self) -> Iterator[tuple[str, Sample]]:
        """Every image that can move a number, with the name of its split; of several tests the scored one alone."""
        for split, samples in ((TRAIN, self.train), (VALIDATION, self.validation), (TEST, self.test)):
            for sample in samples:
                yield split, sample

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when an image is added, removed, relabelled or of another length.

        Files are not opened; ``identity.data_digest`` knows their contents.
        Paths count relative to the root, so that a copied data set has the same fingerprint.
        """
        digest = hashlib.sha256()
        for part, sample in self.used():
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
