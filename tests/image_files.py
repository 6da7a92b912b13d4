"""Writes small image files and decodes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from adbench.api.data import Problem, Sample
from adbench.data.decode import Decoded, decode_sample
from adbench.data.framing import Framing

SIZE = (16, 24)
SMALL = Framing((4, 6))
RAMP = np.linspace(0, 255, 24 * 16).round().astype(np.uint8).reshape(SIZE)
COLOURS = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 90)], axis=2)


def save(path: Path, pixels, **options) -> Path:
    """Write an array, or a Pillow image, as an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    image.save(path, **options)
    return path


def decode(path: Path, mask: Path | None = None, framing=SMALL) -> Decoded:
    done = decode_sample(Sample(path, int(mask is not None), "cut", mask), framing)
    assert isinstance(done, Decoded), done
    return done


def refuse(path: Path, mask: Path | None = None) -> Problem:
    done = decode_sample(Sample(path, int(mask is not None), "cut", mask), SMALL)
    assert isinstance(done, Problem)
    return done
