"""How certain the numbers of a table are: stored score histograms, by variants and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import ceil, comb, floor, isnan
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ..api.scores import LOWER_IS_BETTER
from ..results.records import Result
from ..results.variants import Variant
from ..util.errors import ResultError

if TYPE_CHECKING:  # tables without intervals need no NumPy
    from ..metrics.histograms import ScoreHistograms
    from ..stats.comparison import Difference, Resampled
    from ..stats.intervals import Interval

SIGNIFICANT = 0.05
"""Two methods differ significantly if the corrected p-value is below this."""

INTERVALS = "95 %: interval over test images, of the mean over seeds (docs/statistics.md); sd: over seeds."

MISSING_HISTOGRAMS = (
    "their score histograms are not stored, or not of the same images for all seeds. adbench run --force computes them."
)

Reader = Callable[[Result], "ScoreHistograms | None"]
"""Reads the score histograms beside a result."""


class Confidence:
    """Intervals and comparisons of variants. Each is computed once.

    Args:
        read: reads the score histograms of a result; None if there are none, as in results of older versions.
    """

    def __init__(self, read: Reader) -> None:
        self._read = read
        self._histograms: dict[tuple[str, ...], tuple[ScoreHistograms, ...] | None] = {}
        self._whole: dict[tuple[str, ...], bool] = {}
        self._intervals: dict[tuple[str, ...], Interval | None] = {}
        self._resampled: dict[tuple[str, ...], Resampled | None] = {}

    def unknown(self, variants: Sequence[Variant]) -> list[str]:
        """Labels of variants without stored score histograms, or whose seeds were tested on different images."""
        return [each.label for each in variants if not all(self._has(each, name) for name in each.runs)]

    def forget(self) -> None:
        """Free the memory of the score histograms; what was computed from them stays."""
        self._histograms.clear()

    def interval(self, variant: Variant, classes: Sequence[str], metric: str) -> Interval | None:
        """95 % interval of the mean over the classes that have the metric; None if score histograms are missing.

        Also None for a single class if no draw moves the metric: that says nothing about other images.
        """
        from ..stats import intervals as statistics
        from ..stats.intervals import Interval

        values, intervals = [], []
        for name in classes:
            value = variant.metric(name, metric)
            if value is None and self._has(variant, name):
                continue
            found = self._of_class(variant, name, metric)
            if found is None or value is None:
                return None
            values.append(value)
            # the table's number is exact; that of the score histograms is close to it
            intervals.append(Interval(min(found.low, value), max(found.high, value)))
        if len(values) != 1:
            return statistics.mean_interval(values, intervals) if values else None
        return intervals[0] if intervals[0].low < intervals[0].high else None

    def why_not(self, variant: Variant, classes: Sequence[str], metric: str) -> str:
        """The reason why a metric has no interval in one of the classes; empty if there is none."""
        for name in classes:
            if variant.metric(name, metric) is not None:
                found = (each.why_not(metric) for each in self._of(variant, name) or ())
                if reason := next(filter(None, found), ""):
                    return reason
        return ""

    def difference(self, first: Variant, second: Variant, classes: Sequence[str], metric: str) -> Difference | None:
        """How much higher the second is in the mean over classes, on the same images; None where unknown.

        Classes without the metric don't count.
        """
        from ..stats import comparison

        classes = [name for name in classes if None not in (first.metric(name, metric), second.metric(name, metric))]
        if not classes or not all(self._same_images(first, second, name) for name in classes):
            return None
        pairs = [(self._drawn(first, name, metric), self._drawn(second, name, metric)) for name in classes]
        if any(a is None or b is None for a, b in pairs):
            return None
        return comparison.compare([a for a, _ in pairs if a], [b for _, b in pairs if b])

    def delong(self, first: Variant, second: Variant, classes: Sequence[str]) -> float | None:
        """p-value of DeLong's test for image AUROC in the mean over classes; None where unknown."""
        from ..stats import delong

        metric = "image_auroc"
        classes = [name for name in classes if None not in (first.metric(name, metric), second.metric(name, metric))]
        if not classes or not all(self._same_images(first, second, name) for name in classes):
            return None
        ours, theirs = ([self._of(variant, name) or () for name in classes] for variant in (first, second))
        return delong.p_value(ours, theirs)

    def best(self, variants: Sequence[Variant], classes: Sequence[str], metric: str) -> list[float | None]:
        """p-values of "no other variant is better" in the mean over classes, one for each variant.

        Classes without the metric don't count. A variant without score histograms has None. All have None if the first
        variant, the one with the highest mean, lacks them, or if the images are not the same.

        Args:
            variants: in the order of their rank.
            classes: that all of them have.
            metric: a field of ``Metrics``.
        """
        from ..stats import comparison

        missing = self.unknown(variants)
        known = [variant for variant in variants if variant.label not in missing]
        classes = [name for name in classes if all(each.metric(name, metric) is not None for each in known)]
        methods = [[self._drawn(variant, name, metric) for name in classes] for variant in known]
        drawn = [[_rising(each, metric) for each in found if each is not None] for found in methods]
        whole = all(len(each) == len(classes) > 0 for each in drawn)
        comparable = all(self._same_images(known[0], each, name) for each in known for name in classes)
        if not drawn or variants[0].label in missing or not whole or not comparable:
            return [None] * len(variants)
        p_values = iter(comparison.best_p_values(drawn))
        return [None if variant.label in missing else next(p_values) for variant in variants]

    def letters(self, variants: Sequence[Variant], classes: Sequence[str], metric: str) -> list[str]:
        """Letters of variants in the order of their rank: those that share one are not significantly different.

        Every pair is compared, with Holm's correction. Variants without score histograms get no letters. If any other
        pair can't be compared, no variant gets letters.
        """
        from ..stats import comparison

        missing = self.unknown(variants)
        known = [variant for variant in variants if variant.label not in missing]
        pairs = list(combinations(range(len(known)), 2))
        found = [self.difference(known[a], known[b], classes, metric) for a, b in pairs]
        if not classes or any(each is None for each in found):
            return [""] * len(variants)
        adjusted = comparison.holm([each.p_value if each else None for each in found], comb(len(variants), 2))
        different = {pair for pair, p in zip(pairs, adjusted, strict=True) if p is not None and p < SIGNIFICANT}
        letters = iter(comparison.groups(len(known), different))
        return ["" if variant.label in missing else next(letters) for variant in variants]

    def _of(self, variant: Variant, class_name: str) -> tuple[ScoreHistograms, ...] | None:
        """The score histograms of every seed; None unless all seeds have them, for the same images."""
        key = _key(variant, class_name)
        if key not in self._histograms:
            found = [self._read(run) for run in variant.runs.get(class_name, ())]
            there = tuple(each for each in found if each is not None)
            whole = there and len(there) == len(found) and _same_images(there)
            self._histograms[key] = there if whole else None
            self._whole[key] = bool(whole)
        return self._histograms[key]

    def _has(self, variant: Variant, class_name: str) -> bool:
        """Whether every seed has score histograms, for the same images."""
        key = _key(variant, class_name)
        if key not in self._whole:
            self._of(variant, class_name)
        return self._whole[key]

    def _of_class(self, variant: Variant, class_name: str, metric: str) -> Interval | None:
        from ..stats import intervals as statistics

        key = (*_key(variant, class_name), metric)
        if key not in self._intervals:
            histograms = self._of(variant, class_name)
            self._intervals[key] = statistics.interval(histograms, metric) if histograms else None
        return self._intervals[key]

    def _drawn(self, variant: Variant, class_name: str, metric: str) -> Resampled | None:
        from ..stats import comparison

        key = (*_key(variant, class_name), metric)
        if key not in self._resampled:
            histograms = self._of(variant, class_name)
            unsure = not histograms or any(each.why_not(metric) for each in histograms)
            found = comparison.resampled(histograms, metric, class_name) if histograms and not unsure else None
            self._resampled[key] = None if found is None or isnan(found.value) else found
        return self._resampled[key]

    def _same_images(self, first: Variant, second: Variant, class_name: str) -> bool:
        one, other = self._of(first, class_name), self._of(second, class_name)
        return bool(one and other and _same_images((*one, *other)))


