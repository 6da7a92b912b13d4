"""Reads the MVTec layout, which most data sets of the field share or can be rearranged into.

    CLASS/train/good/*.png              good images only
    CLASS/test/good/*.png
    CLASS/test/DEFECT/*.png             one folder per type of defect
    CLASS/ground_truth/DEFECT/*.png     masks: STEM_mask or STEM of the image, nonzero = defective

Readers list files and never open them. They run as plugins at each start: they use the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from adbench import Sample, Task
from adbench.api import GOOD, IMAGE_SUFFIXES, UNLABELLED, DataError, Problem, UnknownNameError, reason

MASK_ENDING = "_mask"

UNSORTED = ("unknown", "unlabelled", "unlabeled")
"""Folders of ``test`` whose images have no label, if there is no other folder in it."""

LISTED = 6
"""Number of files that a remark names."""

ROOT_HINT = "Give its folder with --data-root DIR or ADBENCH_DATA"


def is_class(folder: Path) -> bool:
    """Whether a folder is meant as a class in MVTec layout: it has ``train/good``, or ``test`` without it."""
    return (folder / "train" / GOOD).is_dir() or (folder / "test").is_dir()


def read_class(dataset: str, folder: Path, *, synthetic: bool = False) -> Task:
    """List the images and masks of one class in MVTec layout, in the order of their names.

    A class whose only test folder is ``test/unknown`` has images without labels, which can be scored, but not judged.
    A class without any ``ground_truth`` folder has no masks: only image-level metrics are defined. Otherwise a
    defective image without a mask names the path where its mask was expected. A remark names masks of no image.

    Args:
        dataset: the data set's name, for the task and for messages.
        folder: the class; its name is the class's, and its parent the task's root.
        synthetic: whether the images were made by a program.

    Raises:
        DataError: the folder is missing, or has no test image.
    """
    if not folder.is_dir():
        raise DataError(
            f"class {folder.name} of {dataset}",
            found=f"no folder {folder}",
            wanted="train, test and ground_truth in it",
        )
    train = tuple(Sample(path) for path in images_in(folder / "train" / GOOD))
    test, problems, unused = _read_test(folder)
    names = [path.relative_to(folder).as_posix() for path in unused]
    remarks = tuple(passed_over(f"{dataset}/{folder.name}", names))
    place = folder / "train" / GOOD
    task = Task(
        dataset, folder.name, folder.parent, train, test, synthetic, problems, train_place=place, remarks=remarks
    )
    check_has_test(task, folder / "test")
    return task


def check_has_test(task: Task, folder: Path) -> None:
    """Raise ``DataError`` if a task has no test image; the message names the folder they belong in.

    Without training images a task is still good for zero-shot methods; ``Task.train_place`` names where they belong.
    """
    if not task.test:
        raise DataError(
            f"class {task.class_name} of {task.dataset}",
            found=f"no test image in {folder}",
            wanted="at least one",
            hint="Unpack the data set again, or correct the folder",
        )


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder in the order of their names; none if the folder is missing.

    Links that lead nowhere and pipes count, so that reading them is refused and nothing is left out in silence.
    """
    return [path for path in visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()]


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder in the order of their names; none if the folder is missing."""
    return [path for path in visible(folder) if path.is_dir()]


def visible(folder: Path) -> list[Path]:
    """List everything in a folder that is not hidden, by name: in the same order on every platform.

    Raises:
        DataError: the folder may not be read.
    """
    if not folder.is_dir():
        return []
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"folder {folder}", found=reason(error), hint="Correct its permissions") from error
    return sorted(found, key=lambda path: path.name)


def check_root(dataset: str, root: Path, source: str = "") -> None:
    """Raise ``DataError`` if the root is missing; the message says where to get the data set."""
    if not root.is_dir():
        found = "a file" if root.is_file() else "no such folder"
        get = f", or get it from {source}" if source else ""
        raise DataError(f"data set {dataset} at {root}", found=found, wanted="a folder", hint=ROOT_HINT + get)


def find_root(
    dataset: str,
    root: Path,
    nested: Sequence[str],
    classes: Sequence[str],
    source: str,
    holds: Callable[[Path], bool] = Path.is_dir,
) -> Path:
    """Find the folder that contains the classes: the root, or one of its ``nested`` folders.

    Where several do, the one with the most classes wins, then the first.

    Args:
        dataset: the data set's name, for messages.
        root: what the user gave.
        nested: folders below the root that may contain the classes, with forward slashes.
        classes: the names of all classes.
        source: where to get the data set.
        holds: whether a folder with a class's name really is a class.

    Raises:
        DataError: the root is missing, or no class lies in any of these folders.
    """
    check_root(dataset, root, source)
    candidates = [root, *(root / name for name in nested)]
    counts = [sum(holds(folder / name) for name in classes) for folder in candidates]
    if not any(counts):
        raise DataError(
            f"data set {dataset} at {root}",
            found="no folder of any of its classes",
            wanted="one of " + ", ".join(classes),
            hint=f"{ROOT_HINT}, or get it from {source}",
        )
    return candidates[counts.index(max(counts))]


def check_class(dataset: str, class_name: str, classes: Sequence[str]) -> None:
    """Raise ``UnknownNameError`` for a class that the data set does not have."""
    if class_name not in classes:
        raise UnknownNameError(f"class of {dataset}", class_name, classes)


def passed_over(where: str, names: Sequence[str]) -> list[str]:
    """A line that names what isn't read; none if there is nothing."""
    if not names:
        return []
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [f"{where}: passed over: {', '.join(names[:LISTED])}{more}."]


