"""Compares many variants for people: a row for each, since a column for each would fill screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..results.variants import TITLES, Board, Variant, mean
from . import missing, pairs
from .best import BestMarks, Contest
from .confidence import INTERVALS, Confidence
from .doubts import doubt_columns, doubt_notes, seeds_text, single_seed_notes
from .pairs import Pair
from .protocols import Protocols
from .tables import Column, Table


@dataclass(frozen=True)
class _Row:
    """A variant, and its difference from the first one."""

    variant: Variant
    pair: Pair | None


def table(board: Board, variants: Sequence[Variant], metric: str, confidence: Confidence | None) -> Table[_Row]:
    """A row for each variant: its mean over the classes that all of them have, and its difference from the first.

    Args:
        board: the data set that the variants are of.
        variants: those to compare; each of the others is compared with the first.
        metric: a field of ``Metrics``.
        confidence: adds intervals and p-values.
    """
    classes = list(dict.fromkeys(name for variant in variants for name in variant.runs))
    common = [name for name in classes if all(name in variant.runs for variant in variants)]
    first, *others = variants
    found: Mapping[str, Pair] = {}
    if confidence is not None and common:
        compared = pairs.over_classes([(first, other) for other in others], common, metric, confidence)
        found = {pair.second.label: pair for pair in compared}
    protocols = Protocols(variants, [metric])
    notes = [f"The others are compared with {first.label}; --pairs all compares every pair."]
    if not common:
        notes.append(missing.no_common_class(variants))
    elif len(classes) > 1:
        left_out = [name for name in classes if name not in common]
        rest = f"; left out: {', '.join(left_out)}" if left_out else ""
        notes.append(f"Means over the {len(common)} classes that all of them have{rest}. --by-class shows each class.")
    if confidence is not None:
        notes += [f"{INTERVALS} {seeds_text(variants)}", *pairs.bootstrap_notes(found.values(), confidence, variants)]
        notes += doubt_notes(confidence, [(variant, common) for variant in variants], [metric])
        if any(variant.seeds > 1 for variant in variants):
            notes += single_seed_notes([(variant, common) for variant in variants], [metric])
    absent = missing.of_means([(variant, common) for variant in variants], [metric])
    notes = [*notes, *absent, *board.remarks, *protocols.notes()]
    known = any(pair.p_holm is not None for pair in found.values())
    columns = _columns(variants, metric, common, classes, protocols, confidence, known)
    title = f"{board.title}: {TITLES[metric]} (%) at the last epoch"
    rows = tuple(_Row(variant, found.get(variant.label)) for variant in variants)

    def find(key: str, row: _Row) -> tuple[Contest, Variant] | None:
        return (Contest(tuple(variants), tuple(common), metric), row.variant) if key == "mean" else None

    marks = BestMarks(find, confidence, "column")
    return Table(title, columns, rows, tuple(notes), audience="people", marks=marks)


def _columns(
    variants: Sequence[Variant],
    metric: str,
    common: Sequence[str],
    classes: Sequence[str],
    protocols: Protocols,
    confidence: Confidence | None,
    known: bool,
) -> tuple[Column[_Row], ...]:
    first = variants[0]

    def over_common(row: _Row) -> tuple[Variant, Sequence[str]]:
        return row.variant, common

    def value(variant: Variant) -> float | None:
        return mean(variant.metric(name, metric) for name in common)

    def difference(row: _Row) -> float | None:
        ours, theirs = value(row.variant), value(first)
        return None if row.variant is first or ours is None or theirs is None else ours - theirs

    title = f"mean ({len(common)})" if len(classes) > 1 else TITLES[metric]
    several = any(variant.seeds > 1 for variant in variants)
    sure: list[Column[_Row]] = []
    if known:
        sure = [
            Column("p_holm", "p (Holm)", lambda row: row.pair.p_holm if row.pair else None, "p_value"),
            Column("told_apart", "significant", lambda row: pairs.verdict(row.pair.p_holm) if row.pair else None),
        ]
    return (
        Column("variant", "variant", lambda row: protocols.marked(row.variant), role="key"),
        Column("mean", title, lambda row: value(row.variant), "percent"),
        *(doubt_columns(confidence, metric, over_common, prefix="", several_seeds=several) if confidence else ()),
        Column("difference", "difference", difference, "points"),
        *sure,
    )
