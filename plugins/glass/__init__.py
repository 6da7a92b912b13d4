"""GLASS (arXiv 2407.09359): a discriminator trained on painted images, and on noise pushed towards what it misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, Requirements, hookimpl
from adbench.api import Count, Interpolation, OptionError, Positive, Range, Resize, Share, Size

from ..textures import TEXTURES

if TYPE_CHECKING:
    from .model import GLASS


@dataclass(frozen=True)
class GLASSOptions(BackboneOptions):
    """The published set-up of the authors' program, without foreground masks."""

    size: Size = (288, 288)
    resize: Resize = "crop"
    interpolation: Interpolation = "bilinear"
    layers: tuple[int, ...] = (2, 3)

    width: Count = 1536
    """Numbers in the vector of each position, pooled from the patches of all layers."""

    hidden: Count = 1024
    """Hidden units of the discriminator."""

    noise: Positive = 0.015
    """Standard deviation of the noise that makes vectors anomalous, in units of the features: 0.015 is for
    wide_resnet50_2, and efficientnet_lite0 needs about 1."""

    distribution: Literal["manifold", "hypersphere"] = "manifold"
    """The distance that noisy vectors keep: manifold is from their own good vectors, hypersphere from the mean of all
    good vectors at their position."""

    nearest: Positive = 0.5
    """With manifold, the least distance of a noisy vector from its good one, in units of the features."""

    farthest: Positive = 1.0
    """With manifold, the largest one."""

    ascent_steps: Annotated[int, Range(0)] = 20
    """Steps by which noisy vectors climb towards what the discriminator takes for good."""

    ascent_rate: Positive = 1e-3
    """Length of such a step, in units of the features."""

    hard: Share = 0.5
    """Share of the painted images' vectors, those with the largest errors, that count in the loss."""

    epochs: Count = 640
    """Passes over the training images."""

    epoch_images: Count = 392
    """An epoch ends after the batch that exceeds this number of images."""

    lr: Positive = 2e-4
    """Learning rate of the discriminator, by AdamW."""

    weight_decay: Annotated[float, Range(0)] = 0.01
    """Weight decay of the discriminator, apart from its gradient."""

    adaptor_lr: Positive = 1e-4
    """Learning rate of the adaptor, by Adam."""

    adaptor_weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of the adaptor, added to its gradient."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""

    def __post_init__(self) -> None:
        if self.farthest < self.nearest:
            found = f"{self.farthest}, less than nearest, {self.nearest}"
            raise OptionError("option farthest of glass", found=found, wanted="at least as much")


PAPER = GLASSOptions()

HYPERSPHERE = (
    "mvtec/bottle", "mvtec/cable", "mvtec/pill", "mvtec/screw", "mvtec/transistor", "visa/cashew", "visa/fryum",
    "visa/pcb1", "visa/pcb2", "visa/pcb4", "visa/pipe_fryum",
)  # fmt: skip
"""The classes for which the authors chose it, by the spectrum of their mean training image."""

DISTRIBUTIONS: dict[str, dict[str, Any]] = {name: {"distribution": "hypersphere"} for name in HYPERSPHERE}
PUBLISHED = {
    **DISTRIBUTIONS,
    "mvtec/toothbrush": {"resize_to": (329, 329)},
    "mvtec/wood": {"resize_to": (329, 329)},
}

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: 640 epochs of 400 images at 288 x 288", PUBLISHED),
    "quick": Preset(replace(PAPER, epochs=40), "As published, but 40 epochs", PUBLISHED),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            resize="stretch",
            interpolation="lanczos",
            backbone="efficientnet_lite0",
            layers=(3, 4),
            width=256,
            hidden=256,
            noise=1.0,
            nearest=14.0,
            farthest=28.0,
            ascent_steps=5,
            ascent_rate=0.03,
            epochs=20,
            epoch_images=120,
            lr=1e-3,
            adaptor_lr=5e-4,
        ),
        "A small backbone and short vectors at 256 x 256 for 20 epochs of 120 images: minutes on a laptop",
        DISTRIBUTIONS,
    ),
}


def build(options: GLASSOptions, context: BuildContext) -> GLASS:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import GLASS

    return GLASS(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer GLASS."""
    return [
        Method(
            name="glass",
            summary="A discriminator trained on painted images and on noise that climbs towards good features",
            build=build,
            options=GLASSOptions,
            presets=PRESETS,
            paper="arXiv 2407.09359",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class",),
            requirements=Requirements(auxiliary=(TEXTURES,)),
        )
    ]
