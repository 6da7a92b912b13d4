"""Looks at the files of images and masks once, and remembers in the cache what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..api.data import Problem, Size
from ..api.marking import AUTO
from ..util.digests import Digests
from . import image_files
from .deep import Deep, Depth, orientation_of
from .depths import depth_text, parsed_depth
from .masks import to_mask

Watch = Callable[[int, int], None]
"""Called with the files looked at, and those to look at."""

VERSION = 3
"""Version of the remembered texts; another number makes them anew."""

COLOURS = "-RGB"
"""End of the kind of pixels of colours of more than 8 bits."""


@dataclass(frozen=True)
class Seen:
    """What a file of an image or mask is.

    Attributes:
        size: height and width, as viewers show it.
        mode: its kind of pixels: Pillow's name, such as "RGB", or of more than 8 bits the numbers, such as "uint16".
        peak: of an image of 8 bits the brightest value of 255; of a mask the share of its pixels that are marked.
        depth: its numbers and its orientation.
    """

    size: Size
    mode: str
    peak: float
    depth: Depth = field(default_factory=Depth)

    @property
    def has_alpha(self) -> bool:
        """Whether it has an alpha channel."""
        return self.mode in ("LA", "PA", "RGBA", "RGBa", "La")

    @property
    def is_grey(self) -> bool:
        """Whether it has one channel of grey."""
        return self.mode in ("1", "L", "LA", "La") or (self.depth.is_deep and not self.mode.endswith(COLOURS))


def images(paths: Iterable[Path], watch: Watch | None = None) -> dict[Path, Seen | Problem]:
    """Decode images, except those that are unchanged since they were looked at last."""
    return _look("images", paths, _image, watch)


def masks(
    paths: Iterable[Path], above: int, rule: str = AUTO, watch: Watch | None = None
) -> dict[Path, Seen | Problem]:
    """Decode masks, of which a rule says what is marked (see ``Sample.mask_above`` and ``Sample.mask_rule``)."""
    kind = f"masks-{above}" if rule == AUTO else f"masks-{above}-{rule.replace(':', '-')}"
    return _look(kind, paths, lambda path, data: _mask(path, data, above, rule), watch)


def _look(
    kind: str, paths: Iterable[Path], look: Callable[[Path, bytes], Seen], watch: Watch | None
) -> dict[Path, Seen | Problem]:
    broken: dict[Path, Problem] = {}

    def read(path: Path) -> str | None:  # None is not remembered: the file may be mended or limits changed
        try:
            seen = look(path, image_files.bytes_of(path, "the file"))
        except image_files.BadError as error:
            broken[path] = error.problem
            return None
        except ValueError as error:
            broken[path] = Problem(path, str(error), "Save it as grey or RGB with 8 or 16 bits")
            return None
        return f"{seen.size[0]} {seen.size[1]} {seen.mode} {seen.peak:.9g} {depth_text(seen.depth)}"

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
    height, width, mode, peak, depth = text.split(" ", 4)
    return Seen((int(height), int(width)), mode, float(peak), parsed_depth(depth))


def _image(path: Path, data: bytes) -> Seen:
    found = image_files.values_of(path, data)
    if isinstance(found, Deep):
        kind = f"{found.values.dtype.name}{COLOURS if found.values.ndim == 3 else ''}"
        height, width = found.values.shape[:2]
        return Seen(_turned((height, width), found.orientation), kind, 0.0, found.depth)
    depth = Depth(orientation=image_files.stored_orientation(path))
    shown = image_files.shown(found).image
    return Seen((shown.height, shown.width), found.mode, float(np.asarray(shown).max()), depth)


def _mask(path: Path, data: bytes, above: int, rule: str) -> Seen:
    mask = image_files.load(path, data)
    depth = Depth(orientation=image_files.stored_orientation(path))
    size = _turned((mask.height, mask.width), orientation_of(mask))
    return Seen(size, mask.mode, float(to_mask(mask, above, rule).mean()), depth)


def _turned(size: Size, orientation: int) -> Size:
    return size[::-1] if orientation >= 5 else size