def looks_good(name: str) -> bool:
    """Whether a folder's name is "good" to people, but not to a program, such as "Good"."""
    return name != GOOD and name.strip().casefold() == GOOD


def _read_test(folder: Path) -> tuple[tuple[Sample, ...], tuple[Problem, ...], list[Path]]:
    """The test images, what is wrong with them, and the masks of no image."""
    ground_truth = folder / "ground_truth"
    has_masks = ground_truth.is_dir()
    samples: list[Sample] = []
    problems: list[Problem] = []
    unused: list[Path] = []
    defects = folders_in(folder / "test")
    for place in defects:
        found = images_in(place)
        masks = _Masks(ground_truth / place.name, found)
        if not found:
            problems.append(Problem(place, "no image", "Add the images of this type or remove the folder"))
        if looks_good(place.name):
            problems.append(Problem(place, f"a type of defect called {place.name}", f"Name it {GOOD} if it is none"))
        elif len(defects) == 1 and place.name in UNSORTED:
            samples += [Sample(path, defect=UNLABELLED) for path in found]
        elif place.name == GOOD:
            samples += [Sample(path) for path in found]
        elif not has_masks:
            samples += [Sample(path, 1, place.name) for path in found]
        else:
            samples += [Sample(path, 1, place.name, mask) for path in found if (mask := masks.of(path)) is not None]
        problems += masks.problems
        unused += masks.unused
    known = {place.name for place in defects}
    problems += [
        Problem(place, f"masks, but no folder {folder / 'test' / place.name}", "Add the images or remove the masks")
        for place in folders_in(ground_truth)
        if place.name not in known and images_in(place)
    ]
    return tuple(samples), tuple(problems), unused


class _Masks:
    """The masks of one type of defect, found by the file stem of their image."""

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        self.problems: list[Problem] = []
        self.unused = images_in(folder)
        self._folder = folder
        self._by_stem: dict[str, list[Path]] = {}
        for path in self.unused:
            self._by_stem.setdefault(path.stem, []).append(path)
        stems = [image.stem for image in images]
        self._shared = {stem for stem in stems if stems.count(stem) > 1}

    def of(self, image: Path) -> Path | None:
        """The mask of an image, or the path where it was expected; None, and a problem, where several fit."""
        usual = image.stem + MASK_ENDING
        found = self._by_stem.get(usual) or self._by_stem.get(image.stem) or [self._folder / f"{usual}.png"]
        self.unused = [path for path in self.unused if path not in found]
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            self.problems.append(Problem(image, f"two masks, {names} in {self._folder}", "Keep one of them"))
            return None
        if image.stem in self._shared:
            self.problems.append(
                Problem(image, f"a mask {found[0]} that other images of this name have, too", "Rename the images")
            )
            return None
        return found[0]
