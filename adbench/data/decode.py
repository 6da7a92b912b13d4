"""Decodes one image file and its mask to arrays of the wanted size, or says what is wrong with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..api.data import Problem, Sample, Size
from ..api.levels import Levels
from ..api.options import Interpolation
from .deep import Deep
from .framing import Framing
from .image_files import BadError, Bytes, bytes_of, rgb_of, shown
from .masks import mask_of
from .numbered import Numbers, numbered, pairs, resized

RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
"""Pillow's filters by the names of options."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One sample as the store keeps it.

    ``image`` (H, W, 3), with tiles the whole image before it is cut; ``mask`` (H, W) of 0 and 1, None where the sample
    has none, and with tiles; ``size`` is the image's own; ``digest`` is over the bytes of the files. ``regions`` (P, 2)
    are the pixels of the regions of the mask's own pixels: flat position and number (``numbered.pairs``); None without
    a mask. ``is_clipped`` and ``is_dark`` are those of ``Shown``.
    """

    image: Bytes
    mask: Bytes | None
    size: Size
    digest: bytes
    regions: Numbers | None = None
    is_clipped: bool = False
    is_dark: bool = False


def decode_sample(sample: Sample, framing: Framing) -> Decoded | Problem:
    """Decode an image and its mask, check that they match, and resize both to the input's size; or say what is wrong.

    Images are resampled by the framing's interpolation, masks by the nearest pixel, as in the papers, with the regions
    of their own pixels (``numbered``). With tiles the mask is only checked. Both are turned as viewers show them. An
    image of more than 8 bits is read with the sample's levels; without any, they are found in this image alone.
    """
    try:
        data = bytes_of(sample.path, "the image")
        found = rgb_of(sample.path, data, sample.levels)
        image = found.image
        digest = hashlib.sha256(data)
        mask = mask_of(sample, image.size, digest.update) if sample.masks else None
    except BadError as error:
        return error.problem
    own = (image.height, image.width)
    if framing.is_tiled:  # the mask is read again when it is compared with a map, and then not with those of others
        whole = np.asarray(fit(image, framing.of_whole(own), framing.interpolation))
        return Decoded(whole, None, own, digest.digest(), is_clipped=found.is_clipped, is_dark=found.is_dark)
    marked = None if mask is None else Image.fromarray(mask.astype(np.uint8))
    part = framing.shown_part(own)
    return Decoded(
        image=np.asarray(fit(image, framing, framing.interpolation)),
        mask=None if marked is None else np.asarray(fit(marked, framing, "nearest")),
        size=own,
        digest=digest.digest(),
        regions=None if mask is None else pairs(resized(numbered(mask), part, framing.size)),
        is_clipped=found.is_clipped,
        is_dark=found.is_dark,
    )


def decode_image(image: Image.Image | Deep, framing: Framing, levels: Levels | None = None) -> Decoded:
    """Bring an image that is in memory to the size of the input, as ``decode_sample`` does with one in a file.

    Raises:
        ValueError: a mode or values that have no fixed meaning as a colour.
    """
    found = shown(image, levels)
    own = (found.image.height, found.image.width)
    fitted = np.asarray(fit(found.image, framing.of_whole(own), framing.interpolation))
    return Decoded(fitted, None, own, b"", is_clipped=found.is_clipped, is_dark=found.is_dark)


def fit(image: Image.Image, framing: Framing, interpolation: Interpolation) -> Image.Image:
    """Cut out the shown part of an image or mask and resize it to the input's size, in one step."""
    height, width = framing.size
    part = framing.shown_part((image.height, image.width))
    if interpolation == "bilinear-aliased":  # transform() uses the four nearest pixels at any scale
        return image.transform((width, height), Image.Transform.EXTENT, part, Image.Resampling.BILINEAR)
    return image.resize((width, height), RESAMPLING[interpolation], box=part)
