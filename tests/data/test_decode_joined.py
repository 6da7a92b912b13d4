"""Several masks of one image, and masks with soft edges."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from adbench.api import Problem, Sample
from adbench.data import decode, masks
from adbench.data.framing import Framing
from adbench.data.image_store import open_store

SIZE = (4, 6)
FRAMING = Framing(SIZE)


def save(path, values) -> None:
    Image.fromarray(np.array(values, np.uint8)).save(path)


@pytest.fixture
def sample(tmp_path) -> Sample:
    """An image with two masks that overlap in a pixel."""
    save(tmp_path / "image.png", np.full((*SIZE, 3), 90))
    first, second = np.zeros(SIZE), np.zeros(SIZE)
    first[0, :3], second[0, 2:4] = 255, 3
    save(tmp_path / "0.png", first)
    save(tmp_path / "1.png", second)
    return Sample(tmp_path / "image.png", 1, "cut", tmp_path / "0.png", (tmp_path / "1.png",))


def test_masks_are_joined(sample):
    """A pixel counts where any of them marks it, at the input's size and in the mask's own pixels."""
    found = decode.decode_sample(sample, FRAMING)
    assert found.mask.sum() == 4
    assert masks.decode_mask(sample, SIZE, (0, 0, SIZE[1], SIZE[0]), None).sum() == 4


def test_each_mask_is_checked(sample):
    """One of another size, without a mark or missing is a problem of that file."""
    (second,) = sample.more_masks
    for spoil, found in (
        (lambda: save(second, np.zeros(SIZE)), "without a defect pixel"),
        (lambda: save(second, np.ones((2, 2))), "2x2 pixels"),
        (second.unlink, "missing"),
    ):
        spoil()
        problem = decode.decode_sample(sample, FRAMING)
        assert isinstance(problem, Problem)
        assert (problem.path, found in problem.found) == (second, True)


def test_a_change_of_any_mask_is_seen(sample, tmp_path):
    """The store of decoded images is another one."""
    before = open_store([sample], root=tmp_path, framing=FRAMING)
    save(sample.more_masks[0], np.tri(*SIZE))
    after = open_store([sample], root=tmp_path, framing=FRAMING)
    assert (before.masks.sum(), after.masks.sum()) == (4, 12)


@pytest.mark.parametrize(("above", "marked"), [(0, 4), (127, 2), (200, 1)])
def test_soft_masks_count_above_a_value(sample, tmp_path, above, marked):
    """The value itself doesn't count; another value makes another store."""
    save(sample.mask, [[0, 100, 127, 128, 201, 0]] * 1 + [[0] * 6] * 3)
    soft = Sample(sample.path, 1, "cut", sample.mask, mask_above=above)
    assert open_store([soft], root=tmp_path, framing=FRAMING).masks.sum() == marked
