"""The values of a submission's maps: float16, finite, in the order of the scores, above 0 where a pixel is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from adbench.run.submission.maps import Scale, Scored, in_half

FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)


@given(arrays.arrays(np.float32, (3, 4), elements=FLOATS), st.floats(-1e30, 1e30), st.floats(1e-20, 1e20))
def test_values_keep_order_and_verdict(values, threshold, unit):
    """The laws hold for any scores, threshold and unit."""
    halves, above = in_half(values, Scale(threshold, unit, 1, np.zeros(1)))
    assert halves.dtype == np.float16
    assert np.isfinite(halves).all()
    assert np.array_equal(above, values.astype(np.float64) > threshold)
    assert np.array_equal(above, halves > 0)
    ordered = halves.reshape(-1)[np.argsort(values, axis=None)]
    assert (np.diff(ordered.astype(np.float64)) >= 0).all()


def test_close_scores_far_from_zero_stay_apart():
    """Scores of 1000 to 1001, which float16 alone would take for two values, keep hundreds."""
    values = np.linspace(1000, 1001, 1200, dtype=np.float32).reshape(30, 40)
    scale = Scale.of([Scored(0.0, values, (0, 0), values.shape)])
    halves, _ = in_half(values, scale)
    assert len(np.unique(values.astype(np.float16))) == 3
    assert len(np.unique(halves)) > 900


def test_the_scale_is_ad2_s_rule():
    """Mean plus three standard deviations of all pixels of all maps; the unit is the deviation, or 1 without any."""
    maps = [np.arange(12, dtype=np.float32).reshape(3, 4), np.full((2, 2), 7, np.float32)]
    scale = Scale.of(Scored(1.0 + number, each, (0, 0), each.shape) for number, each in enumerate(maps))
    pixels = np.concatenate([each.reshape(-1) for each in maps]).astype(np.float64)
    assert scale.threshold == pytest.approx(pixels.mean() + 3 * pixels.std(), rel=1e-12)
    assert scale.unit == pytest.approx(pixels.std(), rel=1e-12)
    assert scale.scores.tolist() == [1.0, 2.0]
    even = Scale.of([Scored(0.0, np.full((2, 2), 5, np.float32), (0, 0), (2, 2))])
    assert (even.threshold, even.unit) == (5.0, 1.0)
    _, above = in_half(np.full((2, 2), 5, np.float32), even)
    assert not above.any()  # a constant map finds nothing


def test_what_a_crop_cuts_off_counts_as_good():
    """Pixels that the model doesn't see have the lowest score, and are never above the threshold."""
    shown = np.array([[3, 4], [5, 6]], np.float32)
    for threshold, lowest in ((4.0, 3), (1.0, 1)):
        whole = Scored(0.0, shown, (1, 2), (4, 5)).values(threshold)
        assert whole[1:3, 2:4].tolist() == shown.tolist()
        assert (np.delete(whole.reshape(-1), [7, 8, 12, 13]) == lowest).all()
        _, above = in_half(whole, Scale(threshold, 1.0, 1, np.zeros(1)))
        assert int(above.sum()) == int((shown > threshold).sum())
