"""Leaderboards of results. They rank the *last* epoch, never an oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..api.scores import MAIN_METRICS, METRIC_NAMES, SPECIAL_METRICS
from ..results import ranking
from ..results.ranking import Line
from ..results.records import Result
from ..results.variants import TITLES, Board, Names, Variant, boards, mean
from ..util.errors import ResultError
from . import missing, ranks
from . import oracle as oracle_module
from .best import BestMarks, Contest
from .confidence import MISSING_HISTOGRAMS, SIGNIFICANT, Confidence
from .doubts import doubt_columns, doubt_notes, single_seed_notes
from .labels import label_column
from .protocols import Protocols, setting_column
from .ranks import Unit
from .score_notes import threshold_notes, tie_notes
from .speeds import Latencies, latency_columns, latency_notes
from .tables import AnyTable, Audience, Column, Kind, Role, Table, constant
from .timing import runs_on, timing_columns, timing_notes


def leaderboard(
    results: Sequence[Result],
    *,
    metric: str = "image_auroc",
    by_class: bool = False,
    threshold: bool = False,
    oracle: bool = False,
    confidence: Confidence | None = None,
    letters: bool = False,
    ties: Confidence | None = None,
    remarks: Mapping[str, Sequence[str]] | None = None,
    names: Names | None = None,
    rank_by: Unit | None = None,
    latencies: Latencies | None = None,
    metrics: Sequence[str] | None = None,
) -> list[AnyTable]:
    """Rank variants in a table for each data set; or show each variant's classes and their mean.

    A variant takes part in the ranking if it has at least half of the data set's classes. Means are over the classes
    that all ranked variants have; a note under the table names the others.

    Args:
        results: runs of any methods, data sets and seeds.
        metric: a field of ``Metrics``; at the last epoch, the mean over seeds, then over classes.
        by_class: a table per variant with a row per class and the mean, instead of the ranking.
        threshold: show people what the suggested thresholds do; programs always see it.
        oracle: adds a table with the best epochs on the test set after each table; they never rank.
        confidence: adds 95 % intervals, the spread over seeds, and which variants could be the best.
        letters: also show people which pairs don't differ significantly; programs always see it.
        ties: marks the values that don't differ significantly from the best, in formats for papers.
        remarks: further notes on each data set's runs (``standing.Sorted``).
        names: names of the variants; by default from these results alone.
        rank_by: adds a table of mean ranks over all data sets, or over all classes.
        latencies: what ``adbench speed`` measured of these runs; adds a column where there is one.
        metrics: those that people see beside the one that ranks; by default ``usual_metrics`` of each board.

    Raises:
        ResultError: there is no result.
    """
    found = boards(some(results), remarks, names)
    tables: list[AnyTable] = []
    for board in found:
        shown = shown_metrics(metric, metrics or usual_metrics(board))
        view = _View(metric, shown, threshold, confidence, letters, ties or confidence, latencies)
        for variant in board.variants if by_class else ():
            tables.append(_class_table(board, variant, view))
            tables += [oracle_module.of_variant(board, variant, shown)] if oracle else []
        if not by_class:
            tables.append(_ranking(board, view))
            tables += [oracle_module.of_ranking(board, metric, shown)] if oracle else []
    if rank_by is not None:
        tables.append(ranks.table(found, metric, rank_by))
    return tables


def some(results: Sequence[Result]) -> Sequence[Result]:
    """Return the results. Raises ``ResultError`` if there are none."""
    if not results:
        raise ResultError("there is no result to show", hint="Make one with adbench run, or look at --results")
    return results


def usual_metrics(board: Board) -> tuple[str, ...]:
    """The metrics that people see by default: the main ones, and each special one that most runs of the board have."""
    runs = [run for variant in board.variants for run in variant.all_runs]
    counts = {name: sum(getattr(run.metrics, name) is not None for run in runs) for name in SPECIAL_METRICS}
    return (*MAIN_METRICS, *(name for name, count in counts.items() if 2 * count > len(runs)))


def shown_metrics(metric: str, metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics to show in a ranking by ``metric``, beside others."""
    return tuple(metrics) if metric in metrics else (metric, *metrics)


