"""Leaderboards out of results. Ranked is what the *last* epoch scored, never an oracle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from .. import ranking, statistics
from ..confidence import APART, MISSING_EVIDENCE, Confidence, interval_text, seed_means
from ..errors import ResultError
from ..ranking import Line
from ..types import MAIN_METRICS, Result
from ..variants import TITLES, Board, Variant, boards, mean
from . import oracle as oracle_room
from .protocols import protocol_cells, protocol_columns, protocol_marks, protocol_notes
from .tables import Cell, Column, Table


def leaderboard(
    results: Sequence[Result],
    *,
    metric: str = "image_auroc",
    by_class: bool = False,
    threshold: bool = False,
    oracle: bool = False,
    confidence: Confidence | None = None,
) -> list[Table]:
    """Rank variants, one table per data set; or show each variant's classes and their mean.

    A variant takes part in the ranking if it has at least half of the data set's classes. The means
    are over the classes that all ranked variants have; what is left out is said under the table.

    Args:
        results: runs of any methods, data sets and seeds.
        metric: a field of ``Metrics``; at the last epoch, the mean over seeds, then over classes.
        by_class: a table per variant with a row per class and the mean, instead of the ranking.
        threshold: show people what the suggested thresholds do; programs always see it.
        oracle: after each table one with the best epochs on the test set, which rank nothing.
        confidence: adds 95 % intervals, the spread over seeds, and letters for those that can't be told apart.

    Raises:
        ResultError: there is no result.
    """
    found = boards(_some(results))
    tables: list[Table] = []
    for board in found:
        for variant in board.variants if by_class else ():
            tables.append(_class_table(board, variant, metric, threshold, confidence))
            tables += [oracle_room.of_variant(board, variant, _metrics(metric))] if oracle else []
        if not by_class:
            tables.append(_ranking(board, metric, threshold, confidence))
            tables += [oracle_room.of_ranking(board, metric, _metrics(metric))] if oracle else []
    return tables


def _some(results: Sequence[Result]) -> Sequence[Result]:
    if not results:
        raise ResultError("there is no result to show", way_out="Make one with adbench run, or look at --results")
    return results


def _metrics(metric: str) -> tuple[str, ...]:
    """What is shown when ranked by ``metric``."""
    return MAIN_METRICS if metric in MAIN_METRICS else (metric, *MAIN_METRICS)


def _metric_columns(shown: Sequence[str], confidence: Confidence | None, seeds: int) -> list[Column]:
    """The metrics, each with its interval and its spread over seeds where they are wanted."""
    columns: list[Column] = []
    for name in shown:
        columns.append(Column(name, TITLES[name], "percent"))
        if confidence is not None:
            columns.append(Column(f"{name}_interval", "95 %", audience="people"))
            columns += [Column(f"{name}_{end}", end, "percent", audience="programs") for end in ("low", "high")]
            columns.append(Column(f"{name}_sd", "sd", "percent", audience="all" if seeds > 1 else "programs"))
    return columns


def _metric_cells(
    variant: Variant, classes: Sequence[str], values: Mapping[str, float | None], confidence: Confidence | None
) -> list[Cell]:
    """What ``_metric_columns`` head, over some classes."""
    cells: list[Cell] = []
    for name, value in values.items():
        cells.append(value)
        if confidence is not None:
            found = confidence.interval(variant, classes, name)
            sd = statistics.spread(seed_means(variant, classes, name))
            cells += [interval_text(found), found.low if found else None, found.high if found else None, sd]
    return cells


def _confidence_notes(
    confidence: Confidence | None, variants: Sequence[Variant], seeds: int, *, letters: bool = False
) -> list[str]:
    """Say what the intervals are, and who has none."""
    if confidence is None:
        return []
    notes = ["95 %: interval over test pictures, of the mean over seeds (docs/statistics.md)."]
    if seeds > 1:
        notes.append("sd: standard deviation over seeds.")
    if letters and len(confidence.unknown(variants)) < len(variants):
        notes.append(
            "Methods that share a letter can't be told apart (paired bootstrap over the same pictures, "
            f"Holm's correction, p < {APART})."
        )
    unknown = confidence.unknown(variants)
    if unknown:
        notes.append(f"No intervals for {', '.join(unknown)}: {MISSING_EVIDENCE}")
    return notes


NO_THRESHOLD = "the training scores don't tell. Run with --holdout 0.1."

_RATES = ("false_alarm_rate", "miss_rate")


def _rate_columns(threshold: bool) -> tuple[Column, ...]:
    audience: Literal["all", "programs"] = "all" if threshold else "programs"
    titles = zip(_RATES, ("false alarms", "misses"), strict=True)
    return tuple(Column(name, title, "percent", audience) for name, title in titles)


def _threshold_notes(variants: Sequence[Variant], threshold: bool) -> list[str]:
    """Say where thresholds come from, if they are shown."""
    rules: dict[str, list[str]] = {}
    for variant in variants:
        for run in variant.all_runs if threshold else ():
            none = "held-out" if run.protocol.holdout else ""
            labels = rules.setdefault(re.sub(r" of \d+", " of", run.threshold.rule) if run.threshold else none, [])
            if variant.label not in labels:
                labels.append(variant.label)
    untold, unheld = rules.pop("", []), rules.pop("held-out", [])
    lines = [f"Thresholds of {', '.join(labels)}: {rule}." for rule, labels in rules.items()]
    if untold:
        lines.append(f"No threshold for {', '.join(untold)}: {NO_THRESHOLD}")
    if unheld:
        lines.append(f"No threshold for {', '.join(unheld)}: too few held-out pictures. Run with a larger --holdout.")
    if any("training" in rule for rule in rules):
        lines.append("Training scores are lower than those of new good pictures; --holdout 0.1 gives honest ones.")
    return lines


# ---------------------------------------------------------------- the ranking


def _ranking(board: Board, metric: str, threshold: bool, confidence: Confidence | None) -> Table:
    shown = _metrics(metric)
    lines, rest = ranking.lines(board, metric, shown)
    seeds = max(line.variant.seeds for line in (*lines, *rest))
    letters: list[str | None] = []
    if confidence is not None:
        common = lines[0].classes if lines else []
        letters += [*confidence.letters([line.variant for line in lines], common, metric), *(None for _ in rest)]
    values = [line.values[metric] for line in lines]
    ranks = [values.index(value) + 1 for value in values]  # equal numbers share a rank
    marks = protocol_marks([line.variant for line in (*lines, *rest)])
    rows = [
        (rank, line.variant.label, board.dataset, board.synthetic, line.variant.method, len(line.classes),
         line.variant.seeds, *letters[number : number + 1],
         *_metric_cells(line.variant, line.classes, {name: line.values[name] for name in shown}, confidence),
         *_rates(line), *_speed(line), *protocol_cells(line.variant.all_runs, marks))
        for number, (rank, line) in enumerate(zip([*ranks, *(None for _ in rest)], [*lines, *rest], strict=True))
    ]  # fmt: skip
    columns = (
        Column("rank", "rank", "count"),
        Column("variant", "variant"),
        Column("dataset", "data set", audience="programs"),
        Column("synthetic", "synthetic", audience="programs"),
        Column("method", "method", audience="programs"),
        Column("classes", "classes", "count"),
        Column("seeds", "seeds", "count"),
        *([] if confidence is None else [Column("group", "group")]),
        *_metric_columns(shown, confidence, seeds),
        *_rate_columns(threshold),
        Column("fit_seconds", "fit s/class", "seconds"),
        Column("images_per_second", "images/s", "rate"),
        *protocol_columns(marks),
    )
    notes = (
        *ranking.class_notes(board, lines, rest, metric),
        *ranking.undefined_notes(lines, shown),
        *_confidence_notes(confidence, [line.variant for line in (*lines, *rest)], seeds, letters=True),
        *board.remarks,
        *_threshold_notes([line.variant for line in (*lines, *rest)], threshold),
        *protocol_notes([line.variant for line in (*lines, *rest)]),
    )
    return Table(f"{board.title}: ranked by {TITLES[metric]} (%) at the last epoch", columns, tuple(rows), notes)


def _rates(line: Line) -> tuple[float | None, ...]:
    """False alarms and misses at the suggested thresholds, as means over the classes."""
    return tuple(mean(line.variant.threshold(each, name) for each in line.classes) for name in _RATES)


def _speed(line: Line) -> tuple[float | None, float | None]:
    """Training seconds and images per second, as means over the classes."""
    fit, rate = (
        mean(line.variant.timing(each, name) for each in line.classes) for name in ("fit", "images_per_second")
    )
    return fit, rate


# ---------------------------------------------------------------- one variant, class by class


def _class_table(board: Board, variant: Variant, metric: str, threshold: bool, confidence: Confidence | None) -> Table:
    shown = _metrics(metric)
    head = (board.dataset, board.synthetic, variant.label, variant.method)

    def times(name: str) -> tuple[float | None, float | None]:
        return variant.timing(name, "total"), variant.timing(name, "images_per_second")

    def decisions(name: str) -> tuple[float | None, ...]:
        return tuple(variant.threshold(name, each) for each in ("value", *_RATES))

    marks = protocol_marks([variant])
    rows = [
        (
            name,
            *head,
            len(runs),
            *_metric_cells(variant, [name], {each: variant.metric(name, each) for each in shown}, confidence),
            *decisions(name),
            *times(name),
            *protocol_cells(runs, marks),
        )
        for name, runs in variant.runs.items()
    ]
    means = {name: mean(variant.metric(each, name) for each in variant.runs) for name in shown}
    numbers = _metric_cells(variant, list(variant.runs), means, confidence)
    numbers += [None, *(mean(variant.threshold(each, name) for each in variant.runs) for name in _RATES)]
    numbers += [mean(column) for column in zip(*map(times, variant.runs), strict=True)]
    footer = (f"mean ({len(rows)})", *head, variant.seeds, *numbers, *protocol_cells(variant.all_runs, marks))
    columns = (
        Column("class", "class"),
        Column("dataset", "data set", audience="programs"),
        Column("synthetic", "synthetic", audience="programs"),
        Column("variant", "variant", audience="programs"),
        Column("method", "method", audience="programs"),
        Column("seeds", "seeds", "count", audience="all" if variant.seeds > 1 else "programs"),
        *_metric_columns(shown, confidence, variant.seeds),
        Column("threshold", "threshold", "score", audience="all" if threshold else "programs"),
        *_rate_columns(threshold),
        Column("seconds", "seconds", "seconds"),
        Column("images_per_second", "images/s", "rate"),
        *protocol_columns(marks),
    )
    notes = [
        f"{TITLES[name]} is not defined for every class; its mean is over the others."
        for name in shown
        if 0 < sum(variant.metric(each, name) is None for each in variant.runs) < len(rows)
    ]
    notes += [*_confidence_notes(confidence, [variant], variant.seeds), *board.remarks]
    notes += [*_threshold_notes([variant], threshold), *protocol_notes([variant])]
    title = f"{variant.label} on {board.title}: metrics in % at the last epoch"
    return Table(title, columns, tuple(rows), tuple(notes), (footer,))