def _rising(drawn: Resampled, metric: str) -> Resampled:
    """A metric as numbers that are higher where it is better."""
    if metric not in LOWER_IS_BETTER:
        return drawn
    return replace(drawn, value=-drawn.value, draws=-drawn.draws)


def _key(variant: Variant, class_name: str) -> tuple[str, ...]:
    """The runs of one class: data sets may share a label."""
    runs = variant.runs.get(class_name, ())
    return (class_name, variant.label, *(f"{run.dataset}/{run.run}" for run in runs))


def _same_images(found: Sequence[ScoreHistograms]) -> bool:
    import numpy as np

    return all(each.paths == found[0].paths and np.array_equal(each.labels, found[0].labels) for each in found)


def stored(results: Path, warn: Callable[[str], None]) -> Confidence:
    """Intervals and comparisons of the results in a folder; a broken file counts as missing, with a warning."""
    from ..results import run_files

    def read(result: Result) -> ScoreHistograms | None:
        try:
            return run_files.read_histograms(run_files.folder_of(results, result), result)
        except ResultError as error:
            warn(str(error))
            return None

    return Confidence(read)


def seed_means(variant: Variant, classes: Sequence[str], metric: str) -> list[float]:
    """The mean over classes of each seed that has them all."""
    by_seed: dict[int, dict[str, float]] = {}
    for name in classes:
        for run in variant.runs.get(name, ()):
            value = getattr(run.metrics, metric)
            if value is not None:
                by_seed.setdefault(run.seed, {})[name] = value
    return [fmean(values.values()) for values in by_seed.values() if len(values) == len(classes)]


def interval_text(found: Interval | None) -> str | None:
    """Format an interval in percent: "97.1-99.0".

    The ends are rounded outwards, so the interval contains the value beside it with all its shown digits.
    """
    if found is None:
        return None
    low, high = floor(round(1000 * found.low, 6)), ceil(round(1000 * found.high, 6))
    return f"{low / 10:.1f}-{high / 10:.1f}"
