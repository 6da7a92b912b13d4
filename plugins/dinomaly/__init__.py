"""Dinomaly (arXiv 2405.14325): a noisy bottleneck and blocks of linear attention restore a transformer's layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Share, Size

if TYPE_CHECKING:
    from .model import Dinomaly


@dataclass(frozen=True)
class DinomalyOptions(BackboneOptions):
    """The published set-up with ViT-B/14, for MVTec AD and VisA."""

    size: Size = (392, 392)
    resize_to: Size | None = (448, 448)
    interpolation: Interpolation = "bilinear"
    batch_size: Count = 16
    backbone: str = "timm:vit_base_patch14_reg4_dinov2"
    layers: tuple[int, ...] = (3, 4, 5, 6, 7, 8, 9, 10)

    tokens: Literal["all", "none"] = "all"
    """Whether the transformer's class token and registers pass through bottleneck and decoder as well; convolutional
    networks have none."""

    blocks: Count = 8
    """Blocks of the decoder."""

    dropout: Annotated[float, Range(0, 0.999)] = 0.2
    """Share of zeros before, within and after the bottleneck."""

    discarded: Share = 0.9
    """Share of the best restored positions of a batch whose gradient is damped, in the end."""

    damping: Share = 0.1
    """Factor of the gradient of these positions."""

    ramp: Count = 1000
    """Steps in which the share rises from 0."""

    iterations: Count | None = None
    """Optimiser steps; none for 10000 if one model is trained for several classes, and 5000 else."""

    epochs: Count | None = None
    """Passes over the training images, instead of iterations."""

    lr: Positive = 2e-3
    """Highest learning rate of StableAdamW."""

    final_lr: Annotated[float, Range(0)] = 2e-4
    """Learning rate at the end."""

    warmup: Annotated[int, Range(0)] = 100
    """Steps in which the learning rate rises from 0."""

    weight_decay: Annotated[float, Range(0)] = 1e-4
    """Weight decay, apart from the gradient."""

    map_size: Size = (256, 256)
    """Height and width of the map that is smoothed and scores the image."""


PAPER = DinomalyOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: ViT-B/14 of DINOv2 on the central 392 x 392 of images at 448"),
    "paper-large": Preset(
        replace(
            PAPER,
            backbone="timm:vit_large_patch14_reg4_dinov2",
            layers=(5, 7, 9, 11, 13, 15, 17, 19),
        ),
        "As published, with ViT-L/14",
    ),
    "paper-real-iad": Preset(
        replace(PAPER, dropout=0.4, iterations=50000),
        "As published for one model of all classes of Real-IAD",
        settings=("multi-class",),
    ),
    "quick": Preset(
        replace(PAPER, backbone="timm:vit_small_patch14_reg4_dinov2", ramp=100, iterations=1000),
        "As published, but with ViT-S/14 and 1000 steps",
    ),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            resize_to=None,
            interpolation="lanczos",
            batch_size=4,
            backbone="efficientnet_lite0",
            layers=(2, 3),
            tokens="none",
            ramp=100,
            epochs=20,
            warmup=20,
        ),
        "Two levels of a small convolutional network in place of the transformer, 20 epochs: minutes on a laptop",
    ),
}


def build(options: DinomalyOptions, context: BuildContext) -> Dinomaly:
    """Make the detector with its frozen backbone and untrained decoder."""
    from adbench import backbones

    from ..token_decoder import grouped, positions_of
    from .model import Dinomaly

    positions = positions_of(options.backbone)
    backbone = backbones.from_options(options, context, tokens=options.tokens, positions=positions)
    return Dinomaly(options, context, grouped(backbone, options.blocks))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer Dinomaly."""
    return [
        Method(
            name="dinomaly",
            summary="A noisy bottleneck and a decoder of linear attention that restore a transformer's layers",
            build=build,
            options=DinomalyOptions,
            presets=PRESETS,
            paper="arXiv 2405.14325",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class"),
        )
    ]
