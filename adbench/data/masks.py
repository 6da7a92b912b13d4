"""Decodes the masks of one sample: which pixels count as defective; or says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..api.data import Problem, Sample, Size
from .deep import orientation_of
from .framing import Box
from .image_files import (
    BadError,
    bytes_of,
    is_deep,
    load,
    stored_orientation,
    to_rgb,
    turned,
)
from .numbered import Numbers, numbered, resized

LOSSY_FORMATS = frozenset({"JPEG", "JPEG2000", "MPO", "WEBP"})
"""Formats in which black is not quite black around a defect, so that masks need a threshold."""


def decode_mask(sample: Sample, own: Size, part: Box, size: Size | None) -> Numbers | Problem:
    """Read one mask again and cut ``part`` out of it (see ``Framing.shown_part``); or say what is wrong.

    Args:
        sample: a sample whose image has size ``own``; without a mask no pixel is marked.
        own: its height and width.
        part: left, top, right and bottom.
        size: the part is resized to it by the nearest pixel; None keeps the part's own whole pixels.

    Returns:
        (H, W) numbers of the regions, which are those of the mask's own pixels (``numbered.resized``); 0 where good.
    """
    left, top, right, bottom = map(round, part)
    if sample.mask is None:
        return np.zeros(size or (bottom - top, right - left), np.int32)
    try:
        numbers = numbered(mask_of(sample, (own[1], own[0])))
    except BadError as error:
        return error.problem
    return numbers[top:bottom, left:right] if size is None else resized(numbers, part, size)


def to_mask(image: Image.Image, above: int = 0) -> npt.NDArray[np.bool_]:
    """Mark the defect pixels of a mask, (H, W): all that are not black, or that are brighter than ``above`` of 255.

    Any number counts, since VisA's masks hold class numbers. In a lossy format with bright marks, only the brighter
    half of the values counts.

    Raises:
        ValueError: values below 0 or infinity, of which nobody can say whether they mark a defect.
    """
    if above:
        return np.asarray(np.asarray(to_rgb(image)).max(axis=2) > above)
    values = np.asarray(image) if is_deep(image) else np.asarray(to_rgb(image)).max(axis=2)
    if ((values < 0) | np.isinf(values)).any():
        raise ValueError("values below 0 or infinity in a mask")
    if image.format in LOSSY_FORMATS and values.max() >= 128:
        return np.asarray(values >= 128)
    return np.asarray(values > 0)


def mask_of(
    sample: Sample, size: tuple[int, int], read: Callable[[bytes], object] | None = None
) -> npt.NDArray[np.bool_]:
    """Decode a sample's masks and join them, (H, W); ``read`` gets the bytes of each file.

    Each must fit an image of ``size`` (width, height) and mark something, or ``BadError`` is raised.
    """
    joined: npt.NDArray[np.bool_] | None = None
    for path in sample.masks:
        data = bytes_of(path, f"the mask of {sample.path.name}")
        if read is not None:
            read(data)
        marked = _marked_in(path, data, size, sample.mask_above, sample.path)
        joined = marked if joined is None else joined | marked
    return np.asarray(joined)


def _marked_in(path: Path, data: bytes, size: tuple[int, int], above: int, image_path: Path) -> npt.NDArray[np.bool_]:
    image = _upright(load(path, data), size, image_path)
    if image.size != size:
        found = f"a mask of {image.width}x{image.height} pixels for an image of {size[0]}x{size[1]}"
        raise BadError(path, found, "Replace the mask")
    try:
        marked = to_mask(image, above)
    except ValueError as error:
        raise BadError(path, str(error), "Save it as grey with 8 bits") from error
    if not marked.any():
        raise BadError(path, "a mask without a defect pixel", "Draw the defect, or move the image to the good ones")
    return marked


def _upright(mask: Image.Image, size: tuple[int, int], image_path: Path) -> Image.Image:
    """Turn a mask to lie on its image as viewers show that, whose size then is ``size``.

    A mask's own orientation counts as that of any image. Without one, it was drawn on what viewers show, unless it has
    the size of the image's stored pixels alone: then it is turned along with them.
    """
    own = orientation_of(mask)
    if own != 1:
        return turned(mask, own)
    if mask.size == size or mask.size != size[::-1]:
        return mask
    orientation = stored_orientation(image_path)
    return turned(mask, orientation) if orientation >= 5 else mask
