"""Thresholds with a promise: the guarantee holds in simulations, ties are on the safe side, few images promise less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from adbench.stats import conformal

DRAWS = 1500


def alarms_of(draw, images: int, target: float) -> int:
    """False alarms in ``DRAWS`` draws of good images and one new one, each with a threshold of its own."""
    scores = draw.gamma(2, size=(DRAWS, images + 1))
    return sum(row[-1] > conformal.threshold(row[:-1], target)[0] for row in scores)


@pytest.mark.parametrize(("images", "target"), [(9, 0.1), (23, 0.01), (120, 0.05)])
def test_the_guarantee_holds_and_is_exact(images, target):
    """Over draws of good images and a new one, false alarms are as many as promised: no more, and no fewer."""
    promise = conformal.threshold(np.zeros(images), target)[1]
    low, high = binom.interval(0.9999, DRAWS, promise.bound)
    assert low <= alarms_of(np.random.default_rng(images), images, target) <= high


@settings(max_examples=60)
@given(st.lists(st.integers(0, 5) | st.floats(0, 5), min_size=2, max_size=40), st.floats(0.001, 0.999))
def test_ties_are_on_the_safe_side(values, target):
    """Of any images, equal or not, each in turn as the new one, no more are alarms than promised: the guarantee."""
    scores = np.array(values, dtype=np.float64)
    found = [conformal.threshold(np.delete(scores, number), target) for number in range(len(scores))]
    alarms = sum(score > value for score, (value, _) in zip(scores, found, strict=True))
    assert alarms <= round(found[0][1].bound * len(scores))
    if len(set(values)) == len(values):
        assert alarms == round(found[0][1].bound * len(scores))


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=250), st.floats(1e-4, 0.9999))
def test_no_more_stored_scores_are_above_than_the_rank_allows(values, target):
    """The threshold is one of the scores; fewer of them are above it than the promise counts; enough images keep it."""
    value, promise = conformal.threshold(np.array(values), target)
    assert value in values
    assert sum(score > value for score in values) < round(promise.expected * (len(values) + 1))
    assert promise.is_kept == (len(values) >= conformal.images_needed(target))
    assert promise.bound == promise.expected <= max(target, 1 / (len(values) + 1))
    assert promise.bound < promise.certain < 1


@pytest.mark.parametrize(
    ("target", "needed"), [(0.01, 99), (0.005, 199), (0.05, 19), (0.07, 14), (0.5, 1), (0.03, 33), (1 / 3, 2)]
)
def test_the_images_that_a_share_needs(target, needed):
    """1% needs 99 good images; decimal shares are counted as they are typed, not as floats."""
    assert conformal.images_needed(target) == needed
    assert conformal.threshold(np.arange(needed), target)[1].is_kept
    assert needed == 1 or not conformal.threshold(np.arange(needed - 1), target)[1].is_kept


def test_too_few_images_give_the_highest_score_and_what_it_promises():
    """23 images can't promise 1%; their highest score promises 1 in 24."""
    value, promise = conformal.threshold(np.arange(23.0), 0.01)
    assert (value, promise.expected, promise.is_kept) == (22.0, 1 / 24, False)


def test_this_very_threshold_stays_below_its_certain_share():
    """In 95% of draws the true share above the threshold is below ``certain``: here of uniform scores."""
    draw = np.random.default_rng(3)
    found = [conformal.threshold(draw.uniform(size=99), 0.01) for _ in range(1000)]
    kept = np.mean([1 - value <= promise.certain for value, promise in found])
    assert kept == pytest.approx(conformal.CERTAINTY, abs=0.02)


def test_the_bound_of_cross_validation_is_weaker_and_holds():
    """It is that of the paper, and the K models together stay below it, even where each fits its images too well."""
    assert conformal.cross_bound(0.05, 60, 60) == pytest.approx(0.1)  # leaving one out: twice the target
    assert conformal.cross_bound(0.01, 200, 5) == pytest.approx(0.02 + 2 * 0.99 * 0.8 / 41)
    draw, images, folds, alarms, level = np.random.default_rng(5), 20, 4, 0, 0.1
    for _ in range(600):
        points = draw.normal(size=(images + 1, 12))
        above = 0
        for fold in range(folds):
            own = np.arange(images) % folds == fold
            centre = points[:images][~own].mean(0)
            spread = np.linalg.inv(np.cov(points[:images][~own], rowvar=False) + 1e-6 * np.eye(12))
            distance = np.einsum("ni,ij,nj->n", points - centre, spread, points - centre)
            above += int((distance[:images][own] >= distance[-1]).sum())
        alarms += (above + 1) <= level * (images + 1)
    assert alarms <= binom.isf(1e-6, 600, conformal.threshold(np.zeros(images), level, folds=folds)[1].bound)


def test_the_chance_of_more_alarms_than_promised():
    """It is 1 without an alarm, small for many, and the probability of a simulation between."""
    promise = conformal.threshold(np.arange(50), 0.05)[1]
    assert conformal.chance(promise, 0, 40) == 1
    assert conformal.chance(promise, 20, 40) < 1e-6
    draw = np.random.default_rng(1)
    counts = [(draw.normal(size=40) > conformal.threshold(draw.normal(size=50), 0.05)[0]).sum() for _ in range(1500)]
    assert np.mean(np.array(counts) >= 4) == pytest.approx(conformal.chance(promise, 4, 40), abs=0.04)


def test_no_chance_is_given_where_none_is_known():
    """That is for a cross-validated threshold, and on no image."""
    crossed = conformal.threshold(np.arange(50), 0.05, folds=5)[1]
    assert conformal.chance(crossed, 4, 40) is None
    assert crossed.certain is None
    assert conformal.chance(conformal.threshold(np.arange(50), 0.05)[1], 0, 0) is None


@pytest.mark.parametrize(("scores", "target"), [([], 0.1), ([1.0], 0.0), ([1.0], 1.0), ([1.0], float("nan"))])
def test_what_is_no_share_or_no_score_is_refused(scores, target):
    """Both are errors of the caller."""
    with pytest.raises(ValueError, match=r"target|no score"):
        conformal.threshold(np.array(scores), target)
