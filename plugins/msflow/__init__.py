"""MSFlow (arXiv 2308.15300): normalizing flows over three scales, joined by a fusion flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Positive, Range, Share, Size

if TYPE_CHECKING:
    from .model import MSFlow


@dataclass(frozen=True)
class MSFlowOptions(BackboneOptions):
    """The published set-up."""

    size: Size = (512, 512)
    padding: Literal["zeros", "reflect"] = "reflect"

    pool: Literal["avg", "max", "none"] = "avg"
    """How each feature map is smoothed and halved before its flow."""

    blocks: tuple[Count, ...] = (2, 5, 8)
    """Coupling blocks in the flow of each scale."""

    cond_channels: Count = 64
    """Channels of the position code that conditions the flows."""

    clamp: Positive = 1.9
    """Bound of the exponents in all couplings."""

    lr: Positive = 1e-4
    """Learning rate of Adam after the warm-up."""

    meta_epochs: Count = 25
    """Training runs for meta_epochs x sub_epochs epochs."""

    sub_epochs: Count = 4
    """Epochs in a meta-epoch; the method is evaluated after each meta-epoch."""

    warmup: Annotated[int, Range(0)] = 3
    """Meta-epochs at the start in which the learning rate climbs to lr."""

    warmup_start: Share = 0.1
    """Part of lr at which the warm-up starts."""

    decay_epochs: tuple[int, ...] = (70, 90)
    """Epochs at which the learning rate is multiplied by decay."""

    decay: Share = 0.33
    """Factor of the learning rate at each of decay_epochs."""

    clip_norm: Positive = 2.0
    """Norm to which gradients are clipped."""

    top_fraction: Annotated[float, Range(0, 1, above=True)] = 0.03
    """Part of the map's pixels, the highest ones, that gives the image score."""


PAPER = MSFlowOptions()
PER_CLASS = {"mvtec/transistor": {"size": (256, 256)}}

PRESETS = {
    "paper": Preset(
        PAPER, "The published set-up: 25 x 4 epochs at 512 x 512, features padded by reflection", PER_CLASS
    ),
    "quick": Preset(
        replace(PAPER, meta_epochs=10, sub_epochs=2, batch_size=4),
        "As published, but 10 x 2 epochs in batches of 4",
        PER_CLASS,
    ),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            backbone="efficientnet_lite0",
            padding="zeros",
            lr=1e-3,
            meta_epochs=6,
            sub_epochs=2,
            warmup=1,
            decay_epochs=(9, 11),
        ),
        "A small backbone at 256 x 256 for 6 x 2 epochs: minutes on a laptop",
    ),
}


def build(options: MSFlowOptions, context: BuildContext) -> MSFlow:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import MSFlow

    return MSFlow(options, context, backbones.from_options(options, context, pool=options.pool))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer MSFlow."""
    return [
        Method(
            name="msflow",
            summary="Multi-scale normalizing flows with a fusion flow over all scales",
            build=build,
            options=MSFlowOptions,
            presets=PRESETS,
            paper="arXiv 2308.15300",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
        )
    ]
