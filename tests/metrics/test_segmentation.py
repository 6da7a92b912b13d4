from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_metrics import GOLDEN, golden, scores
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from adbench.metrics import evaluate
from adbench.metrics.segmentation import rounded_down


def test_golden_number():
    """SegF1 at MVTec AD 2's threshold equals the golden number, in arrays and in tensors; without one there is none."""
    maps = scores("ad2_test")
    case = {"labels": GOLDEN["ad2_image_label"], "image_scores": maps.max((1, 2)), "masks": GOLDEN["ad2_mask"]}
    threshold = golden("ad2_thr")
    assert evaluate(**case, maps=maps, pixel_threshold=threshold).segf1 == pytest.approx(golden("ad2_segf1"), abs=1e-9)
    tensors = torch.from_numpy(maps)
    assert evaluate(**case, maps=tensors, pixel_threshold=threshold).segf1 == pytest.approx(golden("ad2_segf1"))
    assert evaluate(**case, maps=maps).segf1 is None


def test_no_defect_pixel():
    """Without a defect pixel a false one gives 0; without any found pixel nothing is defined."""
    case = {
        "labels": [0, 0],
        "image_scores": [0, 1],
        "masks": np.zeros((2, 3, 3)),
        "maps": np.eye(3)[None].repeat(2, 0),
    }
    assert evaluate(**case, pixel_threshold=0.5).segf1 == golden("ad2_nodefect_segf1_sklearn") == 0
    assert evaluate(**case, pixel_threshold=1.0).segf1 is None


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.floats(-1, 6, width=32),
    st.sampled_from((np.float16, np.float32, np.float64, np.int32)),
)  # fmt: skip
def test_equal_to_scikit_learn(seed, threshold, dtype):
    """Any type of scores gives the F1 of all pixels together; a score at the threshold is not above it."""
    rng = np.random.default_rng(seed)
    marked, maps = rng.random((3, 4, 5)) < 0.4, rng.integers(0, 6, (3, 4, 5)).astype(dtype)
    for value in (threshold, round(threshold)):
        found = evaluate(labels=[0, 1, 1], image_scores=[0, 1, 2], masks=marked, maps=maps, pixel_threshold=value).segf1
        predicted = maps.astype(float) > value
        if marked.any() or predicted.any():
            assert found == pytest.approx(f1_score(marked.ravel(), predicted.ravel(), zero_division=0), abs=1e-12)
        else:
            assert found is None


@settings(max_examples=15, deadline=None)
@given(st.floats(-1e4, 1e4), st.sampled_from((np.float16, np.float32)))
def test_a_threshold_is_not_rounded_up(value, kind):
    """A score in half or single precision is above a double's neighbour below exactly if it is above the double."""
    lower = rounded_down(value, np.dtype(kind))
    higher = np.nextafter(lower, kind(np.inf))
    assert float(lower) <= value < float(higher)
