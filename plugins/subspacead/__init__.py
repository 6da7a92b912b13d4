"""SubspaceAD (arXiv 2602.23013): what the principal components of good patch tokens leave out of a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Interpolation, Range, Size

if TYPE_CHECKING:
    from .model import SubspaceAD


@dataclass(frozen=True)
class SubspaceADOptions(BackboneOptions):
    """The authors' scripts: DINOv2-giant with registers at 672 x 672, seven middle blocks."""

    size: Size = (672, 672)
    interpolation: Interpolation = "bicubic"
    backbone: str = "timm:vit_giant_patch14_reg4_dinov2"
    layers: tuple[int, ...] = (23, 24, 25, 26, 27, 28, 29)

    join: Literal["mean", "concat"] = "mean"
    """How layers make a token: their mean, or end to end on the grid of the first layer."""

    variance: Annotated[float, Range(0, 1, above=True)] = 0.99
    """Share of the tokens' variance that the components reach."""

    components: Annotated[int, Range(0)] = 0
    """Number of components in place of the share; 0 for the share."""

    rotations: Annotated[int, Range(0)] = 30
    """Randomly turned copies of each image that join with --shots; 0 for none."""

    score: Literal["residual", "mahalanobis", "cosine"] = "residual"
    """A token's score: residual is the squared length of what the components leave out; mahalanobis the distance
    along the components, in units of their variances; cosine one minus the cosine between a token and what mean and
    components keep of it."""

    drop: Annotated[int, Range(0)] = 0
    """First components that count as left out."""


PAPER = SubspaceADOptions()

PRESETS = {
    "paper": Preset(
        PAPER,
        "The published set-up: DINOv2-giant with registers at 672 x 672; transistors are not turned",
        {"mvtec/transistor": {"rotations": 0}},
    ),
    "quick": Preset(
        replace(
            PAPER,
            size=(448, 448),
            backbone="timm:vit_small_patch14_reg4_dinov2",
            layers=(6, 7, 8, 9),
            rotations=8,
        ),
        "DINOv2 ViT-S/14 with registers at 448 x 448, four middle blocks, eight turned copies",
    ),
    "cpu": Preset(
        replace(PAPER, size=(256, 256), interpolation="lanczos", backbone="efficientnet_lite0", layers=(3,)),
        "Positions of a small convolutional backbone as tokens, one for 16 x 16 pixels: seconds on a laptop",
    ),
}


def build(options: SubspaceADOptions, context: BuildContext) -> SubspaceAD:
    """Make the detector with its frozen backbone."""
    from adbench import backbones

    from .model import SubspaceAD

    positions: Literal["timm", "dinov2"] = "dinov2" if "dinov2" in options.backbone else "timm"
    return SubspaceAD(options, context, backbones.from_options(options, context, positions=positions))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer SubspaceAD."""
    return [
        Method(
            name="subspacead",
            summary="Principal components of good patch tokens, and what they leave out of a token",
            build=build,
            options=SubspaceADOptions,
            presets=PRESETS,
            paper="arXiv 2602.23013",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
