"""DFM: how much of an image's deep features the principal components of good images can't explain.

From "Probabilistic Modeling of Deep Features for Out-of-Distribution and Adversarial Detection", arXiv 1909.11786, in
the set-up for defects that anomalib made common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Range

if TYPE_CHECKING:
    from adbench import BuildContext

    from .model import DFM


@dataclass(frozen=True)
class DFMOptions(BackboneOptions):
    """The set-up of the published numbers for wide_resnet50_2."""

    interpolation: Interpolation = "bilinear"
    batch_size: Count = 32
    layers: tuple[int, ...] = (3,)

    pooling: Count = 4
    """Positions on a side of the squares that are averaged before the components are computed; 1 for none. Rows and
    columns that don't fill a square are left out."""

    variance: Annotated[float, Range(0, 1, above=True)] = 0.97
    """Share of the training vectors' variance that the components stay below: one more component would reach it."""

    score: Literal["residual", "likelihood"] = "residual"
    """Image score: residual is the squared length of what the components leave out, with an anomaly map; likelihood is
    the negative log-likelihood of a Gaussian on the components, without a map."""


PAPER = DFMOptions()

PRESETS = {
    "paper": Preset(PAPER, "The published set-up: layer 3 of wide_resnet50_2 at 256 x 256, averaged over 4 x 4"),
    "quick": Preset(
        replace(PAPER, backbone="resnet18", pooling=2), "The published small variant: resnet18, averaged over 2 x 2"
    ),
    "cpu": Preset(
        replace(PAPER, backbone="efficientnet_lite0", batch_size=8),
        "A small backbone at 256 x 256: seconds on a laptop",
    ),
}


def build(options: DFMOptions, context: BuildContext) -> DFM:
    """Make the detector with its frozen backbone."""
    from adbench import backbones

    from .model import DFM

    return DFM(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer DFM."""
    return [
        Method(
            name="dfm",
            summary="Principal components of pooled features, one vector an image, and what they leave out",
            build=build,
            options=DFMOptions,
            presets=PRESETS,
            paper="arXiv 1909.11786",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
