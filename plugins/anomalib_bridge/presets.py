"""The presets of each model: anomalib's defaults, a short training, and one for a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from adbench import Preset

from .models import LITE0, Model
from .options import BridgeOptions, TrainedOptions, options_of

QUICK, SMALL = 20, 10
"""Epochs of the presets ``quick`` and ``cpu``, at most."""


def presets(model: Model) -> Mapping[str, Preset]:
    """The presets of a model."""
    paper = options_of(model)()
    quick, cpu = _shortened(paper, QUICK), replace(_shortened(paper, SMALL), **{"batch_size": 4, **model.small})
    if model.batch_size < cpu.batch_size:
        cpu = replace(cpu, batch_size=model.batch_size)
    network = "EfficientNet-Lite0" if model.small.get("backbone") == LITE0 else "its own networks"
    return {
        "paper": Preset(paper, "anomalib's defaults"),
        "quick": Preset(quick, f"anomalib's defaults, but at most {QUICK} epochs"),
        "cpu": Preset(cpu, f"With {network}, at most {SMALL} epochs in small batches"),
    }


def _shortened(options: BridgeOptions, epochs: int) -> BridgeOptions:
    if isinstance(options, TrainedOptions):
        return replace(options, max_epochs=min(options.max_epochs, epochs))
    return options
