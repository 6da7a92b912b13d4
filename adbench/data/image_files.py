"""Reads one image file as it is, or as 8-bit RGB; or says what is wrong with it."""

from __future__ import annotations

import ctypes
import ctypes.util
import io
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features

from ..api.data import Problem, Size
from ..api.levels import Levels
from ..util import plain_files
from ..util.errors import UsageError, first_line, reason
from . import deep
from .deep import Deep

MEGAPIXELS = "ADBENCH_MAX_MEGAPIXELS"
"""An environment variable, so that other processes that decode images see it, too."""

PILLOWS_PIXELS = 178_956_970
"""Pixels above which Pillow refuses a file as an attack: a few bytes may unpack to any size."""

Bytes = npt.NDArray[np.uint8]

NO_LEVELS = "more than 8 bits, but no training image that says which value is white"
"""What is wrong with an image of unknown levels."""

_SAVE = "Save it as grey or RGB with 8 or 16 bits"


class BadError(Exception):
    """An image or mask that cannot be used."""

    def __init__(self, path: Path, found: str, hint: str) -> None:
        super().__init__(found)
        self.problem = Problem(path, found, hint)


def read_image(path: Path) -> Image.Image | Problem:
    """Read an image or mask at its own size and in its own mode; or say what is wrong with it."""
    try:
        return load(path, bytes_of(path, "the file"))
    except BadError as error:
        return error.problem


def read_rgb(path: Path, levels: Levels | None = None) -> Image.Image | Problem:
    """Read an image file at its own size, as 8-bit RGB and as viewers show it; or say what is wrong with it."""
    try:
        return rgb_of(path, bytes_of(path, "the image"), levels).image
    except BadError as error:
        return error.problem


@dataclass(frozen=True, eq=False)
class Shown:
    """An image as viewers show it: upright, in 8-bit RGB.

    ``is_clipped`` says whether it has values beyond its levels, ``is_dark`` whether these leave it nearly black.
    """

    image: Image.Image
    is_clipped: bool = False
    is_dark: bool = False


def size_of(path: Path) -> Size | None:
    """Height and width of an image as viewers show it, by the head of its file alone; None where it can't be read."""
    try:
        with quiet(), Image.open(path) as image:
            is_turned = deep.orientation_of(image) >= 5 and image.format != "TIFF"
            return (image.width, image.height) if is_turned else (image.height, image.width)
    except UnidentifiedImageError:
        with suppress(Exception):
            return deep.size_of_tiff(path)
    except Exception:  # broken bytes make Pillow raise errors of any type
        pass
    return None


def to_rgb(image: Image.Image, levels: Levels | None = None) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB as it is stored; an alpha channel is dropped.

    Args:
        image: of Pillow.
        levels: of more than 8 bits; None finds them in the image alone.

    Raises:
        ValueError: values that have no fixed meaning as a colour.
    """
    return _converted(deep.of_grey(image) if deep.is_grey(image) else image, levels).image


def shown(found: Image.Image | Deep, levels: Levels | None = None) -> Shown:
    """Show an image that is in memory.

    Raises:
        ValueError: values that have no fixed meaning as a colour, or more than 8 bits with unknown ``levels``.
    """
    if not isinstance(found, Deep):
        if deep.Stored.of(found).is_of_colours or deep.is_misread(found):
            raise ValueError("colours of 16 bits, of which Pillow keeps 8")
        found.load()
        orientation = deep.orientation_of(found)  # by now 1 for a TIFF, which Pillow turns itself
        found = deep.of_grey(found, orientation) if deep.is_grey(found) else found
    if isinstance(found, Deep):
        orientation = found.orientation
        if levels is not None and not levels.is_known:
            raise ValueError(NO_LEVELS)
    return _turned(_converted(found, levels), orientation)


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey of more than 8 bits."""
    return deep.is_grey(image)


def _converted(found: Image.Image | Deep, levels: Levels | None) -> Shown:
    """An image as it is stored, in 8-bit RGB."""
    if isinstance(found, Deep):
        depth = found.depth
        used = levels or deep.levels_for([depth])
        assert used is not None
        brightest = used.black + used.white - depth.low if found.is_inverted else depth.high
        return Shown(found.to_rgb(used), used.clips(depth.low, depth.high), used.darkens(brightest))
    if found.mode == "P":  # a palette with alpha converts to RGB only by way of RGBA
        found = found.convert("RGBA")
    return Shown(found.convert("RGB"))


# ---------------------------------------------------------------- orientation

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by EXIF's numbers."""


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an image as viewers do, by EXIF's number."""
    turn = _TURNS.get(orientation)
    if turn is None:
        return image
    found = image.transpose(turn)
    found.format = image.format
    return found


def _turned(found: Shown, orientation: int) -> Shown:
    return Shown(turned(found.image, orientation), found.is_clipped, found.is_dark)


def stored_orientation(path: Path) -> int:
    """How viewers turn the pixels of an image file; 1 for a file that is no image."""
    try:
        with Image.open(path) as image:
            return deep.orientation_of(image)
    except Exception:  # broken bytes make Pillow raise errors of any type
        return 1


# ---------------------------------------------------------------- bytes and pixels


