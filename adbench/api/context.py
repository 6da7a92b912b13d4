"""What a method is built for: the device, the seed, the data, and auxiliary data that the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .data import Setting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BuildContext:
    """What ``build(options, context)`` gets.

    Attributes:
        device: where the detector trains and scores.
        seed: of the run; torch's, NumPy's and Python's global generators are seeded with it already.
        dataset: name of the data set; empty where there is none, as in ``check-method``.
        classes: names of the classes that the detector is trained for, in the data set's order.
        train_images: training images, without those held out for the threshold. Broken ones that --skip-bad
            leaves out are counted.
        setting: what the detector is trained on.
        shots: training images of each class in the setting "few-shot"; else None.
        auxiliary: files and folders of ``Requirements.auxiliary`` by name, as far as the user gave them. They are
            for ``fit`` and ``calibrate``. A detector that is built to score a checkpoint gets none, so what
            ``score`` needs of them belongs in the state.
    """

    device: torch.device
    seed: int = 0
    dataset: str = ""
    classes: tuple[str, ...] = ()
    train_images: int = 0
    setting: Setting = "one-class"
    shots: int | None = None
    auxiliary: Mapping[str, Path] = field(default_factory=dict)
