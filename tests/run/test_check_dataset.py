"""The checks of a data set find each fault of a reader, and pass an honest one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from layout_files import touch

from adbench import Dataset, Sample, Task, checks
from adbench.api import DataError, UnknownNameError
from adbench.api.data import Problem
from adbench.run import check_dataset


@pytest.fixture
def root(tmp_path) -> Path:
    """One class: images to train on and to test, and a mask. No check opens a file."""
    return touch(tmp_path, "bolts/train/0.png", "bolts/good/1.png", "bolts/bad/2.png", "bolts/mask/2.png")


def classes(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError(f"data at {root}", found="no such folder")
    return sorted(folder.name for folder in root.iterdir())


def load(root: Path, name: str) -> Task:
    if name not in classes(root):
        raise UnknownNameError("class", name, classes(root))
    folder = root / name
    bad = Sample(folder / "bad/2.png", 1, "bad", folder / "mask/2.png")
    return Task("made", name, root, (Sample(folder / "train/0.png"),), (Sample(folder / "good/1.png"), bad))


HONEST = Dataset("made", "made for a test", classes, load)


def outcomes(dataset: Dataset, root: Path | None) -> dict[str, tuple[str, str]]:
    return {found.check: (found.outcome, found.reason) for found in check_dataset.run(dataset, root)}


def test_an_honest_reader_passes(root):
    """All checks pass, and each says what it saw."""
    found = outcomes(HONEST, root)
    assert {outcome for outcome, _ in found.values()} == {"passed"}
    assert found["each class has images"] == ("passed", "3 images")
    assert found["images and masks are files"] == ("passed", "1 masks")
    checks.check_dataset(HONEST, root)


def test_without_a_folder_only_the_reader_is_checked():
    """What needs images is skipped."""
    found = outcomes(HONEST, None)
    assert found.pop("a missing folder is a message") == ("passed", "")
    assert set(found.values()) == {("skipped", "no --data-root")}


def test_a_data_set_that_makes_its_images_is_checked_in_the_cache(root, monkeypatch):
    """No folder is needed for it, and none can be missing."""
    monkeypatch.setenv("ADBENCH_CACHE", str(root))
    own = outcomes(replace(HONEST, needs_root=False), None)
    assert own.pop("a missing folder is a message") == ("skipped", "it makes its images itself")
    assert {outcome for outcome, _ in own.values()} == {"passed"}


def changed(**changes) -> Dataset:
    """A reader whose task differs in some fields."""
    return replace(HONEST, load=lambda root, name: replace(load(root, name), **changes))


def other_test(*samples: tuple[str, int, str | None]) -> Dataset:
    """A reader with other test images: path, label, mask."""

    def read(root: Path, name: str) -> Task:
        test = [Sample(root / path, label, "x", None if mask is None else root / mask) for path, label, mask in samples]
        return replace(load(root, name), test=tuple(test))

    return replace(HONEST, load=read)


GOOD, BAD = ("bolts/good/1.png", 0, None), ("bolts/bad/2.png", 1, None)


def test_a_test_without_labels_passes(root):
    """Private tests have none; labelled and unlabelled images in one test need both kinds."""
    bare = Sample(root / "bolts/good/1.png", defect="")
    tests = {"public": load(root, "bolts").test[1:], "private": (bare,)}
    found = outcomes(replace(HONEST, load=lambda root, name: replace(load(root, name), test=(), tests=tests)), root)
    assert found["labels fit the splits"] == ("failed", "bolts/public has only images of label 1")
    tests["public"] = (Sample(root / "bolts/train/../good/1.png"), *tests["public"])
    found = outcomes(replace(HONEST, load=lambda root, name: replace(load(root, name), test=(), tests=tests)), root)
    assert found["labels fit the splits"] == ("passed", "")


FAULTS = [
    (replace(HONEST, classes=lambda root: sorted(path.name for path in root.iterdir())),
     "a missing folder is a message", "FileNotFoundError"),
    (replace(HONEST, load=lambda root, name: Task("made", name, root, (), ())),
     "an unknown class is a message", "no error"),
    (replace(HONEST, classes=lambda root: [*classes(root), "bolts"]), "names its classes", "bolts twice"),
    (replace(HONEST, classes=lambda root: []), "names its classes", "no class"),
    (replace(HONEST, classes=lambda root: "bolts"), "names its classes", "a str"),
    (replace(HONEST, load=lambda root, name: [load(root, name)]), "each class has images", "a list, wanted a Task"),
    (changed(class_name="nuts"), "each class has images", "a Task of made/nuts"),
    (changed(test=()), "each class has images", "bolts has no image in test"),
    (changed(problems=(Problem(Path("x"), "odd", "mend it"),)), "each class has images", "odd"),
    (other_test(GOOD, ("bolts/bad/3.png", 1, None)), "images and masks are files", "3.png"),
    (other_test(GOOD, ("bolts/bad/2.png", 1, "bolts/mask/9.png")), "images and masks are files", "9.png"),
    (other_test(GOOD, BAD, ("bolts/train/0.png", 0, None)), "images and masks are files", "in train and in test"),
    (other_test(GOOD), "labels fit the splits", "only images of label 0"),
    (other_test(GOOD, BAD, ("bolts/good/1.png", 2, None)), "labels fit the splits", "label 2"),
    (other_test(("bolts/good/1.png", 0, "bolts/mask/2.png"), BAD), "labels fit the splits", "label 0 and a mask"),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "check", "reason"), FAULTS, ids=[reason for _, _, reason in FAULTS])
def test_each_fault_is_found(dataset, check, reason, root):
    """The check that it belongs to fails, with the reason, and so does a test that uses the checks."""
    outcome, found = outcomes(dataset, root)[check]
    assert outcome == "failed"
    assert reason in found
    with pytest.raises(AssertionError, match=check):
        checks.check_dataset(dataset, root)


def test_an_error_of_the_reader_is_its_failure(root):
    """Whatever a reader raises ends in a row of the table."""
    found = outcomes(replace(HONEST, load=lambda root, name: 1 / 0), root)
    assert found["each class has images"][0] == "failed"
    assert "ZeroDivisionError" in found["each class has images"][1]


@pytest.mark.parametrize("name", ["mvtec", "folder", "visa", "mpdd", "real_iad", "mtd"])
def test_the_readers_of_adbench_pass_without_a_folder(name):
    """Each of them turns a missing folder into a message."""
    found = {each.check: each.outcome for each in check_dataset.run(name)}
    assert found["a missing folder is a message"] == "passed"
