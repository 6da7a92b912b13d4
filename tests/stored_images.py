"""Images of noise for a store, and what a store leaves behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from adbench.api.data import Sample

SIZE = (16, 24)


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def make(folder: Path, good: int = 4, bad: int = 2) -> list[Sample]:
    """Noise images, the last ones defective, each of them in its own numbers."""
    draw = np.random.default_rng(3)
    samples = []
    for number in range(good + bad):
        path = write(folder / f"{number}.png", draw.integers(0, 256, (20, 30, 3), dtype=np.uint8))
        if number < good:
            samples.append(Sample(path))
        else:
            mask = np.zeros((20, 30), np.uint8)
            mask[4 : 10 + number, 5:15] = number
            samples.append(Sample(path, 1, "spot", write(folder / "masks" / f"{number}.png", mask)))
    return samples


def leftovers(cache: Path) -> list[Path]:
    return [path for path in (cache / "pictures").glob("*") if path.name.startswith(".")]
