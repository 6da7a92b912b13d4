"""Labels, masks and anomaly maps in, ``Metrics`` out: exact, over all thresholds.

Definitions, the same for pictures and for pixels:

- AUROC: area under the receiver operating characteristic, tied scores joined by a straight line.
- AP: average precision, the sum of precision times gain in recall over the thresholds, not
  interpolated, as scikit-learn defines it.
- F1max: the highest F1 of any threshold.
- AUPRO: area under the per-region overlap (the mean over all defect regions of the share that is
  found) against the false-positive rate of the good pixels, up to a limit and divided by it. A
  region is a set of defect pixels that touch at sides or corners, and each weighs the same.
  Source: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as label_regions

from .curves import Curve, Integers, Scores, curve_of, curve_of_pictures
from .errors import TaskError
from .types import Metrics, Size

if TYPE_CHECKING:
    import torch

    from .resized import Resized

__all__ = ["Metrics", "Truth", "evaluate", "evaluate_truth"]

Values: TypeAlias = "NDArray[Any] | torch.Tensor | Sequence[Any]"
"""What callers may hand in: an array, a tensor on any device, or nested lists."""

AUPRO_LIMIT = 0.3
AUPRO_05_LIMIT = 0.05

_NEIGHBOURS = np.ones((3, 3), dtype=bool)


# ---------------------------------------------------------------- truth


@dataclass(frozen=True, eq=False)
class Truth:
    """What is defective, prepared once so that repeated evaluations do not look for regions again.

    Attributes:
        labels: (N,) bool, True for a defective picture.
        shape: (N, H, W) of the masks; None without masks, when nothing below is filled, and where they are
            of several sizes.
        positions: (P,) int64, the defect pixels as ascending positions in the flattened masks.
        regions: (P,) int32, the region that each defect pixel belongs to, counted from 0 over all pictures.
        region_sizes: (R,) int64, the pixels of each region.
        sizes: (H, W) of each mask where they are of several sizes, N of them; else None.
    """

    labels: NDArray[np.bool_]
    shape: tuple[int, int, int] | None
    positions: NDArray[np.int64]
    regions: NDArray[np.int32]
    region_sizes: NDArray[np.int64]
    sizes: tuple[Size, ...] | None = None

    @classmethod
    def of(cls, labels: Values, masks: Values | None = None) -> Truth:
        """Prepare the truth of a test set.

        The masks alone decide about pixels: a defective picture may have an empty mask.

        Args:
            labels: (N,) 0 or False for a good picture, 1 or True for a defective one.
            masks: (N, H, W), not zero where defective; None for pictures without masks.

        Raises:
            TaskError: NaN or infinity, labels other than 0 and 1, no pictures, or wrong shapes.
        """
        flags = _labels(labels)
        if masks is None:
            return cls(flags, None, *_regions(np.zeros((0, 1, 1), dtype=bool)))
        pixels = _to_numpy("masks", masks)
        _check_maps("masks", pixels, len(flags), None)
        _check_finite("masks", pixels)
        count, height, width = pixels.shape
        return cls(flags, (count, height, width), *_regions(pixels))

    @classmethod
    def of_sizes(cls, labels: Values, masks: Iterable[NDArray[Any]]) -> Truth:
        """Prepare the truth of pictures of several sizes.

        Args:
            labels: (N,) as in ``of``.
            masks: N arrays (H_i, W_i), not zero where defective; looked at one by one, and not kept.

        Raises:
            TaskError: labels other than 0 and 1, no pictures, or not a mask for each.
        """
        flags = _labels(labels)
        sizes: list[Size] = []

        def noted() -> Iterator[NDArray[Any]]:
            for mask in masks:
                if mask.ndim != 2 or 0 in mask.shape:
                    raise TaskError(f"mask {len(sizes)}", found=f"shape {mask.shape}", wanted="(H, W)")
                sizes.append((mask.shape[0], mask.shape[1]))
                yield mask

        regions = _regions(noted())
        if len(sizes) != len(flags):
            raise TaskError("masks", found=str(len(sizes)), wanted=f"{len(flags)}, one for each label")
        return cls(flags, None, *regions, sizes=tuple(sizes))

    @property
    def pixel_weights(self) -> NDArray[np.float64]:
        """(P,) what each defect pixel adds to the per-region overlap; they sum to 1."""
        return (1.0 / (len(self.region_sizes) * self.region_sizes))[self.regions]


def _labels(labels: Values) -> NDArray[np.bool_]:
    flags = _to_numpy("labels", labels)
    if flags.ndim != 1 or len(flags) == 0:
        raise TaskError("labels", found=f"shape {flags.shape}", wanted="(N,), one label for each picture")
    odd = flags[(flags != 0) & (flags != 1)]
    if len(odd):
        raise TaskError("labels", found=str(odd[0]), wanted="0 for a good picture and 1 for a defective one")
    return flags.astype(bool)


def _regions(masks: Iterable[NDArray[Any]]) -> tuple[Integers, NDArray[np.int32], Integers]:
    """Positions of the defect pixels (P,), the region of each (P,) and the size of each region (R,)."""
    positions, regions, found = [np.empty(0, np.int64)], [np.empty(0, np.int32)], 0
    end = 0
    for mask in masks:
        start, end = end, end + mask.size
        width = mask.shape[1]
        defective = mask != 0
        flat = np.flatnonzero(defective)
        if len(flat) == 0:
            continue
        rows = slice(flat[0] // width, flat[-1] // width + 1)  # most defects are small: spare the rest
        numbered, count = label_regions(defective[rows], structure=_NEIGHBOURS)
        positions.append(flat + start)
        regions.append((numbered[defective[rows]] + (found - 1)).astype(np.int32))
        found += count
    region_of_pixel = np.concatenate(regions)
    return np.concatenate(positions), region_of_pixel, np.bincount(region_of_pixel, minlength=found)


# ---------------------------------------------------------------- evaluation


def evaluate(
    *,
    labels: Values,
    image_scores: Values,
    masks: Values | None = None,
    maps: Values | None = None,
    region_maps: Values | None = None,
) -> Metrics:
    """Compute all metrics of one test set; higher scores mean more anomalous.

    NumPy arrays and tensors of any real type are taken as they are; maps on a CUDA device stay there.

    Args:
        labels: (N,) 0 or False for a good picture, 1 or True for a defective one.
        image_scores: (N,) a score for each picture.
        masks: (N, H, W), not zero where defective.
        maps: (N, H, W) a score for each pixel.
        region_maps: (N, H, W) scores from which AUPRO is taken instead of from ``maps``.

    Returns:
        Fractions in [0, 1]. None where there is nothing to measure: image metrics without pictures
        of both kinds, pixel metrics without masks, maps, or pixels of both kinds.

    Raises:
        TaskError: NaN or infinity, labels other than 0 and 1, no pictures, or shapes that do not fit.
    """
    truth = Truth.of(labels, masks)
    return evaluate_truth(truth, image_scores=image_scores, maps=maps, region_maps=region_maps)


def evaluate_truth(
    truth: Truth,
    *,
    image_scores: Values,
    maps: Values | Resized | None = None,
    region_maps: Values | Resized | None = None,
) -> Metrics:
    """Like ``evaluate``, for a truth that was prepared before.

    Where its masks are of several sizes, maps are a sequence of N arrays (H_i, W_i), or ``Resized``, and all
    of their pixels count alike.

    Raises:
        TaskError: NaN or infinity, or shapes that do not fit the truth.
    """
    scores = _to_numpy("image_scores", image_scores)
    if scores.shape != truth.labels.shape:
        raise TaskError("image_scores", found=f"shape {scores.shape}", wanted=f"{truth.labels.shape} as the labels")
    _check_finite("image_scores", scores)
    image = curve_of(scores, np.flatnonzero(truth.labels))
    pixel = _pixel_curve("maps", maps, truth)
    region = pixel if region_maps is None else _pixel_curve("region_maps", region_maps, truth, limit=AUPRO_LIMIT)
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


def _pixel_curve(name: str, maps: Values | Resized | None, truth: Truth, *, limit: float = 1.0) -> Curve | None:
    if maps is None:
        return None
    if truth.sizes is not None:
        pictures = _Pictures(name, maps, truth.sizes)
        return curve_of_pictures(pictures, truth.sizes, truth.positions, truth.pixel_weights)
    maps = cast("Values", maps)
    scores = cast("torch.Tensor", maps).detach() if _on_cuda(maps) else _to_numpy(name, maps)
    _check_maps(name, scores, len(truth.labels), truth.shape)
    _check_finite(name, scores)
    return None if truth.shape is None else curve_of(scores, truth.positions, truth.pixel_weights, limit=limit)


class _Pictures:
    """Maps of several sizes, each checked when it is looked at."""

    def __init__(self, name: str, maps: Values | Resized, sizes: tuple[Size, ...]) -> None:
        if len(maps) != len(sizes):
            raise TaskError(name, found=f"{len(maps)} maps", wanted=f"{len(sizes)}, one for each label")
        self.name, self.maps, self.sizes = name, maps, sizes

    def __getitem__(self, number: int) -> Scores:
        values = self.maps[number]
        scores = cast("torch.Tensor", values).detach() if _on_cuda(values) else _to_numpy(self.name, values)
        if tuple(scores.shape) != self.sizes[number]:
            found = f"shape {tuple(scores.shape)}"
            raise TaskError(f"{self.name} of picture {number}", found=found, wanted=f"{self.sizes[number]} as its mask")
        if not _is_finite(scores):
            raise TaskError(f"{self.name} of picture {number}", found="NaN or infinity", wanted="finite numbers")
        return scores


# ---------------------------------------------------------------- input


def _is_tensor(values: object) -> bool:
    return hasattr(values, "detach")  # asked in this way, NumPy users never wait for torch


def _on_cuda(values: object) -> bool:
    return bool(getattr(values, "is_cuda", False))


def _to_numpy(name: str, values: Values) -> NDArray[Any]:
    """Any input as an array, without a copy where possible.

    Raises:
        TaskError: not numbers, or rows of different length.
    """
    if _is_tensor(values):
        array = tensor_to_numpy(cast("torch.Tensor", values))
    else:
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise TaskError(name, found="rows of different length", wanted="an array or a tensor") from error
    if array.dtype.kind not in "biuf":
        raise TaskError(name, found=f"values of type {array.dtype}", wanted="real numbers")
    return array


def tensor_to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """A tensor as an array of a type that NumPy has."""
    import torch

    known = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # NumPy has no bfloat16
    return known.detach().cpu().numpy()


def _check_maps(name: str, maps: Scores, pictures: int, shape: tuple[int, ...] | None) -> None:
    found = tuple(maps.shape)
    if len(found) != 3 or found[0] != pictures or 0 in found:
        raise TaskError(name, found=f"shape {found}", wanted=f"({pictures}, H, W), one for each label")
    if shape is not None and found != shape:
        raise TaskError(name, found=f"shape {found}", wanted=f"{shape} as the masks", way_out="Resize one of them")


def _check_finite(name: str, scores: Scores) -> None:
    if _is_finite(scores):
        return
    first = next(index for index, score in enumerate(scores) if not _is_finite(score))
    found = "NaN" if math.isnan(float(scores[first].max())) else "infinity"
    way_out = "Look for a loss that diverged or a division by zero"
    raise TaskError(f"{name} of picture {first}", found=found, wanted="finite numbers", way_out=way_out)


def _is_finite(scores: Scores) -> bool:
    return math.isfinite(float(scores.min())) and math.isfinite(float(scores.max()))  # NaN wins both
