"""Says why a metric of a test set is not defined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..api.scores import METRIC_NAMES, PIXEL_METRICS, Metrics
from ..data.ground_truth import GroundTruth
from .pimo import BOUNDS, FEWEST_POINTS, OFFICIAL_THRESHOLDS, least_rate

NO_BAD, NO_GOOD = "no bad image", "no good image"
NO_MASKS = "no masks"
NO_MAPS = "the method makes no anomaly maps"
NO_THRESHOLD = "no pixel threshold: no held-out or validation images"
NO_SATURATIONS = "saturations of regions not given"


def reasons(metrics: Metrics, ground_truth: GroundTruth, *, has_maps: bool) -> Mapping[str, str]:
    """The reason for each metric that is None, by its field.

    Args:
        metrics: of a test set.
        ground_truth: of the same.
        has_maps: whether there are anomaly maps.
    """
    return {
        name: _reason(name, metrics, ground_truth, has_maps) for name in METRIC_NAMES if getattr(metrics, name) is None
    }


def _reason(name: str, metrics: Metrics, truth: GroundTruth, has_maps: bool) -> str:
    if name not in PIXEL_METRICS:
        return NO_GOOD if truth.labels.all() else NO_BAD
    if not has_maps:
        return NO_MAPS
    if name.startswith("au_spro"):
        return _of_saturated(name, truth)
    if truth.map_sizes is None:
        return NO_MASKS
    if name == "segf1" and metrics.pixel_auroc is not None:
        return NO_THRESHOLD
    if not len(truth.positions):
        return "every defect pixel is ignored" if truth.spoiled else "no defect pixel in any mask"
    if not len(truth.defects) and not name.startswith("aupro"):
        return "every defect is smaller than a pixel at the size of the comparison"
    if name.startswith("aupimo"):
        return _of_pimo(name, metrics, truth)
    return "no good pixel" if metrics.pixel_auroc is None else NO_THRESHOLD


def _of_saturated(name: str, truth: GroundTruth) -> str:
    if truth.saturated is None:
        return NO_SATURATIONS
    if name.removeprefix("au_spro_") in ("logical", "structural"):
        return "regions of a single kind"
    return "no region" if not truth.saturated.images else "no pixel outside of regions"


def _of_pimo(name: str, metrics: Metrics, truth: GroundTruth) -> str:
    sizes = truth.counted_sizes
    assert sizes is not None
    ends = np.cumsum([height * width for height, width in sizes])
    defective = np.bincount(np.searchsorted(ends, truth.positions, side="right"), minlength=len(sizes))
    defective[list(truth.spoiled)] += 1
    normal = [size for size, count in zip(sizes, defective.tolist(), strict=True) if not count]
    if not normal:
        return "no image with an empty mask"
    pixels = max(height * width for height, width in normal)
    if least_rate(normal) > BOUNDS[0]:
        return f"AUPIMO needs n_good x pixels >= 1e5, not {len(normal)} x {pixels}"
    if metrics.aupimo is None:
        return f"more than {BOUNDS[0]:g} of the good pixels share the highest score"
    return f"fewer than {FEWEST_POINTS} of the {OFFICIAL_THRESHOLDS} thresholds are between the bounds"
