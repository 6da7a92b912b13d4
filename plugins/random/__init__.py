"""Random scores: what every metric gives for a method that knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adbench import BuildContext, Method, Options, Preset, hookimpl

if TYPE_CHECKING:
    from .model import Random

PRESETS = {
    "paper": Preset(Options(), "White noise; there is nothing to choose"),
    "quick": Preset(Options(), "The same"),
    "cpu": Preset(Options(), "The same"),
}


def build(options: Options, context: BuildContext) -> Random:
    """Make the detector and draw its seed."""
    from .model import Random

    return Random(options, context)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer random scores."""
    return [
        Method(
            name="random",
            summary="Random scores: AUROC about 0.5, whatever the images",
            build=build,
            presets=PRESETS,
            settings=("one-class", "multi-class", "few-shot", "zero-shot"),
        )
    ]
