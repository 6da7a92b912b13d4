"""Numbers the defect regions of a mask in its own pixels, and carries the numbers along when the mask is resized.

Defect pixels that touch at sides or corners are one region. A mask that is resized by the nearest pixel may tear a thin
region into many, join two, or lose one: looking for regions after that would count others than were drawn.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..api.data import Size
from .framing import Box

Numbers = NDArray[np.int32]

OWN_PIXELS = "own pixels"
"""Where regions are looked for: the word for protocols."""

_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def numbered(mask: NDArray[np.bool_]) -> Numbers:
    """Number the regions of a mask (H, W) from 1; other pixels are 0."""
    from scipy.ndimage import label  # slow to import, and scoring new images needs none of it

    numbers = np.zeros(mask.shape, np.int32)
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows):
        part = slice(rows[0], rows[-1] + 1)  # most defects are small: skip the other rows
        label(mask[part], structure=_NEIGHBOURS, output=numbers[part])
    return numbers


def resized(numbers: Numbers, part: Box, size: Size) -> Numbers:
    """Cut a part out of numbered regions, and resize it by the nearest pixel: each pixel has its source's number.

    Of a region with pixels in the part, at least one pixel stays: the nearest one that is not another region's only
    one. So no region is lost or torn, and two never count as one, as long as there are pixels for all. Where that pixel
    is good in the resized mask, its number is negative: it counts for the region alone, and not for metrics of pixels.

    Args:
        numbers: (H, W), 0 where good.
        part: left, top, right and bottom, in these pixels.
        size: height and width of the result.

    Returns:
        (height, width): 0 where good; its absolute value is the number of the region.
    """
    height, width = size
    found = np.array(Image.fromarray(numbers, "I").resize((width, height), Image.Resampling.NEAREST, box=part))
    left, top, right, bottom = part
    window = slice(ceil(top - 0.5), ceil(bottom - 0.5)), slice(ceil(left - 0.5), ceil(right - 0.5))
    inside = numbers[window]
    counts = np.bincount(found.ravel(), minlength=int(numbers.max(initial=0)) + 1)
    for lost in np.unique(inside):
        if lost and not counts[lost]:
            rows, columns = np.nonzero(inside == lost)
            row = (rows.mean() + window[0].start + 0.5 - top) * height / (bottom - top) - 0.5
            column = (columns.mean() + window[1].start + 0.5 - left) * width / (right - left) - 0.5
            place = _free_place(found, counts, row, column)
            if place is not None:
                counts[abs(found[place])] -= 1
                counts[lost] += 1
                found[place] = lost if found[place] > 0 else -lost
    return found


def pairs(numbers: Numbers) -> Numbers:
    """The flat position and the number of each pixel that is in a region, (P, 2): a small form of ``numbers``."""
    flat = numbers.reshape(-1)
    positions = np.flatnonzero(flat)
    return np.stack([positions.astype(np.int32), flat[positions]], axis=1)


def _free_place(found: Numbers, counts: NDArray[np.int64], row: float, column: float) -> tuple[int, int] | None:
    """The pixel nearest to a point that is good, or of a region with other pixels; None where there is none."""
    reach = 2
    while True:
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        part = found[top : int(row) + reach + 1, left : int(column) + reach + 1]
        rows, columns = np.nonzero((part == 0) | (counts[np.abs(part)] > 1))
        distances = np.hypot(rows + top - row, columns + left - column)
        if len(distances) and (distances.min() < reach - 1 or reach > max(found.shape)):
            nearest = int(np.argmin(distances))
            return int(rows[nearest]) + top, int(columns[nearest]) + left
        if reach > max(found.shape):
            return None
        reach *= 2
