"""RD4AD (arXiv 2201.10703): a decoder restores a frozen network's features from a small code, and fails on defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range

if TYPE_CHECKING:
    from .model import RD4AD


@dataclass(frozen=True)
class RD4ADOptions(BackboneOptions):
    """The published set-up."""

    interpolation: Interpolation = "bilinear"
    batch_size: Count = 16

    epochs: Count = 200
    """Passes over the training images."""

    lr: Positive = 0.005
    """Learning rate of Adam, the same in all epochs."""

    beta1: Annotated[float, Range(0, 0.999)] = 0.5
    """Adam's decay of the mean gradient."""

    loss: Literal["whole", "positions"] = "whole"
    """What is compared by its direction: whole takes each level of an image as one vector, as the authors' program
    does; positions takes the vector of each position, as the paper's equation does."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""


PAPER = RD4ADOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: wide_resnet50_2 at 256 x 256 for 200 epochs"),
    "quick": Preset(replace(PAPER, backbone="resnet18", epochs=40), "The small variant: resnet18 for 40 epochs"),
    "cpu": Preset(
        replace(
            PAPER,
            interpolation="lanczos",
            batch_size=4,
            backbone="efficientnet_lite0",
            layers=(2, 3, 4),
            epochs=20,
        ),
        "A small backbone, bottleneck and decoder at 256 x 256, 20 epochs in batches of 4: minutes on a laptop",
    ),
}


def build(options: RD4ADOptions, context: BuildContext) -> RD4AD:
    """Make the detector with its frozen backbone and untrained networks."""
    from adbench import backbones

    from .model import RD4AD

    return RD4AD(options, context, backbones.from_options(options, context))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer RD4AD."""
    return [
        Method(
            name="rd4ad",
            summary="A decoder that restores a frozen network's features from a small code",
            build=build,
            options=RD4ADOptions,
            presets=PRESETS,
            paper="arXiv 2201.10703",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
