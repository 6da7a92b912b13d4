"""Tiles of large images: where they lie, how they are cut out, and how their maps are blended.

A method that sees a photo of 4000 x 3000 pixels at 256 x 256 misses a scratch of ten pixels, and no machine holds a
backbone's features of the whole. With ``--tile 512x512 --overlap 64`` images are cut, and each tile is an ordinary
image of the method's input size:

- *Cut.* Out of the image's own pixels, or out of what ``--size`` (with the method's ``resize``) made of it. Tiles lie
  ``tile - overlap`` pixels apart; the last row and column are shifted inwards, so that every pixel is in a tile and no
  tile reaches beyond the image. Where an image is smaller than a tile, it is continued by reflection.
- *Trained.* Every tile of a training image is a training image: batches, features and their cache, augmentation.
  Whatever is held out, drawn or folded (``--holdout``, ``--shots``, ``--folds``, ``images.split``) are whole images:
  tiles of one image look alike, and a tile of a training image must never be a held-out one.
- *Scored.* Every tile alone. The image's score is the highest of its tiles' scores, whatever the method makes of a
  tile. Its map is the weighted mean of the tiles' maps, with weights that fall to the tiles' borders like a squared
  sine over the overlap. They are normalised pixel by pixel, as a running mean: where all tiles say the same number,
  the image gets exactly that number. Tiles of the whole image's size leave every number as it is.
- *Evaluated.* Metrics, thresholds, galleries and predictions see whole images and whole maps.

Memory: decoded tiles are in the image store's mapped file, and one image is cut at a time. Blended maps go one by one
into a mapped file (``run/map_file.py``), at the size at which they are compared with masks. So a run needs memory for a
batch of tiles, the tiles of one image, and what the method itself keeps.

Compare anomalib's tiler, which unfolds a batch into tiles within the model and averages overlaps evenly, and SAHI,
whose slices lie as here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..api.data import Size

if TYPE_CHECKING:
    import torch

Bytes = npt.NDArray[np.uint8]


def starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """The first pixels of the tiles along one side of an image, ascending; at least one.

    Args:
        length: of the side, at least 1.
        tile: length of a tile.
        overlap: pixels that neighbours have in common, less than ``tile``; the last two may have more.
    """
    last = max(length - tile, 0)
    return (*range(0, last, tile - overlap), last)


def window(tile: int, overlap: int) -> npt.NDArray[np.float64]:
    """The weights of a tile's pixels along one side, (tile,): 1 inside, falling to the ends over the overlap.

    The weights of two tiles that overlap by ``overlap`` sum to 1.
    """
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    rising, falling = np.ones(tile), np.ones(tile)
    rising[:overlap], falling[tile - overlap :] = ramp, ramp[::-1]
    return np.minimum(rising, falling)  # they meet where the overlap is more than half


@dataclass(frozen=True)
class Grid:
    """Where the tiles of one image lie.

    Attributes:
        size: height and width of the image that is cut.
        tile: height and width of each tile.
        overlap: pixels that neighbouring tiles have in common, at least.
    """

    size: Size
    tile: Size
    overlap: int

    def __len__(self) -> int:
        return math.prod(len(starts(*sides, self.overlap)) for sides in zip(self.size, self.tile, strict=True))

    @cached_property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Top and left of each tile, row by row."""
        (height, width), (tall, wide) = self.size, self.tile
        lefts = starts(width, wide, self.overlap)
        return tuple((top, left) for top in starts(height, tall, self.overlap) for left in lefts)

    def cut(self, image: Bytes) -> Iterator[Bytes]:
        """Cut an image (H, W, C) of this size into tiles (h, w, C), row by row."""
        missing = [max(side - own, 0) for own, side in zip(self.size, self.tile, strict=True)]
        if any(missing):
            image = np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="reflect")
        for top, left in self.corners:
            yield image[top : top + self.tile[0], left : left + self.tile[1]]

    def blend(self, maps: torch.Tensor) -> torch.Tensor:
        """Join the maps of the tiles (T, h, w) to that of the image (H, W), float32, on the same device."""
        import torch

        height, width = self.size
        weights = self._weights(maps.device)
        joined = maps.new_zeros((height, width), dtype=torch.float32)
        total = torch.zeros_like(joined)
        for (top, left), values in zip(self.corners, maps, strict=True):
            tall, wide = min(self.tile[0], height - top), min(self.tile[1], width - left)
            part = slice(top, top + tall), slice(left, left + wide)
            own = weights[:tall, :wide]
            total[part] += own
            joined[part] += own / total[part] * (values[:tall, :wide].float() - joined[part])
        return joined

    def _weights(self, device: torch.device) -> torch.Tensor:
        import torch

        down, across = (torch.from_numpy(window(side, self.overlap)) for side in self.tile)
        return torch.outer(down, across).float().to(device)
