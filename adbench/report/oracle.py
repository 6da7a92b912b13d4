"""Tables of the oracle, the best epoch on the test set, beside the last epoch, which alone counts.

An *oracle* is the best value of one metric over the evaluated epochs. It is chosen on the test set, so no user can
have it. It has tables of its own and never ranks. It shows how much of a number may be due to that choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..results import ranking
from ..results.records import Result
from ..results.variants import TITLES, Board, Variant, mean
from .protocols import Protocols, setting_column
from .tables import Column, Table, constant

NOTE = "oracle: chosen on the test set, never ranks."
"""The note under every table with an oracle."""


@dataclass(frozen=True)
class Line:
    """A variant and a metric: the last epoch's mean over ``classes``, named ``title``."""

    variant: Variant
    metric: str
    classes: Sequence[str]
    last: float | None
    title: str | None = None

    @property
    def runs(self) -> list[Result]:
        """The runs of its classes."""
        return [run for name in self.classes for run in self.variant.runs.get(name, ())]

    @property
    def oracle(self) -> float | None:
        """Mean of the best values over the classes in which the last epoch has one; None if one is missing."""
        scored = [name for name in self.classes if self.variant.metric(name, self.metric) is not None]
        values = [self.variant.oracle(name, self.metric) for name in scored]
        return None if self.last is None or None in values else mean(values)

    @property
    def difference(self) -> float | None:
        """The last epoch minus the oracle."""
        return None if self.last is None or self.oracle is None else self.last - self.oracle

    @property
    def epochs(self) -> list[int]:
        """The epochs of the best values."""
        return [best.epoch for run in self.runs for best in run.oracle if best.metric == self.metric]

    @property
    def evaluations(self) -> list[int]:
        """The number of evaluations of each run, as far as it is known."""
        return [run.evaluations for run in self.runs if run.evaluations is not None]


def of_ranking(board: Board, metric: str, shown: Sequence[str]) -> Table[Line]:
    """A row for each variant and metric, in the order and over the classes of the ranking by ``metric``."""
    ranked, rest = ranking.lines(board, metric, shown)
    lines = [Line(each.variant, name, each.classes, each.values[name]) for each in (*ranked, *rest) for name in shown]
    return _table(board, f"{board.title}: the oracle beside the last epoch (%)", lines)


def of_variant(board: Board, variant: Variant, metrics: Sequence[str]) -> Table[Line]:
    """A row for each class and metric of one variant, and the means below."""
    rows = [_class_line(variant, metric, name) for name in variant.runs for metric in metrics]
    footers = [_mean_line(variant, metric, list(variant.runs)) for metric in metrics]
    return _table(board, f"{variant.label} on {board.title}: the oracle beside the last epoch (%)", rows, footers)


def of_comparison(board: Board, variants: Sequence[Variant], metric: str) -> Table[Line]:
    """A row for each class and variant, and below it the means over the classes that all variants have."""
    classes = dict.fromkeys(name for variant in variants for name in variant.runs)
    common = [name for name in classes if all(name in variant.runs for variant in variants)]
    rows = [_class_line(each, metric, name) for name in classes for each in variants if name in each.runs]
    footers = [_mean_line(each, metric, common) for each in variants]
    return _table(board, f"{board.title}: the oracle of {TITLES[metric]} beside the last epoch (%)", rows, footers)


def evaluations_note(variants: Iterable[Variant]) -> str:
    """The note with the number of evaluations from which each oracle was chosen: more give a luckier choice."""
    counts = [f"{each.label} {_span(_evaluations(each)) or 'unknown'}" for each in variants]
    return f"Evaluations to choose the oracle from: {', '.join(counts)}."


def _class_line(variant: Variant, metric: str, name: str) -> Line:
    return Line(variant, metric, [name], variant.metric(name, metric), name)


def _mean_line(variant: Variant, metric: str, classes: Sequence[str]) -> Line:
    scored = [value for name in classes if (value := variant.metric(name, metric)) is not None]
    return Line(variant, metric, classes, mean(scored), f"mean ({len(scored) or len(classes)})")


def _table(board: Board, title: str, lines: Sequence[Line], footers: Sequence[Line] = ()) -> Table[Line]:
    variants = list({line.variant.label: line.variant for line in lines}.values())
    protocols = Protocols(variants, list(dict.fromkeys(line.metric for line in lines)))
    by_class = any(line.title for line in lines)
    columns: tuple[Column[Line], ...] = (
        Column("class", "class", lambda line: line.title, audience="all" if by_class else "programs", role="key"),
        Column(
            "variant", "variant", lambda line: line.variant.label,
            audience="programs" if by_class and len(variants) == 1 else "all", role="key",
        ),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        Column("method", "method", lambda line: line.variant.method, audience="programs"),
        setting_column(lambda line: line.variant.all_runs),
        Column("metric", "metric", lambda line: line.metric, audience="programs"),
        Column("metric", "metric", lambda line: TITLES[line.metric], audience="people", role="key"),
        Column("classes", "classes", lambda line: len(line.classes), "count", "programs" if by_class else "all"),
        Column("last", "last", lambda line: line.last, "percent"),
        Column("oracle", "oracle", lambda line: line.oracle, "percent"),
        Column("last_minus_oracle", "last - oracle", lambda line: line.difference, "points"),
        Column("oracle_epoch", "oracle's epoch", lambda line: _span(line.epochs), audience="people"),
        Column("oracle_epoch_first", "the first", lambda line: min(line.epochs, default=None), "count", "programs"),
        Column("oracle_epoch_last", "the last", lambda line: max(line.epochs, default=None), "count", "programs"),
        Column("evaluations", "evaluations", lambda line: _span(line.evaluations), audience="people"),
        Column(
            "evaluations_fewest", "the fewest", lambda line: min(line.evaluations, default=None), "count", "programs"
        ),
        Column("evaluations_most", "the most", lambda line: max(line.evaluations, default=None), "count", "programs"),
        *protocols.columns_of_rows(lambda line: line.metric, lambda line: line.runs),
        *protocols.columns(lambda line: line.runs),
    )  # fmt: skip
    notes = (NOTE, *_alone_notes(variants), *_joint_notes(variants), *board.remarks, *protocols.notes())
    return Table(title, columns, tuple(lines), notes, tuple(footers))


def _alone_notes(variants: Sequence[Variant]) -> list[str]:
    alone = [each.label for each in variants if any(run.evaluations == 1 for run in each.all_runs)]
    return [f"Evaluated once, so that the oracle is the last epoch itself: {', '.join(alone)}."] if alone else []


def _joint_notes(variants: Sequence[Variant]) -> list[str]:
    joint = [each.label for each in variants if any(run.protocol.setting == "multi-class" for run in each.all_runs)]
    names = ", ".join(joint)
    return [f"One model of several classes has one epoch, the best by their mean: {names}."] if joint else []


def _evaluations(variant: Variant) -> list[int]:
    return [run.evaluations for run in variant.all_runs if run.evaluations is not None]


def _span(numbers: Sequence[int]) -> str | None:
    """Format the lowest and the highest number: "3", or "3 to 17"."""
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
