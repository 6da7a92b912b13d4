"""Test images in their own shape: the image as it is, with its mask and its anomaly map laid back over it.

A detector sees a square or a crop. People look at the image itself, in which a thin crack must still be a crack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..api.data import Sample, Size
from ..data import decode, image_files
from ..data.framing import Framing
from ..util.errors import DataError

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class OwnShape:
    """A whole image in its own aspect ratio.

    Attributes:
        image: (H, W, 3).
        mask: (H, W) of 0 and 1; None without a mask.
        values: (H, W), the anomaly map, NaN where the input of the detector did not reach; None without a map.
    """

    image: Bytes
    mask: Bytes | None
    values: Floats | None

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


def size_within(own: Size, pixels: int) -> Size:
    """The largest size in the shape of an image with at most about ``pixels`` pixels; never larger than the image."""
    scale = min(1.0, math.sqrt(pixels / (own[0] * own[1])))
    return _scaled(own, scale)


def size_around(own: Size, size: Size) -> Size:
    """The least size in the shape of an image whose sides are those of ``size`` or more; at most that of the image."""
    scale = min(1.0, max(size[0] / own[0], size[1] / own[1]))
    return _scaled(own, scale)


def _scaled(own: Size, scale: float) -> Size:
    return max(1, round(own[0] * scale)), max(1, round(own[1] * scale))


def read(sample: Sample, framing: Framing, own: Size, size: Size, values: Floats | None) -> OwnShape:
    """Read an image and its mask again, and lay its map over it.

    Args:
        sample: the image.
        framing: how the input was cut out of it.
        own: height and width of the image.
        size: height and width to show it at, in its own aspect ratio.
        values: (h, w), the map of the input; None without one.

    Raises:
        DataError: the image or its mask can't be read.
    """
    with image_files.quiet():
        found = decode.decode_sample(sample, Framing(own))
    if not isinstance(found, decode.Decoded):
        raise DataError(f"{found.path}", found=found.found, hint=found.hint)
    return OwnShape(
        image=np.asarray(Image.fromarray(found.image).resize(size[::-1], Image.Resampling.LANCZOS)),
        mask=None if found.mask is None else shrunk(found.mask, size),
        values=None if values is None else laid_back(values, framing, own, size),
    )


def shrunk(mask: Bytes, size: Size) -> Bytes:
    """Resize a mask (H, W) to a size that is no larger; a pixel counts if any of its part does, so no crack is lost."""
    share = Image.fromarray((mask > 0).astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
    marked: Bytes = (np.asarray(share) > 0).astype(np.uint8)
    return marked


def laid_back(values: Floats, framing: Framing, own: Size, size: Size) -> Floats:
    """Resize a map (h, w) of the input to where the input lay in the image; the rest of (H, W) is NaN."""
    left, top, right, bottom = framing.shown_part(own)
    down, across = size[0] / own[0], size[1] / own[1]
    first, last = round(top * down), max(round(bottom * down), round(top * down) + 1)
    start, end = round(left * across), max(round(right * across), round(left * across) + 1)
    part = Image.fromarray(values.astype(np.float32)).resize((end - start, last - first), Image.Resampling.BILINEAR)
    whole: Floats = np.full(size, np.nan, np.float32)
    whole[first:last, start:end] = np.asarray(part)[: size[0] - first, : size[1] - start]
    return whole
