"""Computes ``Metrics`` from labels, masks and anomaly maps: exactly, over all thresholds.

Definitions, for images and for pixels (``image_rates``, ``pimo`` and ``saturated`` have those of the other metrics):

- AUROC: area under the receiver operating characteristic, tied scores joined by a straight line.
- AP: average precision, the sum of precision times gain in recall over the thresholds, not
  interpolated, as scikit-learn defines it.
- F1max: the highest F1 over all thresholds.
- AUPRO: area under the per-region overlap (the mean over all defect regions of the share that is
  found) against the false-positive rate of the good pixels, up to a limit and divided by it. A
  region is a set of defect pixels that touch at sides or corners, and each weighs the same.
  Source: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.
- SegF1: the F1 of all pixels together at a given threshold; a score above it counts as found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np

from ..api.data import Size
from ..api.scores import Metrics, Region
from ..data.arrays import Scores, Values, check_finite, check_maps, is_finite, on_cuda, to_numpy
from ..data.ground_truth import GroundTruth
from ..data.ignored import Counted, Ignored
from ..util.errors import TaskError
from . import image_rates
from .curves import Curve, Images, Look, curve_of, curve_of_images
from .pimo import Aupimo
from .saturated import SaturatedOverlap, saturated_overlap
from .segmentation import seg_counts, seg_f1

if TYPE_CHECKING:
    import torch

    from ..data.ground_truth import Resized

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
    regions: Iterable[Region] | None = None,
    pixel_threshold: float | None = None,
    ignored: Values | None = None,
) -> Metrics:
    """Compute all metrics of one test set; higher scores mean more anomalous.

    NumPy arrays and tensors of any real type are accepted; maps on a CUDA device stay there.

    Args:
        labels: (N,) 0 or False for a good image, 1 or True for a defective one.
        image_scores: (N,) a score for each image.
        masks: (N, H, W), not zero where defective.
        maps: (N, H, W) a score for each pixel.
        region_maps: (N, H, W) scores for AUPRO and AU-sPRO, in place of ``maps``.
        regions: with saturations, for AU-sPRO; of the size of the maps.
        pixel_threshold: for SegF1; found without the test set.
        ignored: (H, W) or (N, H, W), not zero for pixels that count in no metric of pixels, as if there were none.

    Returns:
        Fractions in [0, 1]. None where there is nothing to measure: image metrics without images
        of both kinds, pixel metrics without masks, maps, or pixels of both kinds.

    Raises:
        TaskError: NaN or infinity, labels other than 0 and 1, no images, or shapes that do not fit.
    """
    ground_truth = GroundTruth.of(labels, masks)
    if regions is not None:
        ground_truth = ground_truth.with_regions(regions)
    if ignored is not None:
        ground_truth = ground_truth.without(Ignored.of(to_numpy("ignored", ignored), len(ground_truth.labels)))
    return evaluate_ground_truth(
        ground_truth, image_scores=image_scores, maps=maps, region_maps=region_maps, pixel_threshold=pixel_threshold
    )


def evaluate_ground_truth(
    ground_truth: GroundTruth,
    *,
    image_scores: Values,
    maps: Values | Resized | None = None,
    region_maps: Values | Resized | None = None,
    pixel_threshold: float | None = None,
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
    bad, good = scores[ground_truth.labels], scores[~ground_truth.labels]
    image = curve_of(scores, np.flatnonzero(ground_truth.labels))
    pixels = None if maps is None else _Pixels("maps", maps, ground_truth)
    pimo = None if pixels is None or not pixels.has_masks else pixels.pimo()
    pixel = None if pixels is None else pixels.curve(look=pimo.look if pimo else None)
    marked = pixel if pixel is not None and pixel.hits[-1] else None  # regions may have lost all their pixels
    areas = pixels if region_maps is None else _Pixels("region_maps", region_maps, ground_truth)
    region = pixel if areas is None or areas is pixels else areas.curve(limit=AUPRO_LIMIT)
    saturated = areas.saturated() if areas else SaturatedOverlap()
    return Metrics(
        image_auroc=image.auroc() if image else None,
        image_ap=image.average_precision() if image else None,
        image_f1max=image.f1_max() if image else None,
        pixel_auroc=marked.auroc() if marked else None,
        pixel_ap=marked.average_precision() if marked else None,
        pixel_f1max=marked.f1_max() if marked else None,
        aupro=region.overlap_area(AUPRO_LIMIT) if region else None,
        aupro_05=region.overlap_area(AUPRO_05_LIMIT) if region else None,
        image_fpr95=image_rates.fpr_at_95(image) if image else None,
        pg2=image_rates.presorted_good(good, bad),
        pb2=image_rates.presorted_bad(good, bad),
        segf1=None if pixels is None or pixel_threshold is None else pixels.seg_f1(pixel_threshold),
        aupimo=pimo.exact if pimo else None,
        aupimo_official=pimo.official if pimo else None,
        au_spro=saturated.area,
        au_spro_03=saturated.area_03,
        au_spro_logical=saturated.logical,
        au_spro_structural=saturated.structural,
    )


class _Pixels:
    """Checked maps of all images, beside their ground truth. On a CUDA device they stay there."""

    def __init__(self, name: str, maps: Values | Resized, ground_truth: GroundTruth) -> None:
        self.truth = ground_truth
        self.has_masks = ground_truth.shape is not None or ground_truth.sizes is not None
        self.images: Images
        self.whole: Scores | None = None
        """(N, H, W) where all have one size."""
        if ground_truth.sizes is not None:
            ignored = ground_truth.ignored
            images = _Images(name, maps, ignored.sizes if ignored else ground_truth.sizes)
            self.sizes, self.images = ground_truth.sizes, Counted(images, ignored) if ignored else images
            return
        maps = cast("Values", maps)
        scores = cast("torch.Tensor", maps).detach() if on_cuda(maps) else to_numpy(name, maps)
        check_maps(name, scores, len(ground_truth.labels), ground_truth.shape)
        check_finite(name, scores)
        self.whole = self.images = scores
        self.sizes = ((scores.shape[1], scores.shape[2]),) * len(scores)

    def curve(self, *, limit: float = 1.0, look: Look | None = None) -> Curve | None:
        """What thresholds find; None without masks, or pixels of both kinds."""
        if not self.has_masks:
            return None
        positions, weights, kept = self.truth.positions, self.truth.pixel_weights, self.truth.kept
        if self.whole is None:
            return curve_of_images(self.images, self.sizes, positions, weights, look=look, kept=kept)
        return curve_of(self.whole, positions, weights, limit=limit, look=look, kept=kept)

    def pimo(self) -> Aupimo:
        """AUPIMO, to be computed while the curve is counted."""
        return Aupimo(self.images, self.sizes, self.truth.positions, self.truth.kept, self.truth.spoiled)

    def seg_f1(self, threshold: float) -> float | None:
        """SegF1; None without masks."""
        return seg_f1(seg_counts(self.images, self.sizes, self.truth.defects, threshold)) if self.has_masks else None

    def saturated(self) -> SaturatedOverlap:
        """AU-sPRO, where there are regions with saturations."""
        regions = self.truth.saturated
        if regions is None:
            return SaturatedOverlap()
        for number, image in enumerate(regions.images):
            if regions.sizes[number] != self.sizes[image]:
                raise TaskError(
                    f"the mask of region {number}", found=f"shape {regions.sizes[number]}",
                    wanted=f"{self.sizes[image]} as its map",
                )  # fmt: skip
        return saturated_overlap(self.images, self.sizes, self.truth.labels, regions)


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
