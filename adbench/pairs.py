"""Which of the compared methods can be told apart: every pair, class by class and over classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from . import statistics
from .confidence import APART, Confidence
from .statistics import Interval
from .tables import Cell, Column, Table
from .variants import TITLES, Board, Variant, mean

NO_EVIDENCE = (
    "No p-values: the evidence for them is not stored with these results. adbench run --force computes them again."
)


def table(board: Board, variants: Sequence[Variant], metric: str, confidence: Confidence) -> Table | None:
    """A row per pair and class, and one per pair over the classes that all have; None for a single variant.

    Args:
        board: the data set that the variants are of.
        variants: those that are compared, in the order of their columns.
        metric: a field of ``Metrics``; the second of a pair minus the first.
        confidence: knows what is stored.
    """
    pairs = list(combinations(variants, 2))
    if not pairs:
        return None
    classes = list(dict.fromkeys(name for variant in variants for name in variant.runs))
    common = [name for name in classes if all(name in variant.runs for variant in variants)]
    rows = [row for name in common for row in _rows(board, pairs, [name], metric, confidence)]
    footers = _rows(board, pairs, common, metric, confidence) if len(common) > 1 else []
    known = any(row[-2] is not None for row in (*rows, *footers))
    columns = (
        Column("class", "class"),
        Column("dataset", "data set", audience="programs"),
        Column("metric", "metric", audience="programs"),
        Column("first", "a"),
        Column("second", "b"),
        Column("difference", "b - a", "points"),
        Column("difference_interval", "95 %", audience="people"),
        Column("difference_low", "low", "points", audience="programs"),
        Column("difference_high", "high", "points", audience="programs"),
        Column("wilcoxon_p", "p, Wilcoxon", "p_value"),
        Column("p", "p, bootstrap", "p_value"),
        Column("p_holm", "p, Holm", "p_value"),
        Column("told_apart", "told apart"),
    )
    notes = [
        f"Paired bootstrap over the same test pictures, {statistics.RESAMPLES} draws; told apart where p is below "
        f"{APART} after Holm's correction for {len(pairs)} pair{'s' if len(pairs) > 1 else ''}."
    ]
    if footers:
        notes.append("Over classes also Wilcoxon's signed-rank test, with the same correction.")
    title = f"{board.title}: differences in {TITLES[metric]} (points), and which are more than chance"
    return Table(title, columns, tuple(rows), tuple(notes) if known else (NO_EVIDENCE,), tuple(footers))


def _rows(
    board: Board, pairs: Sequence[tuple[Variant, Variant]], classes: Sequence[str], metric: str, confidence: Confidence
) -> list[tuple[Cell, ...]]:
    """One row per pair, over some classes; p-values are corrected among these pairs."""
    found = [confidence.difference(first, second, classes, metric) for first, second in pairs]
    corrected = statistics.holm([each.p_value if each else None for each in found])
    ranks = statistics.holm([_wilcoxon(first, second, classes, metric) for first, second in pairs])
    name = classes[0] if len(classes) == 1 else f"mean ({len(classes)})"
    rows: list[tuple[Cell, ...]] = []
    for (first, second), each, p_holm, p_rank in zip(pairs, found, corrected, ranks, strict=True):
        limits = each.interval if each else None
        rows.append((
            name, board.dataset, metric, first.label, second.label, _difference(first, second, classes, metric),
            _text(limits), limits.low if limits else None, limits.high if limits else None,
            p_rank, each.p_value if each else None, p_holm, _verdict(p_holm),
        ))  # fmt: skip
    return rows


def _difference(first: Variant, second: Variant, classes: Sequence[str], metric: str) -> float | None:
    """The exact difference, as the table above has it."""
    values = [(first.metric(name, metric), second.metric(name, metric)) for name in classes]
    return mean(None if a is None or b is None else b - a for a, b in values)


def _wilcoxon(first: Variant, second: Variant, classes: Sequence[str], metric: str) -> float | None:
    values = [(first.metric(name, metric), second.metric(name, metric)) for name in classes]
    known = [(a, b) for a, b in values if a is not None and b is not None]
    return statistics.wilcoxon([a for a, _ in known], [b for _, b in known])


def _text(limits: Interval | None) -> str | None:
    """In points, with their signs: "-4.1 to -0.5"."""
    return None if limits is None else f"{100 * limits.low:+.1f} to {100 * limits.high:+.1f}"


def _verdict(p_value: float | None) -> str | None:
    if p_value is None:
        return None
    return "yes" if p_value < APART else "no"
