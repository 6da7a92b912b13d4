"""Records of data: images, tasks and data set readers. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..util.errors import UnknownNameError
from .facts import Facts
from .levels import Levels
from .marking import AUTO, USUAL, Marking

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

    Attributes:
        path: of the image.
        label: 1 for a defective image, else 0.
        defect: its type of defect.
        mask: the file of its mask.
        more_masks: further files of masks of the same image; a pixel is defective where any of them marks it.
        mask_above: a mask's pixel is defective where its value, of 255, is higher than this: 127 for soft edges.
        levels: which values are black and white where the image has more than 8 bits: one decision for all images of a
            model, which a run makes. With None the image alone decides.
        mask_rule: which pixels of a mask are defective: "auto", or "nonzero" where every value but 0 is a defect, even
            one that fills the image. The user's ``--mask-rule`` takes its place.
    """

    path: Path
    label: int = 0
    defect: str = GOOD
    mask: Path | None = None
    more_masks: tuple[Path, ...] = ()
    mask_above: int = 0
    levels: Levels | None = None
    mask_rule: str = AUTO

    @property
    def masks(self) -> tuple[Path, ...]:
        """All files of its masks; they are joined."""
        return () if self.mask is None else (self.mask, *self.more_masks)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of the image, then those of its masks."""
        return (self.path, *self.masks)

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
class Saturation:
    """How many pixels of a defect of one kind must be found, so that it counts as found wholly (Bergmann et al. 2022).

    Attributes:
        defect: the kind of defect.
        pixel_value: the value of its pixels in masks, 1 to 255.
        threshold: a number of pixels, or the share of the defect's own area if ``relative``.
        relative: whether ``threshold`` is a share.
    """

    defect: str
    pixel_value: int
    threshold: float
    relative: bool

    def pixels(self, area: int) -> int:
        """The pixels of a defect with this area that must be found; at least 1."""
        return max(1, int(self.threshold * area) if self.relative else min(int(self.threshold), area))


@dataclass(frozen=True)
class RegionRules:
    """How each file of a mask is one region, for metrics by region (MVTec LOCO AD and AutoVI).

    Attributes:
        saturations: of all kinds of defects of the class.
        groups: the group that a type of defect (``Sample.defect``) is evaluated in, such as "logical"; types that are
            not named are in none.
    """

    saturations: tuple[Saturation, ...]
    groups: Mapping[str, str] = field(default_factory=dict)


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
        region_rules: how each file of a mask is one region, if the data set defines that.
        levels: those of its images of more than 8 bits, once they are decided; None if all have 8.
        layout: how its folders were read, in a few words, such as "MVTec's layout".
        marking: what the user asked to count as defect pixels (``marked``).
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
    region_rules: RegionRules | None = None
    levels: Levels | None = None
    layout: str = ""
    marking: Marking = USUAL

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

    def marked(self, marking: Marking) -> Task:
        """The same task, with other pixels as defects.

        Raises:
            UsageError: there is no such ignore mask.
        """
        remarks = self.remarks
        if marking.ignore_mask is not None and marking.ignored_in(self.class_name) is None:
            whose = f"{self.dataset}/{self.class_name}"
            remarks += (
                f"{whose}: no {self.class_name}.png in {marking.ignore_mask}, so none of its pixels is ignored",
            )
        if marking.mask_rule == AUTO:
            return replace(self, marking=marking, remarks=remarks)

        def ruled(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
            return tuple(replace(each, mask_rule=marking.mask_rule) if each.masks else each for each in samples)

        return replace(
            self, marking=marking, remarks=remarks, test=ruled(self.test), validation=ruled(self.validation),
            tests={name: ruled(samples) for name, samples in self.tests.items()},
        )  # fmt: skip

    @property
    def ignored(self) -> Path | None:
        """The file that marks pixels that count in no metric of pixels."""
        return self.marking.ignored_in(self.class_name)

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
            names = [relative_path(path, self.root) for path in sample.files]
            sizes = [path.stat().st_size if path.is_file() else -1 for path in sample.files]
            digest.update(repr((part, sample.label, sample.defect, names, sizes, *mask_facts(sample))).encode())
        return digest.hexdigest()[:12]


def mask_facts(sample: Sample) -> tuple[int, ...]:
    """What a digest of a sample has of ``mask_above``: nothing where it is 0, as in digests of earlier versions."""
    return (sample.mask_above,) if sample.mask_above else ()


def relative_path(path: Path, root: Path) -> str:
    """Path of a file below the data set's root, with forward slashes on every platform."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@dataclass(frozen=True)
class Dataset:
    """A data set reader.

    Attributes:
        name: of the data set.
        summary: a line about it.
        classes: called with the root, names the classes; raises ``DataError`` if the folder is missing.
        load: called with the root and the name of a class, finds its images without opening them; raises ``DataError``
            if the folder is missing.
        source: where to get it.
        needs_root: False for a data set that makes its images itself (``demo``): it gets the cache folder.
        synthetic: whether a program made the images.
        options: those that the reader reads with, if it has any.
        configure: returns the same reader with other options.
        facts: licence, citation, archives and published numbers.
        installed_root: gives the folder that is read without ``--data-root``: that of an installed package, or None
            where it isn't installed.
        option_file: name of a TOML file in the root that sets options of the reader; commands read it, and the reader
            itself never does.
        marking: what the user asked to count as defect pixels; ``data_options.with_options`` makes ``load`` heed it.
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
    facts: Facts | None = None
    installed_root: Callable[[], Path | None] | None = None
    option_file: str = ""
    marking: Marking = USUAL


def size_text(size: EvalSize) -> str:
    """Format a size as in options: "256x640", or "native"."""
    return size if isinstance(size, str) else "x".join(map(str, size))
