"""CFA (arXiv 2206.04325): features adapted so that they lie near memorised means of good ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Positive, Range, Size

if TYPE_CHECKING:
    from .model import CFA


@dataclass(frozen=True)
class CFAOptions(BackboneOptions):
    """The authors' program by default: wide_resnet50_2, the central 224 x 224 of a shorter side of 256."""

    size: Size = (224, 224)
    resize: Literal["stretch", "crop"] = "crop"
    resize_to: Size | None = (256, 256)
    batch_size: Count = 4

    reduction: Count = 1
    """By which the channels of all layers are divided for the length of a descriptor."""

    near: Count = 3
    """Nearest rows of the memory to which a descriptor is drawn, and by which it is scored."""

    far: Count = 3
    """Rows after these from which it is kept away."""

    radius: Annotated[float, Range(0)] = 1e-5
    """Distance from a row within which a descriptor is near enough, at the start; it is trained as well."""

    margin: Annotated[float, Range(0)] = 0.1
    """Squared distance beyond the radius from which the rows after the nearest ones are far enough."""

    weight: Positive = 1000.0
    """Factor of the loss."""

    lr: Positive = 1e-3
    """Learning rate of AdamW."""

    weight_decay: Annotated[float, Range(0)] = 5e-4
    """Weight decay of AdamW, also of the radius."""

    epochs: Count = 30
    """Passes over the training images."""

    evaluate_every: Count = 5
    """Epochs between two evaluations."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""


PAPER = CFAOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: wide_resnet50_2, 224 x 224 of 256 x 256, 30 epochs"),
    "quick": Preset(
        replace(PAPER, backbone="resnet18", epochs=10),
        "resnet18, whose descriptors have 448 numbers, for 10 epochs",
    ),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            resize="stretch",
            resize_to=None,
            backbone="efficientnet_lite0",
            layers=(3, 4),
        ),
        "Two layers of a small backbone at 256 x 256: minutes on a laptop",
    ),
}


def build(options: CFAOptions, context: BuildContext) -> CFA:
    """Make the detector with its frozen backbone, without training."""
    from adbench import backbones

    from .model import CFA

    return CFA(options, context, backbones.from_options(options, context))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer CFA."""
    return [
        Method(
            name="cfa",
            summary="Features adapted to lie near memorised means of good ones",
            build=build,
            options=CFAOptions,
            presets=PRESETS,
            paper="arXiv 2206.04325",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
        )
    ]
