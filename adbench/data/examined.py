"""Looks at the files of images and masks once, and remembers in the cache what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..api.data import Problem, Size
from ..util.digests import Digests
from . import image_files
from .masks import to_mask

Watch = Callable[[int, int], None]
"""Called with the files looked at, and those to look at."""

ORIENTATION = 0x0112
"""The tag of EXIF with the camera's orientation; 1 is upright."""

VERSION = 1
"""Version of the remembered texts; another number makes them anew."""


@dataclass(frozen=True)
class Seen:
    """What a file of an image or mask is.

    Attributes:
        size: height and width.
        mode: Pillow's name of its kind of pixels, such as "RGB".
        deep: whether it is grey of more than 8 bits.
        turned: whether the camera's orientation says that viewers turn it.
        peak: of an image the brightest value of 255; of a mask the share of its pixels that are marked.
    """

    size: Size
    mode: str
    deep: bool
    turned: bool
    peak: float

    @property
    def has_alpha(self) -> bool:
        """Whether it has an alpha channel."""
        return self.mode in ("LA", "PA", "RGBA", "RGBa", "La")

    @property
    def is_grey(self) -> bool:
        """Whether it has one channel of grey."""
        return self.deep or self.mode in ("1", "L", "LA", "La")


def images(paths: Iterable[Path], watch: Watch | None = None) -> dict[Path, Seen | Problem]:
    """Decode images, except those that are unchanged since they were looked at last."""
    return _look("images", paths, _image, watch)


def masks(paths: Iterable[Path], above: int, watch: Watch | None = None) -> dict[Path, Seen | Problem]:
    """Decode masks in which values higher than ``above`` are marked (see ``Sample.mask_above``)."""
    return _look(f"masks-{above}", paths, lambda image: _mask(image, above), watch)


def _look(
    kind: str, paths: Iterable[Path], look: Callable[[Image.Image], Seen], watch: Watch | None
) -> dict[Path, Seen | Problem]:
    broken: dict[Path, Problem] = {}

    def read(path: Path) -> str | None:  # None is not remembered: the file may be mended or limits changed
        image = image_files.read_image(path)
        if isinstance(image, Problem):
            broken[path] = image
            return None
        try:
            seen = look(image)
        except ValueError as error:
            broken[path] = Problem(path, str(error), "Save it as grey or RGB with 8 or 16 bits")
            return None
        return f"{seen.size[0]} {seen.size[1]} {seen.mode} {seen.deep:d} {seen.turned:d} {seen.peak:.9g}"

    index = Digests(name=f"examined-{VERSION}-{kind}.sqlite", read=read)
    with image_files.quiet():
        texts = index.of(paths, None if watch is None else lambda _, done, total: watch(done, total))
    found: dict[Path, Seen | Problem] = {}
    for path, text in texts.items():
        found[path] = _parsed(text) if text is not None else broken.get(path) or _missing(path)
    return found


def _missing(path: Path) -> Problem:
    found = "no such file" if not path.exists() else "no plain file"
    return Problem(path, found, "Put it there")


def _parsed(text: str) -> Seen:
    height, width, mode, deep, turned, peak = text.split(" ")
    return Seen((int(height), int(width)), mode, deep == "1", turned == "1", float(peak))


def _image(image: Image.Image) -> Seen:
    turned = image.getexif().get(ORIENTATION, 1) not in (0, 1)
    peak = float(np.asarray(image_files.to_rgb(image)).max())
    return Seen((image.height, image.width), image.mode, image_files.is_deep(image), turned, peak)


def _mask(image: Image.Image, above: int) -> Seen:
    marked = float(to_mask(image, above).mean())
    return Seen((image.height, image.width), image.mode, image_files.is_deep(image), False, marked)