def bytes_of(path: Path, what: str) -> bytes:
    """Read a file; ``what`` names it in messages. Raises ``BadError``."""
    try:
        if not plain_files.is_regular(path) and not path.is_dir():  # a pipe waits for a writer; a device may never end
            raise BadError(path, f"{what} is no file but a pipe or a device", "Replace it by a file")
        return path.read_bytes()
    except FileNotFoundError:
        raise BadError(path, f"no such file, {what} is missing", "Put it there") from None
    except OSError as error:
        raise BadError(path, f"{what} cannot be read ({reason(error)})", "Check the file") from error


def load(path: Path, data: bytes) -> Image.Image:
    """Decode all pixels of the first image in a file. Raises ``BadError``."""
    with _blaming(path, data):
        image = _opened(path, data)
        if deep.is_misread(image):
            raise BadError(path, "a TIFF with a plane of more than 8 bits for each colour", _SAVE)
        image.load()
    return image


def values_of(path: Path, data: bytes) -> Image.Image | Deep:
    """Decode the first image in a file at full depth, as it is stored. Raises ``BadError``."""
    with _blaming(path, data):
        try:
            image = _opened(path, data)
        except UnidentifiedImageError:
            if not deep.is_tiff(data):
                raise
            return _odd_tiff(path, data)
        if deep.is_misread(image):
            return _odd_tiff(path, data)
        stored = deep.Stored.of(image)
        image.load()
        return deep.of_file(image, stored, data, deep.orientation_of(image)) or image


def _opened(path: Path, data: bytes) -> Image.Image:
    most = most_pixels()
    image = Image.open(io.BytesIO(data))
    _check_pixels(path, image.width, image.height, most)
    return image


def _odd_tiff(path: Path, data: bytes) -> Deep:
    try:
        return deep.read_tiff(data, partial(_check_pixels, path, most=most_pixels()))
    except BadError:
        raise
    except Exception as error:  # broken bytes make tifffile raise errors of any type
        found = f"a kind of TIFF that can't be read ({first_line(error)})"
        raise BadError(path, found, _SAVE) from error


@contextmanager
def _blaming(path: Path, data: bytes) -> Iterator[None]:
    """Turn any error about an image into ``BadError``."""
    try:
        yield
    except (BadError, UsageError):
        raise
    except Image.DecompressionBombError as error:  # only outside ``quiet``, where Pillow's own limit holds
        raise BadError(path, f"more pixels than Pillow reads ({error})", "Use --max-megapixels") from None
    except UnidentifiedImageError:
        found = "no image that Pillow knows" if data else "an empty file"
        raise BadError(path, found, "Replace the file") from None
    except Exception as error:  # broken bytes make Pillow raise errors of any type
        found = f"an image that is cut short or broken ({first_line(error)})"
        raise BadError(path, found, "Replace the file") from error


def _check_pixels(path: Path, width: int, height: int, most: float) -> None:
    pixels = width * height
    if pixels > most:
        found = f"{width}x{height} = {pixels / 1e6:.4g} megapixels, but at most {most / 1e6:.4g} are read"
        raise BadError(path, found, f"If you trust the file, use --max-megapixels {math.ceil(pixels / 1e6)}")


def rgb_of(path: Path, data: bytes, levels: Levels | None = None) -> Shown:
    """Decode the bytes of an image file as viewers show it. Raises ``BadError``.

    Args:
        path: of the file, for messages.
        data: its bytes.
        levels: of more than 8 bits; None finds them in the image alone, which keeps no two images comparable.
    """
    found = values_of(path, data)
    try:
        return shown(found, levels)
    except ValueError as error:
        hint = "Give the values of black and white, such as --range 0:4095" if str(error) == NO_LEVELS else _SAVE
        raise BadError(path, str(error), hint) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of Pillow and of libtiff, and use our own limit of pixels instead of Pillow's."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(), _quiet_libtiff():
            warnings.filterwarnings("ignore", module=r"PIL\b")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _quiet_libtiff() -> Iterator[None]:
    """Take libtiff's handlers of messages away, which write to standard error past Python.

    What is wrong with a file Pillow raises as well. Where libtiff is a part of Pillow's own code, as on Windows, its
    handlers can't be reached and stay.
    """
    library = _libtiff()
    setters = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler] if library else []
    before = [setter(None) for setter in setters]
    try:
        yield
    finally:
        for setter, handler in zip(setters, before, strict=True):
            setter(handler)


@cache
def _libtiff() -> ctypes.CDLL | None:
    """The libtiff that Pillow uses: the one in its package, or else the system's."""
    if not features.check("libtiff"):
        return None
    package = Path(Image.__file__).parent
    bundled = [*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")]
    name = next(map(str, bundled), None) or ctypes.util.find_library("tiff")
    try:
        library = ctypes.CDLL(name) if name else None
        for setter in ("TIFFSetErrorHandler", "TIFFSetWarningHandler") if library else ():
            function = getattr(library, setter)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
    except (OSError, AttributeError):
        return None
    return library


def most_pixels() -> float:
    """The most pixels of an image: ``ADBENCH_MAX_MEGAPIXELS`` (``--max-megapixels``), or Pillow's limit.

    Raises:
        UsageError: the variable holds no positive number.
    """
    text = os.environ.get(MEGAPIXELS)
    if not text:
        return PILLOWS_PIXELS
    try:
        megapixels = float(text)
    except ValueError:
        megapixels = math.nan
    if not megapixels > 0:
        raise UsageError(MEGAPIXELS, found=f"'{text}'", wanted="a positive number")
    return megapixels * 1e6