@dataclass(frozen=True)
class _View:
    """What tables show of results: see the arguments of ``leaderboard``; ``shown`` are metrics that people see."""

    metric: str
    shown: Sequence[str]
    threshold: bool
    confidence: Confidence | None
    letters: bool
    ties: Confidence | None
    latencies: Latencies | None


@dataclass(frozen=True)
class _Row:
    """A row: a ranked variant, one class (``name``) of a variant, or the mean over its classes."""

    line: Line
    name: str = ""
    rank: int | None = None
    best_p: float | None = None
    group: str | None = None
    is_mean: bool = False

    @property
    def variant(self) -> Variant:
        """The row's variant."""
        return self.line.variant

    @property
    def runs(self) -> list[Result]:
        """The runs of its classes."""
        return [run for name in self.line.classes for run in self.variant.runs[name]]

    def mean(self, of_class: Callable[[str], float | None]) -> float | None:
        """The mean over its classes."""
        return mean(map(of_class, self.line.classes))


def _metric_columns(view: _View, protocols: Protocols, *, several_seeds: bool) -> list[Column[_Row]]:
    """The metrics, each with its interval and its spread over seeds if wanted, and with its protocol.

    Programs see all metrics.
    """

    def about(row: _Row) -> tuple[Variant, Sequence[str]]:
        return row.variant, row.line.classes

    columns: list[Column[_Row]] = []
    for name in view.shown:
        columns.append(_metric_column(name, "main" if name == view.metric else "other"))
        if view.confidence is not None:
            columns += doubt_columns(view.confidence, name, about, prefix=f"{name}_", several_seeds=several_seeds)
        columns += protocols.columns_after(name, lambda row: row.runs)
    columns += [_metric_column(name, "other", "programs") for name in METRIC_NAMES if name not in view.shown]
    return columns


def _metric_column(name: str, role: Role, audience: Audience = "all") -> Column[_Row]:
    return Column(name, TITLES[name], lambda row: row.line.values[name], "percent", audience, role)


def _confidence_notes(view: _View, lines: Sequence[Line], seeds: int, *, letters: bool = False) -> list[str]:
    """Explain the intervals, and name the variants without them."""
    confidence, shown = view.confidence, view.shown
    if confidence is None:
        return []
    variants = list({line.variant.label: line.variant for line in lines}.values())
    notes = ["95 %: interval over test images, of the mean over seeds (docs/statistics.md)."]
    notes += doubt_notes(confidence, [(line.variant, line.classes) for line in lines], shown)
    if seeds > 1:
        notes.append("sd: standard deviation over seeds.")
        notes += single_seed_notes([(line.variant, line.classes) for line in lines], shown)
    if letters and len(confidence.unknown(variants)) < len(variants):
        notes.append(
            "Methods that share a letter are not significantly different (every pair, paired bootstrap over the same "
            f"images, Holm's correction, p >= {SIGNIFICANT})."
        )
    unknown = confidence.unknown(variants)
    if unknown:
        notes.append(f"No intervals for {', '.join(unknown)}: {MISSING_HISTOGRAMS}")
    return notes


def has_promise(results: Sequence[Result]) -> bool:
    """Whether any of these runs has a threshold that promises something."""
    return any(result.threshold and result.threshold.promise for result in results)


RATES = ("false_alarm_rate", "miss_rate")
"""Effects of a threshold on the test set: fields of ``Threshold``."""


