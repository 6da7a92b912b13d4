"""UniAD (arXiv 2206.03687): a transformer restores features that it can't copy, one model for all classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from adbench import BackboneEntry, BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Share, Size

if TYPE_CHECKING:
    from adbench import Network

    from .model import UniAD

BACKBONE = "efficientnet_b4_272"


@dataclass(frozen=True)
class UniADOptions(BackboneOptions):
    """The published set-up."""

    size: Size = (224, 224)
    interpolation: Interpolation = "bilinear"
    backbone: str = BACKBONE
    layers: tuple[int, ...] = (0, 1, 2, 3)

    stride: Count = 16
    """Pixels of the image per token: all layers are resized to this grid."""

    width: Count = 256
    """Numbers of a token within the transformer, a multiple of 2 and of heads."""

    heads: Count = 8
    """Heads of each attention."""

    hidden: Count = 1024
    """Numbers between the two linear layers of each feed-forward part."""

    blocks: Count = 4
    """Layers of the encoder, and as many of the decoder."""

    dropout: Annotated[float, Range(0, 0.999)] = 0.1
    """Share of numbers that are set to 0 in training, also in the attention's weights."""

    window: Count = 7
    """Side of the square of tokens around each one, itself included, that it can't attend to; an odd number."""

    jitter: Annotated[float, Range(0)] = 20.0
    """Noise on the features in training: its standard deviation is this many times the feature vector's length, divided
    by the number of channels."""

    epochs: Count = 1000
    """Passes over the training images."""

    lr: Positive = 1e-4
    """Learning rate of AdamW at the start."""

    weight_decay: Annotated[float, Range(0)] = 1e-4
    """Weight decay of AdamW."""

    clip_norm: Positive = 0.1
    """Norm to which gradients are clipped."""

    decay_at: Share = 0.8
    """Part of the training after which the learning rate is multiplied by decay."""

    decay: Share = 0.1
    """Factor of the learning rate from decay_at on."""


PAPER = UniADOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: EfficientNet-B4 at 224 x 224 for 1000 epochs"),
    "quick": Preset(replace(PAPER, epochs=100), "As published, but 100 epochs"),
    "cpu": Preset(
        replace(
            PAPER,
            interpolation="lanczos",
            batch_size=4,
            backbone="efficientnet_lite0",
            layers=(1, 2, 3),
            width=128,
            heads=4,
            hidden=512,
            blocks=1,
            dropout=0.0,
            epochs=50,
            lr=1e-3,
        ),
        "A small backbone and a small transformer at 224 x 224, 50 epochs in batches of 4: minutes on a laptop",
    ),
}


def build(options: UniADOptions, context: BuildContext) -> UniAD:
    """Make the detector with its frozen backbone and an untrained transformer."""
    from adbench import backbones

    from .model import UniAD

    return UniAD(options, context, backbones.from_options(options, context))


def build_backbone(layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    """Build the backbone; torch is imported then."""
    from . import extractor

    return extractor.build(layers, weights, pretrained)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer UniAD."""
    return [
        Method(
            name="uniad",
            summary="A transformer that restores features without seeing them or their neighbours",
            build=build,
            options=UniADOptions,
            presets=PRESETS,
            paper="arXiv 2206.03687",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class"),
        )
    ]


@hookimpl
def adbench_backbones() -> Sequence[BackboneEntry]:
    """Offer UniAD's feature extractor."""
    return [
        BackboneEntry(
            BACKBONE,
            "EfficientNet-B4 with layers 0 to 3: 24, 32, 56 and 160 channels at strides 2, 4, 8 and 16",
            build_backbone,
            weights="torchvision IMAGENET1K_V1",
        )
    ]
