"""Ranks variants by the *last* epoch: which of them rank, over which classes, and with which notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..api.scores import merit
from .variants import TITLES, Board, Variant, mean


@dataclass(frozen=True)
class Line:
    """A variant with its means over ``classes``."""

    variant: Variant
    classes: Sequence[str]
    values: Mapping[str, float | None]

    def order(self, metric: str) -> float:
        """A number to sort by, higher is better; a missing value is below all others."""
        value = self.values[metric]
        return -2.0 if value is None else merit(metric, value)


def _line(variant: Variant, classes: Sequence[str], among: Sequence[Variant], shown: Sequence[str]) -> Line:
    return Line(variant, classes, {name: _mean_over(variant, name, classes, among) for name in shown})


def _classes(board: Board) -> list[str]:
    return list(dict.fromkeys(name for variant in board.variants for name in variant.runs))


def lines(board: Board, metric: str, shown: Sequence[str]) -> tuple[list[Line], list[Line]]:
    """The ranked variants, over the classes that all of them have; and the others, each over its own classes.

    A variant ranks if it has the metric in at least half of the classes; both parts are sorted, best first.

    Args:
        board: the variants of one data set.
        metric: the field of ``Metrics`` that ranks.
        shown: the fields whose means to compute, including ``metric``.
    """
    ranked, common = _ranked(board.variants, _classes(board), metric)
    first = [_line(variant, common, ranked, shown) for variant in ranked]
    rest = [_line(variant, list(variant.runs), [variant], shown) for variant in board.variants if variant not in ranked]
    for part in (first, rest):
        part.sort(key=lambda line: line.order(metric), reverse=True)
    return first, rest


def _ranked(variants: Sequence[Variant], classes: Sequence[str], metric: str) -> tuple[list[Variant], list[str]]:
    """The variants that rank, and the classes that all of them have."""
    having = {
        variant.label: {name for name in classes if variant.metric(name, metric) is not None} for variant in variants
    }
    scored = set().union(*having.values())
    ranked = [
        variant for variant in variants if having[variant.label] and 2 * len(having[variant.label]) >= len(scored)
    ]
    common = [name for name in classes if all(name in having[variant.label] for variant in ranked)]
    return (ranked, common) if common else ([], [])


def _mean_over(variant: Variant, name: str, classes: Iterable[str], among: Sequence[Variant]) -> float | None:
    """Mean over the classes in which any variant has the metric; None if this variant lacks one."""
    defined = [each for each in classes if any(other.metric(each, name) is not None for other in among)]
    values = [variant.metric(each, name) for each in defined]
    return None if None in values else mean(values)


def class_notes(board: Board, lines: Sequence[Line], rest: Sequence[Line], metric: str) -> list[str]:
    """Say which classes count, and which variants don't rank."""
    notes = []
    classes, common = _classes(board), lines[0].classes if lines else ()
    left_out = [name for name in classes if name not in common]
    if lines and left_out:
        notes.append(
            f"Ranked by the mean over the {len(common)} of {len(classes)} classes that all ranked variants have; "
            f"left out: {', '.join(left_out)}."
        )
    if rest and lines:
        names = ", ".join(f"{line.variant.label} ({len(line.classes)} of {len(classes)})" for line in rest)
        notes.append(
            f"Not ranked, since they have no {TITLES[metric]} in half of the classes: {names}. "
            "Means over their own classes."
        )
    elif rest and all(variant.metric(name, metric) is None for variant in board.variants for name in classes):
        notes.append(f"Not ranked: no variant has {TITLES[metric]}.")
    elif rest:
        notes.append(
            "Not ranked: no class is common to the variants. Means are over each one's own classes and do not compare."
        )
    return notes


def undefined_notes(lines: Sequence[Line], shown: Sequence[str]) -> list[str]:
    """Name the other metrics whose means are over fewer classes than the ranking's."""
    notes = []
    common = lines[0].classes if lines else ()
    for name in shown:
        defined = [each for each in common if any(line.variant.metric(each, name) is not None for line in lines)]
        if 0 < len(defined) < len(common):
            notes.append(f"{TITLES[name]} is the mean over {', '.join(defined)}, where it is defined.")
    return notes
