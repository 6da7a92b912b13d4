"""Decodes a few images into memory: a choice of a data set's images, or new ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..api.data import Sample
from ..util.errors import DataError
from . import decode, image_files
from .decode import Decoded
from .framing import Framing
from .image_store import Store


def read(samples: Sequence[Sample], framing: Framing) -> Store:
    """Decode images and masks.

    Args:
        samples: the images.
        framing: how they get to the size of the input.

    Raises:
        DataError: the first image or mask that can't be read.
    """
    decoded = []
    with image_files.quiet():
        for sample in samples:
            one = decode.decode_sample(sample, framing)
            if not isinstance(one, Decoded):
                raise DataError(f"{one.path}", found=one.found, hint=one.hint)
            decoded.append(one)
    return of_decoded(samples, decoded, framing)


def of_decoded(samples: Sequence[Sample], decoded: Sequence[Decoded], framing: Framing) -> Store:
    """A store of images that were decoded with ``framing``; row i is ``samples[i]``, or one of its tiles."""
    if framing.is_tiled:
        grids = tuple(framing.grid(each.size) for each in decoded)
        tiles = [tile for grid, each in zip(grids, decoded, strict=True) for tile in grid.cut(each.image)]
        images = np.stack(tiles) if tiles else np.zeros((0, *framing.size, 3), np.uint8)
        return Store("", tuple(samples), images, None, tuple(each.size for each in decoded), "", grids=grids)
    size = framing.size
    blank = np.zeros(size, np.uint8)
    masks = [blank if each.mask is None else each.mask for each in decoded]
    return Store(
        key="",
        samples=tuple(samples),
        images=np.stack([each.image for each in decoded]) if decoded else np.zeros((0, *size, 3), np.uint8),
        masks=np.stack(masks) if any(each.mask is not None for each in decoded) else None,
        sizes=tuple(each.size for each in decoded),
        content="",
        regions=tuple(np.empty((0, 2), np.int32) if each.regions is None else each.regions for each in decoded),
    )
