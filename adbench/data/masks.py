"""Decodes the masks of one sample: which pixels count as defective; or says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from ..api.data import Problem, Sample, Size
from ..api.marking import ALPHA, AUTO, INVERTED, NONZERO, threshold
from .deep import orientation_of
from .framing import Box
from .image_files import BadError, bytes_of, is_deep, load, stored_orientation, to_rgb, turned
from .numbered import Numbers, numbered, resized

LOSSY_FORMATS = frozenset({"JPEG", "JPEG2000", "MPO", "WEBP"})
"""Formats in which black is not quite black around a defect, so that masks need a threshold."""

FEW = 16
"""Different values up to which a mask's values may be the numbers of classes, each of which marks a defect."""

MOST = 0.98
"""Share of an image from which a mask is refused: its background is not black, or it is inverted."""

HINT = "Inverted, or another background than black? See --mask-rule; nonzero takes it as it is"

Bools = npt.NDArray[np.bool_]


def decode_mask(
    sample: Sample, own: Size, part: Box, size: Size | None, without: Bools | None = None
) -> Numbers | Problem:
    """Read one mask again and cut ``part`` out of it (see ``Framing.shown_part``); or say what is wrong.

    Args:
        sample: a sample whose image has size ``own``; without a mask no pixel is marked.
        own: its height and width.
        part: left, top, right and bottom.
        size: the part is resized to it by the nearest pixel; None keeps the part's own whole pixels.
        without: (H, W) in the mask's own pixels, True for those that are no defect.

    Returns:
        (H, W) numbers of the regions, which are those of the mask's own pixels (``numbered.resized``); 0 where good.
    """
    left, top, right, bottom = map(round, part)
    if sample.mask is None:
        return np.zeros(size or (bottom - top, right - left), np.int32)
    try:
        mask = mask_of(sample, (own[1], own[0]))
    except BadError as error:
        return error.problem
    numbers = numbered(mask if without is None else mask & ~without)
    return numbers[top:bottom, left:right] if size is None else resized(numbers, part, size)


def to_mask(image: Image.Image, above: int = 0, rule: str = AUTO) -> Bools:
    """Mark the defect pixels of a mask, (H, W).

    By the rule "auto" these are all that are brighter than ``above`` of 255. Where that is 0, they are all that are not
    black, since values may be the numbers of classes (VisA); but where the brightest is above half of white, and the
    format is lossy or there are more than ``FEW`` values, as with soft edges, they are all above half of white. Where
    transparency varies, a transparent pixel is none.

    Args:
        image: of any kind.
        above: ``Sample.mask_above``.
        rule: ``Sample.mask_rule``.

    Raises:
        ValueError: values below 0 or infinity, of which nobody can say whether they mark a defect; or an alpha channel
            is asked for that the mask doesn't have.
    """
    opaque = _opaque(image)
    if rule == ALPHA:
        if opaque is None:
            raise ValueError("a mask without transparent pixels, by the rule alpha")
        return opaque
    values = _values(image)
    if ((values < 0) | np.isinf(values)).any():
        raise ValueError("values below 0 or infinity in a mask")
    white = _white(image, float(values.max()))
    limit = threshold(rule)
    limit = above if limit is None else limit
    if rule == INVERTED:
        return np.asarray(values <= white / 2)
    if rule != NONZERO and limit:
        return np.asarray(np.rint(values * (255 / white)) > limit)
    if rule != AUTO:
        return np.asarray(values > 0)
    marked = np.asarray(values > white / 2 if _is_soft(image, values, white) else values > 0)
    return marked if opaque is None else marked & opaque


def _opaque(image: Image.Image) -> Bools | None:
    """The pixels (H, W) that are more opaque than transparent; None where all are equally so."""
    if is_deep(image) or not (image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info):
        return None
    alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
    return None if (alpha == alpha.flat[0]).all() else np.asarray(alpha > 127)


def _values(image: Image.Image) -> npt.NDArray[Any]:
    """The brightest channel of each pixel (H, W); of TIFFs with 16 bits in which 0 is white, from black up."""
    if not is_deep(image):
        return np.asarray(np.asarray(to_rgb(image)).max(axis=2))
    values = np.nan_to_num(np.asarray(image), nan=0, posinf=np.inf, neginf=-np.inf)
    is_reversed = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
    return np.asarray(_white(image, 0) - values) if is_reversed and image.mode.startswith("I;16") else values


