"""Reads published data sets whose classes are folders of splits and types of defect, as in MVTec AD and its relatives.

CLASS/train/good/*              good images; others of ``train`` are no training images, and are counted
CLASS/validation/good/*         if the data set has them
CLASS/test/good/*, CLASS/test/DEFECT/*
CLASS/ground_truth/DEFECT/*     masks, found by the stem of their image: STEM, STEM_mask, STEM_GT or STEM_label, or
                                a folder STEM with several masks of one image, which are joined
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from adbench import Dataset, Sample, Task
from adbench.api import GOOD, IMAGE_SUFFIXES, UNLABELLED, Facts, Problem

from .counted import count_warnings
from .layout import check_has_test, folders_in, images_in, visible
from .plain import passed_over
from .roots import class_folder, find_classes, plural

ENDINGS = ("_mask", "", "_GT", "_gt", "_label")
"""Endings of the names of masks, after the stem of their image; the first that exists is taken."""


@dataclass(frozen=True)
class Tree:
    """Where a class's images and masks lie.

    Attributes:
        good: names of folders of good images, in lower case; those of files may have capitals.
        validation: the folder of good images that are kept apart; empty if there is none.
        test: the folder of test images.
        tests: further test splits without labels, which are folders of images.
        masks: folders of masks; the first that exists is read.
    """

    good: tuple[str, ...] = (GOOD,)
    validation: str = ""
    test: str = "test"
    tests: tuple[str, ...] = ()
    masks: tuple[str, ...] = ("ground_truth",)


USUAL = Tree()

Finish = Callable[[Task, Path], Task]
"""Adds to a task what only its data set has; it gets the folder of the class."""


def tree_dataset(name: str, summary: str, facts: Facts, tree: Tree = USUAL, finish: Finish | None = None) -> Dataset:
    """The reader of a data set that is such a tree."""
    return Dataset(
        name, summary, partial(_classes, name, facts, tree), partial(_load, name, facts, tree, finish),
        facts.page, facts=facts,
    )  # fmt: skip


def _classes(dataset: str, facts: Facts, tree: Tree, root: Path) -> Sequence[str]:
    return list(find_classes(dataset, root, facts, partial(is_tree, tree)).folders)


def _load(dataset: str, facts: Facts, tree: Tree, finish: Finish | None, root: Path, class_name: str) -> Task:
    folder, remarks = class_folder(dataset, root, class_name, facts, partial(is_tree, tree))
    task = read_tree(dataset, class_name, folder, tree)
    if finish is not None:
        task = finish(task, folder)
    return replace(task, remarks=(*task.remarks, *count_warnings(task, facts.counts), *remarks))


def is_tree(tree: Tree, folder: Path) -> bool:
    """Whether a folder is a class: it has good training images, or its folder of test images has good ones."""
    places = [place for part in ("train", tree.test) for place in folders_in(folder / part)]
    return any(place.name.lower() in tree.good for place in places)


def read_tree(dataset: str, class_name: str, folder: Path, tree: Tree = USUAL, place: Path | None = None) -> Task:
    """List the images and masks of one class, in the order of their names.

    Args:
        dataset: the data set's name.
        class_name: the class's.
        folder: the class.
        tree: where images and masks lie in it.
        place: the task's root; by default the folder that the class lies in.

    Raises:
        DataError: there is no test image.
    """
    found = _Found(folder, tree)
    train = found.good_of("train")
    validation = found.good_of(tree.validation) if tree.validation else ()
    test = found.test()
    others = {name: found.bare(name) for name in tree.tests if (folder / name).is_dir()}
    found.rest(folder, {"train", tree.validation, tree.test, *tree.tests, *(each.split("/")[0] for each in tree.masks)})
    task = Task(
        dataset, class_name, place or folder.parent, train, test,
        problems=tuple(found.problems), validation=validation,
        tests={tree.test: test, **others} if tree.tests else {},
        train_place=folder / "train" / tree.good[0],
        remarks=found.remarks(f"{dataset}/{class_name}"),
    )  # fmt: skip
    check_has_test(task, folder / tree.test)
    return task


class _Found:
    """The images of a class, what is wrong with them, and what was passed over."""

    def __init__(self, folder: Path, tree: Tree) -> None:
        self.folder, self.tree = folder, tree
        self.problems: list[Problem] = []
        self._passed: list[str] = []
        self._notes: list[str] = []
        self._truth = next((folder / name for name in tree.masks if (folder / name).is_dir()), None)

    def good_of(self, split: str) -> tuple[Sample, ...]:
        """The good images of a split in which other images don't count."""
        samples: list[Sample] = []
        for place in folders_in(self.folder / split):
            images = self._images(place)
            if self._is_good(place):
                samples += [Sample(path) for path in images]
            elif images:
                self._notes.append(f"{plural(len(images), 'defective image')} in {split}/{place.name} left out")
        self._loose(self.folder / split)
        return tuple(samples)

    def test(self) -> tuple[Sample, ...]:
        """The labelled test images, with masks."""
        place, samples = self.folder / self.tree.test, []
        kinds = [kind for kind in folders_in(place) if kind != self._truth]
        for kind in kinds:
            images = self._images(kind)
            if not images:
                self.problems.append(Problem(kind, "no image", "Add the images of this type or remove the folder"))
            if self._is_good(kind):
                samples += [Sample(path) for path in images]
            else:
                samples += self._defective(kind.name, images)
        self._loose(place)
        self._without_images({kind.name for kind in kinds})
        if self._truth is None and any(sample.label for sample in samples):
            self._notes.append("no masks, so no pixel metrics")
        return tuple(samples)

    def bare(self, split: str) -> tuple[Sample, ...]:
        """The images of a split without labels, also in folders of it."""
        place = self.folder / split
        images = [*images_in(place), *(path for inner in folders_in(place) for path in images_in(inner))]
        return tuple(Sample(path, defect=UNLABELLED) for path in images)

    def _defective(self, kind: str, images: Sequence[Path]) -> list[Sample]:
        if self._truth is None:
            return [Sample(path, 1, kind) for path in images]
        masks = Masks(self._truth / kind)
        samples = []
        for path in images:
            first, *more = masks.of(path)
            samples.append(Sample(path, 1, kind, first, tuple(more)))
        self._passed += [self._below(path) for path in masks.unused()]
        return samples

    def _without_images(self, known: set[str]) -> None:
        """Masks of a type of defect without images; those of good images, which are black in some copies, are named."""
        for place in folders_in(self._truth) if self._truth else ():
            if self._is_good(place):
                self._passed.append(self._below(place))
            elif place.name not in known and (images_in(place) or folders_in(place)):
                found = f"masks, but no folder {self.folder / self.tree.test / place.name}"
                self.problems.append(Problem(place, found, "Add the images or remove the masks"))

    def _is_good(self, place: Path) -> bool:
        return place.name.lower() in self.tree.good

    def _images(self, place: Path) -> list[Path]:
        self._passed += [self._below(path) for path in folders_in(place)]
        return images_in(place)

    def _loose(self, place: Path) -> None:
        self._passed += [self._below(path) for path in images_in(place)]

    def rest(self, folder: Path, read: set[str]) -> None:
        """Note the folders and images of the class that are not read; texts beside them are no images of it."""
        for path in visible(folder):
            if path.name not in read and (path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES):
                self._passed.append(self._below(path))

    def _below(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix() + ("/" if path.is_dir() else "")

    def remarks(self, name: str) -> tuple[str, ...]:
        """What was left out and what is missing, in a line each."""
        return (*(f"{name}: {note}." for note in self._notes), *passed_over(name, self._passed))


class Masks:
    """The masks in a folder, by the stem of their image: files, or a folder of files for each image."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._inner = folder, {path.name: path for path in folders_in(folder)}
        self._by_stem = {path.stem: path for path in images_in(folder)}
        self._taken: set[Path] = set()

    def of(self, image: Path) -> tuple[Path, ...]:
        """The masks of an image, or the path where one was expected."""
        inner = self._inner.get(image.stem)
        files = images_in(inner) if inner else []
        if inner and files:
            self._taken.add(inner)
            return tuple(files)
        for ending in ENDINGS:
            found = self._by_stem.get(image.stem + ending)
            if found is not None:
                self._taken.add(found)
                return (found,)
        usual = Path(image.stem, "000.png") if self._inner else Path(f"{image.stem}{ENDINGS[0]}.png")
        return (self._folder / usual,)

    def unused(self) -> list[Path]:
        """Masks of no image."""
        there = [*self._by_stem.values(), *(inner for inner in self._inner.values() if images_in(inner))]
        return [path for path in there if path not in self._taken]
