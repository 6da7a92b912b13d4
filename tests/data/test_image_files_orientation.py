"""Images lie as viewers show them, and masks lie on them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from deep_files import BACK, turned_file
from image_files import save
from PIL import Image

from adbench.api.data import Problem, Sample
from adbench.data.decode import decode_image, decode_sample
from adbench.data.framing import Framing
from adbench.data.image_files import read_rgb, size_of, stored_orientation
from adbench.data.masks import decode_mask

UPRIGHT = np.zeros((20, 30, 3), np.uint8)
UPRIGHT[2:6, 3:12] = 200
MASK = (UPRIGHT[:, :, 0] > 0).astype(np.uint8) * 255
OWN = Framing((20, 30))


def decoded(image, mask=None):
    found = decode_sample(Sample(image, int(mask is not None), "cut", mask), OWN)
    assert not isinstance(found, Problem), found
    return found


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", list(BACK))
def test_images_are_turned_as_viewers_show_them(orientation, suffix, tmp_path):
    """Each of the eight orientations, in every format that has them."""
    path = turned_file(tmp_path / f"a{suffix}", UPRIGHT, orientation)
    found = decoded(path)
    assert found.size == (20, 30)
    assert np.array_equal(UPRIGHT > 100, found.image > 100)
    assert np.asarray(read_rgb(path)).shape == (20, 30, 3)
    assert stored_orientation(path) == orientation


@pytest.mark.parametrize("orientation", list(BACK))
def test_an_image_in_memory_is_turned_too(orientation, tmp_path):
    """An image that Pillow opened is the same as its file."""
    for suffix in (".png", ".tif"):
        with Image.open(turned_file(tmp_path / f"a{suffix}", UPRIGHT, orientation)) as image:
            assert np.array_equal(UPRIGHT, decode_image(image, OWN).image)


@pytest.mark.parametrize("orientation", list(BACK))
def test_masks_follow(orientation, tmp_path):
    """A mask may be drawn on what viewers show, be stored as the image with its tag, or be turned with its pixels."""
    image = turned_file(tmp_path / "a.png", UPRIGHT, orientation)
    masks = [save(tmp_path / "upright.png", MASK), turned_file(tmp_path / "tagged.png", MASK, orientation)]
    if orientation >= 5:  # only then its size tells how it was drawn
        masks.append(turned_file(tmp_path / "stored.png", MASK, orientation, tag=False))
    for mask in masks:
        assert np.array_equal(MASK > 0, decoded(image, mask).mask)
        sample = Sample(image, 1, "cut", mask)
        assert np.array_equal(MASK > 0, decode_mask(sample, (20, 30), OWN.shown_part((20, 30)), None) > 0)


def test_a_turned_jpeg_mask_keeps_its_threshold(tmp_path):
    """The noise of JPEG around a mark is no defect after turning either."""
    image = turned_file(tmp_path / "a.png", UPRIGHT, 6)
    mask = turned_file(tmp_path / "m.jpg", MASK, 6)
    assert np.array_equal(MASK > 0, decoded(image, mask).mask)


def test_a_mask_of_neither_shape_is_refused(tmp_path):
    """The size that viewers show is named."""
    image = turned_file(tmp_path / "a.png", UPRIGHT, 6)
    mask = save(tmp_path / "m.png", np.ones((20, 31), np.uint8))
    found = decode_sample(Sample(image, 1, "cut", mask), OWN)
    assert found == Problem(mask, "a mask of 31x20 pixels for an image of 30x20", "Replace the mask")
    plain = save(tmp_path / "b.png", UPRIGHT)
    lying = save(tmp_path / "n.png", MASK.T)
    assert decode_sample(Sample(plain, 1, "cut", lying), OWN).found == "a mask of 20x30 pixels for an image of 30x20"


@pytest.mark.parametrize("kind", ["f2", "u2", "f4"])
def test_a_turned_tiff_of_many_bits_is_turned_once(kind, tmp_path):
    """Whoever reads it, Pillow or tifffile."""
    stored = np.rot90((UPRIGHT[:, :, 0] / 200).astype(kind) * 200, 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored.copy(), photometric="minisblack", extratags=[(274, 3, 1, 6, True)])
    assert np.array_equal(UPRIGHT > 100, decoded(path).image > 100)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float64])
def test_the_size_by_the_head_of_a_file_is_that_of_the_image(kind, orientation, tmp_path):
    """Tiles are counted by it before images are read: also those of TIFFs that Pillow does not know."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((20, 30), kind), extratags=[(0x0112, "H", 1, orientation, True)])
    shown = read_rgb(path)
    assert isinstance(shown, Image.Image)
    assert size_of(path) == (shown.height, shown.width) == ((20, 30) if orientation == 1 else (30, 20))
