"""U-Flow (arXiv 2211.12353): one normalizing flow over all levels of a backbone, from the coarsest to the finest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneEntry, BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Share, Size

if TYPE_CHECKING:
    from adbench import Network

    from .model import UFlow

CAIT = "mcait"


@dataclass(frozen=True)
class UFlowOptions(BackboneOptions):
    """The published set-up with two transformers, and the learning rate and batch of the program's default."""

    size: Size = (448, 448)
    interpolation: Interpolation = "bilinear"
    backbone: str = CAIT
    layers: tuple[int, ...] = (1, 2)

    steps: Count = 4
    """Coupling blocks in the flow of each level."""

    norm: Literal["trained", "backbone"] = "backbone"
    """What a level passes first: the frozen norm of a vision transformer, or a layer norm over all its numbers, trained
    with the flow."""

    clamp: Positive = 2.0
    """Bound of the exponents in all couplings."""

    lr: Positive = 1e-4
    """Learning rate of Adam at the start."""

    final: Share = 0.4
    """Part of lr to which the learning rate falls in a straight line."""

    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of Adam, added to the gradient."""

    epochs: Count = 200
    """Passes over the training images."""

    evaluate_every: Count = 10
    """Epochs between two evaluations."""


PAPER = UFlowOptions()
WRN50 = replace(PAPER, backbone="wide_resnet50_2", layers=(1, 2, 3), norm="trained")

PRESETS = {
    "paper": Preset(PAPER, "The published set-up with two CaiT transformers: 200 epochs at 448 x 448"),
    "paper-wrn50": Preset(WRN50, "The published set-up with wide_resnet50_2: 200 epochs at 448 x 448"),
    "quick": Preset(
        replace(WRN50, size=(256, 256), lr=1e-3, epochs=20, evaluate_every=5),
        "wide_resnet50_2 at 256 x 256 for 20 epochs",
    ),
    "cpu": Preset(
        replace(
            WRN50,
            size=(256, 256),
            interpolation="lanczos",
            backbone="efficientnet_lite0",
            layers=(2, 3, 4),
            lr=1e-3,
            epochs=60,
        ),
        "A small backbone at 256 x 256 for 60 epochs: minutes on a laptop",
    ),
}


def build(options: UFlowOptions, context: BuildContext) -> UFlow:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import UFlow

    is_asked = options.norm == "backbone" and options.backbone.startswith("timm:")  # a plugin's applies its own
    return UFlow(options, context, backbones.from_options(options, context, norm=is_asked))


def build_cait(layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    """Build the two transformers; torch is imported then."""
    from . import cait

    return cait.build(layers, weights, pretrained)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer U-Flow."""
    return [
        Method(
            name="uflow",
            summary="A normalizing flow over all levels of the backbone, from the coarsest to the finest",
            build=build,
            options=UFlowOptions,
            presets=PRESETS,
            paper="arXiv 2211.12353",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
        )
    ]


@hookimpl
def adbench_backbones() -> Sequence[BackboneEntry]:
    """Offer the two transformers."""
    return [
        BackboneEntry(
            CAIT,
            "CaiT-M48 at 448 x 448 (layer 1) and CaiT-S24 at 224 x 224 (layer 2), for images of 448 x 448",
            build_cait,
            weights="timm",
        )
    ]
