"""Which compared methods differ significantly: pairs, class by class and over classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..results.variants import TITLES, Board, Variant, mean
from ..stats import comparison, intervals
from ..stats.intervals import Interval
from ..util.text import plural
from .confidence import MISSING_HISTOGRAMS, SIGNIFICANT, Confidence
from .doubts import seeds_text
from .protocols import Protocols, of_class
from .tables import Audience, Column, Table, cell_text

NO_HISTOGRAMS = (
    "No p-values: the score histograms for them are not stored with these results. adbench run --force computes them."
)


DELONG = "image_auroc"
"""The metric that DeLong's test is for."""


@dataclass(frozen=True)
class Pair:
    """Two variants in one class or in the mean over several: the second minus the first, and its certainty."""

    name: str
    first: Variant
    second: Variant
    difference: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None
    wilcoxon_p: float | None
    delong_p: float | None


def table(
    board: Board, variants: Sequence[Variant], metric: str, confidence: Confidence, *, every: bool = True
) -> Table[Pair] | None:
    """A row for each pair and class, and one for each pair over the common classes; None for a single variant.

    Args:
        board: the data set that the variants are of.
        variants: those to compare, in the order of their columns.
        metric: a field of ``Metrics``; the second of a pair minus the first.
        confidence: reads the stored score histograms.
        every: compare every pair, or only those with the first variant.
    """
    pairs = list(combinations(variants, 2)) if every else [(variants[0], other) for other in variants[1:]]
    if not pairs:
        return None
    classes = list(dict.fromkeys(name for variant in variants for name in variant.runs))
    common = [name for name in classes if all(name in variant.runs for variant in variants)]
    defined = [name for name in common if all(variant.metric(name, metric) is not None for variant in variants)]
    rows = [row for name in common for row in _rows(pairs, [name], metric, confidence)]
    footers = _rows(pairs, defined, metric, confidence) if len(common) > 1 and defined else []
    known = any(row.p_holm is not None for row in (*rows, *footers))
    protocols = Protocols(variants, [metric])
    title = f"{board.title}: differences in {TITLES[metric]} (points), and which are more than chance"
    notes = _notes(
        variants, metric, confidence, footers or rows[: len(pairs)], common, defined if footers else [], protocols
    )
    columns = _columns(board, metric, protocols, bool(footers), known)
    nothing = all(row.difference is None for row in rows)  # the table above shows that to people
    audience: Audience = "programs" if nothing else "all"
    shown = tuple(notes) if known else () if nothing else (NO_HISTOGRAMS,)
    return Table(title, columns, tuple(rows), shown, tuple(footers), audience)


def over_classes(
    pairs: Sequence[tuple[Variant, Variant]], classes: Sequence[str], metric: str, confidence: Confidence
) -> list[Pair]:
    """The pairs over the classes in which all of them have the metric; p-values are corrected among them."""
    variants = [variant for pair in pairs for variant in pair]
    defined = [name for name in classes if all(variant.metric(name, metric) is not None for variant in variants)]
    return _rows(pairs, defined, metric, confidence) if defined else []


def bootstrap_notes(pairs: Collection[Pair], confidence: Confidence, variants: Sequence[Variant]) -> list[str]:
    """Explain the p-values of some pairs, and name the variants without them."""
    if not pairs:
        return []
    if all(pair.p_holm is None for pair in pairs):
        return [NO_HISTOGRAMS]
    notes = [
        f"Paired bootstrap over the same test images, {intervals.RESAMPLES} draws; significant: p below "
        f"{SIGNIFICANT} after Holm's correction for {plural(len(pairs), 'pair')}."
    ]
    unknown = confidence.unknown(variants)
    return [*notes, f"No p-values for {', '.join(unknown)}: {MISSING_HISTOGRAMS}"] if unknown else notes


