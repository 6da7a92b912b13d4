"""The resampling inside of files is Pillow's, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adbench.data.decode import fit
from adbench.data.framing import Framing
from adbench.run.export.preprocessing import Preprocessing, shown_part

sides = st.integers(5, 60)
sizes = st.tuples(sides, sides)
framings = st.builds(
    Framing,
    size=sizes,
    resize=st.sampled_from(["stretch", "crop"]),
    interpolation=st.sampled_from(["lanczos", "bicubic", "bilinear", "nearest", "bilinear-aliased"]),
)


@st.composite
def cropped(draw):
    """Framings that resize first, and cut the input out of the centre."""
    found = draw(framings)
    whole = tuple(side + draw(st.integers(0, 20)) for side in found.size)
    return Framing(found.size, found.resize, whole, found.interpolation)


def resized(image, framing, *, fixed=False):
    """An image (H, W, 3) through the module, as uint8 (h, w, 3)."""
    values = Preprocessing(framing, image.shape[:2] if fixed else None)(
        torch.from_numpy(image).permute(2, 0, 1)[None].float()
    )
    return (values[0] * 255).round().byte().permute(1, 2, 0).numpy()


@settings(max_examples=60)
@given(framing=framings | cropped(), own=sizes, seed=st.integers(0, 9))
def test_it_resizes_as_pillow_does(framing, own, seed):
    """For every interpolation, crop and size the pixels are the same; where decimals are cut off, a few are one off."""
    image = np.random.default_rng(seed).integers(0, 256, (*own, 3), dtype=np.uint8)
    wanted = np.asarray(fit(Image.fromarray(image), framing, framing.interpolation))
    away = np.abs(resized(image, framing).astype(int) - wanted)
    assert away.max() <= 1
    assert (away > 0).sum() <= (4 + 0.05 * away.size if framing.interpolation == "bilinear-aliased" else 1)


@given(framing=framings | cropped(), own=sizes)
def test_the_shown_part_is_that_of_training(framing, own):
    """Computed with tensors, the part of an image is the one that ``Framing`` computes with numbers."""
    found = shown_part(framing, *(torch.tensor(float(side), dtype=torch.float64) for side in own))
    assert [float(each) for each in found] == pytest.approx(framing.shown_part(own), abs=1e-9)


def test_a_fixed_size_gives_the_same():
    """Matrices that are computed once are those that are computed for each batch."""
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    framing = Framing((32, 24), "crop")
    np.testing.assert_array_equal(resized(image, framing, fixed=True), resized(image, framing))


def test_an_image_of_the_input_size_stays_as_it_is():
    """Without a resize no pixel changes."""
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for kind in ("lanczos", "bicubic", "bilinear", "nearest", "bilinear-aliased"):
        np.testing.assert_array_equal(resized(image, Framing((40, 30), interpolation=kind)), image)
