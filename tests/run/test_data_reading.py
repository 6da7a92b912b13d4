"""How a reader understood folders: one line for the images of a kind, with the places of their masks."""

from __future__ import annotations

from pathlib import Path

from adbench.api.data import UNLABELLED, Sample, Task
from adbench.run.data_reading import FolderRead, folders_read

ROOT = Path("root")


def bad(name: str, *masks: str, kind: str = "cut") -> Sample:
    """A defective image with masks."""
    first, *more = [ROOT / "nut" / mask for mask in masks] or [None]
    return Sample(ROOT / "nut" / name, 1, kind, first, tuple(more))


def test_each_kind_of_images_is_one_line():
    """Folders are named below that of the class; masks lie in a folder, in one for each image, or beside images."""
    test = (
        Sample(ROOT / "nut/test/good/0.png"),
        bad("test/cut/0.png", "ground_truth/cut/0.png"),
        bad("test/hole/1.png", "ground_truth/hole/1/0.png", "ground_truth/hole/1/1.png", kind="hole"),
        bad("test/tear/2.png", "test/tear/2_mask.png", kind="tear"),
    )
    task = Task("d", "nut", ROOT, (Sample(ROOT / "nut/a/0.png"), Sample(ROOT / "nut/b/0.png")), test)
    found = folders_read(task)
    assert found == [
        FolderRead("nut", "a, b", "train", "good", 2, 0, ""),
        FolderRead("nut", "test/good", "test", "good", 1, 0, ""),
        FolderRead("nut", "test/cut", "test", "cut", 1, 1, "ground_truth/cut"),
        FolderRead("nut", "test/hole", "test", "hole", 1, 2, "ground_truth/hole"),
        FolderRead("nut", "test/tear", "test", "tear", 1, 1, "test/tear"),
    ]
    assert [each.masks_text for each in found[1:]] == ["", "1 in ground_truth/cut", "2 in ground_truth/hole",
                                                      "1 beside the images"]  # fmt: skip


def test_many_folders_are_counted():
    """A data set with a folder for each item has one line; the class's own folder is a dot."""
    train = tuple(Sample(ROOT / "nut" / f"kos{number}" / "0.png") for number in range(5))
    task = Task("d", "nut", ROOT, train, (Sample(ROOT / "nut/0.png", defect=UNLABELLED),))
    assert [each.folder for each in folders_read(task)] == ["kos0, kos1, kos2 and 2 more", "."]