def _columns(
    board: Board, metric: str, protocols: Protocols, over_classes: bool, known: bool
) -> tuple[Column[Pair], ...]:
    shown: Literal["people", "programs"] = "people" if known else "programs"
    asked: Audience = "all" if known else "programs"
    ranked: Audience = "all" if over_classes and known else "programs"
    delong: Column[Pair] = Column("delong_p", "DeLong (Holm)", lambda row: row.delong_p, "p_value", asked)
    return (
        *of_class(board, metric, protocols.differ, lambda row: row.name),
        Column("first", "a", lambda row: row.first.label, audience="programs"),
        Column("second", "b", lambda row: row.second.label, audience="programs"),
        Column("first_marked", "a", lambda row: protocols.marked(row.first), audience="people", role="key"),
        Column("second_marked", "b", lambda row: protocols.marked(row.second), audience="people", role="key"),
        Column("difference", "b - a", lambda row: row.difference, "points", role="main"),
        Column("difference_interval", "95 % of b - a", lambda row: _text(row.interval), audience=shown, whole=True),
        Column("difference_low", "low", lambda row: getattr(row.interval, "low", None), "points", "programs"),
        Column("difference_high", "high", lambda row: getattr(row.interval, "high", None), "points", "programs"),
        Column("wilcoxon_p", "Wilcoxon (Holm)", lambda row: row.wilcoxon_p, "p_value", ranked),
        *([delong] if metric == DELONG else []),
        Column("p", "p", lambda row: row.p, "p_value", asked),
        Column("p_holm", "p (Holm)", lambda row: row.p_holm, "p_value", asked, role="main"),
        Column("told_apart", "significant", lambda row: verdict(row.p_holm), "text", asked, role="main"),
    )


def _notes(
    variants: Sequence[Variant],
    metric: str,
    confidence: Confidence,
    pairs: Sequence[Pair],
    common: Sequence[str],
    defined: Sequence[str],
    protocols: Protocols,
) -> list[str]:
    """Explain the p-values, and name the variants without; ``defined`` are the classes of the rows over classes."""
    notes = [
        *bootstrap_notes(pairs, confidence, variants),
        "Intervals are of each pair alone.",
        *(["DeLong: DeLong's test for correlated AUROCs, with the same correction."] if metric == DELONG else []),
        f"Other seeds would move the numbers, too; no p-value here includes that. {seeds_text(variants)}",
    ]
    if defined:
        notes.append(
            "Over classes also Wilcoxon's signed-rank test (- for a single class), with the same correction; "
            f"of {len(defined)} classes its p is {2.0 ** (1 - len(defined)):.2g} at least."
        )
        if len(defined) < len(common):
            missing = ", ".join(name for name in common if name not in defined)
            notes.append(f"{TITLES[metric]} is not defined in {missing} for all of them.")
    if protocols.differ:
        marks = ", ".join(f"[{mark}]" for mark in protocols.marks.values())
        notes.append(f"{marks}: other protocols, explained under the table above.")
    return notes


def _rows(
    pairs: Sequence[tuple[Variant, Variant]], classes: Sequence[str], metric: str, confidence: Confidence
) -> list[Pair]:
    """A row for each pair over some classes; p-values are corrected among these pairs."""
    found = [confidence.difference(first, second, classes, metric) for first, second in pairs]
    corrected = comparison.holm([each.p_value if each else None for each in found], len(pairs))
    ranks = comparison.holm([_wilcoxon(first, second, classes, metric) for first, second in pairs])
    asked = pairs if metric == DELONG else ()
    areas = comparison.holm([confidence.delong(first, second, classes) for first, second in asked])
    name = classes[0] if len(classes) == 1 else f"mean ({len(classes)})"
    return [
        Pair(
            name, first, second, difference := _difference(first, second, classes, metric),
            _holding(difference, each.interval) if each else None, each.p_value if each else None, p_holm, p_rank,
            p_area,
        )
        for (first, second), each, p_holm, p_rank, p_area in zip(
            pairs, found, corrected, ranks, areas or [None] * len(pairs), strict=True
        )
    ]  # fmt: skip


def _holding(value: float | None, found: Interval) -> Interval:
    """Widen an interval so that it contains the exact difference, to which that of the histograms is only close."""
    if value is None or found.low == found.high:
        return found
    return Interval(min(found.low, value), max(found.high, value))


def _difference(first: Variant, second: Variant, classes: Sequence[str], metric: str) -> float | None:
    """The exact difference, as in the table above."""
    values = [(first.metric(name, metric), second.metric(name, metric)) for name in classes]
    return mean(None if a is None or b is None else b - a for a, b in values)


def _wilcoxon(first: Variant, second: Variant, classes: Sequence[str], metric: str) -> float | None:
    values = [(first.metric(name, metric), second.metric(name, metric)) for name in classes]
    known = [(a, b) for a, b in values if a is not None and b is not None]
    return comparison.wilcoxon([a for a, _ in known], [b for _, b in known])


def _text(limits: Interval | None) -> str | None:
    """Format an interval in points with signs: "-4.1 to -0.5"; None of no width, where no draw moved the difference."""
    if limits is None or limits.low == limits.high:
        return None
    return " to ".join(cell_text(end, "points") for end in (limits.low, limits.high))


def verdict(p_value: float | None) -> str | None:
    """Say whether a corrected p-value is significant; None without one."""
    if p_value is None:
        return None
    return "yes" if p_value < SIGNIFICANT else "no"
