"""Masks beside folders of good and bad images."""

from __future__ import annotations

import pytest
from adbench_datasets import folder
from layout_files import touch

from adbench.util.errors import DataError

GOOD = ("good/0.png", "good/1.png")


def masks_of(root, *files):
    """Where the mask of each bad image lies, below the class; and the remarks."""
    task = folder.load(touch(root / "parts", *GOOD, *files), "parts")
    bad = [sample for sample in task.test if sample.label]
    return [sample.mask and sample.mask.relative_to(root / "parts").as_posix() for sample in bad], task


@pytest.mark.parametrize("place", ["masks", "ground_truth"])
@pytest.mark.parametrize(
    "name", ["bad/dent/7_mask.png", "bad/dent/7.bmp", "dent/7_mask.TIF", "dent/7.png", "7_mask.png", "7.png"]
)
def test_a_mask_is_found_wherever_people_put_it(tmp_path, place, name):
    """At the image's path, in a folder of the type, or in none; with or without _mask, with any suffix."""
    found, task = masks_of(tmp_path, "bad/dent/7.jpg", f"{place}/{name}")
    assert found == [f"{place}/{name}"]
    assert "masks beside them" in task.remarks[0]
    assert len(task.remarks) == 1


def test_two_masks_of_one_image_are_a_problem(tmp_path):
    """Nothing says which of them counts, wherever they lie; the image is not scored."""
    found, task = masks_of(tmp_path, "bad/dent/7.jpg", "masks/bad/dent/7.png", "masks/7_mask.png")
    assert found == []
    assert [problem.found for problem in task.problems] == ["2 masks, masks/bad/dent/7.png and masks/7_mask.png"]


def test_a_mask_that_is_missing_is_expected_somewhere(tmp_path):
    """Decoding reports the path; a mask of no bad image is passed over, and named."""
    found, task = masks_of(tmp_path, "bad/dent/7.jpg", "masks/dent/8.png", "masks/good/0.png")
    assert found == ["masks/dent/7_mask.png"]
    assert "masks/dent/8.png, masks/good/0.png" in task.remarks[1]


def test_a_mask_of_two_images_of_one_name_is_a_problem(tmp_path):
    """Nobody can tell whose it is."""
    _, task = masks_of(tmp_path, "bad/dent/7.jpg", "bad/scratch/7.jpg", "masks/7.png")
    assert [problem.path.parent.name for problem in task.problems] == ["dent", "scratch"]
    assert "masks/dent" in task.problems[0].hint


def test_an_empty_folder_of_masks_is_none(tmp_path):
    """It is passed over, and the images are judged without masks."""
    (tmp_path / "parts/masks").mkdir(parents=True)
    found, task = masks_of(tmp_path, "bad/0.jpg")
    assert found == [None]
    assert task.remarks[1] == "folder/parts: passed over: masks/."


def test_masks_may_lie_beside_their_images(tmp_path):
    """STEM_mask is no image, also where STEM is missing; a bad image without a mask names where it belongs."""
    bad = ("bad/dent/0.png", "bad/dent/0_mask.bmp", "bad/dent/1.png", "bad/2_mask.png")
    touch(tmp_path / "part", "good/0.png", "good/1.png", "good/1_mask.png", *bad)
    task = folder.load(tmp_path, "part")
    found = {sample.path.name: sample.mask for sample in task.test if sample.label}
    place = tmp_path / "part" / "bad"
    assert found == {"0.png": place / "dent" / "0_mask.bmp", "1.png": place / "dent" / "1_mask.png"}
    assert {sample.path.name for sample in (*task.train, *task.test) if not sample.label} == {"0.png", "1.png"}
    assert "masks beside them" in task.remarks[0]
    assert task.remarks[1] == "folder/part: passed over: bad/2_mask.png, good/1_mask.png."


def test_masks_in_a_folder_and_beside_images_are_refused(tmp_path):
    """Nothing says which of them counts."""
    touch(tmp_path / "part", "good/0.png", "good/1.png", "bad/0.png", "bad/0_mask.png", "masks/0.png")
    with pytest.raises(DataError, match=r"masks in masks and beside images, such as 0_mask\.png"):
        folder.load(tmp_path, "part")
