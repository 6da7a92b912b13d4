"""Drift of scores: false alarms are as rare as asked for on good images, and changes are seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from adbench.stats import conformal, drift

LEVEL = 0.05


def looks(good, new, size=50, target=0.02, level=LEVEL):
    value, promise = conformal.threshold(good, target)
    return drift.look(good, drift.windows_of(new, size), threshold=value, promise=promise, level=level)


@pytest.mark.parametrize("decimals", [None, 1])
def test_good_images_give_no_more_false_alarms_than_the_level(decimals):
    """Over draws of stored and of new good scores, with ties or without, any window drifts as rarely as asked for."""
    draw, times, alarms = np.random.default_rng(8), 120, 0
    for _ in range(times):
        scores = draw.gamma(3, size=60 + 150)
        scores = scores if decimals is None else scores.round(decimals)
        alarms += any(each.drifted for each in looks(scores[:60], scores[60:]))
    assert alarms <= binom.isf(1e-4, times, LEVEL)


def test_a_resampled_part_of_the_stored_scores_is_no_drift():
    """The stored good images of a run against others of them: the rate holds whatever their scores look like."""
    stored = np.concatenate([np.random.default_rng(1).normal(size=150), np.random.default_rng(2).uniform(5, 9, 50)])
    draw, times, alarms = np.random.default_rng(3), 80, 0
    for _ in range(times):
        mixed = draw.permutation(stored)
        alarms += any(each.drifted for each in looks(mixed[:80], mixed[80:], size=60))
    assert alarms <= binom.isf(1e-4, times, LEVEL)


@pytest.mark.parametrize(
    ("change", "scores_differ", "too_many"),
    [
        (lambda new: new + 1, True, True),
        (lambda new: new - 1, True, False),
        (lambda new: new * 0.2, True, False),
        (lambda new: np.where(np.arange(len(new)) % 10 == 0, 9.0, new), False, True),
    ],
    ids=["higher", "lower", "narrower", "a tenth defective"],
)
def test_changes_are_seen_in_the_window_where_they_begin(change, scores_differ, too_many):
    """One test sees moved scores, also lower ones; the other one a few high ones; the earlier window is good."""
    draw = np.random.default_rng(0)
    good, before, after = draw.normal(size=120), draw.normal(size=100), change(draw.normal(size=100))
    first, second = looks(good, np.concatenate([before, after]), size=100)
    assert not first.drifted
    assert (second.scores_differ, second.too_many_alarms) == (scores_differ, too_many)


def test_alarms_count_only_with_a_promise():
    """Without one their number is told, but not tested; without a threshold there is no number."""
    good, new = np.arange(30.0), np.arange(30.0)
    (told,) = drift.look(good, [new], threshold=20.0, promise=None, level=LEVEL)
    assert (told.alarms, told.alarms_p, told.too_many_alarms) == (9, None, False)
    (silent,) = drift.look(good, [new], threshold=None, promise=None, level=LEVEL)
    assert silent.alarms is None


@given(st.integers(1, 400), st.integers(1, 150))
def test_windows_hold_every_score_once_and_in_order(count, size):
    """No window but a single one is smaller than asked for, and none twice as large."""
    found = drift.windows_of(np.arange(float(count)), size)
    assert np.concatenate(found).tolist() == list(range(count))
    assert all(size <= len(window) < 2 * size for window in found) or (len(found) == 1 and count < size)
