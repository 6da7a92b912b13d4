"""The shown part of an image and its pixels, against torchvision, torch and Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from adbench.api.options import Options
from adbench.data.decode import fit
from adbench.data.framing import Framing


def drawn(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8))


def seen(image: Image.Image, framing: Framing) -> np.ndarray:
    return np.asarray(fit(image, framing, framing.interpolation)).astype(int)


MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(300, 300), (301, 457), (700, 333), (90, 120)])
@pytest.mark.parametrize(("whole", "size"), [(256, 224), (329, 288), (100, 99)])
def test_the_shorter_side_is_resized_and_the_centre_cropped_as_torchvision_does(
    interpolation, height, width, whole, size
):
    """Published set-ups such as 256 -> 224 and 329 -> 288 have the same pixels, up to rounding."""
    image = drawn(height, width)
    expected = Compose([Resize(whole, MODES[interpolation]), CenterCrop(size)])(image)
    found = seen(image, Framing((size, size), "crop", (whole, whole), interpolation))
    difference = np.abs(np.asarray(expected).astype(int) - found)
    assert difference.max() <= 2
    assert (difference <= 1).mean() > 0.999
    assert (difference == 0).mean() > 0.9


def test_the_whole_image_is_stretched_before_its_centre_is_cropped():
    """Published set-ups such as 448 -> 392, and other heights and widths."""
    image = drawn(200, 310)
    for whole, size in (((448, 448), (392, 392)), ((96, 160), (80, 100)), ((97, 161), (80, 100))):
        expected = Compose([Resize(whole, InterpolationMode.BICUBIC), CenterCrop(size)])(image)
        found = seen(image, Framing(size, "stretch", whole, "bicubic"))
        difference = np.abs(np.asarray(expected).astype(int) - found)
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.99


@pytest.mark.parametrize("size", [(50, 60), (200, 90), (300, 400)])
def test_bilinear_without_antialiasing_is_torchs(size):
    """It is OpenCV's and torch's: from the four nearest pixels, also where the image shrinks."""
    image = drawn(200, 240)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    expected = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=False)
    found = seen(image, Framing(size, interpolation="bilinear-aliased"))
    inner = (slice(2, -2), slice(2, -2))  # at the border Pillow takes the nearest pixel alone
    difference = np.abs(expected[0].permute(1, 2, 0).numpy() - found)[inner]
    assert difference.max() < 1.01


def test_antialiasing_smooths_where_images_shrink():
    """A fine checkerboard becomes grey, but not from only four pixels."""
    board = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8).repeat(1, 0))
    for interpolation in ("lanczos", "bicubic", "bilinear"):
        assert np.abs(seen(board, Framing((8, 8), interpolation=interpolation)) - 127).max() < 20
    assert np.abs(seen(board, Framing((9, 9), interpolation="bilinear-aliased")) - 127).max() > 60


@settings(max_examples=80, deadline=None)
@given(
    own=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    more=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    resize=st.sampled_from(["stretch", "crop"]),
    fitted=st.booleans(),
)
def test_the_seen_part_lies_within_the_image_around_its_centre(own, size, more, resize, fitted):
    """For any shapes it is within the border, not empty, and centred to half a pixel of the resized image."""
    whole = None if fitted else (size[0] + more[0], size[1] + more[1])
    left, top, right, bottom = Framing(size, resize, whole).shown_part(own)
    assert 0 <= left < right <= own[1]
    assert 0 <= top < bottom <= own[0]
    pixel = 0 if fitted else 1
    across, down = (right - left) / size[1], (bottom - top) / size[0]
    assert abs((left + right - own[1]) / 2) <= pixel * across / 2 + 1e-6
    assert abs((top + bottom - own[0]) / 2) <= pixel * down / 2 + 1e-6


def test_a_framing_of_0_1_keeps_the_names_of_its_images():
    """Decoded images of adbench 0.1 are found again; newer framings have other names."""
    assert Framing.of(Options()).facts == ((256, 256), "stretch")
    others = [Framing((256, 256), resize_to=(300, 300)), Framing((256, 256), interpolation="bicubic")]
    assert len({Framing((256, 256)).facts, *(each.facts for each in others)}) == 3
