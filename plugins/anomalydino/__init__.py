"""AnomalyDINO (arXiv 2405.14529): distances of DINOv2's patch tokens from those of a few good images, or of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Interpolation, Range, Size

if TYPE_CHECKING:
    from .model import AnomalyDINO


@dataclass(frozen=True)
class AnomalyDINOOptions(BackboneOptions):
    """The authors' program with DINOv2 ViT-S/14 at 448 x 448, without prior knowledge of a class."""

    size: Size = (448, 448)
    interpolation: Interpolation = "bicubic"
    backbone: str = "timm:vit_small_patch14_dinov2"
    layers: tuple[int, ...] = (12,)

    rotations: Literal["few-shot", "always", "never"] = "few-shot"
    """When good images also join turned by 45, 90, ... and 315 degrees, which makes the bank eight times as large:
    with --shots alone, always, or never."""

    mask: Literal["none", "grid", "program"] = "none"
    """Whether tokens of the background score 0: grid finds the foreground by the image's first principal component and
    grows it on the grid of tokens, program grows it along their flat order, as the authors' program does."""

    mask_threshold: Annotated[float, Range(0)] = 10.0
    """Absolute value of the first principal component above which a token is foreground; the value is for DINOv2."""

    mask_references: bool = False
    """Whether the mask also leaves background out of the bank."""

    metric: Literal["cosine", "euclidean"] = "cosine"
    """Distance of tokens: one minus the cosine, or the root of the mean squared distance."""

    neighbours: Count = 1
    """Nearest tokens of the bank whose mean distance is a token's score."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""


PAPER = AnomalyDINOOptions()

MASKED = {
    "mvtec": ("capsule", "hazelnut", "pill", "screw", "toothbrush"),
    "visa": (
        "candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1", "pcb2", "pcb3", "pcb4",
        "pipe_fryum",
    ),
}  # fmt: skip
"""Classes whose background the authors mask, which they chose by looking at the data."""

PRESETS = {
    "paper": Preset(
        PAPER,
        "The published set-up: DINOv2 ViT-S/14 at 448 x 448; the authors' classes are masked",
        {f"{dataset}/{name}": {"mask": "grid"} for dataset, names in MASKED.items() for name in names},
    ),
    "quick": Preset(
        replace(PAPER, size=(224, 224), rotations="never"),
        "DINOv2 ViT-S/14 at 224 x 224: a quarter of the tokens, no rotations and no masks",
    ),
    "cpu": Preset(
        replace(PAPER, size=(256, 256), interpolation="lanczos", backbone="efficientnet_lite0", layers=(3,)),
        "Positions of a small convolutional backbone as tokens, one for 16 x 16 pixels: seconds on a laptop",
    ),
}


def build(options: AnomalyDINOOptions, context: BuildContext) -> AnomalyDINO:
    """Make the detector with its frozen backbone and an empty bank."""
    from adbench import backbones

    from .model import AnomalyDINO

    is_transformer = options.backbone.startswith("timm:vit_")
    positions: Literal["timm", "dinov2"] = "dinov2" if "dinov2" in options.backbone else "timm"
    return AnomalyDINO(
        options, context, backbones.from_options(options, context, norm=is_transformer, positions=positions)
    )


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer AnomalyDINO."""
    return [
        Method(
            name="anomalydino",
            summary="Distances of a transformer's patch tokens from those of good images",
            build=build,
            options=AnomalyDINOOptions,
            presets=PRESETS,
            paper="arXiv 2405.14529",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
