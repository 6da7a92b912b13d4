"""Reads MVTec's layout, which most data sets of the field share or can be rearranged into.

    CLASS/train/good/*              good images; other folders of ``train`` are no training images, and are counted
    CLASS/validation/good/*         if the data set has them
    CLASS/test/good/*
    CLASS/test/DEFECT/*             a folder for each type of defect
    CLASS/ground_truth/DEFECT/*     masks (see ``masks``), or beside their images, as CLASS/test/DEFECT/7_mask.png

Good images may lie in several folders, with any of the names in ``names.GOOD_NAMES``. All that is not read is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from adbench import Dataset, Sample, Task
from adbench.api import GOOD, UNLABELLED, DataError, Facts, Problem, masks_beside, name_key, nfc

from .counted import count_warnings
from .layout import check_has_test, folders_in, images_in, inner_folder, is_text, named, passed_over, visible
from .masks import with_masks
from .names import is_bad, is_good, plural
from .roots import class_folder, find_classes

LAYOUT = "MVTec's layout"

UNSORTED = ("unknown", "unlabelled", "unlabeled")
"""Folders of ``test`` whose images have no label, if there is no other folder in it."""


@dataclass(frozen=True)
class Tree:
    """Where a class's images and masks lie.

    Attributes:
        good: the data set's own names for folders of good images. Other usual names are taken, too, and said.
        only: whether nothing but these names means good images, as where the user gave them.
        validation: the folder of good images that are kept apart; empty if there is none.
        test: the folder of test images.
        tests: further test splits without labels, which are folders of images.
        masks: folders of masks; the first that exists is read.
        joins: whether several masks of an image are joined; otherwise they are refused.
        files: further files of a class that are read.
    """

    good: tuple[str, ...] = (GOOD,)
    only: bool = False
    validation: str = ""
    test: str = "test"
    tests: tuple[str, ...] = ()
    masks: tuple[str, ...] = ("ground_truth",)
    joins: bool = False
    files: tuple[str, ...] = ()

    def is_good(self, name: str) -> bool:
        """Whether a folder of this name has good images."""
        return nfc(name) in self.good if self.only else nfc(name) in self.good or is_good(name)


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
    return any(tree.is_good(place.name) for part in ("train", tree.test) for place in _in(folder, part))


def has_split(folder: Path, tree: Tree = USUAL) -> bool:
    """Whether a folder has good training images in ``train``."""
    return any(tree.is_good(place.name) for place in _in(folder, "train"))


def is_class(folder: Path, tree: Tree = USUAL) -> bool:
    """Whether a folder is meant as a class: it has good training images, or a folder of test images without them."""
    return has_split(folder, tree) or inner_folder(folder, tree.test) is not None


def _in(folder: Path, name: str) -> list[Path]:
    place = inner_folder(folder, name)
    return folders_in(place) if place is not None else []


def read_class(dataset: str, folder: Path, tree: Tree = USUAL, *, synthetic: bool = False) -> Task:
    """Read a class, whose name is that of its folder. Raises ``DataError`` where that or a test image is missing."""
    if not folder.is_dir():
        raise DataError(
            f"class {folder.name} of {dataset}",
            found=f"no folder {folder}",
            wanted="train, test and ground_truth in it",
        )
    return replace(read_tree(dataset, folder.name, folder, tree), synthetic=synthetic)


def read_tree(
    dataset: str,
    class_name: str,
    folder: Path,
    tree: Tree = USUAL,
    place: Path | None = None,
) -> Task:
    """List the images and masks of one class, in the order of their names.

    A class whose only test folder is ``test/unknown`` has images without labels, which can be scored, but not judged.
    A class without masks has metrics by image alone. Otherwise a defective image without a mask names the path where
    its mask was expected.

    Args:
        dataset: the data set's name.
        class_name: the class's.
        folder: the class.
        tree: where images and masks lie in it.
        place: the task's root; by default the folder that the class lies in.

    Raises:
        DataError: there is no test image, or folders can't be told apart.
    """
    found = _Found(folder, tree)
    train = found.good_of("train")
    validation = found.good_of(tree.validation) if tree.validation else ()
    test = found.test()
    others = {name: found.bare(name) for name in tree.tests if inner_folder(folder, name) is not None}
    found.rest()
    task = Task(
        dataset, class_name, place or folder.parent, train, test,
        problems=tuple(found.problems), validation=validation,
        tests={tree.test: test, **others} if tree.tests else {},
        train_place=folder / "train" / tree.good[0],
        remarks=found.remarks(f"{dataset}/{class_name}"), layout=LAYOUT,
    )  # fmt: skip
    check_has_test(task, folder / tree.test)
    return task


class _Found:
    """The images of a class, what is wrong with them, what is to be said of them, and what was passed over."""

    def __init__(self, folder: Path, tree: Tree) -> None:
        self.folder, self.tree = folder, tree
        self.problems: list[Problem] = []
        self._passed: list[Path] = []
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._as_good: list[str] = []
        self._read: set[Path] = set()
        self._truth = next((found for name in tree.masks if (found := self._folder(name)) is not None), None)
        parts = [self._folder(part) for part in ("train", tree.validation, tree.test) if part]
        places = [place for part in parts if part is not None for place in folders_in(part)]
        self._beside = {place: masks_beside(images_in(place)) for place in places if place != self._truth}
        self._pairs = any(found.masks for found in self._beside.values())

    def _folder(self, name: str) -> Path | None:
        """A folder of the class, also with other capitals, which is said."""
        found = inner_folder(self.folder, name)
        if found is not None and found not in self._read:
            self._read |= {found, *found.parents}
            if (there := found.relative_to(self.folder).as_posix()) != name:
                self._notes.append(f"{there} is read as {name}")
        return found

    def good_of(self, split: str) -> tuple[Sample, ...]:
        """The good images of a split in which other images don't count."""
        part = self._folder(split)
        samples: list[Sample] = []
        for place in self._kinds(part):
            if self._is_good(place):
                samples += self._good(place)
            elif images := self._beside[place].images:
                what = plural(len(images), "defective image" if is_bad(place.name) else "image")
                self._notes.append(f"{what} in {place.relative_to(self.folder).as_posix()} left out")
            else:
                self._passed.append(place)
        self._loose(part)
        return tuple(samples)

    def test(self) -> tuple[Sample, ...]:
        """The labelled test images, with masks."""
        part = self._folder(self.tree.test)
        kinds = self._kinds(part)
        good = [kind for kind in kinds if self._is_good(kind)]
        unsorted = [kind for kind in kinds if len(kinds) == 1 and name_key(kind.name) in UNSORTED]
        types = [kind for kind in kinds if kind not in good and kind not in unsorted]
        has_masks = self._truth is not None or any(self._beside[kind].masks for kind in types)
        samples: list[Sample] = []
        for kind in kinds:
            if kind in good:
                found: Sequence[Sample] = self._good(kind)
            elif kind in unsorted:
                found = [Sample(path, defect=UNLABELLED) for path in self._images(kind)]
            else:
                found = self._defective(kind, has_masks=has_masks)
            samples += found
            if not self._beside[kind].images:
                self.problems.append(Problem(kind, "no image", "Add the images of this type or remove the folder"))
        self._loose(part)
        self._without_images(kinds)
        if types and not has_masks:
            self._notes.append("no masks, so no pixel metrics")
        if types and not any(not sample.label for sample in samples):
            named_types = ", ".join(kind.name for kind in types)
            self._warnings.append(
                f"no good image in {self.tree.test}, whose folders are types of defect: {named_types}"
            )
        return tuple(samples)

    def bare(self, split: str) -> tuple[Sample, ...]:
        """The images of a split without labels, also in folders of it."""
        place = self._folder(split)
        folders = [place, *folders_in(place)] if place is not None else []
        return tuple(Sample(path, defect=UNLABELLED) for each in folders for path in images_in(each))

    def _kinds(self, part: Path | None) -> list[Path]:
        return [kind for kind in folders_in(part) if kind != self._truth] if part is not None else []

    def _is_good(self, place: Path) -> bool:
        if not self.tree.is_good(place.name):
            return False
        if nfc(place.name) not in self.tree.good and (path := place.relative_to(self.folder).as_posix()) not in (
            self._as_good
        ):
            self._as_good.append(path)
        return True

    def _good(self, place: Path) -> list[Sample]:
        self._passed += [mask for masks in self._beside[place].masks.values() for mask in masks]
        return [Sample(path) for path in self._images(place)]

    def _images(self, place: Path) -> list[Path]:
        """The images of a folder of images; whatever else lies in it is passed over."""
        found = self._beside[place]
        known = {*images_in(place)}
        self._passed += [path for path in visible(place) if path not in known]
        if self._pairs:  # a mask without its image, where others have theirs
            self._passed += found.lone
        elif len(found.lone) < len(found.images):  # otherwise the images have such names
            self.problems += [
                Problem(path, "the name of a mask, but no image beside it", "Add its image, or give it another name")
                for path in found.lone
            ]
        else:
            return list(found.images)
        return [path for path in found.images if path not in {*found.lone}] if found.lone else list(found.images)

    def _defective(self, kind: Path, *, has_masks: bool) -> Sequence[Sample]:
        images = self._images(kind)
        if not has_masks:
            return [Sample(path, 1, kind.name) for path in images]
        pairs = self._beside[kind].masks
        place = None if self._truth is None or (pairs and not self._masks_of(kind).is_dir()) else self._masks_of(kind)
        found = with_masks(kind.name, images, place, pairs, joins=self.tree.joins)
        self.problems += found.problems
        self._passed += found.unused
        return found.samples

    def _masks_of(self, kind: Path) -> Path:
        """The folder of the masks of a type of defect, also if it isn't there."""
        assert self._truth is not None
        found = [place for place in folders_in(self._truth) if nfc(place.name) == nfc(kind.name)]
        return next(iter(found), None) or inner_folder(self._truth, kind.name) or self._truth / kind.name

    def _without_images(self, kinds: Sequence[Path]) -> None:
        """Masks of a type of defect without images; those of good images, which are black in some copies, are named."""
        if self._truth is None:
            return
        read = {self._masks_of(kind) for kind in kinds if not self.tree.is_good(kind.name)}
        self._passed += [path for path in visible(self._truth) if not path.is_dir() and not is_text(path)]
        for place in folders_in(self._truth):
            if self.tree.is_good(place.name):
                self._passed.append(place)
            elif place not in read and (images_in(place) or folders_in(place)):
                found = f"masks, but no folder {self.folder / self.tree.test / place.name}"
                self.problems.append(Problem(place, found, "Add the images or remove the masks"))
            elif place not in read:
                self._passed.append(place)

    def _loose(self, part: Path | None) -> None:
        self._passed += [path for path in visible(part) if not path.is_dir()] if part is not None else []

    def rest(self) -> None:
        """Note whatever else lies in the class's folder; texts about the data set are nobody's images."""
        known = {self.folder / name for name in self.tree.files} | self._read
        self._passed += [path for path in visible(self.folder) if path not in known and not is_text(path)]

    def remarks(self, name: str) -> tuple[str, ...]:
        """What was taken for good images, what was left out, what is missing and what was passed over."""
        taken = [f"{name}: {' and '.join(self._as_good)} taken for good images."] if self._as_good else []
        notes = [f"{name}: {note}." for note in self._notes]
        warnings = [f"Warning: {name}: {text}." for text in self._warnings]
        return (*taken, *warnings, *notes, *passed_over(name, named(list(dict.fromkeys(self._passed)), self.folder)))
