"""Defects with a saturation, as AU-sPRO needs them: each is a mask of its own, and they may overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..api.data import Size
from ..api.scores import Region
from ..util.errors import TaskError


@dataclass(frozen=True, eq=False)
class Regions:
    """R regions, kept by the positions of their pixels, which takes little memory.

    Attributes:
        images: (R,) number of the image of each.
        positions: R arrays (A_r,), the pixels of each in its flattened image; ascending.
        saturations: (R,) pixels that count as the whole of each, from 1 to A_r.
        kinds: of each.
        sizes: (H, W) of the image of each.
    """

    images: tuple[int, ...]
    positions: tuple[NDArray[np.int64], ...]
    saturations: NDArray[np.float64]
    kinds: tuple[str, ...]
    sizes: tuple[Size, ...]

    def counted(self, counted: Callable[[int], NDArray[np.bool_]]) -> Regions:
        """The same in images without ignored pixels, each a row (1, n) of the others.

        A saturation becomes the same share of a region's pixels; a region without any goes.

        Args:
            counted: (H * W,) of an image, by its number; True for the pixels that count.
        """
        kept, positions, saturations, sizes = [], [], [], []
        for number, (image, own) in enumerate(zip(self.images, self.positions, strict=True)):
            there = counted(image)
            found = (np.cumsum(there) - 1)[own[there[own]]]
            if len(found):
                kept.append(number)
                positions.append(found)
                saturations.append(max(1.0, float(self.saturations[number]) * len(found) / len(own)))
                sizes.append((1, int(np.count_nonzero(there))))
        return Regions(
            tuple(self.images[number] for number in kept), tuple(positions), np.array(saturations),
            tuple(self.kinds[number] for number in kept), tuple(sizes),
        )  # fmt: skip

    @classmethod
    def of(cls, regions: Iterable[Region], images: int) -> Regions:
        """Prepare regions; they are read one by one, and not kept.

        Args:
            regions: of any images of the test set.
            images: number of images.

        Raises:
            TaskError: an image that doesn't exist, a mask of a wrong shape or without a pixel, or no valid saturation.
        """
        numbers: list[int] = []
        positions: list[NDArray[np.int64]] = []
        saturations: list[float] = []
        kinds: list[str] = []
        sizes: list[Size] = []
        for each in regions:
            name = f"region {len(numbers)}"
            mask = np.asarray(each.mask)
            if mask.ndim != 2 or 0 in mask.shape:
                raise TaskError(f"the mask of {name}", found=f"shape {mask.shape}", wanted="(H, W)")
            if not 0 <= each.image < images:
                raise TaskError(f"the image of {name}", found=str(each.image), wanted=f"0 to {images - 1}")
            found = np.flatnonzero(mask)
            if not len(found):
                raise TaskError(f"the mask of {name}", found="no defect pixel", wanted="at least one")
            if not (math.isfinite(each.saturation) and each.saturation >= 0):
                raise TaskError(f"the saturation of {name}", found=str(each.saturation), wanted="a number of pixels")
            numbers.append(int(each.image))
            positions.append(found)
            saturations.append(max(1.0, min(float(each.saturation), float(len(found)))))
            kinds.append(each.kind)
            sizes.append((mask.shape[0], mask.shape[1]))
        return cls(tuple(numbers), tuple(positions), np.array(saturations), tuple(kinds), tuple(sizes))
