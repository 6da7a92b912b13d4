"""Intervals that hold, comparisons that are fair, and the same table twice."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from adbench import statistics
from adbench.errors import TaskError
from adbench.metrics import Truth
from adbench.statistics import (
    Interval,
    compare,
    groups,
    holm,
    interval,
    mean_interval,
    resample,
    resampled,
    score_interval,
    spread,
    variance_ratio,
    wilcoxon,
)
from benchmarks.coverage import SETTINGS, of_images, simulate

LABELS = np.arange(40) >= 20


def scored(distance: float, seed: int = 0):
    """Evidence of 40 pictures whose defects score higher by ``distance`` standard deviations."""
    return of_images(LABELS, np.random.default_rng(seed).normal(size=40) + distance * LABELS)


def test_draws_keep_the_number_of_each_kind_and_come_out_the_same_twice():
    """A bootstrap within good and within defective pictures, the same for the same labels."""
    draws = resample(LABELS, 50)
    assert (draws[:, LABELS].sum(1) == 20).all()
    assert (draws[:, ~LABELS].sum(1) == 20).all()
    assert np.array_equal(draws, resample(LABELS, 50))
    assert len(np.unique(draws, axis=0)) == 50


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.integers(2, 200), st.integers(2, 200))
def test_a_score_interval_holds_its_value_and_stays_a_fraction(auroc, good, bad):
    """Between 0 and 1, around the measured value, and never without width, not even at a perfect 1."""
    found = score_interval(auroc, good, bad)
    assert 0 <= found.low <= auroc <= found.high <= 1
    assert found.high - found.low > 0.3 / (good + bad)


@pytest.mark.parametrize("metric", ["image_auroc", "image_ap", "image_f1max"])
def test_intervals_hold_the_value(metric):
    """The interval of every image metric contains what was measured, and more pictures make it narrower."""
    evidence = scored(1.5)
    found = interval([evidence], metric)
    value = evidence.metrics(np.ones((1, 40)))[metric][0]
    assert found.low < value < found.high
    twice = np.concatenate([LABELS, LABELS])
    more = of_images(twice, np.concatenate([evidence.image_scores, evidence.image_scores]))
    closer = interval([more], metric)
    assert closer.high - closer.low < found.high - found.low


def test_an_undefined_metric_has_no_interval():
    """Pixel metrics without maps have none."""
    assert interval([scored(1)], "pixel_auroc") is None


def test_a_perfect_score_is_not_certain():
    """Twenty good and twenty defective pictures that are told apart without a mistake leave room below 1."""
    perfect = of_images(LABELS, LABELS.astype(float))
    found = interval([perfect], "image_auroc")
    assert found.high == 1
    assert 0.8 < found.low < 0.95


def test_the_variance_ratio_is_delongs():
    """With many mistakes it is DeLong's variance over Hanley and McNeil's; of exponential scores that is about 1."""
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
    """Averaging independent classes can only make sure."""
    intervals = [Interval(max(0, value - 0.1), min(1, value + 0.05)) for value in values]
    found = mean_interval(values, intervals)
    assert found.low <= np.mean(values) + 1e-12
    assert found.high >= np.mean(values) - 1e-12
    assert found.high - found.low <= max(each.high - each.low for each in intervals) + 1e-12


# ---------------------------------------------------------------- comparisons


def drawn(evidence):
    """Image AUROC of a method on a class, drawn again and again."""
    return resampled([evidence], "image_auroc", "a class")


def test_a_method_equals_itself():
    """No difference, and a p-value of 1."""
    found = compare([drawn(scored(1.0))], [drawn(scored(1.0))])
    assert (found.value, found.p_value) == (0, 1)


def test_a_clear_difference_is_found_and_a_small_one_is_not():
    """Scores that are much better have a small p-value, those with a little noise more have not; signs turn round."""
    weak, strong = scored(0.3), scored(3.0)
    there, back = (compare([drawn(a)], [drawn(b)]) for a, b in ((weak, strong), (strong, weak)))
    assert there.p_value < 0.01
    assert there.value == pytest.approx(-back.value)
    assert there.p_value == back.p_value
    noisy = of_images(LABELS, strong.image_scores + np.random.default_rng(5).normal(scale=0.3, size=40))
    assert compare([drawn(strong)], [drawn(noisy)]).p_value > 0.1


def test_many_methods_can_be_told_apart():
    """A difference that no draw turns round is more than chance among twenty methods, too; its p is never 0."""
    p_value = compare([drawn(scored(0.0))], [drawn(scored(4.0))]).p_value
    assert 0 < p_value * (20 * 19 / 2) < 0.05


def test_of_too_few_pictures_nothing_is_sure():
    """One good and one defective picture can be drawn in one way only, three of each in a hundred."""
    for number, least in ((1, 1.0), (3, 0.02)):
        labels = np.arange(2 * number) >= number
        worst, best = (resampled([of_images(labels, sign * labels)], "image_auroc", "") for sign in (-1.0, 1.0))
        assert compare([worst], [best]).p_value == pytest.approx(least)


def test_comparisons_that_could_not_be_made_count():
    """A missing p-value must not make the others look surer."""
    assert holm([0.03, None], 2) == [0.06, None]
    assert holm([0.03, 0.01, None], 3) == [0.06, 0.03, None]


def test_under_no_difference_p_values_are_spread_evenly():
    """Two methods that are equally good are called different about as often as the level says."""
    found = [compare([drawn(scored(1.0, 2 * n))], [drawn(scored(1.0, 2 * n + 1))]).p_value for n in range(120)]
    assert np.mean(np.array(found) < 0.05) < 0.12
    assert np.mean(np.array(found) < 0.5) == pytest.approx(0.5, abs=0.15)


def test_other_pictures_are_not_compared():
    """A paired comparison needs the same test pictures."""
    other = of_images(~LABELS, np.zeros(40))
    with pytest.raises(TaskError, match="the same test pictures"):
        compare([drawn(scored(1))], [drawn(other)])


def test_wilcoxon_needs_classes_that_differ():
    """Of five classes all on one side the exact two-sided p-value is 2 / 2^5; of two nothing is said."""
    assert wilcoxon([0.1] * 5, [0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 32)
    assert wilcoxon([0.1, 0.2], [0.2, 0.4]) is None
    assert wilcoxon([0.1] * 6, [0.1] * 6) is None


def test_wilcoxon_leaves_out_classes_that_tie():
    """Of four classes of which three differ, all on one side, the p-value is 2 / 2^3: exact with every SciPy."""
    assert wilcoxon([0.0] * 4, [0.0, 0.1, 0.2, 0.3]) == pytest.approx(2 / 8)


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_helps(values):
    """Adjusted p-values are no smaller, in the same order, at most 1, and no milder than Benjamini and Hochberg's."""
    adjusted = holm(values)
    known = [(p, q) for p, q in zip(values, adjusted, strict=True) if p is not None]
    assert [each is None for each in values] == [each is None for each in adjusted]
    assert all(p <= q <= 1 for p, q in known)
    assert all(q <= s for (p, q), (r, s) in combinations(sorted(known), 2) if p <= r)
    if known:
        milder = false_discovery_control([p for p, _ in known])
        assert all(q >= m - 1e-12 for (_, q), m in zip(known, milder, strict=True))


