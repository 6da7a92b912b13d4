"""Reads good and bad images that lie in folders beside each other, without a split into training and test.

    CLASS/good/*.png         good images: some are for training, the others for testing
    CLASS/bad/*.png          defective images, or
    CLASS/bad/DEFECT/*.png   a folder per type of defect
    CLASS/masks/...          masks, if there are any (or ground_truth): see ``plain_masks``

The split depends on three things alone: the names of the good files below their folder, the share for testing, and the
split's seed. So all methods, seeds of runs and copies of the images have the same one. Each name gets a number by
SHA-256, and the images with the lowest numbers are for testing. One more image moves at most one other.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, NoReturn

from adbench import Sample, Task
from adbench.api import GOOD, UNLABELLED, DataError, DataOptions, OptionError, Problem, Range

from .layout import LISTED, folders_in, images_in, looks_good, passed_over, visible
from .plain_masks import MASK_FOLDERS, Masks, paired


@dataclass(frozen=True)
class FolderOptions(DataOptions):
    """How folders of good and bad images are read."""

    good: tuple[str, ...] = ("good",)
    """Folders of good images in a class without a split."""

    bad: tuple[str, ...] = ("bad",)
    """Folders of defective images beside them. Each is a type of defect, and so is each folder in one of them."""

    test_share: Annotated[float, Range(0, 1)] = 0.3
    """Part of the good images that is for testing; the others are for training."""

    split_seed: Annotated[int, Range(0)] = 0
    """Another number draws other good images for testing. The seed of a run never does."""


def is_plain(folder: Path, options: FolderOptions) -> bool:
    """Whether a folder has one of the folders of good or bad images."""
    return any((folder / name).is_dir() for name in (*options.good, *options.bad))


def read_plain(dataset: str, folder: Path, options: FolderOptions) -> Task:
    """Find the images of one class, and split the good ones.

    Args:
        dataset: the data set's name, for the task and for messages.
        folder: the class; its name is the class's, and its parent the task's root.
        options: names of folders, and the split.

    Raises:
        DataError: too few good images, no folder of bad ones where others lie beside the good ones, or a type of
            defect that is called good.
    """
    found = _Found(dataset, folder, options)
    train, test = found.split()
    if not (*test, *found.bad):
        found.refuse("no image to test on", "at least one", "Add images, or give a larger --test-share")
    return Task(
        dataset,
        folder.name,
        folder.parent,
        train,
        (*test, *found.bad),
        problems=tuple(found.problems),
        train_place=folder / (options.good[0] if options.good else GOOD),
        options=options,
        remarks=tuple(found.remarks(len(train), len(test))),
    )


def read_loose(dataset: str, folder: Path) -> Task:
    """Take a folder of images that nobody has sorted: they have no labels, and can only be scored."""
    samples = tuple(Sample(path, defect=UNLABELLED) for path in images_in(folder))
    other = [path for path in visible(folder) if path not in {sample.path for sample in samples}]
    name = f"{dataset}/{folder.name}"
    remarks = [f"{name}: {_count(len(samples), 'image')} without a label, which have scores but no metrics."]
    return Task(
        dataset, folder.name, folder.parent, (), samples, train_place=folder,
        remarks=(*remarks, *passed_over(name, _named(other, folder))),
    )  # fmt: skip


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
        name = unicodedata.normalize("NFC", names[place])  # some systems write letters in another form
        return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest(), place

    return set(sorted(range(len(names)), key=number)[:count])


# ---------------------------------------------------------------- the images of a class


class _Found:
    """The images of a class, what is wrong with them, and what was passed over."""

    def __init__(self, dataset: str, folder: Path, options: FolderOptions) -> None:
        self.dataset, self.folder, self.options = dataset, folder, options
        self.problems: list[Problem] = []
        self._passed: list[str] = []
        self._beside: dict[Path, Path] = {}
        self._require_good()
        self.good = [(image, path) for path in self._places(options.good) for image in self._good_in(path)]
        bad = [pair for path in self._places(options.bad) for pair in self._defective(path)]
        self._require_bad(bool(bad))
        self.masks = Masks(folder, bad, self._beside, self.refuse)
        self.bad = [Sample(image, 1, defect, self.masks.of(image)) for image, defect in bad]
        self.problems += self.masks.problems
        rest, masks = self._unread(folder), self.masks.unused
        self._passed = [*_named(rest, folder), *self._passed, *_named(masks, folder)]

    @property
    def name(self) -> str:
        """The class, for messages."""
        return f"class {self.folder.name} of {self.dataset}"

    def refuse(self, found: str, wanted: str = "", hint: str = "") -> NoReturn:
        """Raise ``DataError`` about this class."""
        raise DataError(self.name, found=found, wanted=wanted, hint=hint)

    def _places(self, names: Sequence[str]) -> list[Path]:
        return [self.folder / name for name in names if (self.folder / name).is_dir()]

    def _good_in(self, place: Path) -> list[Path]:
        """The good images of a folder; masks beside them are passed over."""
        images, masks = paired(self._images(place))
        self._passed += _named(list(masks.values()), self.folder)
        return images

    def _bad_in(self, images: Sequence[Path]) -> list[Path]:
        """The bad ones of these images; masks beside them are kept."""
        found, masks = paired(images)
        self._beside |= masks
        return found

    def _images(self, place: Path) -> list[Path]:
        """The images of a folder; everything else in it is passed over."""
        found = images_in(place)
        self._passed += _named([path for path in visible(place) if path not in set(found)], self.folder)
        return found

    def _defective(self, place: Path) -> list[tuple[Path, str]]:
        """The images of a folder of defective ones, with their types of defect."""
        kinds = folders_in(place)
        own = images_in(place)
        found = [(image, place.name) for image in self._bad_in(own)]
        known = {*kinds, *own}
        self._passed += _named([path for path in visible(place) if path not in known], self.folder)
        for kind in kinds:
            images = self._bad_in(self._images(kind))
            found += [(image, kind.name) for image in images]
            if not images:
                self._empty(kind)
        if not found and not kinds:
            self._empty(place)
        called = next((kind for _, kind in found if kind == GOOD or looks_good(kind)), None)
        if called is not None:
            self.refuse(
                f"a type of defect called {called} ({_below(place, self.folder)})", "another name",
                "Rename the folder, or name the folders with --good and --bad",
            )  # fmt: skip
        return found

    def _empty(self, place: Path) -> None:
        self.problems.append(Problem(place, "no image", "Add the images of this type or remove the folder"))

    def _require_good(self) -> None:
        """Refuse a class without the folder that the user named for good images, where others have images."""
        if self.options.good == FolderOptions.good or self._places(self.options.good):
            return
        if others := self._others():
            self.refuse(
                f"no folder {' or '.join(self.options.good)}, but {', '.join(others[:LISTED])}",
                "a folder of good images",
                f"Name it, such as --good {others[0]}",
            )

    def _others(self) -> list[str]:
        """Folders with images that have none of the names that are read."""
        known = {PurePosixPath(name).parts[0] for name in (*self.options.good, *self.options.bad)} | set(MASK_FOLDERS)
        return [path.name for path in folders_in(self.folder) if path.name not in known and _holds_images(path)]

    def _require_bad(self, is_there: bool) -> None:
        """Refuse a class where the folder of bad images seems to have another name."""
        if is_there or not self.options.bad or self._places(self.options.bad):
            return
        if others := self._others():
            self.refuse(
                f"no folder {' or '.join(self.options.bad)}, but {', '.join(others[:LISTED])}",
                "a folder of defective images",
                f"Name it, such as --bad {','.join(others[:LISTED])}, or give --bad '' if there is none",
            )

    def _unread(self, place: Path) -> list[Path]:
        """What lies in the class's folder besides the folders that are read."""
        read = {self.folder / name for name in (*self.options.good, *self.options.bad)} | {self.masks.place}
        above = {parent for path in read if path is not None for parent in path.parents}
        rest = []
        for path in visible(place):
            if path in above:
                rest += self._unread(path)
            elif path not in read:
                rest.append(path)
        return rest

    # -- the split

    def split(self) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
        """Good images for training, and for testing; both in the order of their names.

        Raises:
            DataError: too few to have both.
        """
        share = self.options.test_share
        places = self._places(self.options.good)
        if places and len(self.good) < (2 if 0 < share < 1 else 1):
            self._refuse_few(places)
        names = [_below(image, place) for image, place in self.good]
        chosen = split(names, share, self.options.split_seed)
        samples = [Sample(image) for image, _ in self.good]
        return (
            tuple(sample for number, sample in enumerate(samples) if number not in chosen),
            tuple(sample for number, sample in enumerate(samples) if number in chosen),
        )

    def _refuse_few(self, places: Sequence[Path]) -> None:
        nested = [_below(path, self.folder) for place in places for path in folders_in(place) if images_in(path)]
        where = " and ".join(str(place) for place in places)
        wanted = "at least 2, to train on one and to test on another"
        if nested:
            self.refuse(
                f"{_count(len(self.good), 'good image')} in {where}, but folders in it", wanted,
                f"Name them: --good {','.join(nested[:LISTED])}",
            )  # fmt: skip
        self.refuse(f"{_count(len(self.good), 'good image')} in {where}", wanted, "Add good images")

    # -- said

    def remarks(self, train: int, test: int) -> list[str]:
        """How the images were found, in one line, and what was passed over, in another."""
        where = f"{self.dataset}/{self.folder.name}"
        kinds: dict[str, int] = {}
        for sample in self.bad:
            kinds[sample.defect] = kinds.get(sample.defect, 0) + 1
        named = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        bad = f"{len(self.bad)} bad" + (f" ({named})" if len(kinds) > 1 or [*kinds] not in ([], ["bad"]) else "")
        masks = "masks beside them" if self.masks.are_there else "no masks, so no pixel metrics"
        absent = [name for name in (*self.options.good, *self.options.bad) if not (self.folder / name).is_dir()]
        missing = f"; no folder {' and no folder '.join(absent)}" if absent else ""
        line = (
            f"{where}: folders without a split: {_count(train, 'good image')} for training, {test} good and {bad} for "
            f"testing (--test-share {self.options.test_share:g}); {masks}{missing}."
        )
        return [line, *passed_over(where, self._passed)]


def check_names(options: FolderOptions, owner: str) -> None:
    """Refuse names of folders that are no names, the same twice, or one in another. Raises ``OptionError``."""
    names: Mapping[str, tuple[str, ...]] = {"good": options.good, "bad": options.bad}
    if not options.good:
        raise OptionError(f"option good of {owner}", found="no name", wanted="the name of a folder")
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


def _named(paths: Sequence[Path], folder: Path) -> list[str]:
    """Paths below a folder; folders end with a stroke."""
    return [_below(path, folder) + ("/" if path.is_dir() else "") for path in paths]


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
