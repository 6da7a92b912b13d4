"""Images of more than 8 bits: their values as numbers, and which of them is white.

Pillow reads grey ones at full depth. Of colours of 16 bits it keeps 8, and some kinds of TIFF it does not know.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    TiffImageFile,
)

from ..api.data import Size
from ..api.levels import Levels

Kind = Literal["8 bits", "integers", "floats"]

WHITES = (255, 1023, 4095, 16383, 65535)
"""The usual highest values of cameras and files."""

ORIENTATION = 0x0112
"""The tag of EXIF and TIFF that says how viewers turn an image; 1 is upright."""

_COLOURS = ("RGB;16", "RGBA;16", "RGBX;16")
"""Beginnings of Pillow's names for colours of 16 bits of which it keeps 8."""

_GREY_WITH_ALPHA = "LA;16B"

_BIG_ENDIAN = ("F;32BF", "I;16BS", "I;32BS")

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Depth:
    """What one image is.

    Attributes:
        kind: of its values.
        orientation: EXIF's number of how viewers turn it; 1 is upright.
        low: its lowest finite value; 0 for 8 bits.
        high: its highest finite value; 0 for 8 bits.
        own_white: the white that the file itself states, by a number of bits below 16; else 0.
    """

    kind: Kind = "8 bits"
    orientation: int = 1
    low: float = 0.0
    high: float = 0.0
    own_white: float = 0.0

    @property
    def is_deep(self) -> bool:
        """Whether it has more than 8 bits, so that its levels must be decided."""
        return self.kind != "8 bits"