def _white(image: Image.Image, peak: float) -> float:
    """The value of white: the format's up to 16 bits, else by the brightest value 1 (of floats), 255 or 65535."""
    if not is_deep(image):
        return 255
    if image.mode.startswith("I;16"):
        bits = int(image.tag_v2.get(BITSPERSAMPLE, (16,))[0]) if isinstance(image, TiffImageFile) else 16
        return (1 << bits) - 1
    whites = (1, 255, 65535) if image.mode == "F" else (255, 65535)
    return next((white for white in whites if peak <= white), peak)


def _is_soft(image: Image.Image, values: npt.NDArray[Any], white: float) -> bool:
    """Whether values between black and white are edges or the noise of a lossy format, and no numbers of classes."""
    if float(values.max()) <= white / 2:
        return False
    if image.format in LOSSY_FORMATS:
        return True
    if image.mode == "F" and bool((values % 1 != 0).any()):
        return True
    kinds = np.count_nonzero(np.bincount(values.reshape(-1))) if values.dtype == np.uint8 else len(np.unique(values))
    return int(kinds) > FEW


def mask_of(sample: Sample, size: tuple[int, int], read: Callable[[bytes], object] | None = None) -> Bools:
    """Decode a sample's masks and join them, (H, W); ``read`` gets the bytes of each file.

    Each must fit an image of ``size`` (width, height) and mark something; together they must not mark nearly all,
    unless the rule is "nonzero". Else ``BadError`` is raised.
    """
    joined: Bools | None = None
    for path in sample.masks:
        data = bytes_of(path, f"the mask of {sample.path.name}")
        if read is not None:
            read(data)
        marked = _marked_in(path, data, size, sample)
        joined = marked if joined is None else joined | marked
    found = np.asarray(joined)
    share = float(found.mean())
    if share >= MOST and sample.mask_rule != NONZERO:
        assert sample.mask is not None
        raise BadError(sample.mask, nearly_all(share), HINT)
    return found


def small_regions(sample: Sample, own: Size, least: int, *, by_file: bool) -> Bools | Problem:
    """Mark the regions (H, W) of a sample's masks that have fewer than ``least`` pixels; or say what is wrong.

    Args:
        sample: with an image of size ``own``.
        own: its height and width.
        least: pixels of the smallest region that counts, in the mask's own.
        by_file: whether each file is a region; else defect pixels that touch are one.
    """
    size = (own[1], own[0])
    try:
        if not by_file:
            numbers = numbered(mask_of(sample, size))
            small = np.bincount(numbers.reshape(-1)) < least
            small[0] = False
            return np.asarray(small[numbers])
        parts = [_marked_in(path, bytes_of(path, "the mask"), size, sample) for path in sample.masks]
    except BadError as error:
        return error.problem
    small_ones, others = np.zeros((2, *own), bool)
    for part in parts:
        target = small_ones if np.count_nonzero(part) < least else others
        target |= part
    return np.asarray(small_ones & ~others)


def region_sizes(sample: Sample, own: Size, *, by_file: bool) -> list[int] | Problem:
    """The pixels of each region of a sample's masks, in the masks' own; arguments as in ``small_regions``."""
    size = (own[1], own[0])
    try:
        if by_file:
            parts = [_marked_in(path, bytes_of(path, "the mask"), size, sample) for path in sample.masks]
            return [int(np.count_nonzero(part)) for part in parts]
        return [int(count) for count in np.bincount(numbered(mask_of(sample, size)).reshape(-1))[1:]]
    except BadError as error:
        return error.problem


def nearly_all(share: float) -> str:
    """What is wrong with a mask that marks this share of its image."""
    return "a mask that marks the whole image" if share == 1 else f"a mask that marks {share:.1%} of the image"


def _marked_in(path: Path, data: bytes, size: tuple[int, int], sample: Sample) -> Bools:
    image = upright(load(path, data), size, sample.path)
    if image.size != size:
        found = f"a mask of {image.width}x{image.height} pixels for an image of {size[0]}x{size[1]}"
        raise BadError(path, found, "Replace the mask")
    try:
        marked = to_mask(image, sample.mask_above, sample.mask_rule)
    except ValueError as error:
        raise BadError(path, str(error), "Save it as grey with 8 bits, or see --mask-rule") from error
    if not marked.any():
        raise BadError(path, "a mask without a defect pixel", "Draw the defect, or move the image to the good ones")
    return marked


def upright(mask: Image.Image, size: tuple[int, int], image_path: Path) -> Image.Image:
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
