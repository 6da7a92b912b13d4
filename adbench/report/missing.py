"""Explains a metric that a table shows as "-": what the test set or the method lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..api.scores import METRIC_NAMES
from ..results.variants import TITLES, Variant
from .tables import MISSING

_PIXEL = tuple(name for name in METRIC_NAMES if not name.startswith("image"))

ONE_LABEL = "all test images have the same label"
NO_MASKS = "no masks"
NO_MAPS = "the method makes no anomaly maps"


@dataclass(frozen=True)
class Scored:
    """Scores on one class: the fields of ``Metrics`` by name."""

    owner: str
    class_name: str
    metric: Callable[[str], float | None]


def of_variants(variants: Sequence[Variant], metrics: Sequence[str]) -> list[str]:
    """The notes under a table of variants with some metrics."""

    def scored(variant: Variant, class_name: str) -> Scored:
        return Scored(variant.label, class_name, lambda name: variant.metric(class_name, name))

    return notes([scored(variant, class_name) for variant in variants for class_name in variant.runs], metrics)


def notes(scored: Sequence[Scored], metrics: Sequence[str]) -> list[str]:
    """A line for the image metrics and one for the others, if some are missing; each gives the reasons."""
    image = [name for name in metrics if name not in _PIXEL]
    pixel = [name for name in metrics if name in _PIXEL]
    return [*_note(image, scored, _image_reason), *_note(pixel, scored, _pixel_reason)]


Reason = Callable[[Scored, Sequence[Scored]], tuple[str, str]]
"""Why a metric is missing, and where: the name of a class, or of a variant."""


def _note(metrics: Sequence[str], scored: Sequence[Scored], reason_of: Reason) -> list[str]:
    missing = [name for name in metrics if any(each.metric(name) is None for each in scored)]
    found: dict[str, dict[str, None]] = {}
    for each in scored:
        if any(each.metric(name) is None for name in missing):
            reason, where = reason_of(each, scored)
            found.setdefault(reason, {})[where] = None
    if not found:
        return []
    reasons = "; ".join(f"{reason} ({', '.join(places)})" for reason, places in found.items())
    return [f"{', '.join(TITLES[name] for name in missing)} {MISSING}: {reasons}."]


def _image_reason(each: Scored, _: Sequence[Scored]) -> tuple[str, str]:
    return ONE_LABEL, each.class_name


def _pixel_reason(each: Scored, scored: Sequence[Scored]) -> tuple[str, str]:
    same_class = [other for other in scored if other.class_name == each.class_name]
    if any(other.metric(name) is not None for other in same_class for name in _PIXEL):
        return NO_MAPS, each.owner
    return NO_MASKS, each.class_name
