"""Decodes one image file and its mask to arrays of the wanted size, or says what is wrong with them."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import io
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from ..api.data import Problem, Sample, Size
from ..api.options import Interpolation
from ..util import plain_files
from ..util.errors import UsageError, first_line, reason
from .framing import Box, Framing
from .numbered import Numbers, numbered, pairs, resized

MEGAPIXELS = "ADBENCH_MAX_MEGAPIXELS"
"""An environment variable, so that other processes that decode images see it, too."""

PILLOWS_PIXELS = 178_956_970
"""Pixels above which Pillow refuses a file as an attack: a few bytes may unpack to any size."""

Bytes = npt.NDArray[np.uint8]

RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
"""Pillow's filters by the names of options."""

LOSSY_FORMATS = frozenset({"JPEG", "JPEG2000", "MPO", "WEBP"})
"""Formats in which black is not quite black around a defect, so that masks need a threshold."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One sample as the store keeps it.

    ``image`` (H, W, 3); ``mask`` (H, W) of 0 and 1, None where the sample has none; ``size`` is the
    image's own; ``digest`` is over the bytes of the files. ``regions`` (P, 2) are the pixels of the regions
    of the mask's own pixels: flat position and number (``numbered.pairs``); None without a mask.
    """

    image: Bytes
    mask: Bytes | None
    size: Size
    digest: bytes
    regions: Numbers | None = None


class _BadError(Exception):
    """An image or mask that cannot be used."""

    def __init__(self, path: Path, found: str, hint: str) -> None:
        super().__init__(found)
        self.problem = Problem(path, found, hint)


def decode_sample(sample: Sample, framing: Framing) -> Decoded | Problem:
    """Decode an image and its mask, check that they match, and resize both to the input's size; or say what is wrong.

    Images are resampled by the framing's interpolation, masks by the nearest pixel, as in the papers, with the regions
    of their own pixels (``numbered``). The orientation
    in a camera's EXIF data is ignored, as in the papers.
    """
    try:
        data = _bytes_of(sample.path, "the image")
        image = _rgb_of(sample.path, data)
        digest = hashlib.sha256(data)
        mask = _mask_of(sample, image.size, digest.update) if sample.masks else None
    except _BadError as error:
        return error.problem
    own = (image.height, image.width)
    marked = None if mask is None else Image.fromarray(mask.astype(np.uint8))
    part = framing.shown_part(own)
    return Decoded(
        image=np.asarray(fit(image, framing, framing.interpolation)),
        mask=None if marked is None else np.asarray(fit(marked, framing, "nearest")),
        size=own,
        digest=digest.digest(),
        regions=None if mask is None else pairs(resized(numbered(mask), part, framing.size)),
    )


def read_image(path: Path) -> Image.Image | Problem:
    """Read an image or mask at its own size and in its own mode; or say what is wrong with it."""
    try:
        return _load(path, _bytes_of(path, "the file"))
    except _BadError as error:
        return error.problem


def read_rgb(path: Path) -> Image.Image | Problem:
    """Read an image file at its own size, as 8-bit RGB; or say what is wrong with it."""
    try:
        return _rgb_of(path, _bytes_of(path, "the image"))
    except _BadError as error:
        return error.problem


def decode_image(image: Image.Image, framing: Framing) -> Decoded:
    """Bring an image that is in memory to the size of the input, as ``decode_sample`` does with one in a file.

    Raises:
        ValueError: a mode or range of values that has no fixed meaning as a colour.
    """
    fitted = np.asarray(fit(to_rgb(image), framing, framing.interpolation))
    return Decoded(fitted, None, (image.height, image.width), b"")


def fit(image: Image.Image, framing: Framing, interpolation: Interpolation) -> Image.Image:
    """Cut out the shown part of an image or mask and resize it to the input's size, in one step."""
    height, width = framing.size
    part = framing.shown_part((image.height, image.width))
    if interpolation == "bilinear-aliased":  # transform() uses the four nearest pixels at any scale
        return image.transform((width, height), Image.Transform.EXTENT, part, Image.Resampling.BILINEAR)
    return image.resize((width, height), RESAMPLING[interpolation], box=part)


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
        numbers = numbered(_mask_of(sample, (own[1], own[0])))
    except _BadError as error:
        return error.problem
    return numbers[top:bottom, left:right] if size is None else resized(numbers, part, size)


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


def _bytes_of(path: Path, what: str) -> bytes:
    try:
        if not plain_files.is_regular(path) and not path.is_dir():  # a pipe waits for a writer; a device may never end
            raise _BadError(path, f"{what} is no file but a pipe or a device", "Replace it by a file")
        return path.read_bytes()
    except FileNotFoundError:
        raise _BadError(path, f"no such file, {what} is missing", "Put it there") from None
    except OSError as error:
        raise _BadError(path, f"{what} cannot be read ({reason(error)})", "Check the file") from error


def _load(path: Path, data: bytes) -> Image.Image:
    """Decode all pixels of the first image in a file."""
    most = most_pixels()
    try:
        image = Image.open(io.BytesIO(data))
        _check_pixels(path, image, most)
        image.load()
    except _BadError:
        raise
    except Image.DecompressionBombError as error:  # only outside ``quiet``, where Pillow's own limit holds
        raise _BadError(path, f"more pixels than Pillow reads ({error})", "Use --max-megapixels") from None
    except UnidentifiedImageError:
        found = "no image that Pillow knows" if data else "an empty file"
        raise _BadError(path, found, "Replace the file") from None
    except Exception as error:  # broken bytes make Pillow raise errors of any type
        found = f"an image that is cut short or broken ({first_line(error)})"
        raise _BadError(path, found, "Replace the file") from error
    return image


def _check_pixels(path: Path, image: Image.Image, most: float) -> None:
    pixels = image.width * image.height
    if pixels > most:
        found = f"{image.width}x{image.height} = {pixels / 1e6:.4g} megapixels, but at most {most / 1e6:.4g} are read"
        raise _BadError(path, found, f"If you trust the file, use --max-megapixels {math.ceil(pixels / 1e6)}")


def _rgb_of(path: Path, data: bytes) -> Image.Image:
    try:
        return to_rgb(_load(path, data))
    except ValueError as error:
        raise _BadError(path, str(error), "Save it as grey or RGB with 8 or 16 bits") from error


def _mask_of(
    sample: Sample, size: tuple[int, int], read: Callable[[bytes], object] | None = None
) -> npt.NDArray[np.bool_]:
    """Decode a sample's masks and join them, (H, W); ``read`` gets the bytes of each file.

    Each must fit an image of ``size`` (width, height) and mark something.
    """
    joined: npt.NDArray[np.bool_] | None = None
    for path in sample.masks:
        data = _bytes_of(path, f"the mask of {sample.path.name}")
        if read is not None:
            read(data)
        marked = _marked_in(path, data, size, sample.mask_above)
        joined = marked if joined is None else joined | marked
    return np.asarray(joined)


def _marked_in(path: Path, data: bytes, size: tuple[int, int], above: int) -> npt.NDArray[np.bool_]:
    image = _load(path, data)
    if image.size != size:
        found = f"a mask of {image.width}x{image.height} pixels for an image of {size[0]}x{size[1]}"
        raise _BadError(path, found, "Replace the mask")
    try:
        marked = to_mask(image, above)
    except ValueError as error:
        raise _BadError(path, str(error), "Save it as grey with 8 bits") from error
    if not marked.any():
        raise _BadError(path, "a mask without a defect pixel", "Draw the defect, or move the image to the good ones")
    return marked
