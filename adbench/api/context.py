"""The context in which a method is built: the device, the seed, the data, and the user's auxiliary data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .backbone import BackboneEntry
from .data import Setting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BuildContext:
    """The second argument of ``build(options, context)``.

    Attributes:
        device: where the detector trains and scores.
        seed: of the run; torch's, NumPy's and Python's global generators have it already.
        dataset: name of the data set; empty if there is none, as in ``check-method``.
        classes: names of the classes to train, sorted.
        train_images: training images, without those held out for the threshold. Broken ones that --skip-bad
            leaves out are counted. Where images are cut into tiles, each tile counts.
        setting: the kind of training images.
        shots: training images of each class in the setting "few-shot"; otherwise None.
        auxiliary: the user's files and folders for ``Requirements.auxiliary``, by name. They are for ``fit`` and
            ``calibrate``. A detector that only scores a checkpoint gets none, so its state must contain everything
            that ``score`` needs.
        backbones: plugins' backbones that the options name; ``backbones.from_options`` finds them here.
    """

    device: torch.device
    seed: int = 0
    dataset: str = ""
    classes: tuple[str, ...] = ()
    train_images: int = 0
    setting: Setting = "one-class"
    shots: int | None = None
    auxiliary: Mapping[str, Path] = field(default_factory=dict)
    backbones: Mapping[str, BackboneEntry] = field(default_factory=dict)
