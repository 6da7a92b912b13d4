"""PaDiM (arXiv 2011.08785): a Gaussian of backbone features at each position; no training by gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Positive, Range, Size

if TYPE_CHECKING:
    from .model import PaDiM


@dataclass(frozen=True)
class PaDiMOptions(BackboneOptions):
    """The published set-up, WR50-Rd550: the central 224 x 224 of images of 256 x 256.

    Masks are cut out likewise, so what lies outside that part is not scored. The paper does not say how images are
    resized; here by Lanczos.
    """

    size: Size = (224, 224)
    resize_to: Size | None = (256, 256)
    batch_size: Count = 32

    dimensions: Count = 550
    """Channels drawn at random from all layers; all of them if there are fewer."""

    epsilon: Positive = 0.01
    """Value that is added to the diagonal of each covariance."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""


PAPER = PaDiMOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: 550 of 1792 channels of wide_resnet50_2, 224 x 224 of 256 x 256"),
    "quick": Preset(
        replace(PAPER, backbone="resnet18", dimensions=100),
        "The paper's small variant: 100 of 448 channels of resnet18",
    ),
    "cpu": Preset(
        replace(PAPER, size=(256, 256), resize_to=None, batch_size=8, backbone="efficientnet_lite0", dimensions=100),
        "100 of 176 channels of a small backbone at 256 x 256: seconds on a laptop",
    ),
}


def build(options: PaDiMOptions, context: BuildContext) -> PaDiM:
    """Make the detector with its frozen backbone, and draw the channels."""
    from adbench import backbones

    from .model import PaDiM

    return PaDiM(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer PaDiM."""
    return [
        Method(
            name="padim",
            summary="A Gaussian of backbone features at each position, and Mahalanobis distances to it",
            build=build,
            options=PaDiMOptions,
            presets=PRESETS,
            paper="arXiv 2011.08785",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