def _rate_columns(threshold: bool, variants: Sequence[Variant]) -> list[Column[_Row]]:
    """False alarms and misses at the suggested thresholds, as means over the classes; and what was promised, if any."""
    audience: Audience = "all" if threshold else "programs"

    def column(name: str, title: str) -> Column[_Row]:
        def rate(row: _Row) -> float | None:
            return row.mean(lambda class_name: row.variant.threshold(class_name, name))

        return Column(name, title, rate, "percent", audience)

    rates = [column(name, title) for name, title in zip(RATES, ("false alarms", "misses"), strict=True)]
    if not has_promise([run for variant in variants for run in variant.all_runs]):
        return rates

    def promised(row: _Row) -> float | None:
        return row.mean(lambda class_name: row.variant.promised(class_name))

    return [Column("promised_false_alarm_rate", "promised", promised, "percent", audience), *rates]


BEST_NOTE = (
    "could be best: not significantly worse than the best (comparisons with the best by a paired bootstrap over the "
    f"same images, p >= {SIGNIFICANT}; docs/statistics.md)."
)


def _best_columns(letters: bool) -> list[Column[_Row]]:
    """Which rows could be the best, and on request letters for all pairs."""
    return [
        Column("not_worse_than_best", "could be best", lambda row: _verdict(row.best_p), role="main"),
        Column("best_p", "p (best)", lambda row: row.best_p, "p_value", "programs"),
        Column("group", "group", lambda row: row.group, "text", "all" if letters else "programs", role="main"),
    ]


def _verdict(p_value: float | None) -> str | None:
    return None if p_value is None else "yes" if p_value >= SIGNIFICANT else "no"


def _time_column(key: str, title: str, field: str, kind: Kind) -> Column[_Row]:
    """A field of ``Timing``, as the mean over the classes."""
    return Column(key, title, lambda row: row.mean(lambda name: row.variant.timing(name, field)), kind)


def _memory_column() -> Column[_Row]:
    """The peak of memory: on a GPU that of its allocator, else of the whole process; the highest of all runs."""
    return Column(
        "peak_mb", "peak MB", lambda row: round(max(run.peak_memory_bytes for run in row.runs) / 1e6), "count"
    )


# ---------------------------------------------------------------- the ranking


def _ranking(board: Board, view: _View) -> Table[_Row]:
    metric, shown, confidence = view.metric, view.shown, view.confidence
    lines, rest = ranking.lines(board, metric, METRIC_NAMES)
    variants = [line.variant for line in (*lines, *rest)]
    seeds = max(variant.seeds for variant in variants)
    groups: Sequence[str | None] = [None] * len(lines)
    best: Sequence[float | None] = [None] * len(lines)
    if confidence is not None and lines:
        groups = confidence.letters(variants[: len(lines)], lines[0].classes, metric)
        best = confidence.best(variants[: len(lines)], lines[0].classes, metric)
    values = [line.values[metric] for line in lines]
    protocols = Protocols(variants, shown)
    rows = [
        _Row(line, rank=values.index(line.values[metric]) + 1, best_p=p, group=group)  # equal numbers share a rank
        for line, p, group in zip(lines, best, groups, strict=True)
    ]
    columns: tuple[Column[_Row], ...] = (
        Column("rank", "rank", lambda row: row.rank, "count", role="key"),
        Column("variant", "variant", lambda row: row.variant.label, role="key"),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        Column("method", "method", lambda row: row.variant.method, audience="programs"),
        setting_column(lambda row: row.variant.all_runs),
        label_column(runs_on(board), lambda row: row.variant.all_runs),
        Column("classes", "classes", lambda row: len(row.line.classes), "count"),
        Column("seeds", "seeds", lambda row: row.variant.seeds, "count"),
        *([] if confidence is None else _best_columns(view.letters)),
        *_metric_columns(view, protocols, several_seeds=seeds > 1),
        *_rate_columns(view.threshold, variants),
        _time_column("fit_seconds", "fit s/class", "fit", "seconds"),
        _time_column("images_per_second", "images/s", "images_per_second", "rate"),
        *latency_columns(view.latencies, runs_on(board), lambda row: row.runs),
        _memory_column(),
        *timing_columns(runs_on(board), lambda row: row.variant.all_runs),
        *protocols.columns(lambda row: row.variant.all_runs),
    )
    notes = (
        *ranking.class_notes(board, lines, rest, metric),
        *ranking.undefined_notes(lines, shown),
        *missing.of_means([(line.variant, line.classes) for line in (*lines, *rest)], shown),
        *([BEST_NOTE] if any(p is not None for p in best) else []),
        *_confidence_notes(view, [*lines, *rest], seeds, letters=view.letters),
        *board.remarks,
        *tie_notes(variants),
        *threshold_notes(variants, shown=view.threshold),
        *timing_notes(runs_on(board)),
        *latency_notes(view.latencies, runs_on(board)),
        *protocols.notes(),
    )
    title = f"{board.title}: ranked by {TITLES[metric]} (%) at the last epoch"
    return Table(title, columns, (*rows, *map(_Row, rest)), notes, marks=_marks(lines, shown, view.ties))


