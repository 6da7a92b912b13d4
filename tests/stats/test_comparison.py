"""Fair comparisons: of two methods, of every pair, and with the best."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from adbench.stats.comparison import best_p_values, compare, groups, holm, resampled, wilcoxon
from adbench.util.errors import TaskError
from benchmarks.coverage import BEST_IMAGES, FIELDS, Field, keep_the_best, of_images

LABELS = np.arange(40) >= 20


def scored(distance: float, seed: int = 0):
    """Score histograms of 40 images whose defects score higher by ``distance`` standard deviations."""
    return of_images(LABELS, np.random.default_rng(seed).normal(size=40) + distance * LABELS)


def drawn(histograms):
    """Image AUROC of a method on a class, on many draws."""
    return resampled([histograms], "image_auroc", "a class")


def test_a_method_equals_itself():
    """There is no difference, and the p-value is 1."""
    found = compare([drawn(scored(1.0))], [drawn(scored(1.0))])
    assert (found.value, found.p_value) == (0, 1)


def test_a_class_may_have_any_name():
    """The draws of a class follow from its name, which may have bytes that are not text; two classes differ."""
    names = ("bolts", "b\udcff", "b\udcfe", "")
    draws = [resampled([scored(1.0)], "image_auroc", name).draws for name in names]
    for first, second in combinations(draws, 2):
        assert not np.array_equal(first, second)


def test_a_clear_difference_is_found_and_a_small_one_is_not():
    """Much better scores have a small p-value, scores with a little more noise don't; signs are mirrored."""
    weak, strong = scored(0.3), scored(3.0)
    there, back = (compare([drawn(a)], [drawn(b)]) for a, b in ((weak, strong), (strong, weak)))
    assert there.p_value < 0.01
    assert there.value == pytest.approx(-back.value)
    assert there.p_value == back.p_value
    noisy = of_images(LABELS, strong.image_scores + np.random.default_rng(5).normal(scale=0.3, size=40))
    assert compare([drawn(strong)], [drawn(noisy)]).p_value > 0.1


def test_many_methods_can_differ_significantly():
    """A difference that no draw reverses is significant even among twenty methods; its p is never 0."""
    p_value = compare([drawn(scored(0.0))], [drawn(scored(4.0))]).p_value
    assert 0 < p_value * (20 * 19 / 2) < 0.05


def test_of_too_few_images_nothing_is_sure():
    """One good and one defective image have a single possible draw, three of each have a hundred."""
    for number, least in ((1, 1.0), (3, 0.02)):
        labels = np.arange(2 * number) >= number
        worst, best = (resampled([of_images(labels, sign * labels)], "image_auroc", "") for sign in (-1.0, 1.0))
        assert compare([worst], [best]).p_value == pytest.approx(least)


def test_comparisons_that_could_not_be_made_count():
    """A missing p-value must not make the others look more certain."""
    assert holm([0.03, None], 2) == [0.06, None]
    assert holm([0.03, 0.01, None], 3) == [0.06, 0.03, None]


def test_under_no_difference_p_values_are_spread_evenly():
    """Two equally good methods are called different about as often as the level says."""
    found = [compare([drawn(scored(1.0, 2 * n))], [drawn(scored(1.0, 2 * n + 1))]).p_value for n in range(120)]
    assert np.mean(np.array(found) < 0.05) < 0.12
    assert np.mean(np.array(found) < 0.5) == pytest.approx(0.5, abs=0.15)


def test_other_images_are_not_compared():
    """A paired comparison needs the same test images."""
    other = of_images(~LABELS, np.zeros(40))
    with pytest.raises(TaskError, match="the same test images"):
        compare([drawn(scored(1))], [drawn(other)])


