"""The options of each model: those that all have, and those of the model's own constructor."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal, get_type_hints

from adbench import Options
from adbench.api import Count, Interpolation, Range

from .models import Model


@cache
def installed() -> str:
    """The release of anomalib that is installed; empty if there is none."""
    try:
        return version("anomalib")
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class BridgeOptions(Options):
    """Options of every model; its own ones come from its constructor, and mean what they mean there."""

    interpolation: Interpolation = "bilinear"
    batch_size: Count = 32
    amp: Literal["auto", "off", "bf16", "fp16"] = "off"

    validation: Annotated[float, Range(0, 0.9)] = 0.0
    """Part of the training images that is held out for anomalib's validation; none for 0."""

    weights: str | None = None
    """A file with a state dict, by timm's names, for the networks that the model wants pretrained; none for timm's
    download."""

    one_by_one: bool = True
    """Whether each image is scored alone. Without it a model scores batches, and some models' scores then depend on
    the other images."""

    release: str = field(default_factory=installed)
    """The release of anomalib, a part of a result's identity. It must be the installed one."""


@dataclass(frozen=True)
class TrainedOptions(BridgeOptions):
    """Options of every model that trains for several epochs."""

    max_epochs: Count = 100
    """Passes over the training images, at most."""

    patience: Annotated[int, Range(0)] = 0
    """Training stops after so many epochs in which the mean score of the held-out images did not fall; 0 for never."""


@cache
def options_of(model: Model) -> type[BridgeOptions]:
    """The options of a model, with its defaults."""
    own = [(name, kind, field(default=default)) for name, kind, default in model.options]
    base = BridgeOptions if model.epochs is None else TrainedOptions
    changed: dict[str, Any] = {"size": model.size, "resize_to": model.resize_to, "batch_size": model.batch_size}
    changed |= {"validation": model.validation}
    if model.epochs is not None:
        changed["max_epochs"] = model.epochs
    kinds = get_type_hints(base, include_extras=True)
    replaced = [(name, kinds[name], field(default=default)) for name, default in changed.items()]
    return make_dataclass(
        f"{model.class_name}Options", [*replaced, *own], bases=(base,), frozen=True, namespace={"__module__": __name__}
    )