def _marks(lines: Sequence[Line], shown: Sequence[str], ties: Confidence | None) -> BestMarks:
    """Mark the best of each metric among the ranked variants."""
    variants = tuple(line.variant for line in lines)

    def find(key: str, row: _Row) -> tuple[Contest, Variant] | None:
        ranks = key in shown and row.rank is not None
        return (Contest(variants, tuple(row.line.classes), key), row.variant) if ranks else None

    return BestMarks(find, ties, "column")


# ---------------------------------------------------------------- one variant, class by class


def _class_table(board: Board, variant: Variant, view: _View) -> Table[_Row]:
    shown = view.shown
    protocols = Protocols([variant], shown)

    def line(classes: Sequence[str]) -> Line:
        values = {name: mean(variant.metric(each, name) for each in classes) for name in METRIC_NAMES}
        return Line(variant, classes, values)

    rows = tuple(_Row(line([name]), name) for name in variant.runs)
    counts = {name: sum(variant.metric(each, name) is not None for each in variant.runs) for name in shown}
    mean_name, notes = missing.mean_title(counts, len(rows))
    footer = _Row(line(list(variant.runs)), mean_name, is_mean=True)
    columns: tuple[Column[_Row], ...] = (
        Column("class", "class", lambda row: row.name, role="key"),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        constant("variant", "variant", variant.label),
        constant("method", "method", variant.method),
        setting_column(lambda row: row.runs),
        label_column(variant.all_runs, lambda row: row.runs),
        Column(
            "seeds", "seeds", lambda row: min(len(variant.runs[name]) for name in row.line.classes), "count",
            "all" if variant.seeds > 1 else "programs",
        ),
        *_metric_columns(view, protocols, several_seeds=variant.seeds > 1),
        Column(
            "threshold", "threshold",
            lambda row: None if row.is_mean else variant.threshold(row.name, "value"), "score",
            "all" if view.threshold else "programs",
        ),
        *_rate_columns(view.threshold, [variant]),
        _time_column("seconds", "seconds", "total", "seconds"),
        _time_column("images_per_second", "images/s", "images_per_second", "rate"),
        *latency_columns(view.latencies, variant.all_runs, lambda row: row.runs),
        _memory_column(),
        *timing_columns(runs_on(board), lambda row: row.runs),
        *protocols.columns(lambda row: row.runs),
    )  # fmt: skip
    notes += missing.of_variants([variant], shown)
    notes += [*_confidence_notes(view, [row.line for row in rows], variant.seeds), *board.remarks]
    notes += [*tie_notes([variant]), *threshold_notes([variant], shown=view.threshold)]
    notes += [*timing_notes(runs_on(board)), *latency_notes(view.latencies, variant.all_runs), *protocols.notes()]
    title = f"{variant.label} on {board.title}: metrics in % at the last epoch"
    return Table(title, columns, rows, tuple(notes), (footer,))
