"""Explains every metric that stored runs lack: what the test set, the method or the run has not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..api.scores import METRIC_NAMES, PIXEL_METRICS, USUAL_METRICS
from ..results.records import Result
from ..results.variants import TITLES, Board, boards
from .missing import NO_MASKS, ONE_LABEL, SAYS_WHY
from .tables import AnyTable, Column, Table, constant

OLDER = "measured by an older adbench, which had no such metric"


@dataclass(frozen=True)
class _Row:
    """A metric that is missing for one reason, and where."""

    metric: str
    reason: str
    variants: tuple[str, ...]
    classes: tuple[str, ...]
    every: bool
    """Whether it is missing so in all runs."""


def why(results: Sequence[Result]) -> list[AnyTable]:
    """A table for each data set with the reason for each metric that is "-" in a run.

    Args:
        results: runs of any methods, data sets and seeds.
    """
    return [_table(board) for board in boards(results)]


def with_reasons(tables: Sequence[AnyTable], results: Sequence[Result]) -> list[AnyTable]:
    """Tables, and after them those of ``why``; without the notes that advise to ask for these."""
    kept = [replace(each, notes=tuple(note for note in each.notes if not note.endswith(SAYS_WHY))) for each in tables]
    return [*kept, *why(results)]


def reason(run: Result, name: str) -> str:
    """Why a run lacks a metric; of older runs, which don't say it, what their other metrics show."""
    if name in run.undefined:
        return run.undefined[name]
    if name not in USUAL_METRICS:
        return OLDER
    if name in PIXEL_METRICS and run.metrics.pixel_auroc is None:
        return f"{NO_MASKS}, or no anomaly maps"
    if name not in PIXEL_METRICS and run.metrics.image_auroc is None:
        return ONE_LABEL
    return OLDER


def _table(board: Board) -> Table[_Row]:
    runs = [(variant.label, run) for variant in board.variants for run in variant.all_runs]
    rows = []
    for name in METRIC_NAMES:
        found: dict[str, list[tuple[str, Result]]] = {}
        for label, run in runs:
            if getattr(run.metrics, name) is None:
                found.setdefault(reason(run, name), []).append((label, run))
        for text, lacking in found.items():
            variants = tuple(dict.fromkeys(label for label, _ in lacking))
            classes = tuple(dict.fromkeys(run.class_name for _, run in lacking))
            rows.append(_Row(name, text, variants, classes, len(lacking) == len(runs)))
    columns: tuple[Column[_Row], ...] = (
        constant("dataset", "data set", board.dataset),
        Column("metric", "metric", lambda row: TITLES[row.metric], audience="people", role="key"),
        Column("metric", "metric", lambda row: row.metric, audience="programs"),
        Column("reason", "why -", lambda row: row.reason, role="main"),
        Column("where", "where", _where, audience="people"),
        Column("variants", "variants", lambda row: ", ".join(row.variants), audience="programs"),
        Column("classes", "classes", lambda row: ", ".join(row.classes), audience="programs"),
    )
    return Table(f"{board.title}: why a metric is -", columns, tuple(rows))


def _where(row: _Row) -> str:
    return "all runs" if row.every else f"{', '.join(row.variants)} ({', '.join(row.classes)})"
