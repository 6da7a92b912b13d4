"""SuperSimpleNet (arXiv 2408.03143): noise on features as anomalies, and a head that classifies the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Share

if TYPE_CHECKING:
    from .model import SuperSimpleNet


@dataclass(frozen=True)
class SuperSimpleNetOptions(BackboneOptions):
    """The published set-up of the ICPR paper, trained on good images only."""

    interpolation: Interpolation = "bilinear-aliased"
    batch_size: Count = 32
    layers: tuple[int, ...] = (2, 3)

    upscale: Count = 2
    """Factor by which features are enlarged, so that small defects count more; 1 is four times as fast as 2."""

    hidden: Count = 1024
    """Channels in the head that makes the map."""

    head_channels: Count = 128
    """Channels in the head that scores the image."""

    head_input: Literal["adapted", "raw"] = "adapted"
    """Features that the image's head sees: those after the adaptor, as in the ICPR paper, or before it, as in its
    extension (arXiv 2508.19060)."""

    image_score: Literal["head", "map"] = "head"
    """The image's score: that of its own head, or the map's highest value."""

    noise: Positive = 0.015
    """Standard deviation of the noise that makes features anomalous, in units of the features: 0.015 is for
    wide_resnet50_2, and efficientnet_lite0 needs about 1."""

    threshold: Annotated[float, Range(-1, 1)] = 0.2
    """Value of Perlin noise above which features become anomalous; a higher one makes smaller anomalies."""

    margin: Annotated[float, Range(0)] = 0.5
    """Distance from 0 that the map's values shall have: below on good features, above on anomalous ones."""

    epochs: Count = 300
    """Passes over the training images."""

    lr: Positive = 2e-4
    """Learning rate of AdamW for both heads."""

    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of both heads."""

    adaptor_lr: Positive = 1e-4
    """Learning rate of the adaptor."""

    adaptor_weight_decay: Annotated[float, Range(0)] = 0.01
    """Weight decay of the adaptor."""

    decay_at: tuple[Share, ...] = (0.8, 0.9)
    """Parts of the training after which learning rates are multiplied by decay."""

    decay: Share = 0.4
    """Factor of the learning rates at each of decay_at."""


PAPER = SuperSimpleNetOptions()

VISA = (
    "candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1", "pcb2", "pcb3", "pcb4",
    "pipe_fryum",
)  # fmt: skip
PER_CLASS = {f"visa/{name}": {"threshold": 0.6} for name in VISA}

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: 300 epochs at 256 x 256; smaller anomalies on VisA", PER_CLASS),
    "quick": Preset(replace(PAPER, epochs=60), "As published, but 60 epochs", PER_CLASS),
    "cpu": Preset(
        replace(
            PAPER,
            interpolation="lanczos",
            batch_size=8,
            backbone="efficientnet_lite0",
            layers=(3, 4),
            upscale=2,
            hidden=256,
            head_channels=32,
            image_score="map",
            noise=1.0,
            epochs=20,
            lr=1e-3,
            adaptor_lr=5e-4,
        ),
        "A small backbone and small heads for 20 epochs, images scored by the map: minutes on a laptop",
        PER_CLASS,
    ),
}


def build(options: SuperSimpleNetOptions, context: BuildContext) -> SuperSimpleNet:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import SuperSimpleNet

    return SuperSimpleNet(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer SuperSimpleNet."""
    return [
        Method(
            name="supersimplenet",
            summary="Noise on features as anomalies; one head finds it, another one scores the image",
            build=build,
            options=SuperSimpleNetOptions,
            presets=PRESETS,
            paper="arXiv 2408.03143",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class"),
        )
    ]
