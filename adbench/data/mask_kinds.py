"""Masks in which the present rule marks other pixels than that of earlier versions, whose numbers are told from those.

That rule was: every pixel that is not black, or in a lossy format with bright marks those of at least 128. So soft
edges were wholly defective, transparent pixels counted by their colour, and a mask's own orientation didn't count.
Which masks these are is remembered in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ..api.data import Problem, Sample
from ..util.digests import Digests, Signature, Watch
from . import image_files
from .deep import orientation_of
from .masks import LOSSY_FORMATS, Bools, to_mask

INDEX = "masks-1.sqlite"
"""The file in the cache; another number makes it anew."""

_SAME, _OTHER = "same", "other"


def read_otherwise(
    samples: Iterable[Sample], watch: Watch | None = None, *, known: Mapping[Path, Signature | None] | None = None
) -> frozenset[Path]:
    """The masks that mark other pixels than by the rule of earlier versions.

    A rule of the user's own doesn't count: it stands in a run's name, and such runs are on the same images. Where the
    data set has a threshold, nothing has changed, and no mask is opened.

    Args:
        samples: with masks.
        watch: called with the progress where files must be opened.
        known: the present signatures of the files, if they were looked up before.
    """
    paths = [path for each in samples if not each.mask_above for path in each.masks]
    if not paths:
        return frozenset()
    with image_files.quiet():
        texts = Digests(name=INDEX, read=_text_of).of(paths, watch, known=known)
    return frozenset(path for path, text in texts.items() if text == _OTHER)


def _text_of(path: Path) -> str | None:
    image = image_files.read_image(path)
    if isinstance(image, Problem):
        return None
    try:
        is_same = orientation_of(image) == 1 and np.array_equal(to_mask(image), _as_before(image))
    except ValueError:  # decoding it says what is wrong
        return None
    return _SAME if is_same else _OTHER


def _as_before(image: Image.Image) -> Bools:
    """The defect pixels (H, W) by the rule of earlier versions."""
    deep = image_files.is_deep(image)
    values = np.asarray(image) if deep else np.asarray(image_files.to_rgb(image)).max(axis=2)
    return np.asarray(values >= 128 if image.format in LOSSY_FORMATS and values.max() >= 128 else values > 0)
