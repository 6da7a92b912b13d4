"""Which compared methods differ significantly: pairs, class by class and over classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from ..results.variants import TITLES, Board, Variant, mean
from ..stats import comparison, intervals
from ..stats.intervals import Interval
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
    """Two variants in one class or in the mean over several: the second minus the first, and its certainty.

    ``p`` is of the bootstrap as it is; the other p-values are corrected over all rows of the table.
    """

    name: str
    first: Variant
    second: Variant
    difference: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None
    wilcoxon_p: float | None
    delong_p: float | None
    over_classes: bool = False


def table(
    board: Board, variants: Sequence[Variant], metric: str, confidence: Confidence, *, every: bool = True
) -> Table[Pair] | None:
    """A row for each pair and class, and one for each pair over the common classes; None for a single variant.

    The p-values of each test are corrected over all rows that have one, those over classes with them.

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
    alone = [row for name in common for row in _rows(pairs, [name], metric, confidence)]
    together = _rows(pairs, defined, metric, confidence) if len(defined) > 1 else []
    corrected = _corrected([*alone, *together])
    rows, footers = corrected[: len(alone)], corrected[len(alone) :]
    known = any(row.p_holm is not None for row in (*rows, *footers))
    protocols = Protocols(variants, [metric])
    title = f"{board.title}: differences in {TITLES[metric]} (points), and which are more than chance"
    notes = _notes(variants, metric, confidence, corrected, common, defined if footers else [], protocols)
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
    return _corrected(_rows(pairs, defined, metric, confidence)) if defined else []


def bootstrap_notes(pairs: Collection[Pair], confidence: Confidence, variants: Sequence[Variant]) -> list[str]:
    """Explain the p-values of all rows of a table, and name the variants without them."""
    if not pairs:
        return []
    if all(pair.p_holm is None for pair in pairs):
        return [NO_HISTOGRAMS]
    notes = [
        f"Paired bootstrap over the same test images, {intervals.RESAMPLES} draws; significant: p below "
        f"{SIGNIFICANT} after Holm's correction for {_family(pairs)} in this table."
    ]
    unknown = confidence.unknown(variants)
    return [*notes, f"No p-values for {', '.join(unknown)}: {MISSING_HISTOGRAMS}"] if unknown else notes


def _family(pairs: Collection[Pair]) -> str:
    """The comparisons that a correction is for; where the metric is not defined there is none."""
    count = _compared(pairs)
    return "the one comparison" if count == 1 else f"all {count} comparisons"


def _compared(pairs: Collection[Pair]) -> int:
    return sum(pair.difference is not None for pair in pairs)


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
        over_classes = [pair for pair in pairs if pair.over_classes]
        notes.append(
            "Over classes also Wilcoxon's signed-rank test (- for a single class), with Holm's correction for "
            f"{_family(over_classes)} over classes; of {len(defined)} classes its p is "
            f"{2.0 ** (1 - len(defined)):.2g} at least."
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
    """A row for each pair over some classes, with p-values as they are; ``_corrected`` corrects them."""
    name = classes[0] if len(classes) == 1 else f"mean ({len(classes)})"
    rows = []
    for first, second in pairs:
        found = confidence.difference(first, second, classes, metric)
        difference = _difference(first, second, classes, metric)
        rows.append(
            Pair(
                name, first, second, difference, _holding(difference, found.interval) if found else None,
                found.p_value if found else None, None, _wilcoxon(first, second, classes, metric),
                confidence.delong(first, second, classes) if metric == DELONG else None, len(classes) > 1,
            )
        )  # fmt: skip
    return rows


def _corrected(rows: Sequence[Pair]) -> list[Pair]:
    """Correct the p-values of each test over all rows of a table, its family; Wilcoxon's has the rows over classes."""
    over_classes = [row for row in rows if row.over_classes]
    bootstrap = comparison.holm([row.p for row in rows], _compared(rows))
    areas = comparison.holm([row.delong_p for row in rows], _compared(rows))
    signed = iter(comparison.holm([row.wilcoxon_p for row in over_classes], _compared(over_classes)))
    return [
        replace(row, p_holm=p, wilcoxon_p=next(signed) if row.over_classes else None, delong_p=area)
        for row, p, area in zip(rows, bootstrap, areas, strict=True)
    ]


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
