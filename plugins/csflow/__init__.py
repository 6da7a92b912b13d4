"""CS-Flow (arXiv 2110.02855): one normalizing flow over the features of an image at three scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from adbench import BackboneEntry, BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Size

if TYPE_CHECKING:
    from adbench import Network

    from .model import CSFlow

BACKBONE = "efficientnet_b5_304"


@dataclass(frozen=True)
class CSFlowOptions(BackboneOptions):
    """The published set-up. There must be exactly one layer, which is computed for each scale of the image."""

    size: Size = (768, 768)
    interpolation: Interpolation = "bilinear"
    batch_size: Count = 16
    backbone: str = BACKBONE
    layers: tuple[int, ...] = (4,)

    hidden: Count = 1024
    """Channels between the convolutions of the subnets."""

    clamp: Positive = 3.0
    """Bound of the exponents in all couplings."""

    lr: Positive = 2e-4
    """Learning rate of Adam."""

    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of Adam, added to the gradient."""

    clip_norm: Positive = 1.0
    """Norm to which gradients are clipped."""

    epochs: Count = 240
    """Passes over the training images."""

    evaluate_every: Count = 60
    """Epochs between two evaluations."""


PAPER = CSFlowOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: 304 channels of EfficientNet-B5 at 768 x 768 for 240 epochs"),
    "quick": Preset(
        replace(PAPER, hidden=256, lr=1e-3, batch_size=8, epochs=20, evaluate_every=5),
        "As published, but with a quarter of the hidden channels for 20 epochs in batches of 8",
    ),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            interpolation="lanczos",
            batch_size=8,
            backbone="efficientnet_lite0",
            layers=(3,),
            hidden=64,
            lr=1e-3,
            epochs=20,
            evaluate_every=5,
        ),
        "112 channels of a small backbone at 256 x 256 for 20 epochs: minutes on a laptop",
    ),
}


def build(options: CSFlowOptions, context: BuildContext) -> CSFlow:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import CSFlow

    return CSFlow(options, context, backbones.from_options(options, context))


def build_backbone(layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    """Build the backbone; torch is imported then."""
    from . import extractor

    return extractor.build(layers, weights, pretrained)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer CS-Flow."""
    return [
        Method(
            name="csflow",
            summary="A normalizing flow over the features of an image at three scales",
            build=build,
            options=CSFlowOptions,
            presets=PRESETS,
            paper="arXiv 2110.02855",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
        )
    ]


@hookimpl
def adbench_backbones() -> Sequence[BackboneEntry]:
    """Offer CS-Flow's feature extractor."""
    return [
        BackboneEntry(
            BACKBONE,
            "EfficientNet-B5 whose layer 4 is the output of its block 35, with 304 channels at stride 32",
            build_backbone,
            weights="torchvision IMAGENET1K_V1",
        )
    ]
