"""Records of data: images, tasks and data set readers. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..util.errors import UnknownNameError

Size = tuple[int, int]
"""Height and width in pixels."""

EvalSize = Size | Literal["native"]
"""Size at which maps and masks are compared: one size, or each image's own."""

Setting = Literal["one-class", "multi-class", "few-shot", "zero-shot"]
"""Training images of one model: of one class, of several classes at once, a few of one class, or none."""

SETTINGS: tuple[Setting, ...] = get_args(Setting)

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes of images, in lower case; other files in a folder are no images."""

GOOD = "good"
"""The defect type of an image without a defect."""

UNLABELLED = ""
"""The defect type of an image whose label nobody has given: it can be scored, but no metric counts it."""


@dataclass(frozen=True)
class Sample:
    """One image: its path, its label, and the path of its mask (None if it is good).

    The defect type ``UNLABELLED`` means that the label isn't known. Such images are for ``adbench test`` only.
    """

    path: Path
    label: int = 0
    defect: str = GOOD
    mask: Path | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether its label is known."""
        return self.defect != UNLABELLED


@dataclass(frozen=True)
class Problem:
    """A fault of one file or folder of a data set, with a hint."""

    path: Path
    found: str
    hint: str


@dataclass(frozen=True)
class DataOptions:
    """The options of a data set's reader, which extends this class; every option has a default.

    Types and ranges are those of a method's options: numbers, texts, true or false, and tuples of them. The text below
    an option gives its meaning, which ``adbench list datasets NAME`` shows.
    """


TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""Names of a task's splits; a data set with several test splits names these itself."""


@dataclass(frozen=True)
class Task:
    """One class of one data set, as named splits: see ``splits``.

    Attributes:
        dataset: name of the data set.
        class_name: name of the class.
        root: the folder below which paths are given.
        train: good images to train on. It may be empty; then only zero-shot methods can run.
        test: good and defective images to score. By default the first of ``tests``.
        synthetic: whether a program made the images.
        problems: faults of the files.
        validation: good images that the data set separates from training, if it does.
        tests: the test splits by name, if a data set has several; otherwise empty.
        train_place: where training images were searched; shown if there are none.
        options: the reader's options, if its images depend on them; then they are a part of the result.
        remarks: lines for the user on how the images were found, such as a split that the reader made, and what it
            passed over.
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
    options: DataOptions | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if TRAIN in self.tests or VALIDATION in self.tests:
            raise ValueError(f"a test split named '{TRAIN}' or '{VALIDATION}'")
        if self.tests and not self.test:
            object.__setattr__(self, "test", next(iter(self.tests.values())))

    @property
    def splits(self) -> Mapping[str, tuple[Sample, ...]]:
        """All splits by name: "train", "validation" if there is one, and "test" or the names of several tests."""
        validation = {VALIDATION: self.validation} if self.validation else {}
        return {TRAIN: self.train, **validation, **(self.tests or {TEST: self.test})}

    def with_test(self, name: str | None) -> Task:
        """The same task with another test split to score; None means the default one.

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
        """Every image that can move a number, with the name of its split; of several tests only the scored one."""
        for split, samples in ((TRAIN, self.train), (VALIDATION, self.validation), (TEST, self.test)):
            for sample in samples:
                yield split, sample

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when an image is added, removed, relabelled or of another length.

        Files are not opened; ``identity.data_digest`` covers their contents. Paths count relative to the root, so a
        copied data set has the same fingerprint.
        """
        digest = hashlib.sha256()
        for part, sample in self.used():
            files = [path for path in (sample.path, sample.mask) if path is not None]
            names = [relative_path(path, self.root) for path in files]
            sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
            digest.update(repr((part, sample.label, sample.defect, names, sizes)).encode())
        return digest.hexdigest()[:12]


def relative_path(path: Path, root: Path) -> str:
    """Path of a file below the data set's root, with forward slashes on every platform."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@dataclass(frozen=True)
class Dataset:
    """A data set reader.

    ``classes(root)`` names the classes; ``load(root, class_name)`` finds the images of one without
    opening them. Both raise ``DataError`` if the folder is missing. A data set that generates itself
    (``demo``) takes no root: it gets the cache folder.

    A reader with ``options`` reads with them; ``configure`` returns the same reader with other ones.
    """

    name: str
    summary: str
    classes: Callable[[Path], Sequence[str]]
    load: Callable[[Path, str], Task]
    source: str = ""
    needs_root: bool = True
    synthetic: bool = False
    options: DataOptions | None = None
    configure: Callable[[Any], Dataset] | None = None


def size_text(size: EvalSize) -> str:
    """Format a size as in options: "256x640", or "native"."""
    return size if isinstance(size, str) else "x".join(map(str, size))
