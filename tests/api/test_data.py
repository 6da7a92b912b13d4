"""A task has named splits, and a data set with several test splits says which one is scored."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from adbench import Sample, Task
from adbench.util.errors import UnknownNameError

ROOT = Path("data")
GOOD, ODD, HELD = (Sample(ROOT / f"{name}.png") for name in ("good", "odd", "held"))
BAD = Sample(ROOT / "bad.png", 1, "dent")


def several_tests() -> Task:
    """A task with validation images and two test splits."""
    return Task("ad", "can", ROOT, (GOOD,), validation=(HELD,), tests={"public": (ODD, BAD), "private": (BAD,)})


def test_a_task_of_adbench_0_1_has_two_splits():
    """The constructor of 0.1 gives a task with the splits train and test."""
    task = Task("ad", "can", ROOT, (GOOD,), (ODD, BAD), True, ())
    assert task.splits == {"train": (GOOD,), "test": (ODD, BAD)}
    assert task.with_test(None) is task
    assert task.with_test("test") == task


def test_the_first_of_several_tests_is_scored_by_default():
    """A data set with several test splits names them, and ``with_test`` chooses another one."""
    task = several_tests()
    assert list(task.splits) == ["train", "validation", "public", "private"]
    assert task.test == (ODD, BAD)
    chosen = task.with_test("private")
    assert (chosen.test, chosen.splits) == ((BAD,), task.splits)
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_an_unknown_test_split_is_named_with_those_there_are():
    """An unknown test split is one error that names the existing ones."""
    with pytest.raises(UnknownNameError, match=r"unknown test split of ad/can 'privat'.*Did you mean 'private'"):
        several_tests().with_test("privat")


@pytest.mark.parametrize("name", ["train", "validation"])
def test_a_test_split_is_not_named_like_another_split(name):
    """A test split named like the training or validation images would hide these."""
    with pytest.raises(ValueError, match=name):
        Task("ad", "can", ROOT, (GOOD,), tests={name: (BAD,)})


def test_what_can_move_a_number_is_in_the_fingerprint():
    """Validation images and the chosen test count in a task's fingerprint; a test that is not scored doesn't."""
    task = several_tests()
    fewer = Task("ad", "can", ROOT, (GOOD,), validation=(HELD,), tests={"public": (ODD, BAD)})
    assert task.fingerprint == fewer.fingerprint
    assert task.with_test("private").fingerprint != task.fingerprint
    assert Task("ad", "can", ROOT, (GOOD,), (ODD, BAD)).fingerprint != task.fingerprint


def test_the_masks_of_an_image_are_files_of_it(tmp_path):
    """The first one and all others; an image without one has its own file alone."""
    paths = tuple(tmp_path / name for name in ("image.png", "0.png", "1.png"))
    assert Sample(paths[0], 1, "cut", paths[1], paths[2:]).files == paths
    assert Sample(paths[0]).files == paths[:1]
