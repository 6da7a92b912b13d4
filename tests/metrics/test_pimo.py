from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_metrics import GOLDEN, golden, masks, scores
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.data.ground_truth import GroundTruth
from adbench.data.numbered import pairs
from adbench.metrics import evaluate, pimo
from adbench.metrics.metrics import evaluate_ground_truth


def both(maps, marked, bounds, count=pimo.OFFICIAL_THRESHOLDS):
    """Exact and official AUPIMO of each image."""
    sizes = [marked.shape[1:]] * len(marked)
    normal = np.flatnonzero(~marked.any((1, 2))).tolist()
    tail = pimo.tail_of(maps, normal, sizes, bounds[1])
    positions = np.flatnonzero(marked)
    image, defects = positions // math.prod(marked.shape[1:]), np.asarray(maps).reshape(-1)[positions]
    found = pimo.exact(tail, bounds), pimo.official(tail, maps, normal, bounds, count, fewest=2)
    return [None if each is None else pimo.per_image(each, defects, image, len(marked)) for each in found]


def naive(maps, marked, bounds):
    """The exact area by a loop over every threshold and every image; None where it begins too high."""
    normal = ~marked.any((1, 2))
    low, high = np.log(bounds)
    area, before, x0 = np.zeros(len(maps)), np.zeros(len(maps)), -np.inf
    for level in np.unique(maps)[::-1]:
        rate = np.mean([(each >= level).mean() for each in maps[normal]])
        shares = np.array(
            [(each >= level)[m].mean() if m.any() else np.nan for each, m in zip(maps, marked, strict=True)]
        )
        x1 = np.log(rate) if rate else -np.inf
        if x1 > x0 == -np.inf and x1 > low + 1e-12:
            return None
        if x1 > x0 > -np.inf:
            left, right = np.clip([x0, x1], low, high)
            height = [before + (shares - before) * (x - x0) / (x1 - x0) for x in (left, right)]
            area += (right - left) * (height[0] + height[1]) / 2
        before, x0 = shares, x1
    return area / (high - low)


@pytest.mark.parametrize("case", "ABCD")
def test_golden_numbers(case):
    """Exact values equal the golden ones to 1e-9, and those of the authors' thresholds to 1e-6, image by image."""
    maps = scores(f"pimo{case}_maps", 4096 if case == "C" else 1024)
    bounds = tuple(GOLDEN[f"pimo{case}_bounds"])
    exact, official = both(maps, masks(f"pimo{case}_masks", 48), bounds, int(GOLDEN[f"pimo{case}_K"]))
    np.testing.assert_allclose(exact, GOLDEN[f"pimo{case}_exact"], atol=1e-9, rtol=0)
    np.testing.assert_allclose(official, GOLDEN[f"pimo{case}_official"], atol=1e-6, rtol=0)


def test_evaluate_has_the_means_at_the_default_bounds():
    """The fields of ``Metrics`` are means over the bad images; they differ, since thresholds miss the bounds."""
    maps, marked = scores("pimoC_maps", 4096), masks("pimoC_masks", 48)
    case = {"labels": marked.any((1, 2)), "image_scores": maps.max((1, 2)), "masks": marked}
    metrics = evaluate(**case, maps=maps)
    assert metrics.aupimo == pytest.approx(golden("pimoC_mean_exact"), abs=1e-9)
    assert metrics.aupimo_official == pytest.approx(golden("pimoC_mean_official"), abs=1e-6)
    assert abs(metrics.aupimo - metrics.aupimo_official) > 1e-3
    assert evaluate(**case, maps=torch.from_numpy(maps)) == metrics


@st.composite
def tied_cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, levels = draw(st.integers(2, 5)), draw(st.sampled_from((3, 12, 10_000)))
    marked = rng.random((count, 6, 8)) < 0.3
    marked[: draw(st.integers(1, count - 1))] = False
    marked[-1, 2, 3] = True
    maps = (rng.integers(0, levels, marked.shape) + draw(st.integers(0, levels)) * marked).astype(np.float32)
    return maps, marked, draw(st.sampled_from(((0.02, 0.5), (0.1, 0.3), (0.01, 0.02))))


