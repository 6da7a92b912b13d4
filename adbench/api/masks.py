"""Which masks mark a defect: for data sets that give every image a mask, which is black where the image is good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..util.digests import Digests

INDEX = "marked.sqlite"
"""In the cache folder: which files of masks mark anything, so that each file is decoded once."""


def marked(paths: Sequence[Path]) -> dict[Path, bool | None]:
    """Whether each mask marks any pixel, that is, whether any is not black; None where it can't be read.

    Files are decoded in worker threads once, and again when they change.
    """
    found = Digests(name=INDEX, read=_is_marked).of(paths)
    return {path: None if mark is None else mark == "1" for path, mark in found.items()}


def _is_marked(path: Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            grey = image if image.mode in ("1", "L") else image.convert("RGB")
            return "0" if grey.getbbox() is None else "1"
    except Exception:  # broken bytes make Pillow raise errors of any type; the reader says so
        return None