def test_wilcoxon_needs_classes_that_differ():
    """For five classes on one side the exact two-sided p-value is 2 / 2^5; two classes give none."""
    assert wilcoxon([0.1] * 5, [0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 32)
    assert wilcoxon([0.1, 0.2], [0.2, 0.4]) is None
    assert wilcoxon([0.1] * 6, [0.1] * 6) is None


def test_wilcoxon_leaves_out_classes_that_tie():
    """If three of four classes differ, all on one side, the p-value is 2 / 2^3: exact with every SciPy."""
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
    """The four p-values are those of the textbook."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.integers(1, 6), st.data())
def test_letters_are_shared_exactly_where_nothing_differs_significantly(count, data):
    """Every pair has a common letter if and only if it doesn't differ significantly."""
    pairs = list(combinations(range(count), 2))
    apart = set(data.draw(st.lists(st.sampled_from(pairs), unique=True))) if pairs else set()
    letters = groups(count, apart)
    assert all(letters)
    for first, second in pairs:
        assert bool(set(letters[first]) & set(letters[second])) == ((first, second) not in apart)


def test_the_first_in_rank_has_the_first_letter():
    """The best and all that don't differ significantly from it have an a."""
    assert groups(3, {(0, 2)}) == ["a", "ab", "b"]


def test_every_draw_is_seeded():
    """The same comparison twice gives the same numbers."""
    once, again = (compare([drawn(scored(1.0))], [drawn(scored(1.2, 3))]) for _ in range(2))
    assert once == again


# ---------------------------------------------------------------- with the best


def test_the_best_of_a_sample_is_never_rejected_and_a_far_worse_one_is():
    """The method with the highest value could be the best; one that does not know the defects could not."""
    p_values = best_p_values([[drawn(scored(distance, seed))] for seed, distance in enumerate((3.0, 2.8, 0.0))])
    assert p_values[0] > 0.5
    assert p_values[1] > 0.05
    assert p_values[2] < 0.01


def test_one_method_alone_and_none_are_no_contest():
    """A single method could be the best, and so could equal methods; without a method there is nothing."""
    same = [drawn(scored(1.0))]
    assert best_p_values([same]) == [1.0]
    assert best_p_values([]) == []
    assert best_p_values([same, same]) == [1.0, 1.0]


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(5)))
def test_p_values_do_not_depend_on_the_order(order):
    """Each method has its own, wherever it is in the list."""
    methods = [[drawn(scored(0.5 + 0.4 * number, number))] for number in range(5)]
    plain = best_p_values(methods)
    assert best_p_values([methods[number] for number in order]) == [plain[number] for number in order]


def test_a_method_that_varies_more_does_not_hide_worse_ones():
    """Differences are divided by their own widths: one wild method more changes p little."""
    near = [[drawn(scored(2.5, 1))], [drawn(scored(0.8, 2))]]
    wild = [replace(near[1][0], value=0.5, draws=np.random.default_rng(0).uniform(0, 1, 2000))]
    assert best_p_values(near)[1] < 0.05
    assert best_p_values([*near, wild])[1] < 2.5 * best_p_values(near)[1]


def test_many_near_methods_are_not_all_alike():
    """All of eleven clearly worse methods are found, where Holm's correction of 66 pairs finds fewer."""
    found = keep_the_best(Field(0.95, 1, (0.85,) * 11), 40, 8)
    assert found.kept > 0.9
    assert found.worse > found.letters + 0.05


def test_with_too_few_images_no_method_is_worse_than_the_best():
    """One good and one defective image have a single possible draw."""
    labels = np.array([False, True])
    methods = [[resampled([of_images(labels, sign * labels)], "image_auroc", "")] for sign in (-1.0, 1.0)]
    assert best_p_values(methods) == [1.0, 1.0]


def test_an_undefined_metric_has_no_best():
    """Without maps there is no pixel AUROC to compare."""
    assert best_p_values([[resampled([scored(1.0)], "pixel_auroc", "")]] * 2) == [None, None]


def test_the_best_must_be_of_the_same_images():
    """Methods on other classes or other images are refused."""
    with pytest.raises(TaskError, match="the same classes"):
        best_p_values([[drawn(scored(1.0))], [drawn(scored(1.0))] * 2])
    with pytest.raises(TaskError, match="the same test images"):
        best_p_values([[drawn(scored(1.0))], [drawn(of_images(~LABELS, np.zeros(40)))]])


def test_the_best_is_kept():
    """Each of twelve equally good methods is kept in some 95 of 100 test sets."""
    assert 0.9 < keep_the_best(Field(0.9, 12, ()), 25, 15, letters=False).kept < 1


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("number", BEST_IMAGES)
def test_the_best_is_kept_in_simulation(field, number):
    """In 92 of 100 test sets at least, the truly best method is not called worse than the best."""
    assert keep_the_best(field, number, 300, letters=False).kept >= 0.92
