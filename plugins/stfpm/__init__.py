"""STFPM (arXiv 2103.04257): a student imitates its teacher's features on good images and fails on defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Positive, Range

if TYPE_CHECKING:
    from .model import STFPM


@dataclass(frozen=True)
class STFPMOptions(BackboneOptions):
    """The set-up of the authors' program, whose README gives the published numbers."""

    interpolation: Interpolation = "bilinear"
    batch_size: Count = 32
    backbone: str = "resnet18"

    epochs: Count = 200
    """Passes over the training images."""

    validation: Annotated[float, Range(0, 0.9, above=True)] = 0.2
    """Part of the training images that is held out; the student of the epoch with the lowest scores on them is kept."""

    lr: Positive = 0.4
    """Learning rate of SGD, the same in all epochs."""

    momentum: Annotated[float, Range(0, 0.999)] = 0.9
    """Momentum of SGD."""

    weight_decay: Annotated[float, Range(0)] = 1e-4
    """Weight decay of SGD, on all parameters."""


PAPER = STFPMOptions()

PRESETS = {
    "paper": Preset(PAPER, "The authors' program: resnet18 at 256 x 256 for 200 epochs, the best of them kept"),
    "quick": Preset(replace(PAPER, batch_size=8, epochs=40), "As published, but 40 epochs in batches of 8"),
    "cpu": Preset(
        replace(
            PAPER,
            interpolation="lanczos",
            batch_size=4,
            backbone="efficientnet_lite0",
            layers=(2, 3, 4),
            epochs=30,
        ),
        "A small teacher and student at 256 x 256, 30 epochs in batches of 4: minutes on a laptop",
    ),
}


def build(options: STFPMOptions, context: BuildContext) -> STFPM:
    """Make the detector with its frozen teacher and an untrained student."""
    from adbench import backbones

    from .model import STFPM

    return STFPM(options, context, backbones.from_options(options, context))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer STFPM."""
    return [
        Method(
            name="stfpm",
            summary="A student of a frozen network, compared with it at three levels",
            build=build,
            options=STFPMOptions,
            presets=PRESETS,
            paper="arXiv 2103.04257",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class"),
        )
    ]
