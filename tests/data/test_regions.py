"""Regions of masks that are drawn into files of their own, and how much of each must be found."""

from __future__ import annotations

import numpy as np
import published_files as made
import pytest
from adbench_datasets import autovi, mvtec_loco
from deep_files import BACK, turned_file
from hypothesis import given
from hypothesis import strategies as st
from image_files import save

from adbench.api import RegionRules, Sample, Saturation
from adbench.data.masks import mask_of
from adbench.data.regions import mask_regions
from adbench.util.errors import DataError


def read(root, reader, name):
    (dataset,) = reader.adbench_datasets()
    return dataset.load(root, name)


def test_each_file_is_a_region_with_its_own_saturation(tmp_path):
    """Absolute ones are pixels, relative ones a share of the region, cut off to whole pixels."""
    task = read(made.loco(tmp_path), mvtec_loco, "pushpins")
    found = list(mask_regions(task.test, task.region_rules))
    assert [(each.defect, each.group, int(each.mask.sum()), each.saturation) for each in found] == [
        ("one", "logical", 20, 12), ("two", "logical", 30, 30), ("bent", "structural", 9, 4),
    ]  # fmt: skip
    assert [task.test[each.image].mask is not None for each in found] == [True] * 3
    assert [each.path.name for each in found] == ["000.png", "001.png", "000.png"]
    assert {each.mask.shape for each in found} == {(8, 8)}


def test_coloured_masks_count_by_their_value(tmp_path):
    """AutoVI draws them in grey of three colours; its kinds of defects are in no group."""
    made.write(tmp_path, *made.tree("tank_screw", kinds={}), "tank_screw/test/loose/000.png")
    made.write(tmp_path, "tank_screw/ground_truth/loose/000/0000.png = 6 of 9 rgb")
    made.write_text(tmp_path, "tank_screw/defects_config.json", made.json.dumps([made.kind("loose", 9, 0.5, True)]))
    task = read(tmp_path, autovi, "tank_screw")
    (found,) = mask_regions(task.test, task.region_rules)
    assert (found.saturation, found.group, found.defect) == (3, "", "loose")


@given(st.integers(1, 10**7), st.floats(0.0001, 1), st.integers(1, 10**6))
def test_a_saturation_is_within_its_region(area, share, number):
    """At least one pixel, so that no share of nothing is formed, and at most the whole region."""
    for kind in (Saturation("a", 255, share, True), Saturation("a", 255, number, False)):
        assert 1 <= kind.pixels(area) <= area


RULES = RegionRules((Saturation("a", 255, 1.0, True),))


@pytest.mark.parametrize(
    ("values", "found"), [([[0, 254]], "values 254"), ([[255, 7]], "values 7, 255"), ([[0, 0]], "values none"),
                          ([[[255, 0, 0]]], "other values in other colours")],
)  # fmt: skip
def test_a_mask_of_another_kind_is_refused(tmp_path, values, found):
    """The message names the file and its values: nothing is counted as another kind."""
    from PIL import Image

    path = tmp_path / "000.png"
    Image.fromarray(np.array(values, np.uint8)).save(path)
    with pytest.raises(DataError, match=found) as caught:
        list(mask_regions([Sample(path, 1, "cut", path)], RULES))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("orientation", list(BACK))
def test_regions_lie_as_their_masks_do(tmp_path, orientation):
    """On what viewers show of a turned image: drawn so, with the image's tag, or turned along with its pixels."""
    upright = np.zeros((20, 30), np.uint8)
    upright[2:6, 3:12] = 255
    image = turned_file(tmp_path / "a.png", np.stack([upright] * 3, axis=2), orientation)
    masks = [save(tmp_path / "upright.png", upright), turned_file(tmp_path / "tagged.png", upright, orientation)]
    if orientation >= 5:  # only then its size tells how it was drawn
        masks.append(turned_file(tmp_path / "stored.png", upright, orientation, tag=False))
    for mask in masks:
        sample = Sample(image, 1, "cut", mask)
        (found,) = mask_regions([sample], RULES)
        assert np.array_equal(upright > 0, found.mask)
        assert np.array_equal(mask_of(sample, (30, 20)), found.mask)


def test_a_broken_mask_is_refused(tmp_path):
    """With its path."""
    with pytest.raises(DataError, match=r"000.png"):
        list(mask_regions([Sample(tmp_path, 1, "cut", tmp_path / "000.png")], RULES))
