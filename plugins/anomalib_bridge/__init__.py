"""anomalib's image models as methods: ``anomalib:padim`` and others, trained by anomalib's engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from adbench import BuildContext, Method, hookimpl
from adbench.api import Package, PluginError, Requirements

from .models import MODELS, Model
from .options import BridgeOptions, installed, options_of
from .presets import presets

if TYPE_CHECKING:
    from .model import Bridged

SERIES = "2.7."
"""The releases of anomalib whose models and options ``models.py`` lists."""

NEEDS = Requirements(packages=(Package("anomalib", f"anomalib>={SERIES}0,<2.8", "the model and its training"),))


def build(options: BridgeOptions, context: BuildContext, entry: Model) -> Bridged:
    """Make the detector of a model."""
    with warnings.catch_warnings():  # of old names that anomalib and timm still import
        warnings.simplefilter("ignore")
        from .model import Bridged

    return Bridged(options, context, entry)


def method_of(entry: Model) -> Method:
    """A model as a method; neither torch nor anomalib is imported for it."""
    return Method(
        name=f"anomalib:{entry.name}",
        summary=f"anomalib's {entry.class_name}: {entry.summary}",
        build=partial(build, entry=entry),
        options=options_of(entry),
        presets=presets(entry),
        paper=entry.paper,
        requirements=NEEDS,
    )


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer every image model, if anomalib is installed."""
    if find_spec("anomalib") is None:
        return []
    if not installed().startswith(SERIES):
        raise PluginError(
            "anomalib", found=f"release {installed()}", wanted=f"{SERIES}x", hint='pip install "anomalib==2.7.*"'
        )
    return [method_of(entry) for entry in MODELS]
