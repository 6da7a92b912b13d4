"""Reads one image file as it is, or as 8-bit RGB; or says what is wrong with it."""

from __future__ import annotations

import ctypes
import ctypes.util
import io
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ..api.data import Problem
from ..util import plain_files
from ..util.errors import UsageError, first_line, reason

MEGAPIXELS = "ADBENCH_MAX_MEGAPIXELS"
"""An environment variable, so that other processes that decode images see it, too."""

PILLOWS_PIXELS = 178_956_970
"""Pixels above which Pillow refuses a file as an attack: a few bytes may unpack to any size."""

Bytes = npt.NDArray[np.uint8]


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


def read_rgb(path: Path) -> Image.Image | Problem:
    """Read an image file at its own size, as 8-bit RGB; or say what is wrong with it."""
    try:
        return rgb_of(path, bytes_of(path, "the image"))
    except BadError as error:
        return error.problem


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB; an alpha channel is dropped.

    Raises:
        ValueError: a mode or range of values that has no fixed meaning as a colour.
    """
    if is_deep(image):
        return Image.fromarray(_to_8_bits(image)).convert("RGB")
    if image.mode == "P":  # a palette with alpha converts to RGB only by way of RGBA
        image = image.convert("RGBA")
    return image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def _to_8_bits(image: Image.Image) -> Bytes:
    values = np.nan_to_num(np.asarray(image).astype(np.float32), nan=0, posinf=np.inf)
    white = _white(image, float(values.max()))
    grey: Bytes = np.rint(np.clip(values, 0, white) * (255 / white)).astype(np.uint8)
    return grey


def _white(image: Image.Image, peak: float) -> int:
    """The value that stands for white. Up to 16 bits it is the format's, whatever the image shows.

    Files of 32 bits have values up to 255 or 65535, and files of floats also up to 1. The brightest pixel tells which
    it is. Higher values are refused: no fixed white would keep such images comparable.
    """
    if image.mode != "F":
        bits = int(image.tag_v2.get(BITSPERSAMPLE, (16,))[0]) if isinstance(image, TiffImageFile) else 16
        if bits <= 16:
            return (1 << bits) - 1
    whites, slack = ((1, 255, 65535), 2) if image.mode == "F" else ((255, 65535), 1)  # resampled floats overshoot
    for white in whites:
        if peak <= white * slack:
            return white
    raise ValueError(f"grey values up to {peak:g} where at most 65535 were wanted")


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
    most = most_pixels()
    try:
        image = Image.open(io.BytesIO(data))
        _check_pixels(path, image, most)
        image.load()
    except BadError:
        raise
    except Image.DecompressionBombError as error:  # only outside ``quiet``, where Pillow's own limit holds
        raise BadError(path, f"more pixels than Pillow reads ({error})", "Use --max-megapixels") from None
    except UnidentifiedImageError:
        found = "no image that Pillow knows" if data else "an empty file"
        raise BadError(path, found, "Replace the file") from None
    except Exception as error:  # broken bytes make Pillow raise errors of any type
        found = f"an image that is cut short or broken ({first_line(error)})"
        raise BadError(path, found, "Replace the file") from error
    return image


def _check_pixels(path: Path, image: Image.Image, most: float) -> None:
    pixels = image.width * image.height
    if pixels > most:
        found = f"{image.width}x{image.height} = {pixels / 1e6:.4g} megapixels, but at most {most / 1e6:.4g} are read"
        raise BadError(path, found, f"If you trust the file, use --max-megapixels {math.ceil(pixels / 1e6)}")


def rgb_of(path: Path, data: bytes) -> Image.Image:
    """Decode the bytes of an image file as 8-bit RGB. Raises ``BadError``."""
    try:
        return to_rgb(load(path, data))
    except ValueError as error:
        raise BadError(path, str(error), "Save it as grey or RGB with 8 or 16 bits") from error


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
