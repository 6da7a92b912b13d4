"""The images and commands of the campaign: a data set that is made in a moment, and the smallest options of methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64
"""Sides of the images in pixels."""

CLASS = "plates"
BRIGHT = Path(__file__).with_name("bright.py")
"""The plugin of a method that costs nothing and whose scores any change of an image moves."""

METHODS: dict[str, tuple[str, ...]] = {
    "msflow": ("-o", "meta_epochs=2", "-o", "sub_epochs=1", "-o", "blocks=1,1,1", "-o", "batch_size=4"),
    "cflow": ("-o", "meta_epochs=2", "-o", "sub_epochs=1", "-o", "blocks=1", "-o", "fibres=8", "-o", "batch_size=4"),
    "padim": ("-o", "dimensions=20", "-o", "batch_size=4"),
    "patchcore": ("-o", "share=0.05", "-o", "batch_size=4"),
}
"""Options that make a run on the images take about a second."""


def make(root: Path, *, train: int = 6, good: int = 3, bad: int = 3, side: int = SIDE, name: str = CLASS) -> Path:
    """Write one class in MVTec layout: striped plates, and bright spots as defects with exact masks."""
    draw = np.random.default_rng(0)
    for part, count in (("train/good", train), ("test/good", good), ("test/spot", bad)):
        folder = root / name / part
        folder.mkdir(parents=True)
        for number in range(count):
            image = _plate(draw, side)
            if part == "test/spot":
                mask = np.zeros((side, side), np.uint8)
                top, left = draw.integers(4, side - 16, 2)
                mask[top : top + 10, left : left + 8] = 255
                image[mask > 0] = np.minimum(image[mask > 0] + 70, 255)
                place = root / name / "ground_truth" / "spot"
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(place / f"{number:03d}_mask.png")
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{number:03d}.png")
    return root


def _plate(draw: np.random.Generator, side: int) -> np.ndarray:
    """An image (side, side, 3) of stripes and noise; its numbers leave room for a defect."""
    stripes = 100 + 30 * np.sin(np.arange(side) / 3 + draw.uniform(0, 6))
    image = np.stack([stripes * share for share in (1, 0.9, 0.8)], axis=-1)[None].repeat(side, axis=0)
    return np.asarray(image + draw.integers(0, 20, (side, side, 3)), np.int64)


def command(method: str, root: Path, *words: str, results: str = "results") -> tuple[str, ...]:
    """The words of a run of one of ``METHODS``, or of several joined by commas, on images below ``root``."""
    options = [word if word == "-o" else f"{name}.{word}" for name in method.split(",") for word in METHODS[name]]
    return (
        "run", "-m", method, "-d", "folder", "--data-root", str(root), "-p", "cpu", "--size", f"{SIDE}x{SIDE}",
        "--device", "cpu", "--threads", "1", "--results", results, *options, *words,
    )  # fmt: skip


def bright(root: Path, *words: str, results: str = "results") -> tuple[str, ...]:
    """The words of a run of the plugin's method."""
    return (
        "run", "-m", "bright", "--plugin", str(BRIGHT), "-d", "folder", "--data-root", str(root), "--device", "cpu",
        "--threads", "1", "--results", results, *words,
    )  # fmt: skip
