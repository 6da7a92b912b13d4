"""Finds all that would stop a run on a data set, or distort its numbers, and says how each class was understood."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..api.data import TRAIN, Dataset, Problem, Sample, Task, relative_path
from ..api.levels import DARK, Levels
from ..api.marking import NONZERO
from ..data import examined, ignored
from ..data.deep import Depth, levels_for
from ..data.examined import Seen
from ..data.masks import HINT, MOST
from ..util.digests import Digests
from ..util.errors import PLUGIN_ERRORS, DataError, described
from ..util.text import plural
from .data_reading import FolderRead, folders_read

Level = Literal["stops", "distorts", "note"]
LEVELS: tuple[Level, ...] = ("stops", "distorts", "note")

Watch = Callable[[str], None]
"""Called with a text about the present work."""

SMALLEST, LARGEST = 32, 50_000_000
"""Least side of an image that is not called small; most pixels of one that is not called large."""

HALF = 0.5
"""Share of marked pixels above which a mask may be inverted."""

UNREADABLE_CLASS = "class that can't be read"
"""The kind of finding where a reader refuses a class, such as one that was not downloaded."""

OTHER_NUMBERS = "other numbers than published (in brackets): "
"""How the warning of a reader begins whose counts differ."""

PASSED_OVER = "passed over"
"""What the remark of a reader says of files that it does not read."""

STRETCH = 1.1
"""Ratio of aspect ratios from which images count as stretched differently."""


@dataclass(frozen=True)
class Finding:
    """One fault, of one file or of a class.

    Attributes:
        level: whether it stops a run, distorts its numbers, or is only to be known.
        class_name: where it is; empty for the whole data set.
        what: its kind; people see one line for all faults of a kind.
        path: the file below the data set's folder; empty if it is about none.
        detail: what was found there.
        remedy: what to do.
    """

    level: Level
    class_name: str
    what: str
    path: str = ""
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Understood:
    """How a reader understood one class.

    Attributes:
        class_name: of the class.
        splits: images by split, and in tests by good and defective, such as {"train": 3, "test good": 2}.
        masks: files of masks.
        sizes: heights and widths with the number of images, the most frequent first.
        modes: kinds of pixels, in the same way.
        defects: images by type of defect.
        layout: how its folders were read, in a few words.
        levels: black and white of its images of more than 8 bits, as a run would find them; None if all have 8, or
            nothing says what is white.
        turned: images that a camera's orientation turns.
    """

    class_name: str
    splits: Counter[str]
    masks: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)
    layout: str = ""
    levels: Levels | None = None
    turned: int = 0


@dataclass(frozen=True)
class Health:
    """All findings on a data set at one place, and how its classes and their folders were understood."""

    dataset: str
    root: Path
    classes: tuple[Understood, ...]
    findings: tuple[Finding, ...]
    folders: tuple[FolderRead, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether something would stop a run."""
        return any(each.level == "stops" for each in self.findings)


def check(
    dataset: Dataset, root: Path, classes: Sequence[str], watch: Watch | None = None, levels: Levels | None = None
) -> Health:
    """Look at all images and masks of some classes. What was looked at before and is unchanged is not opened again.

    Args:
        dataset: its reader.
        root: its folder.
        classes: names of classes.
        watch: called with a text about the present work.
        levels: black and white of images of more than 8 bits; None finds them over the training images.
    """
    understood: list[Understood] = []
    findings: list[Finding] = []
    folders: list[FolderRead] = []
    for name in classes:
        try:
            task = dataset.load(root, name)
        except PLUGIN_ERRORS as error:
            findings.append(Finding("stops", name, UNREADABLE_CLASS, detail=described(error)))
            continue
        summary, found = _check_class(task, watch, levels)
        understood.append(summary)
        folders += folders_read(task)
        findings += found
    findings = list(dict.fromkeys(findings))  # remarks on the whole data set come with each class
    findings.sort(key=lambda each: LEVELS.index(each.level))
    return Health(dataset.name, root, tuple(understood), tuple(findings), tuple(folders))


