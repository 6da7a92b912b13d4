"""Where a published data set is looked for below a root."""

from __future__ import annotations

import os

import pytest
from adbench_datasets import mpdd, roots
from layout_files import touch

from adbench.util.errors import DataError


def is_class(folder) -> bool:
    return (folder / "train").is_dir()


def test_folders_two_levels_down_are_looked_at(tmp_path):
    """Hidden folders are not, nor files, and the order is by name at each level."""
    touch(tmp_path, "b/x/1.png", "a/y/deep/1.png", ".hidden/z/1.png", "a.png")
    found = [path.relative_to(tmp_path).as_posix() for path in roots.candidates(tmp_path)]
    assert found == [".", "a", "b", "a/y", "b/x"]


def test_a_folder_that_may_not_be_read_is_passed_over(tmp_path, monkeypatch):
    """A disk has a folder lost+found that only the system may read; a root that may not be read is refused."""
    touch(tmp_path, "tubes/train/1.png", "lost+found/1.png")
    listed = os.scandir

    def scandir(place):
        if "lost+found" in str(place):
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(roots.find_classes("mpdd", tmp_path, mpdd.FACTS, is_class).folders) == ["tubes"]


@pytest.mark.parametrize("missing", [True, False])
def test_a_root_that_is_no_folder_is_refused(tmp_path, missing):
    """The message says what it is, and where to get the data set."""
    root = tmp_path / "data"
    if not missing:
        root.touch()
    with pytest.raises(DataError, match=f"found {'no such folder' if missing else 'a file'}.*{mpdd.FACTS.page}"):
        roots.find_classes("mpdd", root, mpdd.FACTS, is_class)
    with pytest.raises(DataError, match=r"found a file|no such folder"):
        roots.find_single("vad", root, mpdd.FACTS, is_class, "train")


def test_long_lists_of_missing_classes_are_cut(tmp_path):
    """The first are named and the others counted."""
    facts = roots.Facts(classes=tuple(f"c{number:02d}" for number in range(12)))
    (line,) = roots.missing_classes("x at y", facts, {"c00"})
    assert line == "Warning: x at y: 1 of 12 classes; no c01, c02, c03, c04, c05, c06, c07, c08 and 3 others."
    assert roots.missing_classes("x at y", facts, facts.classes) == []
