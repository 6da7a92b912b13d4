"""Post-processing of maps against SciPy and NumPy, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from adbench.api import maps

SCIPY = {"reflect": "reflect", "mirror": "mirror", "nearest": "nearest", "zero": "constant"}
"""Our borders by SciPy's names."""


def some(height: int, width: int, *, seed: int = 3) -> torch.Tensor:
    return torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.0, 0.1, 0.7, 4.0, 15.0]), st.sampled_from(sorted(SCIPY))
)
def test_smoothing_is_that_of_scipy(height, width, sigma, border):
    """For any size and border, including kernels wider than the map, both agree up to rounding."""
    drawn = some(height, width)
    found = maps.gaussian(drawn, sigma, border=border)
    for one, smoothed in zip(drawn.numpy(), found.numpy(), strict=True):
        expected = gaussian_filter(one, sigma, mode=SCIPY[border]) if sigma else one
        np.testing.assert_allclose(smoothed, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("border", sorted(SCIPY))
def test_the_kernel_may_end_at_a_radius(border):
    """A kernel of 5 x 5 is SciPy's with radius 2."""
    drawn = some(11, 9)
    found = maps.gaussian(drawn, 4.0, radius=2, border=border)
    expected = [gaussian_filter(one, 4.0, radius=2, mode=SCIPY[border]) for one in drawn.numpy()]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def test_smoothing_keeps_the_type_and_the_sum():
    """float32 maps stay float32, and mirrored borders lose nothing of the sum."""
    drawn = some(20, 30).float()
    found = maps.gaussian(drawn, 2.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(), drawn.sum())


def test_upsampling_keeps_corners_where_asked():
    """With aligned corners the corner pixels stay; otherwise each pixel of the map becomes a block's centre."""
    drawn = some(3, 4)
    aligned = maps.upsample(drawn, (9, 13), align_corners=True)
    assert torch.equal(aligned[:, [0, 0, -1, -1], [0, -1, 0, -1]], drawn[:, [0, 0, -1, -1], [0, -1, 0, -1]])
    centred = maps.upsample(drawn, (9, 12))
    torch.testing.assert_close(centred[:, 1::3, 1::3], drawn)
    assert torch.equal(maps.upsample(drawn, (6, 8), mode="nearest")[:, ::2, ::2], drawn)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.001, 1))
def test_the_top_is_what_sorting_gives(height, width, share):
    """The mean of the highest pixels, whose number is rounded down; one pixel at least."""
    drawn = some(height, width, seed=height * 13 + width)
    count = max(1, int(height * width * share))
    expected = np.sort(drawn.flatten(1).numpy(), axis=1)[:, -count:].mean(axis=1)
    np.testing.assert_allclose(maps.top_mean(drawn, share).numpy(), expected, rtol=1e-12)


def test_the_highest_pixel():
    """The top share of a single pixel is the maximum."""
    drawn = some(5, 6)
    assert torch.equal(maps.highest(drawn), torch.from_numpy(drawn.numpy().max(axis=(1, 2))))
    assert torch.equal(maps.highest(drawn), maps.top_mean(drawn, 1e-9))
