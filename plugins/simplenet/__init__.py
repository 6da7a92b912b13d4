"""SimpleNet (arXiv 2303.15140): a small discriminator that tells features of good images from noisy ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Resize, Size

if TYPE_CHECKING:
    from .model import SimpleNet


@dataclass(frozen=True)
class SimpleNetOptions(BackboneOptions):
    """The published set-up of the authors' program."""

    size: Size = (288, 288)
    resize: Resize = "crop"
    resize_to: Size | None = (329, 329)
    interpolation: Interpolation = "bilinear"
    layers: tuple[int, ...] = (2, 3)

    width: Count = 1536
    """Numbers in the vector of each position, pooled from the patches of all layers."""

    hidden: Count = 1024
    """Hidden units of the discriminator."""

    noise: Positive = 0.015
    """Standard deviation of the noise that makes vectors anomalous, in units of the features: 0.015 is for
    wide_resnet50_2, and efficientnet_lite0 needs about 1."""

    margin: Annotated[float, Range(0)] = 0.5
    """Distance from 0 that the discriminator's values shall have: above on good vectors, below on noisy ones."""

    meta_epochs: Count = 40
    """Training runs for meta_epochs x sub_epochs epochs."""

    sub_epochs: Count = 4
    """Epochs in a meta-epoch; the method is evaluated after each meta-epoch."""

    lr: Positive = 2e-4
    """Learning rate of the discriminator, by Adam."""

    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of the discriminator, added to its gradient."""

    adaptor_lr: Positive = 1e-4
    """Learning rate of the adaptor, by AdamW."""

    adaptor_weight_decay: Annotated[float, Range(0)] = 0.01
    """Weight decay of the adaptor, apart from its gradient."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""


PAPER = SimpleNetOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: 40 x 4 epochs on the central 288 x 288 of images resized to 329"),
    "quick": Preset(replace(PAPER, meta_epochs=10), "As published, but 10 x 4 epochs"),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            resize="stretch",
            resize_to=None,
            interpolation="lanczos",
            backbone="efficientnet_lite0",
            layers=(3, 4),
            width=256,
            hidden=256,
            noise=1.0,
            meta_epochs=5,
        ),
        "A small backbone and short vectors at 256 x 256 for 5 x 4 epochs: minutes on a laptop",
    ),
}


def build(options: SimpleNetOptions, context: BuildContext) -> SimpleNet:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import SimpleNet

    return SimpleNet(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer SimpleNet."""
    return [
        Method(
            name="simplenet",
            summary="A discriminator between adapted features of good images and the same with noise",
            build=build,
            options=SimpleNetOptions,
            presets=PRESETS,
            paper="arXiv 2303.15140",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class"),
        )
    ]
