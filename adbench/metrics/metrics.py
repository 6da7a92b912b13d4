"""Computes ``Metrics`` from labels, masks and anomaly maps: exactly, over all thresholds.

Definitions, for images and for pixels:

- AUROC: area under the receiver operating characteristic, tied scores joined by a straight line.
- AP: average precision, the sum of precision times gain in recall over the thresholds, not
  interpolated, as scikit-learn defines it.
- F1max: the highest F1 over all thresholds.
- AUPRO: area under the per-region overlap (the mean over all defect regions of the share that is
  found) against the false-positive rate of the good pixels, up to a limit and divided by it. A
  region is a set of defect pixels that touch at sides or corners, and each weighs the same.
  Source: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from ..api.data import Size
from ..api.scores import Metrics
from ..data.ground_truth import Scores
from ..util.errors import TaskError
from .curves import Curve, curve_of, curve_of_images

if TYPE_CHECKING:
    import torch

    from ..data.ground_truth import Resized
from ..data.ground_truth import GroundTruth, Values, check_finite, check_maps, is_finite, on_cuda, to_numpy

__all__ = ["GroundTruth", "Metrics", "evaluate", "evaluate_ground_truth"]


AUPRO_LIMIT = 0.3
AUPRO_05_LIMIT = 0.05


def evaluate(
    *,
    labels: Values,
    image_scores: Values,
    masks: Values | None = None,
    maps: Values | None = None,
    region_maps: Values | None = None,
) -> Metrics:
    """Compute all metrics of one test set; higher scores mean more anomalous.

    NumPy arrays and tensors of any real type are accepted; maps on a CUDA device stay there.

    Args:
        labels: (N,) 0 or False for a good image, 1 or True for a defective one.
        image_scores: (N,) a score for each image.
        masks: (N, H, W), not zero where defective.
        maps: (N, H, W) a score for each pixel.
        region_maps: (N, H, W) scores for AUPRO, in place of ``maps``.

    Returns:
        Fractions in [0, 1]. None where there is nothing to measure: image metrics without images
        of both kinds, pixel metrics without masks, maps, or pixels of both kinds.

    Raises:
        TaskError: NaN or infinity, labels other than 0 and 1, no images, or shapes that do not fit.
    """
    ground_truth = GroundTruth.of(labels, masks)
    return evaluate_ground_truth(ground_truth, image_scores=image_scores, maps=maps, region_maps=region_maps)


def evaluate_ground_truth(
    ground_truth: GroundTruth,
    *,
    image_scores: Values,
    maps: Values | Resized | None = None,
    region_maps: Values | Resized | None = None,
) -> Metrics:
    """Like ``evaluate``, with ground truth that was prepared before.

    Where its masks have several sizes, maps are a sequence of N arrays (H_i, W_i), or ``Resized``. All pixels count
    alike.

    Raises:
        TaskError: NaN or infinity, or shapes that do not fit the ground truth.
    """
    scores = to_numpy("image_scores", image_scores)
    if scores.shape != ground_truth.labels.shape:
        raise TaskError(
            "image_scores", found=f"shape {scores.shape}", wanted=f"{ground_truth.labels.shape} as the labels"
        )
    check_finite("image_scores", scores)
    image = curve_of(scores, np.flatnonzero(ground_truth.labels))
    pixel = _pixel_curve("maps", maps, ground_truth)
    region = pixel if region_maps is None else _pixel_curve("region_maps", region_maps, ground_truth, limit=AUPRO_LIMIT)
    return Metrics(
        image_auroc=image.auroc() if image else None,
        image_ap=image.average_precision() if image else None,
        image_f1max=image.f1_max() if image else None,
        pixel_auroc=pixel.auroc() if pixel else None,
        pixel_ap=pixel.average_precision() if pixel else None,
        pixel_f1max=pixel.f1_max() if pixel else None,
        aupro=region.overlap_area(AUPRO_LIMIT) if region else None,
        aupro_05=region.overlap_area(AUPRO_05_LIMIT) if region else None,
    )


def _pixel_curve(
    name: str, maps: Values | Resized | None, ground_truth: GroundTruth, *, limit: float = 1.0
) -> Curve | None:
    if maps is None:
        return None
    if ground_truth.sizes is not None:
        images = _Images(name, maps, ground_truth.sizes)
        return curve_of_images(images, ground_truth.sizes, ground_truth.positions, ground_truth.pixel_weights)
    maps = cast("Values", maps)
    scores = cast("torch.Tensor", maps).detach() if on_cuda(maps) else to_numpy(name, maps)
    check_maps(name, scores, len(ground_truth.labels), ground_truth.shape)
    check_finite(name, scores)
    return (
        None
        if ground_truth.shape is None
        else curve_of(scores, ground_truth.positions, ground_truth.pixel_weights, limit=limit)
    )


class _Images:
    """Maps of several sizes; each is checked when it is read."""

    def __init__(self, name: str, maps: Values | Resized, sizes: tuple[Size, ...]) -> None:
        if len(maps) != len(sizes):
            raise TaskError(name, found=f"{len(maps)} maps", wanted=f"{len(sizes)}, one for each label")
        self.name, self.maps, self.sizes = name, maps, sizes

    def __getitem__(self, number: int) -> Scores:
        values = self.maps[number]
        scores = cast("torch.Tensor", values).detach() if on_cuda(values) else to_numpy(self.name, values)
        if tuple(scores.shape) != self.sizes[number]:
            found = f"shape {tuple(scores.shape)}"
            raise TaskError(f"{self.name} of image {number}", found=found, wanted=f"{self.sizes[number]} as its mask")
        if not is_finite(scores):
            raise TaskError(f"{self.name} of image {number}", found="NaN or infinity", wanted="finite numbers")
        return scores
