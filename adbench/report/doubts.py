"""Columns that say how certain a metric is: its interval over test images, and its spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..results.variants import TITLES, Variant, mean
from .confidence import Confidence, interval_text, seed_means
from .tables import Column, Row

if TYPE_CHECKING:
    from ..stats.intervals import Interval


def doubt_columns(
    confidence: Confidence,
    metric: str,
    about: Callable[[Row], tuple[Variant, Sequence[str]]],
    *,
    prefix: str,
    several_seeds: bool,
) -> list[Column[Row]]:
    """The interval, its ends for programs, and the spread over seeds, which people see for several seeds.

    Args:
        confidence: reads the stored score histograms.
        metric: the field of ``Metrics``.
        about: the variant and the classes of a row.
        prefix: of the columns' keys.
        several_seeds: whether there is a spread to see.
    """

    def interval(row: Row) -> Interval | None:
        return confidence.interval(*about(row), metric)

    def spread(row: Row) -> float | None:
        from ..stats import intervals

        return intervals.spread(seed_means(*about(row), metric))

    return [
        Column(
            f"{prefix}interval", "95 %", lambda row: interval_text(interval(row)),
            audience="people", beside=True, whole=True,
        ),
        Column(f"{prefix}low", "low", lambda row: getattr(interval(row), "low", None), "percent", "programs"),
        Column(f"{prefix}high", "high", lambda row: getattr(interval(row), "high", None), "percent", "programs"),
        Column(f"{prefix}sd", "sd", spread, "percent", "all" if several_seeds else "programs", beside=True),
    ]  # fmt: skip


def doubt_notes(
    confidence: Confidence, shown: Iterable[tuple[Variant, Sequence[str]]], metrics: Sequence[str]
) -> list[str]:
    """Explain a missing interval beside a number although there are score histograms."""
    from ..metrics.histograms import MEASURED

    rows = [(variant, classes) for variant, classes in shown if not confidence.unknown([variant])]
    without = {
        name
        for variant, classes in rows
        for name in metrics
        if mean(variant.metric(each, name) for each in classes) is not None
        and confidence.interval(variant, classes, name) is None
    }
    why = {name: _first(confidence.why_not(*row, name) for row in rows) for name in metrics if name in without}
    known = {name for name in without & set(MEASURED) if not why[name]}
    notes = ["95 % -: no other draw of these test images moves the number."] if known else []
    notes += [f"95 % - of {TITLES[name]}: {reason}." for name, reason in why.items() if reason]
    unmeasured = [TITLES[name] for name in metrics if name in without - set(MEASURED)]
    return [*notes, f"95 % -: score histograms don't give {', '.join(unmeasured)}."] if unmeasured else notes


def _first(reasons: Iterable[str]) -> str:
    """The first that isn't empty."""
    return next(filter(None, reasons), "")


def single_seed_notes(shown: Iterable[tuple[Variant, Sequence[str]]], metrics: Sequence[str]) -> list[str]:
    """Explain a missing spread beside a number, in a table with a column for it."""
    single = any(
        len(seed_means(variant, classes, name)) < 2
        for variant, classes in shown
        for name in metrics
        if mean(variant.metric(each, name) for each in classes) is not None
    )
    return ["sd -: fewer than two seeds have all of these classes."] if single else []


def seeds_text(variants: Sequence[Variant]) -> str:
    """Numbers of seeds of the variants: one number if all have the same."""
    counts = {variant.seeds for variant in variants}
    if len(counts) == 1:
        return f"Seeds: {counts.pop()} each."
    return f"Seeds: {', '.join(f'{variant.label} {variant.seeds}' for variant in variants)}."
