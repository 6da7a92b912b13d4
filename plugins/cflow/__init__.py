"""CFLOW-AD (arXiv 2107.12571): a conditional normalizing flow per scale over single feature vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Positive, Range, Share, Size

if TYPE_CHECKING:
    from .model import CFlow


@dataclass(frozen=True)
class CFlowOptions(BackboneOptions):
    """The published set-up.

    The authors draw the angle of each rotation anew, as ``copies`` 0 does. Fixed versions need the backbone only once;
    epochs take them in turn.
    """

    size: Size = (512, 512)
    batch_size: Count = 32
    layers: tuple[int, ...] = (2, 3, 4)
    padding: Literal["zeros", "reflect"] = "reflect"

    blocks: Count = 8
    """Coupling blocks in the decoder of each scale."""

    cond_channels: Count = 128
    """Channels of the position code that conditions the decoders."""

    clamp: Positive = 1.9
    """Bound of the exponents in all couplings."""

    rotation: Annotated[float, Range(0, 180)] = 5.0
    """Degrees by which training images are rotated at random, at most."""

    copies: Annotated[int, Range(0)] = 4
    """Rotated versions of each training image, which epochs take in turn. 0 draws each angle anew, and the backbone
    then runs in every epoch."""

    fibres: Count = 256
    """Feature vectors in a mini-batch of the decoders; a batch's vectors are shuffled."""

    lr: Positive = 2e-4
    """Learning rate of Adam after the warm-up."""

    meta_epochs: Count = 25
    """Training runs for meta_epochs x sub_epochs epochs."""

    sub_epochs: Count = 8
    """Epochs in a meta-epoch; the method is evaluated after each meta-epoch."""

    warmup: Annotated[int, Range(0)] = 2
    """Meta-epochs at the start in which the learning rate climbs to lr."""

    warmup_start: Share = 0.1
    """Part of lr at which the warm-up starts."""

    final: Share = 1e-3
    """Part of lr to which the learning rate falls along a cosine."""


SMALLER = {**dict.fromkeys(("cable", "capsule", "hazelnut", "metal_nut", "pill"), 256), "transistor": 128}
PER_CLASS = {f"mvtec/{name}": {"size": (side, side)} for name, side in SMALLER.items()}

PAPER = CFlowOptions()

PRESETS = {
    "paper": Preset(
        PAPER,
        "The published set-up: 25 x 8 epochs at 512 x 512, images rotated by up to 5 degrees in 4 versions",
        PER_CLASS,
    ),
    "quick": Preset(
        replace(PAPER, meta_epochs=10, sub_epochs=2, rotation=0.0),
        "As published, but 10 x 2 epochs and images as they are, not rotated",
        PER_CLASS,
    ),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            batch_size=8,
            backbone="efficientnet_lite0",
            padding="zeros",
            blocks=4,
            cond_channels=32,
            rotation=0.0,
            fibres=256,
            lr=1e-3,
            meta_epochs=6,
            sub_epochs=3,
            warmup=1,
        ),
        "A small backbone and decoder at 256 x 256 for 6 x 3 epochs, images not rotated: minutes on a laptop",
    ),
}


def build(options: CFlowOptions, context: BuildContext) -> CFlow:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import CFlow

    return CFlow(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer CFLOW-AD."""
    return [
        Method(
            name="cflow",
            summary="Conditional normalizing flows over single feature vectors, one per scale",
            build=build,
            options=CFlowOptions,
            presets=PRESETS,
            paper="arXiv 2107.12571",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
        )
    ]
