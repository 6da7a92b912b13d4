from __future__ import annotations

import numpy as np
import pytest
from golden_metrics import golden, scores
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.stats.pixel_threshold import PixelMoments


def of(maps):
    moments = PixelMoments()
    for each in maps:
        moments.add(each)
    return moments


def test_golden_threshold():
    """The threshold of all pixels together, in float64, and not one of the variants that are near it."""
    maps = scores("ad2_val")
    assert of(maps).threshold == pytest.approx(golden("ad2_thr"), abs=1e-12)
    assert of(maps.astype(np.float16)).threshold == pytest.approx(golden("ad2_thr_f16maps"), abs=1e-12)
    assert abs(of(maps).threshold - golden("ad2_thr_ddof1")) > 1e-4
    assert abs(of(maps).threshold - golden("ad2_thr_numpy_f16_accumulate")) > 1e-4


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), min_size=1, max_size=6))
def test_blocks_equal_the_whole(blocks):
    """Maps of any sizes, one by one, give the moments of all their pixels."""
    pixels, moments = np.concatenate(blocks), of(map(np.array, blocks))
    assert moments.mean == pytest.approx(pixels.mean(), abs=1e-9)
    assert moments.deviation == pytest.approx(pixels.std(), abs=1e-6)


def test_nothing_has_none():
    """Without a map there is no threshold."""
    assert PixelMoments().threshold is None
