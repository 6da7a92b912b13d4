"""How a reader understood the folders of a class: which it took for good and defective images, and where masks lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..api.data import Sample, Task, relative_path

NAMED = 3
"""Folders that are named where the images of one kind lie in many."""


@dataclass(frozen=True)
class FolderRead:
    """Images of one kind in one split.

    Attributes:
        class_name: of the class.
        folder: below the folder of the class; the first ones where there are many.
        split: "train", "validation", "test" or the name of another test.
        kind: "good", a type of defect, or empty where the label isn't known.
        images: their number.
        masks: the number of files of masks.
        masks_in: the folders of the masks, in the same form; empty without any.
    """

    class_name: str
    folder: str
    split: str
    kind: str
    images: int
    masks: int
    masks_in: str

    @property
    def masks_text(self) -> str:
        """How many masks lie where; empty without any."""
        place = "beside the images" if self.masks_in == self.folder else f"in {self.masks_in}"
        return f"{self.masks} {place}" if self.masks else ""


def folders_read(task: Task) -> list[FolderRead]:
    """What was read of a class, in the order of splits; images of one kind come from one folder as a rule."""
    found = []
    for split, samples in task.splits.items():
        kinds: dict[str, list[Sample]] = {}
        for sample in samples:
            kinds.setdefault(sample.defect, []).append(sample)
        for kind, alike in kinds.items():
            folder = _places((sample.path for sample in alike), task)
            masks = {path for sample in alike for path in sample.masks}
            there = [_mask_place(sample, path) for sample in alike for path in sample.masks]
            found.append(
                FolderRead(task.class_name, folder, split, kind, len(alike), len(masks), _places(there, task))
            )  # fmt: skip
    return found


def _mask_place(sample: Sample, mask: Path) -> Path:
    """The file of a mask; its folder where each image has a folder of masks of its own."""
    return mask.parent if mask.parent.name == sample.path.stem else mask


def _places(paths: Iterable[Path], task: Task) -> str:
    """The folders of files below that of the class, "." for itself; the first ones where there are many."""
    folders = dict.fromkeys(relative_path(path.parent, task.root) for path in paths)
    own = f"{task.class_name}/"
    names = ["." if name == task.class_name else name.removeprefix(own) for name in folders]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