@settings(max_examples=15, deadline=None)
@given(tied_cases())
def test_equal_to_brute_force(case):
    """A loop over all thresholds gives the same with any ties, and the same images have none."""
    maps, marked, bounds = case
    expected, (exact, _) = naive(maps, marked, bounds), both(maps, marked, bounds)
    assert (expected is None) == (exact is None)
    if exact is not None:
        np.testing.assert_allclose(exact, expected, atol=1e-12, rtol=0)


@settings(max_examples=8, deadline=None)
@given(tied_cases(), st.randoms(use_true_random=False))
def test_ranks_alone_matter(case, random):
    """A rising function, another order of images, and every image twice change nothing."""
    maps, marked, bounds = case
    exact, _ = both(maps, marked, bounds)
    order = random.sample(range(len(maps)), len(maps))
    for changed, again in (
        (both(maps.astype(np.float64) ** 3, marked, bounds)[0], slice(None)),
        (both(maps[order], marked[order], bounds)[0], order),
        (both(np.tile(maps, (2, 1, 1)), np.tile(marked, (2, 1, 1)), bounds)[0], list(range(len(maps))) * 2),
    ):
        assert (changed is None) == (exact is None)
        if exact is not None:
            np.testing.assert_allclose(changed, exact[again], atol=1e-12, rtol=0)


def test_few_rows_are_kept_and_none_is_lost(monkeypatch):
    """However often the kept scores are thinned out, the highest ones are there with their rates."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 40_000, (30, 40, 50)).astype(np.float32)
    sizes = [(40, 50)] * 30
    whole = pimo.tail_of(maps, range(30), sizes, 0.01)
    monkeypatch.setattr(pimo, "_MOST_ROWS", 1)
    thin = pimo.tail_of(maps, range(30), sizes, 0.01)
    np.testing.assert_array_equal(thin.levels, whole.levels)
    np.testing.assert_array_equal(thin.rates, whole.rates)
    assert whole.rates[0] > 0.02 >= whole.rates[1]
    assert len(whole.levels) < maps.size / 20


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32, torch.float64])
def test_tensors_of_any_type_equal_arrays(dtype):
    """Scores on a device are sorted out there, in any type, without another number."""
    tensors = torch.from_numpy(np.random.default_rng(1).integers(0, 120, (6, 9, 11))).to(dtype)
    one = pimo.tail_of(tensors, range(6), [(9, 11)] * 6, 0.05)
    other = pimo.tail_of(tensors.double().numpy(), range(6), [(9, 11)] * 6, 0.05)
    np.testing.assert_array_equal(one.levels, other.levels)
    np.testing.assert_array_equal(one.rates, other.rates)


def test_images_of_several_sizes_weigh_alike():
    """The rate is the mean of the images' shares, so a small normal image counts as much as a large one."""
    maps = [np.array([[9.0, 0.0]]), np.arange(8.0).reshape(2, 4)]
    tail = pimo.tail_of(maps, [0, 1], [(1, 2), (2, 4)], 0.5)
    np.testing.assert_allclose(tail.rates[tail.levels == 9], 0.25)
    np.testing.assert_allclose(tail.rates[tail.levels == 7], 0.25 + 1 / 16)


def test_scores_below_the_kept_ones_are_counted_again(monkeypatch):
    """Where a high score makes the authors' thresholds coarse, the one next to the bound lies below all kept scores."""
    maps = np.random.default_rng(2).random((50, 60, 60)).astype(np.float32)
    maps[0, 0, 0] = 30
    normal, sizes = list(range(49)), [(60, 60)] * 50
    found = []
    for slack in (1.0, 50.0):
        monkeypatch.setattr(pimo, "_SLACK", slack)
        tail = pimo.tail_of(maps, normal, sizes)
        found.append((tail.levels[0], pimo.official(tail, maps, normal, fewest=2)))
    (kept, few), (_, whole) = found
    assert few.levels[0] < kept
    np.testing.assert_array_equal(few.levels, whole.levels)
    np.testing.assert_allclose(few.tied, whole.tied, atol=1e-15, rtol=0)
    assert pimo.official(tail, maps, normal) is None  # the authors' program refuses so few thresholds


