"""DRAEM (arXiv 2108.07610): a network that paints anomalies away, and one that finds what it has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adbench import BuildContext, Method, Options, Preset, Published, Requirements, hookimpl
from adbench.api import Count, Interpolation, Positive, Share

from ..textures import TEXTURES

if TYPE_CHECKING:
    from .model import DRAEM


@dataclass(frozen=True)
class DRAEMOptions(Options):
    """The published set-up of the authors' program."""

    interpolation: Interpolation = "bilinear-aliased"

    width: Count = 128
    """Channels of the reconstructive network's first block; its deepest ones have eight times as many."""

    segmentation_width: Count = 64
    """Channels of the discriminative network's first block; its deepest ones have eight times as many."""

    rotated: Share = 0.3
    """Share of the training images that are rotated, by up to 90 degrees."""

    epochs: Count = 700
    """Passes over the training images, or over epoch_images of them."""

    epoch_images: Count | None = None
    """An epoch ends after the batch that reaches this number of images, in one pass or several; none for one pass."""

    lr: Positive = 1e-4
    """Learning rate of Adam for both networks."""

    decay_at: tuple[Share, ...] = (0.8, 0.9)
    """Parts of the training after which the learning rate is multiplied by decay."""

    decay: Share = 0.2
    """Factor of the learning rate at each of decay_at."""


PAPER = DRAEMOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: 700 epochs at 256 x 256"),
    "quick": Preset(replace(PAPER, epochs=100), "As published, but 100 epochs"),
    "cpu": Preset(
        replace(
            PAPER,
            size=(128, 128),
            interpolation="lanczos",
            width=16,
            segmentation_width=16,
            epochs=100,
            epoch_images=40,
            lr=3e-4,
        ),
        "Small networks at 128 x 128 for 100 epochs of 40 images: minutes on a laptop",
    ),
}


def build(options: DRAEMOptions, context: BuildContext) -> DRAEM:
    """Make the detector, without training."""
    from .model import DRAEM

    return DRAEM(options, context)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer DRAEM."""
    return [
        Method(
            name="draem",
            summary="Paints synthetic anomalies away, and finds where the image and its reconstruction differ",
            build=build,
            options=DRAEMOptions,
            presets=PRESETS,
            paper="arXiv 2108.07610",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class"),
            requirements=Requirements(auxiliary=(TEXTURES,)),
        )
    ]
