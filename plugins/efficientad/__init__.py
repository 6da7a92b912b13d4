"""EfficientAD (arXiv 2303.14535): a student of a small teacher fails on defects, an autoencoder on wrong arrangements.

The teacher comes from a file, which ``python -m adbench_plugins.efficientad distil`` makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from adbench import Auxiliary, BuildContext, Method, Options, Preset, Published, Requirements, hookimpl
from adbench.api import Count, Interpolation, Positive, Range

if TYPE_CHECKING:
    from .model import EfficientAD


@dataclass(frozen=True)
class EfficientADOptions(Options):
    """The set-up of the published numbers for EfficientAD-S."""

    interpolation: Interpolation = "bilinear"
    batch_size: Count = 1

    network: Literal["small", "medium"] = "small"
    """Layers of the teacher and the student: small is EfficientAD-S, medium EfficientAD-M."""

    channels: Count = 384
    """Channels of the teacher's output."""

    divisor: Annotated[int, Range(1, 32)] = 1
    """Number by which the widths of all hidden layers are divided, also those of the teacher in its file; 1 is the
    paper."""

    steps: Count = 70_000
    """Optimiser steps of the training; after 95 % of them the learning rate falls to a tenth."""

    lr: Positive = 1e-4
    """Learning rate of Adam at the start."""

    weight_decay: Annotated[float, Range(0)] = 1e-5
    """Weight decay of Adam, added to the gradient."""

    hard: Annotated[float, Range(0, 0.9999)] = 0.999
    """Quantile of the differences between teacher and student below which they don't count in an image's loss."""

    penalty: Literal["images", "none"] = "images"
    """Images that are not of the task, on which the student learns to be 0: those of --aux images=DIR, or none."""

    validation: Annotated[float, Range(0, 0.9, above=True)] = 0.1
    """Part of the training images that is held out; quantiles of their maps give the two maps one scale."""


def words(options: EfficientADOptions) -> str:
    """The options that describe a teacher, for messages."""
    return f"network={options.network}, channels={options.channels}, divisor={options.divisor}"


def _check_teacher(path: Path, options: EfficientADOptions) -> Sequence[str]:
    from .networks import PDN, read_teacher

    read_teacher(path, PDN(options.network, options.channels, options.divisor), words=words(options))
    return ()


def _check_images(folder: Path, options: EfficientADOptions) -> Sequence[str]:
    from .. import pictures

    return pictures.checked(IMAGES.name, folder) if options.penalty == "images" else ()


TEACHER = Auxiliary(
    "teacher",
    "the state dict of a small network that was distilled from a large one",
    source="python -m adbench_plugins.efficientad distil makes one from a folder of images",
    licence="that of the images and of the large network's weights",
    without="there is nothing to imitate, so it does not train",
    check=_check_teacher,
)

IMAGES = Auxiliary(
    "images",
    "pictures of anything, which the student learns to answer with 0, so that it imitates the teacher nowhere else",
    source="the paper has ImageNet: https://www.image-net.org/",
    licence="ImageNet's is for non-commercial research",
    kind="folder",
    without="-o penalty=none drops that term of the loss, with which the published numbers are not reached: "
    "docs/methods/efficientad.md says what it costs",
    needed=lambda options: options.penalty == "images",
    check=_check_images,
)

PAPER = EfficientADOptions()

PRESETS = {
    "paper": Preset(PAPER, "EfficientAD-S as published: 256 x 256, 70,000 steps of one image"),
    "quick": Preset(replace(PAPER, steps=10_000), "As published, but 10,000 steps"),
    "cpu": Preset(
        replace(PAPER, channels=96, divisor=4, steps=2000, lr=1e-3, penalty="none"),
        "All widths a quarter, 2,000 steps, no penalty images: minutes on a laptop",
    ),
}


def build(options: EfficientADOptions, context: BuildContext) -> EfficientAD:
    """Make the detector: its teacher from the file, its student and autoencoder untrained."""
    from .model import EfficientAD

    return EfficientAD(options, context)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer EfficientAD."""
    return [
        Method(
            name="efficientad",
            summary="A student and an autoencoder of a small distilled teacher, compared with it and each other",
            build=build,
            options=EfficientADOptions,
            presets=PRESETS,
            paper="arXiv 2303.14535",
            published=Published.read_csv(Path(__file__).with_name("published.csv")),
            requirements=Requirements(auxiliary=(TEACHER, IMAGES)),
        )
    ]