def test_holm_of_a_known_example():
    """The textbook's four p-values."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.integers(1, 6), st.data())
def test_letters_are_shared_exactly_by_those_that_cannot_be_told_apart(count, data):
    """For every pair: a common letter if and only if it is not among those told apart."""
    pairs = list(combinations(range(count), 2))
    apart = set(data.draw(st.lists(st.sampled_from(pairs), unique=True))) if pairs else set()
    letters = groups(count, apart)
    assert all(letters)
    for first, second in pairs:
        assert bool(set(letters[first]) & set(letters[second])) == ((first, second) not in apart)


def test_the_first_in_rank_has_the_first_letter():
    """A for the best and all that can't be told from it."""
    assert groups(3, {(0, 2)}) == ["a", "ab", "b"]


def test_the_spread_over_seeds_is_the_sample_deviation():
    """Of one seed there is none."""
    assert spread([0.5]) is None
    assert spread([0.1, 0.2, 0.3]) == pytest.approx(0.1)


def test_pixel_metrics_have_intervals_too():
    """The bootstrap weighs pictures, so maps are looked at once."""
    draw = np.random.default_rng(2)
    labels = np.arange(12) >= 6
    masks = np.zeros((12, 16, 16), np.uint8)
    masks[labels, 4:9, 3:8] = 1
    maps = draw.normal(size=masks.shape) + 1.5 * masks
    from adbench.evidence import Evidence

    evidence = Evidence.of(Truth.of(labels, masks), [str(n) for n in range(12)], maps.max(axis=(1, 2)), maps)
    for metric in ("pixel_auroc", "pixel_ap", "aupro"):
        found = interval([evidence], metric)
        value = evidence.metrics(np.ones((1, 12)))[metric][0]
        assert 0 <= found.low < value < found.high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "exponential"])
@pytest.mark.parametrize(("auroc", "good", "bad"), SETTINGS)
def test_intervals_cover_the_truth(shape, auroc, good, bad):
    """Of 3,000 test sets of a known AUROC, 92 to 98 of 100 intervals cover it, whatever the scores' shape."""
    assert 0.92 <= simulate(shape, auroc, good, bad, 3000, plain=False).covered <= 0.98


def test_the_plain_bootstrap_would_not_do():
    """Near 1 its intervals miss the truth far more often than one time in twenty: that is why they are not used."""
    row = simulate("normal", 0.99, 20, 20, 100)
    assert row.plain < 0.9 < row.covered


def test_every_draw_is_seeded():
    """The same table twice."""
    assert interval([scored(1.0)], "image_ap") == interval([scored(1.0)], "image_ap")
    once, again = (compare([drawn(scored(1.0))], [drawn(scored(1.2, 3))]) for _ in range(2))
    assert once == again
    assert statistics.RESAMPLES == 2000
