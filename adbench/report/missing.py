"""Explains a metric that a table shows as "-": what the test set or the method lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..api.scores import PIXEL_METRICS, USUAL_METRICS
from ..results.variants import TITLES, Variant
from .tables import MISSING

ONE_LABEL = "all test images have the same label"
NO_MASKS = "no masks"
NO_MAPS = "the method makes no anomaly maps"
NAMED = 4
"""Means over fewer seeds that a note names."""

SAYS_WHY = "--why says the reasons."
"""Ends a note that ``--why`` answers."""


NAMED = 6
"""Variants, and classes of each, that a note names."""


@dataclass(frozen=True)
class Scored:
    """Scores on one class: the fields of ``Metrics`` by name; ``known`` has the reasons that the runs gave."""

    owner: str
    class_name: str
    metric: Callable[[str], float | None]
    known: Mapping[str, str] = field(default_factory=dict)


def no_common_class(variants: Sequence[Variant]) -> str:
    """Why variants have no mean and no differences: they were trained on different classes."""

    def classes(variant: Variant) -> str:
        few = list(variant.runs)[:NAMED]
        return ", ".join(few) + (f" and {len(variant.runs) - NAMED} more" if len(variant.runs) > NAMED else "")

    whose = [f"{variant.label} has {classes(variant)}" for variant in variants[:NAMED]]
    more = [f"and {len(variants) - NAMED} more"] if len(variants) > NAMED else []
    return f"No class is common to all of them, so there is no mean: {'; '.join([*whose, *more])}."


def of_variants(variants: Sequence[Variant], metrics: Sequence[str]) -> list[str]:
    """The notes under a table of variants with some metrics, class by class."""
    return of_means([(variant, list(variant.runs)) for variant in variants], metrics, each_class=True)


def of_means(
    rows: Sequence[tuple[Variant, Sequence[str]]], metrics: Sequence[str], *, each_class: bool = False
) -> list[str]:
    """The notes under a table of variants with their means over some classes; only a mean of nothing is "-".

    Args:
        rows: variants, each with the classes of its means.
        metrics: fields of ``Metrics``.
        each_class: whether the single classes are shown.
    """

    def scored(variant: Variant, class_name: str) -> Scored:
        known = {name: why for run in variant.runs.get(class_name, ()) for name, why in run.undefined.items()}
        return Scored(variant.label, class_name, lambda name: variant.metric(class_name, name), known)

    def is_missing(metric: str) -> bool:
        """Whether a mean is: over the classes in which any row has the metric."""
        defined = {name for variant, classes in rows for name in classes if variant.metric(name, metric) is not None}
        return any(
            not defined.intersection(classes)
            or any(variant.metric(name, metric) is None for name in classes if name in defined)
            for variant, classes in rows
        )

    shown = [name for name in metrics if each_class or is_missing(name)]
    every = [scored(variant, class_name) for variant, classes in rows for class_name in classes]
    return [*notes(every, shown), *_fewer_seeds(rows, metrics)]


def _fewer_seeds(rows: Sequence[tuple[Variant, Sequence[str]]], metrics: Sequence[str]) -> list[str]:
    """Name the means over seeds from which some seeds are missing, since the metric is not defined for their scores."""
    said = []
    for metric in metrics:
        fewer = []
        for variant, classes in rows:
            for name in classes:
                values = [getattr(run.metrics, metric) for run in variant.runs.get(name, ())]
                if 0 < (there := len(values) - values.count(None)) < len(values):
                    fewer.append(f"{variant.label} {name} {there} of {len(values)}")
        if fewer:
            more = f", and {len(fewer) - NAMED} more" if len(fewer) > NAMED else ""
            said.append(f"{TITLES[metric]} is the mean of the seeds that have it: {', '.join(fewer[:NAMED])}{more}.")
    return said


def mean_title(counts: Mapping[str, int], rows: int) -> tuple[str, list[str]]:
    """The name of a row of means, and a note where columns have means over different numbers of classes.

    Args:
        counts: number of classes with a value, by the field of ``Metrics``.
        rows: number of classes.
    """
    fewer = {name: count for name, count in counts.items() if 0 < count < rows}
    if not fewer:
        return f"mean ({rows})", []
    listed = ", ".join(f"{TITLES[name]} over {count}" for name, count in fewer.items())
    return "mean", [f"Means are over the {rows} classes, but {listed}, where it is defined."]


def notes(scored: Sequence[Scored], metrics: Sequence[str]) -> list[str]:
    """A line for the image metrics and one for the others, if some are missing; each gives the reasons.

    Metrics that not every data set defines have many reasons, which ``--why`` gives.
    """
    image = [name for name in metrics if name in USUAL_METRICS and name not in PIXEL_METRICS]
    pixel = [name for name in metrics if name in USUAL_METRICS and name in PIXEL_METRICS]
    others = [
        name for name in metrics if name not in USUAL_METRICS and any(each.metric(name) is None for each in scored)
    ]
    why = [f"{', '.join(TITLES[name] for name in others)} {MISSING}: {SAYS_WHY}"] if others else []
    return [*_note(image, scored, _image_reason), *_note(pixel, scored, _pixel_reason), *why]


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
    if (known := each.known.get("pixel_auroc")) is not None:
        return known, each.owner if known == NO_MAPS else each.class_name
    same_class = [other for other in scored if other.class_name == each.class_name]
    if any(other.metric(name) is not None for other in same_class for name in PIXEL_METRICS):
        return NO_MAPS, each.owner
    return NO_MASKS, each.class_name
