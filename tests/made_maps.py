"""Made test sets: maps with masks, labels and image scores."""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def discs(count: int, side: int, seed: int) -> Arrays:
    """Noisy maps with skewed scores, discs of very different sizes in three images of four, and a region map."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    maps, masks = rng.normal(0, 0.5, (count, side, side)), np.zeros((count, side, side), bool)
    for number in range(count * 3 // 4):
        for _ in range(rng.integers(1, 5)):
            row, column = rng.integers(0, side, 2)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(1, side / 8) ** 2
            masks[number] |= disc
            maps[number] += rng.exponential(1.5) * disc
    maps = np.exp(maps).astype(np.float32)
    labels = np.arange(count) < count * 3 // 4
    return {"maps": maps, "masks": masks, "labels": labels, "image_scores": maps.max(axis=(1, 2))}


def small(seed: int, levels: int, dtype: type, count: int = 5) -> Arrays:
    """A few pixels with few different scores and ties everywhere, also among image scores."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 6, 7)) < rng.choice([0.05, 0.4])
    maps = (rng.integers(0, levels, masks.shape) + masks * rng.integers(0, 3)).astype(dtype)
    labels = rng.random(count) < 0.5
    return {"maps": maps, "masks": masks, "labels": labels, "image_scores": rng.integers(0, 4, count).astype(dtype)}
