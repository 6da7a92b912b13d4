"""The golden numbers of the newer metrics, and masks that are stored as bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "data" / "metrics2.npz"

GOLDEN = dict(np.load(PATH))


def scores(name: str, scale: int = 1024) -> np.ndarray:
    """Maps, stored as multiples of 1 / scale."""
    return (GOLDEN[name] / scale).astype(np.float32)


def masks(name: str, width: int) -> np.ndarray:
    """Masks, stored as bits along the last axis."""
    return np.unpackbits(GOLDEN[name], axis=-1)[..., :width].astype(bool)


def golden(name: str) -> float:
    """One number."""
    return float(GOLDEN[name])
