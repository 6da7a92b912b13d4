"""A few images in memory are those that a store on disk would have."""

from __future__ import annotations

import numpy as np
import pytest

from adbench.api.data import Sample
from adbench.data import image_store, memory_store
from adbench.data.framing import Framing
from adbench.util.errors import DataError


def test_images_and_masks_equal_those_of_a_store_on_disk(tiny_data):
    """The same files give the same bytes and the same sizes, with masks where there are any."""
    folder = tiny_data / "bolts"
    samples = [
        Sample(folder / "test/good/000.png"),
        Sample(folder / "test/spot/000.png", 1, "spot", next((folder / "ground_truth/spot").glob("000*.png"))),
    ]
    framing = Framing((48, 32))
    kept = image_store.open_store(samples, root=tiny_data, framing=framing)
    found = memory_store.read(samples, framing)
    np.testing.assert_array_equal(found.images, kept.images)
    np.testing.assert_array_equal(found.masks, kept.masks)
    assert found.sizes == kept.sizes


def test_no_image_is_an_empty_store():
    """Its shape is still that of the input."""
    assert memory_store.of_decoded([], [], Framing((8, 6))).images.shape == (0, 8, 6, 3)


def test_an_unreadable_image_is_named(tmp_path):
    """The message has the file and what is wrong with it."""
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png: found no image that Pillow knows"):
        memory_store.read([Sample(tmp_path / "a.png")], Framing((8, 8)))
