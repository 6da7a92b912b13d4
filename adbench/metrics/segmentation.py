"""SegF1: the F1 of a segmentation at a threshold that was found without the test set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..api.data import Size
from ..data.arrays import Integers, Scores
from .curves import Images, take


def seg_counts(images: Images, sizes: Sequence[Size], positions: Integers, threshold: float) -> Integers:
    """(N, 3) of each image: the pixels scored above the threshold, the defective ones of them, and all defective ones.

    Each image is read once.

    Args:
        images: scores by number.
        sizes: (H, W) of each.
        positions: (P,) of the defect pixels in the flattened images, one after the other; ascending.
        threshold: in the unit of the scores.
    """
    ends = np.cumsum([height * width for height, width in sizes])
    parts = np.split(positions, np.searchsorted(positions, ends[:-1]))
    counts = np.zeros((len(sizes), 3), np.int64)
    for number, (part, end) in enumerate(zip(parts, ends.tolist(), strict=True)):
        scores = images[number]
        height, width = sizes[number]
        right = _above(take(scores, part - (end - height * width)), threshold) if len(part) else 0
        counts[number] = _above(scores, threshold), right, len(part)
    return counts


def seg_f1(counts: Integers) -> float | None:
    """F1 over the pixels of all images together, from ``seg_counts``; None where none is defective and none found."""
    above, right, defects = counts.sum(axis=0).tolist()
    both = above + defects  # 2 TP + FP + FN
    return 2 * right / both if both else None


def _above(scores: Scores, threshold: float) -> int:
    """The number of scores above a threshold, which is not rounded to their type."""
    if isinstance(scores, np.ndarray):
        if scores.dtype.kind == "f":
            return int(np.count_nonzero(scores > rounded_down(threshold, scores.dtype)))
        return int(np.count_nonzero(scores > np.float64(threshold)))
    values: Any = scores.float() if scores.is_floating_point() and scores.element_size() < 4 else scores
    if values.is_floating_point() and values.element_size() == 4:
        threshold = float(rounded_down(threshold, np.dtype(np.float32)))
    return int((values > threshold).sum())


def rounded_down(value: float, dtype: np.dtype[Any]) -> np.floating[Any]:
    """The highest number of a floating type that is not above a value, so that x > it where x > value."""
    with np.errstate(over="ignore"):
        number = dtype.type(value)
    lower = number if float(number) <= value else np.nextafter(number, dtype.type(-np.inf))
    return cast("np.floating[Any]", lower)