def test_thresholds_that_float32_makes_equal_count_as_one():
    """A score at thresholds that repeat, since scores lie far from 0, is found by all of them."""
    rng = np.random.default_rng(3)
    maps = (1000 + 1e-2 * rng.exponential(size=(5, 160, 200))).astype(np.float32)
    marked = np.zeros(maps.shape, bool)
    marked[4, :10, :10] = True
    maps[4] += np.float32(8e-2)
    normal = maps[:4].reshape(-1).astype(np.float64)
    grid = np.linspace(normal.min(), normal.max(), pimo.OFFICIAL_THRESHOLDS, dtype=np.float32).astype(np.float64)
    assert len(np.unique(grid)) < 10_000
    normal, defects = np.sort(normal), np.sort(maps[marked].astype(np.float64))
    rates = 1 - np.searchsorted(normal, grid) / len(normal)
    start, end = (int(np.argmin(np.abs(rates - bound))) for bound in (1e-4, 1e-5))
    part = slice(start, end + 1)
    shares = 1 - np.searchsorted(defects, grid[part]) / len(defects)
    logs = np.log(rates[part])
    wanted = float((-np.diff(logs) * (shares[:-1] + shares[1:]) / 2).sum() / np.log(10))
    found = evaluate(labels=[0, 0, 0, 0, 1], image_scores=range(5), masks=marked, maps=maps).aupimo_official
    assert 0 < wanted < 1
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_rate_that_normal_images_can_not_have_gives_none():
    """Fewer than 1e5 normal pixels, no normal image, no bad one, and a highest score that many share have none."""
    small = {"labels": [0, 1], "image_scores": [0, 1]}
    marked = np.zeros((2, 8, 8), bool)
    marked[1, 0] = True
    maps = np.arange(128.0).reshape(2, 8, 8)
    for case in (marked, marked | True, marked & False):
        metrics = evaluate(**small, masks=case, maps=maps)
        assert (metrics.aupimo, metrics.aupimo_official) == (None, None)
    marked = np.zeros((2, 400, 400), bool)
    marked[1, 0] = True
    metrics = evaluate(**small, masks=marked, maps=np.minimum(np.arange(320_000.0).reshape(2, 400, 400), 159_000))
    assert (metrics.aupimo, metrics.aupimo_official) == (None, None)


def test_several_sizes_equal_one():
    """Images that are read one by one have the numbers of an array."""
    maps, marked = scores("pimoC_maps", 4096), masks("pimoC_masks", 48)
    labels = marked.any((1, 2))
    one = evaluate(labels=labels, image_scores=labels, masks=marked, maps=maps)
    other = evaluate_ground_truth(GroundTruth.of_sizes(labels, marked), image_scores=labels, maps=maps)
    assert (other.aupimo, other.aupimo_official) == (one.aupimo, one.aupimo_official)


def test_a_pixel_kept_for_its_region_moves_nothing():
    """A pixel that counts for its region alone is not defective here, and an image with no other one has no part."""
    rng = np.random.default_rng(5)
    maps, marked = rng.random((3, 340, 340)).astype(np.float32), np.zeros((3, 340, 340), bool)
    marked[1, 10:20, 10:20] = True
    maps[marked] += np.linspace(-0.2, 0.2, 100, dtype=np.float32)
    numbers = marked.astype(np.int32)
    numbers[1, 50, 50], numbers[2, 5, 5] = -2, -1
    truth = GroundTruth.of([0, 1, 1], marked, [pairs(each) for each in numbers])
    assert int(truth.kept.sum()) == 2
    found = evaluate_ground_truth(truth, image_scores=np.zeros(3), maps=maps)
    wanted = evaluate(labels=[0, 1], image_scores=np.zeros(2), masks=marked[:2], maps=maps[:2])
    assert (found.aupimo, found.aupimo_official) == (wanted.aupimo, wanted.aupimo_official)
    assert 0 < found.aupimo < 1
