"""A method as its plugin offers it, with its presets and published numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
)

from ..util.errors import UnknownNameError
from .options import Options, check

if TYPE_CHECKING:
    import torch

from .detector import Detector


@dataclass(frozen=True)
class Preset:
    """Named options, and what differs for single classes: {"mvtec/transistor": {"size": (256, 256)}}."""

    options: Options
    summary: str = ""
    per_class: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def resolve(self, dataset: str, class_name: str) -> Options:
        """The options for one class."""
        return replace(self.options, **self.per_class.get(f"{dataset}/{class_name}", {}))


@dataclass(frozen=True)
class Published:
    """One number that a method's authors report.

    ``policy`` is "last" for the last epoch, "oracle" for the best epoch on the test set; ``value`` a
    fraction in [0, 1].
    """

    dataset: str
    class_name: str
    metric: str
    value: float
    policy: Literal["last", "oracle"]
    source: str
    epoch: int | None = None

    @classmethod
    def read_csv(cls, path: Path) -> tuple[Published, ...]:
        """Read rows of ``dataset, class, metric, source, epoch, percent``; more columns are ignored."""
        with path.open(encoding="utf-8", newline="") as stream:
            return tuple(
                cls(
                    dataset=row["dataset"],
                    class_name=row["class"],
                    metric=row["metric"],
                    value=float(row["percent"]) / 100,
                    policy="last" if "last evaluated epoch" in row["source"] else "oracle",
                    source=row["source"],
                    epoch=int(row["epoch"]) if row["epoch"] else None,
                )
                for row in csv.DictReader(stream)
            )


@dataclass(frozen=True)
class Method:
    """A method as its plugin offers it.

    ``options`` is a frozen dataclass type derived from ``Options`` whose defaults are the paper's;
    ``presets`` names others (``paper`` is added where it is missing). ``build(options, device)`` makes
    a detector: small, no data; torch is imported there and not before.
    """

    name: str
    summary: str
    build: Callable[[Any, torch.device], Detector]
    options: type[Options] = Options
    presets: Mapping[str, Preset] = field(default_factory=dict)
    paper: str = ""
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        if "paper" not in self.presets:
            object.__setattr__(self, "presets", {"paper": Preset(self.options()), **self.presets})


def resolve(method: Method, preset: str, overrides: Mapping[str, Any], dataset: str, class_name: str) -> Options:
    """The options of one task: the preset's, those of the class, and what the user changed.

    Raises:
        UnknownNameError: the method has no such preset.
        OptionError: values that no task can work with.
    """
    options = replace(find_preset(method, preset).resolve(dataset, class_name), **overrides)
    check(options, owner=method.name)
    return options


def find_preset(method: Method, preset: str) -> Preset:
    """Look a preset up. Raises ``UnknownNameError`` with the nearest name."""
    if preset not in method.presets:
        raise UnknownNameError(f"preset of {method.name}", preset, method.presets)
    return method.presets[preset]


def real_overrides(method: Method, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the preset says anyway, for every class, so that a variant has one name."""
    chosen = find_preset(method, preset)
    per_class = {key for changes in chosen.per_class.values() for key in changes}
    return {
        key: value
        for key, value in sorted(overrides.items())
        if key in per_class or getattr(chosen.options, key) != value
    }
