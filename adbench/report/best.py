"""Marks for papers: which values of a table are the best, and which do not differ significantly from the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..api.scores import merit
from ..results.variants import TITLES, Variant, mean
from .confidence import MISSING_HISTOGRAMS, SIGNIFICANT, Confidence
from .tables import Mark


@dataclass(frozen=True)
class Contest:
    """Values that are compared with each other: a metric of several variants, as means over the same classes."""

    variants: tuple[Variant, ...]
    classes: tuple[str, ...]
    metric: str

    @property
    def defined(self) -> list[str]:
        """The classes in which any variant has the metric."""
        return [
            name for name in self.classes if any(each.metric(name, self.metric) is not None for each in self.variants)
        ]

    def ordered(self) -> list[tuple[float, Variant]]:
        """The variants that have the metric in all these classes, with their means, best first."""
        classes = self.defined
        having = [each for each in self.variants if all(each.metric(name, self.metric) is not None for name in classes)]
        values = [(mean(each.metric(name, self.metric) for name in classes), each) for each in having]
        found = [(value, each) for value, each in values if value is not None]
        return sorted(found, key=lambda each: merit(self.metric, each[0]), reverse=True)


Find = Callable[[str, Any], tuple[Contest, Variant] | None]
"""The contest and the variant of a cell, from the column's key and the row; None for a cell that is in none."""


class BestMarks:
    """Marks the best value of each contest, and those that are not significantly lower. Implements ``tables.Marks``.

    Args:
        find: the contest of a cell.
        confidence: compares variants; None marks the best ones alone.
        among: where the values of a contest stand.
    """

    def __init__(self, find: Find, confidence: Confidence | None, among: Literal["column", "row"]) -> None:
        self._find, self._confidence, self._among = find, confidence, among
        self._found: dict[tuple[str, ...], Mapping[str, Mark]] = {}
        self._given: set[Mark] = set()
        self._unknown: dict[str, None] = {}

    def of(self, key: str, row: Any) -> Mark | None:
        """The mark of a row's cell in the column ``key``."""
        found = self._find(key, row)
        if found is None:
            return None
        contest, variant = found
        name = (contest.metric, *contest.classes, "", *(each.label for each in contest.variants))
        if name not in self._found:
            self._found[name] = self._marks(contest)
        mark = self._found[name].get(variant.label)
        self._given |= {mark} if mark else set()
        return mark

    def _marks(self, contest: Contest) -> Mapping[str, Mark]:
        ordered = contest.ordered()
        if len(ordered) < 2:
            return {}
        best, variants = ordered[0][0], [each for _, each in ordered]
        marks: dict[str, Mark] = {each.label: "best" for value, each in ordered if value == best}
        if self._confidence is None:
            return marks
        p_values = self._confidence.best(variants, contest.defined, contest.metric)
        for each, p in zip(variants, p_values, strict=True):
            if p is None:
                self._unknown[f"{each.label} ({TITLES[contest.metric]})"] = None
            elif p >= SIGNIFICANT:
                marks.setdefault(each.label, "tied")
        return marks

    def notes(self) -> Sequence[str]:
        """Lines that explain the marks given so far."""
        notes = []
        if "best" in self._given:
            notes.append(f"Bold: the best of its {self._among}.")
        if "tied" in self._given:
            notes.append(
                "\u2020: not significantly worse than the best (comparisons with the best by a paired bootstrap over "
                f"the same images, p >= {SIGNIFICANT})."
            )
        if self._unknown:
            notes.append(f"Not compared with the best: {', '.join(self._unknown)}: {MISSING_HISTOGRAMS}")
        return notes