@dataclass(frozen=True, eq=False)
class Deep:
    """The values of an image of more than 8 bits.

    Attributes:
        values: (H, W), or (H, W, 3) for colours; integers or floats.
        orientation: how viewers turn it.
        is_inverted: whether its lowest value is white, as a TIFF may say.
        own_white: see ``Depth``.
    """

    values: NDArray[Any]
    orientation: int = 1
    is_inverted: bool = False
    own_white: float = 0.0

    @property
    def depth(self) -> Depth:
        """What it is. Raises ``ValueError`` for infinite values, which have no meaning as brightness."""
        if self.values.dtype.kind != "f":
            low, high = float(self.values.min()), float(self.values.max())
            return Depth("integers", self.orientation, low, high, self.own_white)
        if np.isinf(self.values).any():
            raise ValueError("infinite grey values")
        known = self.values[~np.isnan(self.values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        return Depth("floats", self.orientation, low, high, self.own_white)

    def to_rgb(self, levels: Levels) -> Image.Image:
        """The image in 8 bits, as it is stored; NaN is black."""
        exact = np.float64 if self.values.dtype.itemsize > 4 or self.values.dtype.kind in "iu" else np.float32
        if self.values.dtype.itemsize <= 2:
            exact = np.float32
        values = np.nan_to_num(self.values.astype(exact), nan=levels.white if self.is_inverted else levels.black)
        scale = 255 / (levels.white - levels.black)
        grey = np.rint((np.clip(values, levels.black, levels.white) - exact(levels.black)) * scale).astype(np.uint8)
        return Image.fromarray(255 - grey if self.is_inverted else grey).convert("RGB")


def levels_for(images: Iterable[Depth]) -> Levels | None:
    """The levels of a data set by its training images; None where all have 8 bits.

    Integers: 0 is black, and white is the least of 255, 1023, 4095, 16383 and 65535 that holds their highest value (a
    power of two less one above). These are the highest values of cameras with 8 to 16 bits, whose files have 16 anyway.
    So a brighter test image, such as one with a bright defect, is seldom clipped; and one more training image seldom
    changes the levels, and with them all numbers. At least 64 of 256 grey levels are used beyond values of 255.

    Floats: 1 is white where no value is higher, and else one of those numbers if they use more than a quarter of it.
    Otherwise their highest value is white, since no convention fits.

    A negative lowest value is black: no convention says where such values, as of computed tomography, begin.
    """
    deep = [each for each in images if each.is_deep]
    if not deep:
        return None
    low = min(each.low for each in deep)
    high = max(max(each.high, each.own_white) for each in deep)
    black = min(low, 0.0)
    if all(each.kind == "integers" for each in deep):
        white = float(next((each for each in WHITES if high <= each), (1 << max(int(high), 1).bit_length()) - 1))
    elif high <= 1:
        white = 1.0
    else:
        white = float(next((each for each in WHITES if each / 4 < high <= each), high))
    return Levels(black, white)


# ---------------------------------------------------------------- as Pillow reads them


def orientation_of(image: Image.Image) -> int:
    """How viewers turn an image; of a PNG before it is read only if that is said before the pixels."""
    found = Image.Image.getexif(image).get(ORIENTATION, 1)  # that of PNG would read the pixels
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


@dataclass(frozen=True)
class Stored:
    """How a file stores pixels, in Pillow's words: its codec, such as "zip", and the order of bits, as "RGB;16B"."""

    codec: str = ""
    mode: str = ""

    @classmethod
    def of(cls, image: Image.Image) -> Stored:
        """That of an image that was opened, but not read yet; empty of others."""
        tiles = getattr(image, "tile", None)
        if not tiles:
            return cls()
        codec, _, _, found = tiles[0]
        found = found[0] if isinstance(found, tuple) and found else found
        return cls(codec, found if isinstance(found, str) else "")

    @property
    def is_of_colours(self) -> bool:
        """Whether it has colours of 16 bits, of which Pillow keeps 8."""
        return self.mode.startswith(_COLOURS)

    @property
    def is_swapped(self) -> bool:
        """Whether Pillow takes numbers for big-endian that libtiff has brought into the order of this machine."""
        return self.codec == "libtiff" and self.mode in _BIG_ENDIAN and sys.byteorder == "little"


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened, but not read yet, has more than 8 bits."""
    stored = Stored.of(image)
    return is_grey(image) or stored.is_of_colours or stored.mode == _GREY_WITH_ALPHA or is_misread(image)


def is_misread(image: Image.Image) -> bool:
    """Whether it is a TIFF with a plane of more than 8 bits for each colour: Pillow takes bytes for pixels there."""
    if not isinstance(image, TiffImageFile) or image.tag_v2.get(PLANAR_CONFIGURATION) != 2:
        return False
    return int(image.tag_v2.get(SAMPLESPERPIXEL, 1)) > 1 and max(image.tag_v2.get(BITSPERSAMPLE, (1,))) > 8


def is_grey(image: Image.Image) -> bool:
    """Whether Pillow itself keeps an image as grey of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def of_file(image: Image.Image, stored: Stored, data: bytes, orientation: int = 1) -> Deep | None:
    """The values of an image that Pillow has read; None for one of 8 bits.

    Args:
        image: with its pixels.
        stored: how the file stores them, found before they were read.
        data: the bytes of its file.
        orientation: how viewers still have to turn it.
    """
    if stored.is_of_colours:
        high, low = np.asarray(image).astype(np.uint16), np.asarray(_reopened(data, _low_bytes(stored.mode)))
        return Deep((high << 8 | low)[:, :, :3], orientation)
    if stored.mode == _GREY_WITH_ALPHA:
        both = np.asarray(_reopened(data, "I;32B", "I")).view(np.uint32)
        return Deep((both >> 16).astype(np.uint16), orientation)
    if not is_grey(image):
        return None
    found = of_grey(image, orientation)
    if not stored.is_swapped:
        return found
    kind = np.int16 if stored.mode == "I;16BS" else found.values.dtype
    return replace(found, values=found.values.astype(kind).byteswap())


def of_grey(image: Image.Image, orientation: int = 1) -> Deep:
    """The values of an image that Pillow keeps as grey of more than 8 bits."""
    values: NDArray[Any] = np.asarray(image)
    tags: Mapping[int, Any] = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    bits = int(tags.get(BITSPERSAMPLE, (16,))[0])
    if bits == 32 and values.dtype == np.int32 and int(tags.get(SAMPLEFORMAT, (1,))[0]) == 1:
        values = values.view(np.uint32)
    own_white = (1 << bits) - 1 if image.mode != "F" and bits < 16 else 0
    return Deep(values, orientation, tags.get(PHOTOMETRIC_INTERPRETATION) == 0, own_white)


def _low_bytes(stored: str) -> str:
    """The name of how pixels are stored by which Pillow takes the low byte of each value in place of the high one."""
    kind, order = stored[:-1], stored[-1]
    order = order if order in "BL" else "L" if sys.byteorder == "little" else "B"  # N: of this machine
    return kind + ("L" if order == "B" else "B")


def _reopened(data: bytes, stored: str, mode: str | None = None) -> Image.Image:
    """The same image, whose pixels Pillow takes for others."""
    image = Image.open(io.BytesIO(data))
    if mode:
        image._mode = mode
    image.tile = [_stored_as(tile, stored) for tile in image.tile]
    image.load()
    return image


def _stored_as(tile: Any, stored: str) -> Any:
    """One of Pillow's tiles, which are tuples with names since version 11."""
    arguments = (stored, *tile[3][1:]) if isinstance(tile[3], tuple) else stored
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)


# ---------------------------------------------------------------- of TIFF, as Pillow does not


def is_tiff(data: bytes) -> bool:
    """Whether the bytes of a file are a TIFF."""
    return data[:4] in _TIFF


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Silence what tifffile writes to standard error of broken files, which it raises as well."""
    logger = logging.getLogger("tifffile")
    before, logger.level = logger.level, logging.CRITICAL + 1
    try:
        yield
    finally:
        logger.level = before


def size_of_tiff(path: Path) -> Size:
    """Height and width, as viewers show it, of a TIFF of a kind that Pillow does not know; its head alone is read."""
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(path) as file:
        page = file.pages[0]
        size = page.imagelength, page.imagewidth
        return size[::-1] if int(page.tags.valueof(ORIENTATION, default=1)) >= 5 else size


def read_tiff(data: bytes, check_size: Callable[[int, int], None]) -> Deep:
    """Read a TIFF of a kind that Pillow does not know: floats of 16 or 64 bits, colours of 32 bits or as floats.

    Args:
        data: the bytes of the file.
        check_size: called with width and height before the pixels are read.

    Raises:
        ValueError: no grey or RGB image, or a compression that tifffile can't read alone.
    """
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        check_size(page.imagewidth, page.imagelength)
        values = np.asarray(page.asarray())
        orientation = page.tags.valueof(ORIENTATION, default=1)
        photometric, separate = int(page.photometric), int(page.planarconfig) == 2
    if separate and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3:
        values = values[:, :, :3] if values.shape[2] in (3, 4) and photometric == 2 else values[:, :, 0]
    if values.ndim != 2 and values.shape[2:] != (3,):
        raise ValueError(f"an image of shape {values.shape}")
    if values.dtype.kind not in "uif" or photometric not in (0, 1, 2):
        raise ValueError(f"{values.dtype} values of a kind of colour that adbench does not know")
    return Deep(values, int(orientation), photometric == 0)
