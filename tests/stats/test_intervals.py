"""Intervals: they contain the value, cover the true one, and are the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from adbench.data.ground_truth import GroundTruth
from adbench.stats import intervals as statistics
from adbench.stats.intervals import Interval, interval, mean_interval, resample, score_interval, spread, variance_ratio
from benchmarks.coverage import SETTINGS, of_images, simulate

LABELS = np.arange(40) >= 20


def scored(distance: float, seed: int = 0):
    """Score histograms of 40 images whose defects score higher by ``distance`` standard deviations."""
    return of_images(LABELS, np.random.default_rng(seed).normal(size=40) + distance * LABELS)


def test_draws_keep_the_number_of_each_kind_and_come_out_the_same_twice():
    """The bootstrap draws within good and within defective images, and the same for the same labels."""
    draws = np.concatenate([*resample(LABELS, 50)])
    assert (draws[:, LABELS].sum(1) == 20).all()
    assert (draws[:, ~LABELS].sum(1) == 20).all()
    assert np.array_equal(draws, np.concatenate([*resample(LABELS, 50)]))
    assert len(np.unique(draws, axis=0)) == 50


def test_draws_come_in_parts_that_stay_small(monkeypatch):
    """With many images only a few draws are in memory at once; their number and the number of each kind stay."""
    monkeypatch.setattr(statistics, "CELLS", 7 * 40)
    monkeypatch.setattr(statistics, "KEPT_CELLS", 0)
    parts = [*resample(LABELS, 50)]
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert all((part[:, LABELS].sum(1) == 20).all() for part in parts)
    assert len(np.unique(np.concatenate(parts), axis=0)) == 50


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.integers(2, 200), st.integers(2, 200))
def test_a_score_interval_holds_its_value_and_stays_a_fraction(auroc, good, bad):
    """It is between 0 and 1, around the measured value, and always has a width, even at a perfect 1."""
    found = score_interval(auroc, good, bad)
    assert 0 <= found.low <= auroc <= found.high <= 1
    assert found.high - found.low > 0.3 / (good + bad)


@pytest.mark.parametrize("metric", ["image_auroc", "image_ap", "image_f1max"])
def test_intervals_hold_the_value(metric):
    """The interval of every image metric contains the measured value, and more images make it narrower."""
    histograms = scored(1.5)
    found = interval([histograms], metric)
    value = histograms.metrics(np.ones((1, 40)))[metric][0]
    assert found.low < value < found.high
    twice = np.concatenate([LABELS, LABELS])
    more = of_images(twice, np.concatenate([histograms.image_scores, histograms.image_scores]))
    closer = interval([more], metric)
    assert closer.high - closer.low < found.high - found.low


def test_an_undefined_metric_has_no_interval():
    """Pixel metrics without maps have none."""
    assert interval([scored(1)], "pixel_auroc") is None


def test_a_perfect_score_is_not_certain():
    """Twenty good and twenty defective images that are separated perfectly leave an interval below 1."""
    perfect = of_images(LABELS, LABELS.astype(float))
    found = interval([perfect], "image_auroc")
    assert found.high == 1
    assert 0.8 < found.low < 0.95


def test_the_variance_ratio_is_delongs():
    """With many mistakes it is DeLong's variance over Hanley and McNeil's; for exponential scores that is about 1."""
    draw = np.random.default_rng(1)
    labels = np.arange(2000) >= 1000
    heavy = np.concatenate([draw.exponential(size=1000), draw.exponential(19, size=1000)])
    normal = np.concatenate([draw.normal(size=1000), draw.normal(2.326, size=1000)])
    assert variance_ratio(labels, heavy) == pytest.approx(1, abs=0.2)
    assert 0.6 < variance_ratio(labels, normal) < 0.85


def test_an_interval_over_seeds_is_of_their_mean():
    """Three seeds give one interval around the mean of their values."""
    seeds = [scored(1.0, seed) for seed in range(3)]
    found = interval(seeds, "image_auroc")
    mean = np.mean([roc_auc_score(LABELS, each.image_scores) for each in seeds])
    assert found.low < mean < found.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_the_interval_of_a_mean_is_no_wider_than_the_widest(values):
    """Averaging independent classes can only add certainty."""
    intervals = [Interval(max(0, value - 0.1), min(1, value + 0.05)) for value in values]
    found = mean_interval(values, intervals)
    assert found.low <= np.mean(values) + 1e-12
    assert found.high >= np.mean(values) - 1e-12
    assert found.high - found.low <= max(each.high - each.low for each in intervals) + 1e-12


def test_the_spread_over_seeds_is_the_sample_deviation():
    """For one seed there is none."""
    assert spread([0.5]) is None
    assert spread([0.1, 0.2, 0.3]) == pytest.approx(0.1)


def test_pixel_metrics_have_intervals_too():
    """The bootstrap weights images, so maps are read only once."""
    draw = np.random.default_rng(2)
    labels = np.arange(12) >= 6
    masks = np.zeros((12, 16, 16), np.uint8)
    masks[labels, 4:9, 3:8] = 1
    maps = draw.normal(size=masks.shape) + 1.5 * masks
    from adbench.metrics.histograms import ScoreHistograms

    histograms = ScoreHistograms.of(
        GroundTruth.of(labels, masks), [str(n) for n in range(12)], maps.max(axis=(1, 2)), maps
    )
    for metric in ("pixel_auroc", "pixel_ap", "aupro"):
        found = interval([histograms], metric)
        value = histograms.metrics(np.ones((1, 12)))[metric][0]
        assert 0 <= found.low < value < found.high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "exponential"])
@pytest.mark.parametrize(("auroc", "good", "bad"), SETTINGS)
def test_intervals_cover_the_true_value(shape, auroc, good, bad):
    """Of 3,000 test sets of a known AUROC, 92 to 98 of 100 intervals cover it, whatever the scores' distribution."""
    assert 0.92 <= simulate(shape, auroc, good, bad, 3000, plain=False).covered <= 0.98


def test_the_plain_bootstrap_would_not_do():
    """Near 1 its intervals miss the true value far more often than one time in twenty, so they are not used."""
    row = simulate("normal", 0.99, 20, 20, 100)
    assert row.plain < 0.9 < row.covered


def test_every_draw_is_seeded():
    """The same table is made twice."""
    assert interval([scored(1.0)], "image_ap") == interval([scored(1.0)], "image_ap")
    assert statistics.RESAMPLES == 2000
