"""The reason for each metric that a test set doesn't define."""

from __future__ import annotations

import numpy as np
import pytest

from adbench.api.scores import METRIC_NAMES, PIXEL_METRICS
from adbench.data.ground_truth import GroundTruth
from adbench.data.numbered import pairs
from adbench.metrics.metrics import evaluate_ground_truth
from adbench.metrics.undefined import reasons

MAPS = np.random.default_rng(0).random((3, 6, 6))


def truth(labels, marked=(), kept=()):
    """Three images of 6 x 6 with defect pixels at some (image, row, column), and some kept for a region alone."""
    numbers = np.zeros((3, 6, 6), np.int32)
    for each in marked:
        numbers[each] = 1
    for each in kept:
        numbers[each] = -2
    return GroundTruth.of(labels, numbers > 0, [pairs(each) for each in numbers])


@pytest.mark.parametrize(
    ("ground_truth", "maps", "metric", "reason"),
    [
        (truth([0, 0, 0]), MAPS, "image_auroc", "no bad image"),
        (truth([1, 1, 1]), MAPS, "pg2", "no good image"),
        (truth([0, 0, 1]), MAPS, "pixel_auroc", "no defect pixel in any mask"),
        (truth([0, 0, 1]), None, "aupro", "the method makes no anomaly maps"),
        (GroundTruth.of([0, 0, 1]), MAPS, "pixel_ap", "no masks"),
        (truth([1, 1, 1], [np.s_[:]]), MAPS, "aupro_05", "no good pixel"),
        (truth([0, 0, 1], [(2, 1, 1)]), MAPS, "segf1", "no pixel threshold: no held-out or validation images"),
        (truth([0, 0, 1], [(2, 1, 1)]), MAPS, "aupimo", "AUPIMO needs n_good x pixels >= 1e5, not 2 x 36"),
        (truth([0, 0, 1], [(2, 1, 1)]), MAPS, "au_spro", "saturations of regions not given"),
        *((truth([0, 0, 1], kept=[(2, 1, 1)]), MAPS, name, "every defect is smaller than a pixel at the size of the "
           "comparison") for name in ("pixel_auroc", "pixel_ap", "pixel_f1max", "segf1", "aupimo")),
    ],
)  # fmt: skip
def test_a_reason_names_what_is_missing(ground_truth, maps, metric, reason):
    """There is one for each metric that is None, and none for the others."""
    found = evaluate_ground_truth(ground_truth, image_scores=[0.0, 1, 2], maps=maps)
    said = reasons(found, ground_truth, has_maps=maps is not None)
    assert set(said) == {name for name in METRIC_NAMES if getattr(found, name) is None}
    assert said[metric] == reason


def test_a_defect_smaller_than_a_pixel_has_an_overlap():
    """Its region keeps a pixel for AUPRO, while no metric of pixels is defined."""
    found = evaluate_ground_truth(truth([0, 0, 1], kept=[(2, 1, 1)]), image_scores=[0.0, 1, 2], maps=MAPS)
    there = {name for name in PIXEL_METRICS if getattr(found, name) is not None}
    assert there == {"aupro", "aupro_05"}
