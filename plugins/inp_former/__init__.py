"""INP-Former (arXiv 2503.02424): a transformer's layers restored from normal prototypes of the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range, Size

if TYPE_CHECKING:
    from .model import INPFormer


@dataclass(frozen=True)
class INPFormerOptions(BackboneOptions):
    """The published set-up with ViT-B/14."""

    size: Size = (392, 392)
    resize_to: Size | None = (448, 448)
    interpolation: Interpolation = "bilinear"
    batch_size: Count = 16
    backbone: str = "timm:vit_base_patch14_reg4_dinov2"
    layers: tuple[int, ...] = (3, 4, 5, 6, 7, 8, 9, 10)

    prototypes: Count = 6
    """Intrinsic normal prototypes of an image."""

    blocks: Count = 8
    """Blocks of the decoder."""

    coherence: Annotated[float, Range(0)] = 0.2
    """Weight of the loss that keeps each position near one of the prototypes."""

    mining: Annotated[float, Range(0)] = 3.0
    """Exponent of a position's distance, relative to the batch's mean, as the factor of its gradient; 0 for none."""

    epochs: Count = 200
    """Passes over the training images."""

    lr: Positive = 1e-3
    """Highest learning rate of StableAdamW."""

    final_lr: Annotated[float, Range(0)] = 1e-4
    """Learning rate at the end."""

    warmup: Annotated[int, Range(0)] = 100
    """Steps in which the learning rate rises from 0."""

    weight_decay: Annotated[float, Range(0)] = 1e-4
    """Weight decay, apart from the gradient."""

    map_size: Size = (256, 256)
    """Height and width of the map that is smoothed and scores the image."""


PAPER = INPFormerOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: ViT-B/14 of DINOv2 on the central 392 x 392 of images at 448"),
    "quick": Preset(
        replace(PAPER, backbone="timm:vit_small_patch14_reg4_dinov2", epochs=20),
        "As published, but with ViT-S/14 and 20 epochs",
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
            epochs=20,
            warmup=20,
        ),
        "Two levels of a small convolutional network in place of the transformer, 20 epochs: minutes on a laptop",
    ),
}


def build(options: INPFormerOptions, context: BuildContext) -> INPFormer:
    """Make the detector with its frozen backbone and untrained networks."""
    from adbench import backbones

    from ..token_decoder import grouped, positions_of
    from .model import INPFormer

    backbone = backbones.from_options(options, context, positions=positions_of(options.backbone))
    return INPFormer(options, context, grouped(backbone, options.blocks))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer INP-Former."""
    return [
        Method(
            name="inp-former",
            summary="A decoder that restores a transformer's layers from prototypes of the image itself",
            build=build,
            options=INPFormerOptions,
            presets=PRESETS,
            paper="arXiv 2503.02424",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
