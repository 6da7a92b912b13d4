"""One decision on black and white for all images of a model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from deep_files import turned_file
from image_files import save

from adbench.api.data import Sample, Task
from adbench.api.levels import UNKNOWN, Levels
from adbench.data import depths
from adbench.data.deep import Depth
from adbench.util.errors import OptionError


def task_of(root: Path, train: list[int], test: list[int], name: str = "screw", kind: type = np.uint16) -> Task:
    """A class whose images have these highest values."""

    def samples(part: str, peaks: list[int]) -> tuple[Sample, ...]:
        return tuple(
            Sample(save(root / name / part / f"{number}.png", np.array([[0, peak]]).astype(kind)))
            for number, peak in enumerate(peaks)
        )

    return Task("folder", name, root, samples("train", train), samples("test", test))


def levels_in(task: Task) -> set[Levels | None]:
    return {sample.levels for _, sample in task.used()}


def test_the_training_images_decide_for_all(tmp_path):
    """Test images get the levels of the training images, and one beyond them is counted."""
    (task,) = depths.decide([task_of(tmp_path, [900, 1000], [500, 3000])])
    assert levels_in(task) == {Levels(0, 1023)}
    assert task.levels == Levels(0, 1023)
    assert task.remarks == (
        "folder/screw: 0 is black and 1023 white in images of more than 8 bits, by the training images "
        "(values 0 to 1000); values beyond are clipped in 1 test image.",
    )


def test_the_user_decides(tmp_path):
    """``--range`` counts more than the images; training images beyond it are counted, too."""
    (task,) = depths.decide([task_of(tmp_path, [900, 1000], [500])], Levels(0, 950))
    assert levels_in(task) == {Levels(0, 950)}
    assert "by --range (values 0 to 1000); values beyond are clipped in 1 training image" in task.remarks[0]


def test_classes_of_one_model_share_their_levels(tmp_path):
    """A model of several classes is one decision over all their training images; 8 bits have no part in it."""
    tasks = [
        task_of(tmp_path, [900], [3]),
        task_of(tmp_path, [3000], [3], "nut"),
        task_of(tmp_path, [9], [9], "pin", np.uint8),
    ]
    found = depths.decide(tasks)
    assert [levels_in(task) for task in found] == [{Levels(0, 4095)}, {Levels(0, 4095)}, {None}]
    assert found[2] is tasks[2]


def test_images_of_8_bits_stay_as_they_are(tmp_path):
    """The task is the same, nothing is said, and a range for them is a mistake."""
    task = task_of(tmp_path, [200], [250], kind=np.uint8)
    assert depths.decide([task]) == [task]
    with pytest.raises(OptionError, match="--range 0:4095: found images of 8 bits, wanted images of more than 8"):
        depths.decide([task], Levels(0, 4095))


def test_deep_images_beside_training_images_of_8_bits_have_no_levels(tmp_path):
    """Nothing says what is white in them, so decoding refuses them."""
    mixed = task_of(tmp_path, [200], [250], kind=np.uint8)
    other = task_of(tmp_path, [], [3000], "nut")
    (task,) = depths.decide([Task("folder", "screw", tmp_path, mixed.train, other.test)])
    assert [sample.levels for _, sample in task.used()] == [None, UNKNOWN]
    assert (task.levels, task.remarks) == (None, ())


def test_other_test_splits_have_the_levels_too(tmp_path):
    """A private test set of a benchmark is read as the one that is scored."""
    task = task_of(tmp_path, [900], [500])
    private = task_of(tmp_path, [], [700], "private").test
    (made,) = depths.decide([Task("a", "screw", tmp_path, task.train, tests={"public": task.test, "private": private})])
    assert {sample.levels for split in made.splits.values() for sample in split} == {Levels(0, 1023)}


def test_little_use_of_the_levels_is_a_warning(tmp_path):
    """Images that look black are said to, with the range that shows them."""
    (task,) = depths.decide([task_of(tmp_path, [40], [50])])
    assert task.remarks[0].startswith("Warning: folder/screw: 0 is black and 255 white")
    assert task.remarks[0].endswith("They use 15.7% of that; --range 0:40 shows more.")


def test_levels_of_a_stored_model_count_as_they_are(tmp_path):
    """Whatever the present training images are; a model of 8 bits has none."""
    task = task_of(tmp_path, [900], [500])
    assert levels_in(depths.decided(task, Levels(0, 9))) == {Levels(0, 9)}
    assert levels_in(depths.decided(task, None)) == {UNKNOWN}


def test_files_are_looked_at_once(tmp_path, monkeypatch):
    """What was found is in the cache, until a file changes."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    path = save(tmp_path / "a.png", np.array([[0, 700]], np.uint16))
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr("adbench.util.digests._is_fresh", lambda seen: False)
    assert depths.look([path]) == {path: Depth("integers", high=700.0)}
    monkeypatch.setattr(depths, "_depth_of", lambda _: pytest.fail("opened again"))
    assert depths.look([path]) == {path: Depth("integers", high=700.0)}


def test_broken_files_are_left_out(tmp_path):
    """Decoding says what is wrong with them."""
    (tmp_path / "a.png").write_bytes(b"II*\0 no image")
    assert depths.look([tmp_path / "a.png", tmp_path / "missing.png"]) == {}


def test_only_what_is_read_in_another_way_than_before_is_in_a_digest(tmp_path):
    """Images of 8 bits keep the identity that they had."""
    plain = save(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    deep = save(tmp_path / "b.png", np.zeros((2, 2), np.uint16))
    turned = turned_file(tmp_path / "c.png", np.zeros((2, 2), np.uint8), 6)
    seen = depths.look([plain, deep, turned])
    assert [depths.reading_facts(seen[path]) for path in (plain, deep, turned)] == [
        (), ("at full depth",), ("turned", 6),
    ]  # fmt: skip
    assert depths.reading_facts(None) == ()