def _check_class(task: Task, watch: Watch | None, levels: Levels | None) -> tuple[Understood, list[Finding]]:
    samples = [sample for part in task.splits.values() for sample in part]
    name = f"{task.dataset}/{task.class_name}"

    def shown(what: str) -> Callable[[int, int], None] | None:
        return (lambda done, total: watch(f"{name}: {what} {done}/{total}")) if watch else None

    images = examined.images([sample.path for sample in samples], shown("images"))
    masks: dict[tuple[Path, int, str], Seen | Problem] = {}
    for rule in sorted({(sample.mask_above, sample.mask_rule) for sample in samples}):
        paths = [path for each in samples if (each.mask_above, each.mask_rule) == rule for path in each.masks]
        masks |= {(path, *rule): seen for path, seen in examined.masks(paths, *rule, shown("masks")).items()}
    reader = _Class(task, images, masks, levels)
    contents = Digests().of(images)
    return reader.understood(), [*reader.findings(), *_duplicates(task, contents)]


@dataclass(frozen=True, eq=False)
class _Class:
    """One class with what was seen in its files."""

    task: Task
    images: dict[Path, Seen | Problem]
    masks: dict[tuple[Path, int, str], Seen | Problem]
    given: Levels | None = None

    @property
    def samples(self) -> list[tuple[str, Sample]]:
        return [(split, sample) for split, part in self.task.splits.items() for sample in part]

    def understood(self) -> Understood:
        splits: Counter[str] = Counter()
        defects: Counter[str] = Counter()
        for split, sample in self.samples:
            kind = "" if not sample.is_labelled else "defective" if sample.label else "good"
            splits[split if split == TRAIN else f"{split} {kind}".strip()] += 1
            if sample.label:
                defects[sample.defect] += 1
        seen = [each for each in self.images.values() if isinstance(each, Seen)]
        return Understood(
            self.task.class_name, splits, len(self.masks), Counter(each.size for each in seen),
            Counter(each.mode for each in seen), defects, self.task.layout, self.levels,
            sum(each.depth.orientation != 1 for each in seen),
        )  # fmt: skip

    @property
    def levels(self) -> Levels | None:
        """The levels that were given or that a run of this class alone would find; None if all images have 8 bits."""
        if self.given is not None:
            deep = any(isinstance(each, Seen) and each.depth.is_deep for each in self.images.values())
            return self.given if deep else None
        trained = [self.images[sample.path] for sample in self.task.train]
        return levels_for(each.depth for each in trained if isinstance(each, Seen))

    def findings(self) -> Iterator[Finding]:
        for problem in self.task.problems:
            yield self._of("stops", "fault of a folder or file", problem.path, problem.found, problem.hint)
        yield from self._remarks()
        yield from self._splits()
        levels = self.levels
        for path, seen in self.images.items():
            if isinstance(seen, Problem):
                what = "missing image" if not path.exists() else "unreadable image"
                yield self._of("stops", what, path, seen.found, seen.hint)
            else:
                yield from self._image(path, seen)
                if seen.depth.is_deep:
                    yield from self._deep(path, seen.depth, levels)
        for _, sample in self.samples:
            for mask in sample.masks:
                yield from self._mask(sample, mask)
        yield from self._ignored()
        yield from self._small()
        yield from self._sizes()
        yield from self._modes()

    def _ignored(self) -> Iterator[Finding]:
        """What is wrong with the user's ignore mask, or how much it leaves out."""
        if (path := self.task.ignored) is None:
            return
        try:
            mask = ignored.read(path)
        except DataError as error:
            yield self._of("stops", "ignore mask that can't be used", path, error.parts["found"])
            return
        tested = {each.size for sample in self.task.test if isinstance(each := self.images.get(sample.path), Seen)}
        if wrong := sorted(tested - {(mask.shape[0], mask.shape[1])}):
            (height, width), own = wrong[0], f"{mask.shape[1]}x{mask.shape[0]}"
            yield self._of("stops", "ignore mask of another size", path, f"{own} for images of {width}x{height}")
        elif mask.all() or not mask.any():
            found = ignored.ALL if mask.any() else ignored.NOTHING
            yield self._of("stops", "ignore mask that can't be used", path, found)
        else:
            yield self._of("note", "ignore mask", path, f"{mask.mean():.2%} of the pixels count in no metric of pixels")

    def _small(self) -> Iterator[Finding]:
        """How many defects --min-defect-area leaves out."""
        least, seen = self.task.marking.min_defect_area, self.images
        sized = [(each, found.size) for each in self.task.test if isinstance(found := seen[each.path], Seen)]
        left_out = ignored.left_out(sized, least, by_file=self.task.region_rules is not None) if least else None
        if left_out:
            yield self._of(left_out.level, "defects below --min-defect-area", detail=left_out.text)

    def _of(self, level: Level, what: str, path: Path | None = None, detail: str = "", remedy: str = "") -> Finding:
        place = "" if path is None else relative_path(path, self.task.root)
        return Finding(level, self.task.class_name, what, place, detail, remedy)

    def _remarks(self) -> Iterator[Finding]:
        """The reader's lines; one that does not begin with the class is about the whole data set."""
        own = f"{self.task.dataset}/{self.task.class_name}: "
        for remark in self.task.remarks:
            text = remark.removeprefix("Warning: ")
            level: Level = "note" if text == remark else "distorts"
            name = self.task.class_name if text.startswith(own) else ""
            text = text.removeprefix(own)
            numbers = text.removeprefix(OTHER_NUMBERS)
            what = "other numbers than published"
            if numbers == text:
                what = PASSED_OVER if PASSED_OVER in text else "remark of the reader"
            yield Finding(level, name, what, detail=numbers.removeprefix(f"{PASSED_OVER}: "))

    def _splits(self) -> Iterator[Finding]:
        task = self.task
        if not task.train:
            yield self._of("distorts", "no training image", task.train_place, remedy="Only zero-shot methods can run")
        labels = {sample.label for sample in task.test if sample.is_labelled}
        if task.test and not labels:
            yield self._of("distorts", "no label", detail="test images without labels", remedy="They are only scored")
        for label, what in ((0, "no good test image"), (1, "no defective test image")):
            if labels and label not in labels:
                yield self._of("distorts", what, remedy="Metrics that compare both kinds have no value")
        bare = [sample for _, sample in self.samples if sample.label and sample.mask is None]
        if bare and any(sample.masks for _, sample in self.samples):
            for sample in bare:
                yield self._of("stops", "defective image without a mask", sample.path, remedy="Add its mask")
        elif bare:
            yield self._of("note", "no masks", detail="metrics by pixel have no value")

    def _image(self, path: Path, seen: Seen) -> Iterator[Finding]:
        size = f"{seen.size[1]}x{seen.size[0]}"
        if min(seen.size) < SMALLEST:
            yield self._of("distorts", "very small image", path, size, "It is enlarged to the input's size")
        if seen.size[0] * seen.size[1] > LARGEST:
            yield self._of("note", "very large image", path, size, "It is reduced to the input's size")
        if seen.peak < DARK and not seen.depth.is_deep:
            yield self._of("distorts", "nearly black image", path, f"brightest value {seen.peak:.0f} of 255")
        if seen.depth.orientation != 1:
            yield self._of("note", "camera's orientation", path, "turned as viewers show it, and masks with it")

    def _deep(self, path: Path, depth: Depth, levels: Levels | None) -> Iterator[Finding]:
        values = f"values {depth.low:.9g} to {depth.high:.9g}"
        if levels is None:
            yield self._of(
                "stops", "more than 8 bits, training images have 8", path, values, "Give --range BLACK:WHITE"
            )
            return
        read = f"{values}, read from {levels.black:.9g} as black to {levels.white:.9g} as white"
        if levels.clips(depth.low, depth.high):
            yield self._of("distorts", "values beyond the range", path, read, "Clipped, unless you give --range")
        elif levels.darkens(depth.high):
            yield self._of("distorts", "nearly black image", path, read, "See whether --range shows more")

    def _mask(self, sample: Sample, path: Path) -> Iterator[Finding]:
        seen, image = self.masks[path, sample.mask_above, sample.mask_rule], self.images[sample.path]
        if isinstance(seen, Problem):
            what = "missing mask" if not path.exists() else "unreadable mask"
            yield self._of("stops", what, path, f"mask of {sample.path.name}: {seen.found}", seen.hint)
            return
        if isinstance(image, Seen) and not _fits(seen, image):
            detail = f"{seen.size[1]}x{seen.size[0]} for an image of {image.size[1]}x{image.size[0]}"
            yield self._of("stops", "mask of another size", path, detail, "Replace the mask")
        if isinstance(image, Seen) and seen.size == image.size and _is_ambiguous(seen, image):
            yield self._of("note", "mask of a turned image", path, "taken as drawn on what viewers show")
        if seen.peak == 0:
            remedy = "Draw the defect, or move the image to the good ones"
            yield self._of("stops", "mask without a defect pixel", path, remedy=remedy)
        if seen.peak > HALF and sample.mask_rule != NONZERO:
            level: Level = "stops" if seen.peak >= MOST else "note"
            what = "mask that marks nearly all" if seen.peak >= MOST else "mask that marks over half"
            yield self._of(level, what, path, f"{seen.peak:.1%} of the pixels", HINT)

    def _sizes(self) -> Iterator[Finding]:
        sizes = self.understood().sizes
        if len(sizes) < 2:
            return
        aspects = [height / width for height, width in sizes]
        stretched = max(aspects) / min(aspects) > STRETCH
        shown = ", ".join(f"{count} of {width}x{height}" for (height, width), count in sizes.most_common(3))
        detail = f"{len(sizes)} sizes: {shown}{', ...' if len(sizes) > 3 else ''}"
        remedy = "All are brought to the same input size, and so are stretched differently" if stretched else ""
        yield self._of("distorts" if stretched else "note", "images of several sizes", detail=detail, remedy=remedy)

    def _modes(self) -> Iterator[Finding]:
        seen = {path: each for path, each in self.images.items() if isinstance(each, Seen)}
        train = {seen[sample.path].is_grey for sample in self.task.train if sample.path in seen}
        test = {seen[sample.path].is_grey for sample in self.task.test if sample.path in seen}
        modes = ", ".join(f"{count} of {mode}" for mode, count in Counter(each.mode for each in seen.values()).items())
        if train and test and len(train | test) > 1:
            yield self._of("distorts", "grey and colour images", detail=modes, remedy="Save all in the same way")
        elif train == {True}:
            yield self._of("note", "grey images", detail=f"{modes}; the three channels are the same")
        deep = sum(each.depth.is_deep for each in seen.values())
        if deep:
            yield self._of("distorts" if deep < len(seen) else "note", "more than 8 bits",
                           detail=f"{plural(deep, 'image')} of {len(seen)}; {self._read()}")  # fmt: skip
        alpha = sum(each.has_alpha for each in seen.values())
        if alpha:
            yield self._of("note", "alpha channel", detail=f"{plural(alpha, 'image')} of {len(seen)}; it is dropped")

    def _read(self) -> str:
        levels = self.levels
        if levels is None:
            return "no training image says what is white"
        return f"{levels.black:.9g} is read as black, {levels.white:.9g} as white"


