from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_metrics import GOLDEN, golden, masks, scores
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.data.ground_truth import GroundTruth
from adbench.metrics import Region, evaluate
from adbench.metrics.metrics import evaluate_ground_truth
from adbench.metrics.saturated import spro_curve
from adbench.util.errors import TaskError

KINDS = {1: "logical", 2: "structural"}
LOCO = [
    Region(int(image), mask, float(area), KINDS[int(GOLDEN["loco_type"][image])])
    for image, mask, area in zip(
        GOLDEN["loco_chan_image"], masks("loco_chan_mask", 48), GOLDEN["loco_chan_satarea"], strict=True
    )
]
MAPS = scores("loco_maps")
LABELS = GOLDEN["loco_type"] > 0


def of(regions, maps=MAPS, labels=LABELS, **others):
    return evaluate(labels=labels, image_scores=np.arange(len(labels)), maps=maps, regions=regions, **others)


def naive(maps, labels, regions, limit):
    """The area by a loop over all thresholds, regions and images."""
    marked = np.zeros(maps.shape, bool)
    for each in regions:
        marked[each.image] |= each.mask
    having = {each.image for each in regions}
    images = [i for i in range(len(maps)) if i in having or not labels[i]]
    x, y = [0.0], [0.0]
    for level in np.unique(maps)[::-1]:
        found = maps >= level
        x.append(found[images][~marked[images]].mean())
        y.append(np.mean([min(found[r.image][r.mask].sum() / r.saturation, 1) for r in regions]))
    area = 0.0
    for x0, x1, y0, y1 in zip(x, x[1:], y, y[1:], strict=False):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


def test_golden_numbers():
    """Logical and structural AU-sPRO and their mean equal the golden numbers of all thresholds."""
    metrics, at = of(LOCO), {0.05: 1, 0.3: 3}
    assert metrics.au_spro == pytest.approx(GOLDEN["loco_auspro_mean"][at[0.05]], abs=1e-9)
    assert metrics.au_spro_03 == pytest.approx(GOLDEN["loco_auspro_mean"][at[0.3]], abs=1e-9)
    assert metrics.au_spro_logical == pytest.approx(GOLDEN["loco_auspro_logical"][1], abs=1e-9)
    assert metrics.au_spro_structural == pytest.approx(GOLDEN["loco_auspro_structural"][1], abs=1e-9)


@pytest.mark.parametrize("kind", ["logical", "structural"])
def test_golden_numbers_at_other_limits(kind):
    """The curve itself is exact up to any false-positive rate."""
    truth = GroundTruth.of(LABELS).with_regions(LOCO)
    curve = spro_curve(MAPS, [(40, 48)] * 9, LABELS, truth.saturated, kind)
    found = [curve.overlap_area(limit) for limit in GOLDEN["loco_limits"]]
    np.testing.assert_allclose(found, GOLDEN[f"loco_auspro_{kind}"], atol=1e-9, rtol=0)


def test_a_saturation_is_one_pixel_at_least_and_the_region_at_most():
    """The golden cases: half of one pixel counts as one, and 60 pixels of a region of 16 count as 16."""
    maps = GOLDEN["loco1_maps"] / 1024
    found = of([Region(1, GOLDEN["loco1_mask"], 0)], maps, np.array([0, 1]))
    assert found.au_spro_03 == pytest.approx(golden("loco1_auspro_0.3_max1"), abs=1e-9)
    heavy = of([Region(1, GOLDEN["loco2_mask"], 60)], GOLDEN["loco2_maps"] / 1024, np.array([0, 1]))
    assert heavy.au_spro == pytest.approx(golden("loco2_auspro_0.05"), abs=1e-9)
    assert heavy.au_spro_03 == pytest.approx(golden("loco2_auspro_0.3"), abs=1e-9)


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = rng.integers(0, draw(st.sampled_from((2, 6, 1000))), (4, 7, 6)).astype(np.float32)
    regions = []
    for _ in range(draw(st.integers(1, 4))):
        mask = rng.random((7, 6)) < draw(st.sampled_from((0.1, 0.5)))
        mask[rng.integers(7), rng.integers(6)] = True
        regions.append(Region(int(rng.integers(1, 4)), mask, float(rng.uniform(1, mask.sum()))))
    return maps, np.array([False, True, True, True]), regions


@settings(max_examples=15, deadline=None)
@given(cases())
def test_equal_to_brute_force(case):
    """Overlapping regions, any ties and saturations give what a loop over all thresholds gives."""
    maps, labels, regions = case
    metrics = of(regions, maps, labels)
    assert metrics.au_spro == pytest.approx(naive(maps, labels, regions, 0.05), abs=1e-12)
    assert metrics.au_spro_03 == pytest.approx(naive(maps, labels, regions, 0.3), abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_ranks_alone_matter(case, random):
    """A rising function, another order of regions, tensors, and images one by one change nothing."""
    maps, labels, regions = case
    found = of(regions, maps, labels).au_spro
    assert of(regions, maps.astype(np.float64) ** 3 + 2, labels).au_spro == pytest.approx(found, abs=1e-12)
    assert of(random.sample(regions, len(regions)), maps, labels).au_spro == pytest.approx(found, abs=1e-12)
    assert of(regions, torch.from_numpy(maps), labels).au_spro == found
    apart = GroundTruth.of_sizes(labels, np.zeros(maps.shape)).with_regions(regions)
    assert evaluate_ground_truth(apart, image_scores=labels, maps=maps).au_spro == found
    assert of(regions, -maps, labels, region_maps=maps).au_spro == found


def test_without_saturation_it_is_aupro():
    """Regions that saturate at their whole area, and fill the masks, give AUPRO."""
    marked = np.zeros((3, 20, 20), bool)
    marked[1, 2:6, 3:9] = marked[2, 10:12, 10:15] = True
    maps = np.random.default_rng(0).normal(size=marked.shape) + marked
    regions = [Region(image, marked[image], marked[image].sum()) for image in (1, 2)]
    metrics = of(regions, maps, np.array([0, 1, 1]), masks=marked)
    assert metrics.au_spro == pytest.approx(metrics.aupro_05, abs=1e-12)
    assert metrics.au_spro_03 == pytest.approx(metrics.aupro, abs=1e-12)
    assert metrics.au_spro_logical is None


def test_no_pixel_outside_of_regions():
    """Where regions cover everything there is no false-positive rate, and no regions are none."""
    assert of([Region(0, np.ones((3, 3)), 4)], np.zeros((1, 3, 3)), np.array([1])).au_spro is None
    assert of([], np.zeros((1, 3, 3)), np.array([1])).au_spro is None


@pytest.mark.parametrize(
    ("region", "text"),
    [
        (Region(9, np.ones((40, 48)), 1), "image of region 0: found 9, wanted 0 to 8"),
        (Region(1, np.ones(40), 1), r"mask of region 0: found shape \(40,\)"),
        (Region(1, np.zeros((40, 48)), 1), "mask of region 0: found no defect pixel"),
        (Region(1, np.ones((40, 48)), -1.0), "saturation of region 0: found -1.0"),
        (Region(1, np.ones((40, 48)), np.nan), "saturation of region 0: found nan"),
        (Region(1, np.ones((4, 4)), 1), r"mask of region 0: found shape \(4, 4\), wanted \(40, 48\)"),
    ],
)
def test_mistakes_are_named(region, text):
    """A region that fits no image is refused with its number."""
    for others in ({}, {"masks": np.zeros((9, 40, 48))}):
        with pytest.raises(TaskError, match=text):
            of([region], **others)
