"""What the best epoch on the test set would have given, beside the last epoch, which alone counts.

An *oracle* is the best value of one metric over the evaluated epochs. It is chosen on the test set, so no user can
have it; it stands in tables of its own, never ranks, and shows how much of a number may be owed to that choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import ranking
from ..variants import TITLES, Board, Variant, mean
from .protocols import protocol_cells, protocol_columns, protocol_marks, protocol_notes
from .tables import Cell, Column, Table

NOTE = "oracle: chosen on the test set, never ranks."
"""What is said wherever an oracle is shown."""


@dataclass(frozen=True)
class Line:
    """A variant and a metric: what the last epoch scored in ``classes``, as the mean, under the name of ``title``."""

    variant: Variant
    metric: str
    classes: Sequence[str]
    last: float | None
    title: str | None = None


def of_ranking(board: Board, metric: str, shown: Sequence[str]) -> Table:
    """A row for each variant and metric, in the order and over the classes of the ranking by ``metric``."""
    ranked, rest = ranking.lines(board, metric, shown)
    lines = [Line(each.variant, name, each.classes, each.values[name]) for each in (*ranked, *rest) for name in shown]
    return _table(board, f"{board.title}: the oracle beside the last epoch (%)", lines)


def of_variant(board: Board, variant: Variant, metrics: Sequence[str]) -> Table:
    """A row for each class and metric of one variant, and the means below."""
    rows = [_class_line(variant, metric, name) for name in variant.runs for metric in metrics]
    footers = [_mean_line(variant, metric, list(variant.runs)) for metric in metrics]
    return _table(board, f"{variant.label} on {board.title}: the oracle beside the last epoch (%)", rows, footers)


def of_comparison(board: Board, variants: Sequence[Variant], metric: str) -> Table:
    """A row for each class and variant, and below the means over the classes that all of the variants have."""
    classes = dict.fromkeys(name for variant in variants for name in variant.runs)
    common = [name for name in classes if all(name in variant.runs for variant in variants)]
    rows = [_class_line(each, metric, name) for name in classes for each in variants if name in each.runs]
    footers = [_mean_line(each, metric, common) for each in variants]
    return _table(board, f"{board.title}: the oracle of {TITLES[metric]} beside the last epoch (%)", rows, footers)


def evaluations_note(variants: Iterable[Variant]) -> str:
    """Say among how many evaluations the oracles were chosen: the more, the luckier."""
    counts = [f"{each.label} {_span(run.evaluations for run in each.all_runs) or 'unknown'}" for each in variants]
    return f"Evaluations to choose the oracle from: {', '.join(counts)}."


def _class_line(variant: Variant, metric: str, name: str) -> Line:
    return Line(variant, metric, [name], variant.metric(name, metric), name)


def _mean_line(variant: Variant, metric: str, classes: Sequence[str]) -> Line:
    last = mean(variant.metric(name, metric) for name in classes)
    return Line(variant, metric, classes, last, f"mean ({len(classes)})")


def _table(board: Board, title: str, lines: Sequence[Line], footers: Sequence[Line] = ()) -> Table:
    variants = list({line.variant.label: line.variant for line in lines}.values())
    marks = protocol_marks(variants)
    by_class = any(line.title for line in lines)
    columns = (
        Column("class", "class", audience="all" if by_class else "programs"),
        Column("variant", "variant", audience="programs" if by_class and len(variants) == 1 else "all"),
        Column("dataset", "data set", audience="programs"),
        Column("synthetic", "synthetic", audience="programs"),
        Column("method", "method", audience="programs"),
        Column("metric", "metric", audience="programs"),
        Column("metric", "metric", audience="people"),
        Column("classes", "classes", "count", audience="programs" if by_class else "all"),
        Column("last", "last", "percent"),
        Column("oracle", "oracle", "percent"),
        Column("last_minus_oracle", "last - oracle", "points"),
        Column("oracle_epoch", "oracle's epoch", audience="people"),
        Column("oracle_epoch_first", "the first", "count", audience="programs"),
        Column("oracle_epoch_last", "the last", "count", audience="programs"),
        Column("evaluations", "evaluations", audience="people"),
        Column("evaluations_fewest", "the fewest", "count", audience="programs"),
        Column("evaluations_most", "the most", "count", audience="programs"),
        *protocol_columns(marks),
    )
    rows, sums = (tuple(_cells(board, line, marks) for line in part) for part in (lines, footers))
    notes = (NOTE, *_alone_notes(variants), *board.remarks, *protocol_notes(variants))
    return Table(title, columns, rows, notes, sums)


def _alone_notes(variants: Sequence[Variant]) -> list[str]:
    alone = [each.label for each in variants if any(run.evaluations == 1 for run in each.all_runs)]
    return [f"Evaluated once, so that the oracle is the last epoch itself: {', '.join(alone)}."] if alone else []


def _cells(board: Board, line: Line, marks: Mapping[str, str]) -> tuple[Cell, ...]:
    variant = line.variant
    runs = [run for name in line.classes for run in variant.runs.get(name, ())]
    scored = [name for name in line.classes if variant.metric(name, line.metric) is not None]
    bests = [best for run in runs for best in run.oracle if best.metric == line.metric]
    values = [variant.oracle(name, line.metric) for name in scored]
    there = line.last is not None and None not in values
    oracle = mean(values) if there else None
    return (
        line.title,
        variant.label,
        board.dataset,
        board.synthetic,
        variant.method,
        line.metric,
        TITLES[line.metric],
        len(line.classes),
        line.last,
        oracle,
        None if line.last is None or oracle is None else line.last - oracle,
        *_extent(best.epoch for best in bests),
        *_extent(run.evaluations for run in runs),
        *protocol_cells(runs, marks),
    )


def _extent(numbers: Iterable[int | None]) -> tuple[str | None, int | None, int | None]:
    """The lowest and the highest of what is known, as one text and apart."""
    known = [number for number in numbers if number is not None]
    return _span(known), min(known, default=None), max(known, default=None)


def _span(numbers: Iterable[int | None]) -> str | None:
    known = [number for number in numbers if number is not None]
    return None if not known else f"{known[0]}" if len(set(known)) == 1 else f"{min(known)} to {max(known)}"
