"""MSFlow (arXiv 2308.15300): flows over three scales, tied together by a fusion flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, Method, hookimpl
from adbench.types import Count, Positive, Preset, Published, Range, Share, Size

if TYPE_CHECKING:
    import torch

    from .model import MSFlow


@dataclass(frozen=True)
class MSFlowOptions(BackboneOptions):
    """The published set-up.

    ``pool`` smooths and halves each feature map before its flow. ``blocks`` counts the coupling blocks
    of each scale's flow, ``cond_channels`` the channels of their position code; ``clamp`` bounds the
    exponents of all couplings. Training runs for ``meta_epochs`` x ``sub_epochs`` epochs with Adam;
    the learning rate climbs from ``warmup_start`` x ``lr`` during the first ``warmup`` meta-epochs and
    is multiplied by ``decay`` at each of ``decay_epochs``; gradients are clipped to the norm
    ``clip_norm``. An image's score is the mean of the ``top_fraction`` highest values of its map.
    """

    size: Size = (512, 512)
    padding: Literal["zeros", "reflect"] = "reflect"
    pool: Literal["avg", "max", "none"] = "avg"
    blocks: tuple[Count, ...] = (2, 5, 8)
    cond_channels: Count = 64
    clamp: Positive = 1.9
    lr: Positive = 1e-4
    meta_epochs: Count = 25
    sub_epochs: Count = 4
    warmup: Annotated[int, Range(0)] = 3
    warmup_start: Share = 0.1
    decay_epochs: tuple[int, ...] = (70, 90)
    decay: Share = 0.33
    clip_norm: Positive = 2.0
    top_fraction: Annotated[float, Range(0, 1, above=True)] = 0.03


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


def build(options: MSFlowOptions, device: torch.device) -> MSFlow:
    """Make the detector with its frozen backbone; nothing is trained yet."""
    from adbench import backbones

    from .model import MSFlow

    return MSFlow(options, device, backbones.from_options(options, device, pool=options.pool))


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
