"""The files of a submission, as the server of MVTec AD 2 wants them.

NAME/anomaly_images/CLASS/SPLIT/IMAGE.tiff               the map at the image's size: one channel, float16
NAME/anomaly_images_thresholded/CLASS/SPLIT/IMAGE.png    the same above the threshold: 8-bit grey, 0 and 255

They are packed as NAME.tar.gz, and nothing else is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...api.data import Sample, Size, Task
from ...api.facts import Facts, Submission
from ...data import image_files
from ...util.errors import DataError, UsageError, absent

MAPS, THRESHOLDED = "anomaly_images", "anomaly_images_thresholded"
"""Folders of the maps, and of those above the threshold."""

SUFFIXES = {MAPS: ".tiff", THRESHOLDED: ".png"}

ARCHIVE = ".tar.gz"

NAMED = 4
"""Numbers of images that a message names."""


@dataclass(frozen=True, order=True)
class Private:
    """A private test image: its class, its test split, and its name without suffix."""

    class_name: str
    split: str
    name: str

    def path(self, folder: str) -> str:
        """The path of its map, or of its thresholded map, below the submission's own folder."""
        return f"{folder}/{self.class_name}/{self.split}/{self.name}{SUFFIXES[folder]}"


def name_of(path: Path) -> str:
    """The name of a submission, from that of its archive.

    Raises:
        UsageError: the file's name doesn't end in .tar.gz, or has nothing before it.
    """
    name = path.name.removesuffix(ARCHIVE)
    if name == path.name or not name or name.startswith("."):
        raise UsageError(f"{path}", found="another name", wanted=f"NAME{ARCHIVE}")
    return name


def published(facts: Facts, submission: Submission) -> dict[Private, Size | None]:
    """The private images by the published numbers; their sizes are not known from these."""
    counts = (
        (name, split, facts.counts[name].unlabelled[split]) for name in facts.classes for split in submission.names
    )
    return {
        Private(name, split, submission.names[split].format(number)): None
        for name, split, count in counts for number in range(count)
    }  # fmt: skip


def private_images(task: Task, submission: Submission) -> dict[Private, Sample]:
    """The private images of a class, in their order.

    Raises:
        DataError: a test split is missing, or an image has a name that the server doesn't know.
    """
    found: dict[Private, Sample] = {}
    for split, pattern in submission.names.items():
        there = {sample.path.stem: sample for sample in task.tests.get(split, ())}
        if not there:
            raise DataError(
                f"{task.dataset}/{task.class_name}", found=f"no image in {split}", wanted="the private test images",
                hint="Unpack the data set again, or give --data-root DIR",
            )  # fmt: skip
        wanted = [pattern.format(number) for number in range(len(there))]
        if odd := sorted(set(there) ^ set(wanted)):
            found_text = f"image {odd[0]}" if odd[0] in there else f"no image {odd[0]}"
            raise DataError(
                f"{task.dataset}/{task.class_name}/{split}", found=found_text, wanted=f"{wanted[0]} to {wanted[-1]}",
                hint="Unpack the data set again",
            )  # fmt: skip
        found |= {Private(task.class_name, split, name): there[name] for name in wanted}
    return found


def count_warning(images: Iterable[Private], facts: Facts) -> str:
    """A line about numbers of images that differ from the published ones, which the server wants; empty if none do."""
    there = Counter((each.class_name, each.split) for each in images)
    differing = []
    for (name, split), count in there.items():
        wanted = facts.counts[name].unlabelled.get(split) if name in facts.counts else None
        if wanted not in (None, count):
            differing.append(f"{name}/{split} {count} ({wanted})")
    more = f", and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
    listed = ", ".join(differing[:NAMED]) + more
    return f"other numbers of images than the server wants (in brackets): {listed}" if differing else ""


def size_of(path: Path) -> Size:
    """Height and width of an image as it is scored; its head alone is read. Raises ``DataError`` if it can't be."""
    found = image_files.size_of(path)
    if found is None:
        reason = absent(path, "file") if not path.is_file() else "no image that can be read"
        raise DataError(f"image {path}", found=reason)
    return found
