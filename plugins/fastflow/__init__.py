"""FastFlow (arXiv 2111.07677): a normalizing flow of 2-D convolutions over each level of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range

if TYPE_CHECKING:
    from .model import FastFlow


@dataclass(frozen=True)
class FastFlowOptions(BackboneOptions):
    """The published set-up with WideResNet-50."""

    interpolation: Interpolation = "bilinear"
    batch_size: Count = 32

    steps: Count = 8
    """Coupling blocks in the flow of each level."""

    conv3x3_only: bool = False
    """Whether the convolutions of all subnets are 3 x 3; otherwise those of every second block are 1 x 1."""

    norm: Literal["trained", "backbone"] = "trained"
    """What a level passes first: a layer norm over all its numbers, trained with the flow, or the frozen norm of a
    vision transformer."""

    hidden_ratio: Positive = 1.0
    """Hidden channels of a subnet per input channel."""

    clamp: Positive = 2.0
    """Bound of the exponents in all couplings."""

    lr: Positive = 1e-3
    """Learning rate of Adam."""

    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of Adam, added to the gradient."""

    epochs: Count = 500
    """Passes over the training images."""

    evaluate_every: Count = 10
    """Epochs between two evaluations."""


PAPER = FastFlowOptions()
RESNET18 = replace(PAPER, backbone="resnet18", conv3x3_only=True)
DEIT = replace(
    PAPER,
    size=(384, 384),
    backbone="timm:deit_base_distilled_patch16_384",
    layers=(8,),
    steps=20,
    norm="backbone",
    hidden_ratio=0.16,
)
CAIT = replace(DEIT, size=(448, 448), backbone="mcait", layers=(1,))

PRESETS = {
    "paper": Preset(PAPER, "The published set-up with wide_resnet50_2: 500 epochs at 256 x 256"),
    "paper-resnet18": Preset(RESNET18, "The published set-up with resnet18: 500 epochs at 256 x 256"),
    "paper-deit": Preset(DEIT, "The published set-up with a vision transformer, DeiT: 500 epochs at 384 x 384"),
    "paper-cait": Preset(CAIT, "The published set-up with a vision transformer, CaiT: 500 epochs at 448 x 448"),
    "quick": Preset(
        replace(PAPER, batch_size=8, epochs=20, evaluate_every=5), "As published, but 20 epochs in batches of 8"
    ),
    "cpu": Preset(
        replace(
            PAPER,
            interpolation="lanczos",
            backbone="efficientnet_lite0",
            layers=(2, 3, 4),
            batch_size=4,
            epochs=40,
        ),
        "A small backbone at 256 x 256 for 40 epochs in batches of 4: minutes on a laptop",
    ),
}


def build(options: FastFlowOptions, context: BuildContext) -> FastFlow:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import FastFlow

    is_asked = options.norm == "backbone" and options.backbone.startswith("timm:")  # a plugin's applies its own
    return FastFlow(options, context, backbones.from_options(options, context, norm=is_asked))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer FastFlow."""
    return [
        Method(
            name="fastflow",
            summary="Normalizing flows of 2-D convolutions, one for each level of the backbone",
            build=build,
            options=FastFlowOptions,
            presets=PRESETS,
            paper="arXiv 2111.07677",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
        )
    ]
