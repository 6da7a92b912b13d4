"""PatchCore (arXiv 2106.08265): distances from a coreset of good patches; no training by gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import BackboneOptions, BuildContext, Method, Preset, Published, hookimpl
from adbench.api import Count, Range, Size

if TYPE_CHECKING:
    from .model import PatchCore


@dataclass(frozen=True)
class PatchCoreOptions(BackboneOptions):
    """The set-up of the authors' program, IM224_WR50_L2-3_P01_D1024-1024_PS-3_AN-1."""

    size: Size = (224, 224)
    resize: Literal["stretch", "crop"] = "crop"
    resize_to: Size | None = (256, 256)
    interpolation: Literal["lanczos", "bicubic", "bilinear", "nearest", "bilinear-aliased"] = "bilinear"
    layers: tuple[int, ...] = (2, 3)

    embedding: Literal["program", "averaged"] = "program"
    """How a patch becomes a vector: program pools its flattened numbers as the authors' program does, averaged takes
    the mean of each channel and concatenates the layers."""

    patch: Literal[1, 3, 5, 7, 9] = 3
    """Positions on a side of a patch."""

    dimensions: Count = 1024
    """Numbers to which the program's embedding pools a patch of each layer."""

    target: Count = 1024
    """Numbers to which the program's embedding pools the layers together: the length of a vector."""

    share: Annotated[float, Range(0, 1, above=True)] = 0.1
    """Part of the training patches that the bank keeps."""

    coreset: Literal["approximate", "exact"] = "approximate"
    """Start of the greedy choice: approximate bounds distances by the means to 10 random patches, as the authors'
    program does by default; exact takes the patch farthest from the mean first."""

    projection: Annotated[int, Range(0)] = 128
    """Dimensions to which vectors are projected at random for the choice of the coreset, if they have more; 0 for no
    projection."""

    neighbours: Count = 1
    """Nearest rows of the bank whose mean distance is a patch's score."""

    squared: bool = True
    """Whether distances are squared, as in the authors' program; the ranking of images stays, the smoothed map does
    not."""

    reweighting: Count = 1
    """Rows around the nearest one that weight the image score by equation 7 of the paper, which the authors' program
    leaves out; 1 for none, 9 in anomalib."""

    sigma: Annotated[float, Range(0)] = 4.0
    """Standard deviation in pixels of the Gaussian that smooths anomaly maps; 0 for none."""


PAPER = PatchCoreOptions()

PRESETS = {
    "paper": Preset(PAPER, "The authors' program: wide_resnet50_2, 224 x 224 of 256 x 256, a tenth of the patches"),
    "quick": Preset(
        replace(PAPER, embedding="averaged", share=0.01),
        "As published, but averaged patches and a hundredth of them: the bank is chosen 10 times as fast",
    ),
    "cpu": Preset(
        replace(
            PAPER,
            size=(256, 256),
            resize="stretch",
            resize_to=None,
            interpolation="lanczos",
            backbone="efficientnet_lite0",
            embedding="averaged",
            share=0.01,
        ),
        "A small backbone at 256 x 256, averaged patches, a hundredth of them: a minute on a laptop",
    ),
}


def build(options: PatchCoreOptions, context: BuildContext) -> PatchCore:
    """Make the detector with its frozen backbone and an empty bank."""
    from adbench import backbones

    from .model import PatchCore

    return PatchCore(options, context, backbones.from_options(options, context, pool="none"))


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer PatchCore."""
    return [
        Method(
            name="patchcore",
            summary="Distances of patches from a coreset of good ones",
            build=build,
            options=PatchCoreOptions,
            presets=PRESETS,
            paper="arXiv 2106.08265",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            settings=("one-class", "multi-class", "few-shot"),
        )
    ]
