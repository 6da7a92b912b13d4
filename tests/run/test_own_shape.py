"""Images in their own shape, with masks and maps laid back over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adbench.api.data import Sample
from adbench.data.framing import Framing
from adbench.run import own_shape
from adbench.util.errors import DataError

SIDES = st.integers(1, 400)


@given(SIDES, SIDES, SIDES, SIDES)
def test_sizes_keep_the_shape_and_never_exceed_the_image(height, width, rows, columns):
    """They differ from the image's aspect ratio by no more than a pixel."""
    own, wanted = (height, width), (rows, columns)
    within, around = own_shape.size_within(own, rows * columns), own_shape.size_around(own, wanted)
    for size in (within, around):
        assert all(1 <= side <= whole for side, whole in zip(size, own, strict=True))
        apart = abs(size[0] / height - size[1] / width)
        assert apart <= 0.5 / height + 0.5 / width + 1e-9 or 1 in size
    assert around == own or all(side >= least for side, least in zip(around, wanted, strict=True))


@settings(max_examples=30)
@given(st.integers(0, 79), st.integers(0, 29), st.integers(1, 30), st.integers(1, 80))
def test_no_defect_is_lost_when_a_mask_gets_smaller(top, left, width, height):
    """A crack of one pixel stays visible at any size."""
    mask = np.zeros((80, 30), np.uint8)
    mask[top, left] = 1
    assert own_shape.shrunk(mask, (height, width)).sum() >= 1


def test_a_map_of_a_stretched_input_covers_the_whole_image():
    """A hot column of the square input is a hot column of the wide image, at its place."""
    values = np.zeros((8, 8), np.float32)
    values[:, 6] = 1
    laid = own_shape.laid_back(values, Framing((8, 8)), (20, 80), (10, 40))
    assert laid.shape == (10, 40)
    assert not np.isnan(laid).any()
    assert laid.mean(axis=0).argmax() in (32, 33)


@pytest.mark.parametrize(
    "framing", [Framing((8, 8), resize="crop"), Framing((8, 8), resize="crop", resize_to=(8, 8))], ids=["crop", "to"]
)
def test_a_map_of_a_crop_covers_the_crop_alone(framing):
    """What the detector did not see is NaN: it says nothing about it."""
    laid = own_shape.laid_back(np.ones((8, 8), np.float32), framing, (20, 80), (20, 80))
    seen = ~np.isnan(laid)
    assert seen[:, 30:50].all()
    assert not seen[:, :30].any()
    assert not seen[:, 50:].any()


def test_an_image_is_read_in_its_own_shape(tmp_path):
    """The image, its mask and its map have one size, and are right side up."""
    pixels = np.zeros((20, 80, 3), np.uint8)
    pixels[:, 40:] = 200
    mask = np.zeros((20, 80), np.uint8)
    mask[3, 5:60] = 255
    for name, each in (("0.png", pixels), ("mask.png", mask)):
        Image.fromarray(each).save(tmp_path / name)
    sample = Sample(tmp_path / "0.png", 1, "crack", tmp_path / "mask.png")
    shown = own_shape.read(sample, Framing((8, 8)), (20, 80), (10, 40), np.ones((8, 8), np.float32))
    assert shown.size == (10, 40)
    assert shown.image[:, 25:].min() > 190
    assert shown.mask[1, 3:29].all()
    assert shown.mask.sum() <= 2 * 29
    assert shown.values.shape == (10, 40)
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match="no such file"):
        own_shape.read(sample, Framing((8, 8)), (20, 80), (10, 40), None)