def _is_ambiguous(mask: Seen, image: Seen) -> bool:
    """Whether nothing in a mask of a turned image tells that it was drawn on what viewers show."""
    orientation = image.depth.orientation
    can_not_tell = 1 < orientation < 5 or (orientation >= 5 and image.size[0] == image.size[1])
    return can_not_tell and mask.depth.orientation == 1


def _fits(mask: Seen, image: Seen) -> bool:
    """Whether a mask has the size of its image; without a tag of its own it may be turned along with the image."""
    along = image.depth.orientation >= 5 and mask.depth.orientation == 1
    return mask.size == image.size or (along and mask.size == image.size[::-1])


def _duplicates(task: Task, contents: dict[Path, str | None]) -> Iterator[Finding]:
    """Images with the same content in training and test, or with two labels, or twice in a split."""
    by_content: defaultdict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for split, part in task.splits.items():
        for sample in part:
            if (content := contents.get(sample.path)) is not None:
                by_content[content].append((split, sample))
    for same in by_content.values():
        if len(same) > 1 and len({sample.path for _, sample in same}) > 1:
            yield _duplicate(task, same)


def _duplicate(task: Task, same: Sequence[tuple[str, Sample]]) -> Finding:
    paths = [relative_path(sample.path, task.root) for _, sample in same]
    splits, labels = _unique(split for split, _ in same), {sample.label for _, sample in same}
    if len(labels) > 1:
        what, level = "the same image as good and as defective", "distorts"
    elif len(splits) > 1:
        what, level = f"the same image in {' and '.join(splits)}", "distorts"
    else:
        what, level = f"the same image twice in {splits[0]}", "note"
    detail = f"the same content as {', '.join(paths[1:])}"
    kind: Level = "distorts" if level == "distorts" else "note"
    return Finding(kind, task.class_name, what, paths[0], detail, "Remove one of them")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
