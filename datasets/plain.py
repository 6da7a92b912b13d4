"""Reads good and bad images that lie in folders beside each other, without a split into training and test.

    CLASS/good/*.png         good images: some are for training, the others for testing
    CLASS/bad/*.png          defective images, or
    CLASS/bad/DEFECT/*.png   a folder per type of defect
    CLASS/masks/...          masks, if there are any (or ground_truth): see ``plain_masks``

In place of a folder the options may have a pattern, such as ok_*.png: see ``patterns``.

The split depends on three things alone: the names of the good files below their folder, the share for testing, and the
split's seed. So all methods, seeds of runs and copies of the images have the same one. Each name gets a number by
SHA-256, and the images with the lowest numbers are for testing. One more image moves at most one other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, NoReturn

from adbench import Sample, Task
from adbench.api import (
    GOOD,
    MASK_FOLDERS,
    UNLABELLED,
    DataError,
    DataOptions,
    OptionError,
    Problem,
    Range,
    masks_beside,
    nfc,
)

from .layout import LISTED, folders_in, images_in, named, passed_over, unread, visible
from .names import is_bad, is_good, plural
from .patterns import base, defect_type, is_pattern, matching
from .plain_masks import Masks

FEW = 3
"""Kinds of images up to which a remark gives a pattern for each."""

BAD = "bad"
"""The type of defective images whose pattern and folder say none."""


@dataclass(frozen=True)
class FolderOptions(DataOptions):
    """How folders of good and bad images are read."""

    good: tuple[str, ...] = ("good",)
    """Folders of good images, or patterns of their paths such as ok_*.png."""

    bad: tuple[str, ...] = ("bad",)
    """Folders of defective images, or patterns. Each is a type of defect, and so is each folder in one of them."""

    test_share: Annotated[float, Range(0, 1)] = 0.3
    """Part of the good images that is for testing, without a split; the others are for training."""

    split_seed: Annotated[int, Range(0)] = 0
    """Another number draws other good images for testing. The seed of a run never does."""


def is_plain(folder: Path, options: FolderOptions) -> bool:
    """Whether a folder has one of the folders of good or bad images, or an image that fits a pattern."""
    return any(
        matching(folder, name, MASK_FOLDERS) if is_pattern(name) else (folder / name).is_dir()
        for name in (*options.good, *options.bad)
    )


def read_plain(dataset: str, folder: Path, options: FolderOptions, read: Sequence[str] = ()) -> Task:
    """Find the images of one class, and split the good ones.

    Args:
        dataset: the data set's name, for the task and for messages.
        folder: the class; its name is the class's, and its parent the task's root.
        options: names of folders, and the split.
        read: names of files in the folder that are read elsewhere.

    Raises:
        DataError: too few good images, no folder of bad ones where others lie beside the good ones, a type of
            defect that is called good, or images that are both.
    """
    found = _Found(dataset, folder, options, read)
    train, test = found.split()
    if not (*test, *found.bad):
        found.refuse("no image to test on", "at least one", "Add images, or give a larger --test-share")
    first = options.good[0] if options.good else GOOD
    return Task(
        dataset,
        folder.name,
        folder.parent,
        train,
        (*test, *found.bad),
        problems=tuple(found.problems),
        train_place=folder / (base(first) if is_pattern(first) else first),
        options=options,
        remarks=tuple(found.remarks(len(train), len(test))),
        layout=f"{found.means} without a split",
    )


def read_loose(dataset: str, folder: Path, read: Sequence[str] = ()) -> Task:
    """Take a folder of images that nobody has sorted: they have no labels, and can only be scored."""
    found = masks_beside(images_in(folder))
    lone = found.lone if found.masks else ()  # masks of images that are gone
    samples = tuple(Sample(path, defect=UNLABELLED) for path in found.images if path not in lone)
    known = {*(folder / name for name in read), *(sample.path for sample in samples)}
    other = [path for path in visible(folder) if path not in known]
    name = f"{dataset}/{folder.name}"
    remarks = [f"{name}: {plural(len(samples), 'image')} without a label, which have scores but no metrics."]
    if patterns := _by_beginnings([sample.path for sample in samples]):
        remarks.append(f"{name}: if names say which are good, give patterns, such as {patterns}.")
    return Task(
        dataset, folder.name, folder.parent, (), samples, train_place=folder,
        remarks=(*remarks, *passed_over(name, named(other, folder))), layout="images without labels",
    )  # fmt: skip


def _by_beginnings(images: Sequence[Path]) -> str:
    """Options with patterns for images some of which begin with a usual word for good ones; empty if none does.

    Bad are those with a usual word for that, else all others if these begin with few different words.
    """
    words = dict.fromkeys(stem.rstrip("0123456789").rstrip(" _-") for stem in (image.stem for image in images))
    good = next((word for word in words if is_good(word)), "")
    others = [word for word in words if word != good]
    bad = [word for word in others if is_bad(word)][:1] or others
    if not good or not bad or "" in bad or len(bad) > FEW:
        return ""
    return f"--good '{good}*' --bad '{','.join(f'{word}*' for word in bad)}'"


def split(names: Sequence[str], share: float, seed: int) -> set[int]:
    """Choose images for testing by their names.

    Args:
        names: of the files, below their folders; in any order.
        share: part that is chosen, rounded to whole images. Both sides get one at least, unless it is 0 or 1.
        seed: another one chooses others.

    Returns:
        The places of the chosen ones in ``names``.
    """
    count = int(share * len(names) + 0.5)
    if 0 < share < 1 and names:
        count = min(max(count, 1), len(names) - 1)

    def number(place: int) -> tuple[bytes, int]:
        name = nfc(names[place])
        return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest(), place

    return set(sorted(range(len(names)), key=number)[:count])


# ---------------------------------------------------------------- the images of a class


class _Found:
    """The images of a class, what is wrong with them, and what was passed over."""

    def __init__(self, dataset: str, folder: Path, options: FolderOptions, read: Sequence[str]) -> None:
        self.dataset, self.folder, self.options = dataset, folder, options
        self.problems: list[Problem] = []
        self._require_good()
        good = [pair for name in options.good for pair in self._good_of(name)]
        bad = [pair for name in options.bad for pair in self._bad_of(name)]
        folders = dict.fromkeys(image.parent for image, _ in (*good, *bad))
        self._beside = {place: masks_beside(images_in(place)) for place in folders}
        self._images = {path for found in self._beside.values() for path in found.images}
        lone = self._lone()
        self.good = [pair for pair in good if self._is_image(pair[0]) and pair[0] not in lone]
        bad = [pair for pair in bad if self._is_image(pair[0]) and pair[0] not in lone]
        self._require_bad(bool(bad))
        self._require_apart([*self.good, *bad])
        self._require_types(bad)
        self._report_empty({image.parent for image, _ in bad})
        masks = {image: self._beside[image.parent].masks.get(image, ()) for image, _ in bad}
        self.masks = Masks(folder, bad, {image: found for image, found in masks.items() if found}, self.refuse)
        unclear = {problem.path for problem in self.masks.problems}
        self.bad = [Sample(image, 1, kind, self.masks.of(image)) for image, kind in bad if image not in unclear]
        self.problems += self.masks.problems
        images = [*(folder / name for name in read), *(image for image, _ in (*self.good, *bad))]
        self._passed = unread(
            folder, {*images, *self.masks.used, *(problem.path for problem in self.problems)}, self.masks.searched
        )

    @property
    def name(self) -> str:
        """The class, for messages."""
        return f"class {self.folder.name} of {self.dataset}"

    def refuse(self, found: str, wanted: str = "", hint: str = "") -> NoReturn:
        """Raise ``DataError`` about this class."""
        raise DataError(self.name, found=found, wanted=wanted, hint=hint)

    @property
    def means(self) -> str:
        """How images were found."""
        return "images by patterns" if any(map(is_pattern, (*self.options.good, *self.options.bad))) else "folders"

    # -- images

    def _matching(self, pattern: str) -> list[Path]:
        return matching(self.folder, pattern, MASK_FOLDERS)

    def _is_there(self, name: str) -> bool:
        return bool(self._matching(name)) if is_pattern(name) else (self.folder / name).is_dir()

    def _good_of(self, name: str) -> list[tuple[Path, Path]]:
        """The good images of a folder or pattern, each with the folder below which its name counts."""
        if is_pattern(name):
            return [(image, self.folder / base(name)) for image in self._matching(name)]
        return [(image, self.folder / name) for image in images_in(self.folder / name)]

    def _bad_of(self, name: str) -> list[tuple[Path, str]]:
        """The defective images of a folder or pattern, with their types of defect."""
        place = self.folder / name
        if not is_pattern(name):
            own = [(image, place.name) for image in images_in(place)]
            return own + [(image, kind.name) for kind in folders_in(place) for image in images_in(kind)]
        return [
            (image, defect_type(name) or (BAD if image.parent == self.folder else image.parent.name))
            for image in self._matching(name)
        ]

    def _is_image(self, path: Path) -> bool:
        return path in self._images

    def _lone(self) -> set[Path]:
        """Files with the name of a mask whose image is missing; where all images have such names, they are images."""
        lone = {path for found in self._beside.values() for path in found.lone}
        if any(found.masks for found in self._beside.values()):
            return lone
        mixed = {path for found in self._beside.values() if len(found.lone) < len(found.images) for path in found.lone}
        self.problems += [
            Problem(path, "the name of a mask, but no image beside it", "Add its image, or give it another name")
            for path in sorted(mixed)
        ]
        return mixed

    # -- what is refused

    def _require_good(self) -> None:
        """Refuse a class without the folder that the user named for good images, where others have images."""
        names = self.options.good
        if names == FolderOptions.good or any(map(self._is_there, names)):
            return
        if others := self._others():
            hint = f"Name it, such as --good {others[0]}"
            self.refuse(f"{self._none_of(names)}, but {', '.join(others[:LISTED])}", "a folder of good images", hint)

    def _require_bad(self, is_there: bool) -> None:
        """Refuse a class where the defective images seem to have another name."""
        names = self.options.bad
        if is_there or not names or any(map(self._is_there, names)):
            return
        if others := self._others():
            self.refuse(
                f"{self._none_of(names)}, but {', '.join(others[:LISTED])}",
                "a folder of defective images",
                f"Name it, such as --bad {','.join(others[:LISTED])}, or give --bad '' if there is none",
            )
        good = {image for image, _ in self.good}
        if loose := [image.name for image in images_in(self.folder) if self._is_loose(image) and image not in good]:
            self.refuse(
                f"{self._none_of(names)}, but {', '.join(loose[:LISTED])}", "the names of defective images",
                "Give a pattern, such as --bad 'ng_*', or --bad '' if there is none",
            )  # fmt: skip

    def _is_loose(self, image: Path) -> bool:
        """Whether an image lies where patterns have found others, and is no mask beside one."""
        return image.parent in self._beside and self._is_image(image)

    def _none_of(self, names: Sequence[str]) -> str:
        folders = [name for name in names if not is_pattern(name)]
        patterns = [name for name in names if is_pattern(name)]
        texts = [f"no folder {' or '.join(folders)}"] if folders else []
        return " and ".join([*texts, *([f"no image that fits {' or '.join(patterns)}"] if patterns else [])])

    def _others(self) -> list[str]:
        """Folders with images that have none of the names that are read."""
        read = (*self.options.good, *self.options.bad)
        known = {PurePosixPath(name).parts[0] for name in read if not is_pattern(name)} | set(MASK_FOLDERS)
        known |= {image.relative_to(self.folder).parts[0] for name in read if is_pattern(name)
                  for image in self._matching(name)}  # fmt: skip
        return [path.name for path in folders_in(self.folder) if path.name not in known and _holds_images(path)]

    def _require_apart(self, images: Sequence[tuple[Path, object]]) -> None:
        """Refuse an image that two patterns, or a pattern and a folder, have."""
        seen: set[Path] = set()
        for image, _ in images:
            if image in seen:
                named_twice = f"{image.relative_to(self.folder).as_posix()} in two of --good and --bad"
                self.refuse(named_twice, "each image in one folder or pattern", "Make the patterns narrower")
            seen.add(image)

    def _require_types(self, images: Sequence[tuple[Path, str]]) -> None:
        called = next(((image, kind) for image, kind in images if is_good(kind)), None)
        if called is not None:
            place = called[0].parent.relative_to(self.folder).as_posix()
            self.refuse(
                f"a type of defect called {called[1]} ({place})", "another name",
                "Rename the folder, or name the folders with --good and --bad",
            )  # fmt: skip

    def _report_empty(self, having: set[Path]) -> None:
        """Report folders of defective images that have none."""
        for place in (self.folder / name for name in self.options.bad if (self.folder / name).is_dir()):
            kinds = folders_in(place)
            for empty in [kind for kind in kinds if kind not in having] if kinds else {place} - having:
                found = Problem(empty, "no image", "Add the images of this type or remove the folder")
                self.problems.append(found)

    # -- the split

    def split(self) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
        """Good images for training, and for testing; both in the order of their names.

        Raises:
            DataError: too few to have both.
        """
        share = self.options.test_share
        there = [name for name in self.options.good if self._is_there(name)]
        if there and len(self.good) < (2 if 0 < share < 1 else 1):
            self._refuse_few(there)
        names = [image.relative_to(place).as_posix() for image, place in self.good]
        chosen = split(names, share, self.options.split_seed)
        samples = [Sample(image) for image, _ in self.good]
        return (
            tuple(sample for number, sample in enumerate(samples) if number not in chosen),
            tuple(sample for number, sample in enumerate(samples) if number in chosen),
        )

    def _refuse_few(self, names: Sequence[str]) -> None:
        places = [self.folder / name for name in names if not is_pattern(name)]
        inner = [path for place in places for path in folders_in(place) if images_in(path)]
        where = " and ".join(str(self.folder / name) for name in names)
        found = f"{plural(len(self.good), 'good image')} in {where}"
        wanted = "at least 2, to train on one and to test on another"
        if inner:
            nested = ",".join(path.relative_to(self.folder).as_posix() for path in inner[:LISTED])
            self.refuse(f"{found}, but folders in it", wanted, f"Name them: --good {nested}")
        self.refuse(found, wanted, "Add good images")

    # -- said

    def remarks(self, train: int, test: int) -> list[str]:
        """How the images were found, in one line, and what was passed over, in another."""
        where = f"{self.dataset}/{self.folder.name}"
        kinds: dict[str, int] = {}
        for sample in self.bad:
            kinds[sample.defect] = kinds.get(sample.defect, 0) + 1
        counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        bad = f"{len(self.bad)} bad" + (f" ({counts})" if len(kinds) > 1 or [*kinds] not in ([], [BAD]) else "")
        masks = "masks beside them" if self.masks.are_there else "no masks, so no pixel metrics"
        names = (*self.options.good, *self.options.bad)
        absent = [f"no {'image that fits' if is_pattern(name) else 'folder'} {name}" for name in names
                  if not self._is_there(name)]  # fmt: skip
        missing = f"; {' and '.join(absent)}" if absent else ""
        line = (
            f"{where}: {self.means} without a split: {plural(train, 'good image')} for training, "
            f"{test} good and {bad} for testing (--test-share {self.options.test_share:g}); {masks}{missing}."
        )
        return [line, *passed_over(where, named(self._passed, self.folder))]


def check_names(options: FolderOptions, owner: str) -> None:
    """Refuse names of folders that are no names, the same twice, or one in another. Raises ``OptionError``."""
    names: Mapping[str, tuple[str, ...]] = {"good": options.good, "bad": options.bad}
    if not options.good:
        raise OptionError(f"option good of {owner}", found="no name", wanted="the name of a folder, or a pattern")
    seen: list[tuple[str, PurePosixPath]] = []
    for key, name in ((key, name) for key, listed in names.items() for name in listed):
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise OptionError(f"option {key} of {owner}", found=f"'{name}'", wanted="the name of a folder in the class")
        for other_key, other in seen:
            about = f"option {key}" if key == other_key else f"options {other_key} and {key}"
            if path == other:
                raise OptionError(f"{about} of {owner}", found=f"the folder {path} twice", wanted="two folders")
            if path in other.parents or other in path.parents:
                wanted = "folders beside each other"
                raise OptionError(f"{about} of {owner}", found=f"{other} and {path}, one in the other", wanted=wanted)
        seen.append((key, path))


def _holds_images(folder: Path) -> bool:
    return bool(images_in(folder)) or any(images_in(inner) for inner in folders_in(folder))
