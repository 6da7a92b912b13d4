"""What a user must know of the images before training: the readers' remarks, and copies that spoil a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..api.data import Sample, Task, relative_path
from ..api.marking import NONZERO
from ..data.ground_truth import GroundTruth
from ..data.image_store import Store
from ..data.masks import HINT
from ..util.digests import Digests
from ..util.text import plural

LISTED = 3
"""Number of pairs that a warning names."""

HALF = 0.5
"""Share of the pixels above which a mask may be inverted."""

Pair = tuple[Sample, Sample]


class Notices:
    """Says what is to be said of tasks, each line once.

    Args:
        digests: digests of the files' contents.
        say: receives the lines.
    """

    def __init__(self, digests: Digests, say: Callable[[str], None]) -> None:
        self._digests, self._say = digests, say
        self._said: set[str] = set()
        self._told: set[str] = set()

    def tell(self, tasks: Sequence[Task], contents: Mapping[Path, str | None] | None = None) -> None:
        """Say the remarks about tasks, and warn of copies; the identity needs the digests of all images as well.

        Args:
            tasks: of the classes of a job.
            contents: the digests of their images, where they were looked up before.
        """
        for task in tasks:
            facts = (task.dataset, task.class_name, task.root, task.options, [*task.tests], task.test[:1], task.levels)
            place = repr(facts)
            if place in self._told:  # by another method or seed
                continue
            self._told.add(place)
            for line in (*task.remarks, *no_masks(task), *copies(task, self._digests, contents)):
                self.say(line)

    def say(self, line: str) -> None:
        """Say a line, unless it was said before."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def no_masks(task: Task) -> list[str]:
    """A line where defective test images have no masks, unless the reader said so."""
    has_defects = any(sample.label for sample in task.test) and not any(sample.masks for sample in task.test)
    if not has_defects or any("no masks" in remark for remark in task.remarks):
        return []
    return [f"{task.dataset}/{task.class_name}: no masks, so no pixel metrics."]


def lost_defects(task: Task, store: Store) -> list[str]:
    """A warning where the defects of test images lie outside of the part of the image that the method sees."""
    marked = [number for number, sample in enumerate(store.samples) if sample.masks]
    lost = [number for number in marked if store.regions is not None and not len(store.regions[number])]
    if not lost:
        return []
    named = ", ".join(relative_path(store.samples[number].path, task.root) for number in lost[:LISTED])
    more = f" and {len(lost) - LISTED} more" if len(lost) > LISTED else ""
    return [
        f"Warning: {task.dataset}/{task.class_name}: the defects of {len(lost)} of {plural(len(marked), 'image')} lie "
        f"outside of the crop that the method sees, so metrics of pixels have lost them: {named}{more}. With "
        "-o resize=stretch it sees the whole image."
    ]


def mostly_marked(task: Task, store: Store) -> list[str]:
    """A warning where most masks of test images mark over half of them, as inverted ones of small defects do.

    Masks of tiles are not decoded here; ``adbench data check`` looks at these.
    """
    marked = [number for number, sample in enumerate(store.samples) if sample.masks and sample.mask_rule != NONZERO]
    if store.regions is None or store.masks is None or not marked:
        return []
    pixels = math.prod(store.masks.shape[1:])
    shares = [len(store.regions[number]) / pixels for number in marked]
    most = [share for share in shares if share > HALF]
    if 2 * len(most) <= len(marked):
        return []
    return [
        f"Warning: {task.dataset}/{task.class_name}: the masks of {len(most)} of {plural(len(marked), 'image')} mark "
        f"over half of the pixels, up to {max(most):.1%}. {HINT}."
    ]


def ignored_pixels(task: Task, truth: GroundTruth) -> list[str]:
    """A line that says how much of the test images counts in no metric of pixels."""
    if truth.ignored is None or truth.counted_sizes is None:
        return []
    whole = sum(height * width for height, width in truth.ignored.sizes)
    share = 1 - sum(width for _, width in truth.counted_sizes) / whole
    return [
        f"{task.dataset}/{task.class_name}: {share:.2%} of the test images' pixels are ignored, and with them defects "
        f"of {plural(len(truth.spoiled), 'image')}."
    ]


def copies(task: Task, digests: Digests, contents: Mapping[Path, str | None] | None = None) -> list[str]:
    """Warnings of test images with the content of a training image, or with that of one with the other label."""
    if contents is None:
        contents = digests.of([sample.path for _, sample in task.used()])
    trained = {contents[sample.path]: sample for sample in (*task.train, *task.validation)}
    good = {contents[sample.path]: sample for sample in task.test if not sample.label}
    tested = [(sample, contents[sample.path]) for sample in task.test if contents[sample.path] is not None]
    in_training = [(sample, trained[content]) for sample, content in tested if content in trained]
    with_other_label = [(sample, good[content]) for sample, content in tested if sample.label and content in good]
    found = {
        "copies of training images, so the metrics are too good": in_training,
        "both good and bad": with_other_label,
    }
    return [_warning(task, what, pairs) for what, pairs in found.items() if pairs]


def _warning(task: Task, what: str, pairs: Sequence[Pair]) -> str:
    named = [" = ".join(relative_path(sample.path, task.root) for sample in pair) for pair in pairs]
    more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
    count = plural(len(pairs), "test image")
    return (
        f"Warning: {task.dataset}/{task.class_name}: {count} {'is' if len(pairs) == 1 else 'are'} {what}: "
        f"{', '.join(named[:LISTED])}{more}. Remove the copies."
    )
