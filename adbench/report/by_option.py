"""What each value of an option does: the mean of a metric over all else, value by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..api.options import option_text
from ..api.scores import METRIC_NAMES
from ..results.records import Result, setting_text
from ..results.serialization import canonical
from ..results.variants import TITLES, Board, Names, boards, configuration, mean
from ..util.errors import UnknownNameError
from .leaderboard import shown_metrics, some, usual_metrics
from .tables import AnyTable, Column, Table, constant
from .timing import runs_on

FOLLOWING = {"backbone": ("weights",)}
"""Facts of a run that change with an option, and so don't count as another difference."""


@dataclass(frozen=True)
class _Level:
    """One value of an option of a method in a setting, with the runs that the means are over."""

    option: str
    method: str
    setting: str
    value: str
    runs: Sequence[Result]

    def mean(self, metric: str) -> float | None:
        """The mean of a field of ``Metrics``."""
        return mean(getattr(run.metrics, metric) for run in self.runs)


def by_option(
    results: Sequence[Result],
    options: Sequence[str],
    *,
    metric: str = "image_auroc",
    remarks: Mapping[str, Sequence[str]] | None = None,
    names: Names | None = None,
) -> list[AnyTable]:
    """A table for each data set with a row for each value of some options, method by method and setting by setting.

    A value's mean is over classes, seeds and all combinations of the other options. For a fair comparison only those
    count that every value has; a note says so where some are missing.

    Args:
        results: runs of any methods, data sets and seeds.
        options: names of options; also "amp", "eval-size" and "holdout".
        metric: a field of ``Metrics``; the other main metrics stand beside it.
        remarks: further notes on each data set's runs (``standing.Sorted``).
        names: names of the variants; by default from these results alone.

    Raises:
        ResultError: there is no result.
        UnknownNameError: no run has such an option.
    """
    known = {key for run in some(results) for key in configuration(run)}
    for option in options:
        if option not in known:
            raise UnknownNameError("option among the results", option, known)
    return [_table(board, options, metric) for board in boards(results, remarks, names)]


def _table(board: Board, options: Sequence[str], metric: str) -> Table[_Level]:
    runs = runs_on(board)
    methods = list(dict.fromkeys(run.method for run in runs))
    groups: dict[tuple[str, str], list[Result]] = {(method, each): [] for method in methods for each in _settings(runs)}
    for run in runs:
        groups[run.method, _setting(run)].append(run)
    levels: list[_Level] = []
    notes = ["Each mean is over the classes, the seeds and the other options that all values of an option have."]
    for option in options:
        for (method, setting), own in groups.items():
            found, note = _levels(option, method, setting, own, metric)
            levels += found
            notes += note
    shown, several = shown_metrics(metric, usual_metrics(board)), len(_settings(runs)) > 1
    columns: tuple[Column[_Level], ...] = (
        Column("option", "option", lambda level: level.option, role="key"),
        Column("method", "method", lambda level: level.method, audience="all" if len(methods) > 1 else "programs",
               role="key"),
        *([Column[_Level]("setting", "setting", lambda level: level.setting, role="key")] if several else []),
        Column("value", "value", lambda level: level.value, role="key"),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        Column("runs", "runs", lambda level: len(level.runs), "count"),
        *(_metric_column(name, metric) for name in shown),
        *(_metric_column(name, metric, hidden=True) for name in METRIC_NAMES if name not in shown),
    )  # fmt: skip
    title = f"{board.title}: mean metrics (%) by the value of an option, at the last epoch"
    return Table(title, columns, tuple(levels), (*dict.fromkeys(notes), *board.remarks))


def _metric_column(name: str, ranked: str, *, hidden: bool = False) -> Column[_Level]:
    return Column(
        name, TITLES[name], lambda level: level.mean(name), "percent", "programs" if hidden else "all",
        "main" if name == ranked else "other",
    )  # fmt: skip


def _setting(run: Result) -> str:
    return setting_text(run.protocol.setting, run.protocol.shots) or "one-class"


def _settings(runs: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(map(_setting, runs)))


def _levels(
    option: str, method: str, setting: str, runs: Sequence[Result], metric: str
) -> tuple[list[_Level], list[str]]:
    """The values of one option of one method in a setting, and a note where runs are missing."""
    values: dict[str, Any] = {}
    by_value: dict[str, dict[str, Result]] = {}
    for run in runs:
        facts = configuration(run)
        if option in facts and getattr(run.metrics, metric) is not None:
            text = option_text(option, facts[option])
            values[text] = facts[option]
            by_value.setdefault(text, {})[_rest(run, facts, option)] = run
    if not by_value:
        return [], []
    every = dict.fromkeys(rest for found in by_value.values() for rest in found)
    common = [rest for rest in every if all(rest in found for found in by_value.values())]
    levels = [
        _Level(option, method, setting, text, [by_value[text][rest] for rest in (common or by_value[text])])
        for text in _in_order(values)
    ]
    if not common:
        return levels, [f"{option} of {method}: its values have no rest in common, so the means don't compare."]
    missing = len(every) - len(common)
    said = f"{option} of {method}: {missing} of {len(every)} left out, which not all values have."
    return levels, [said] if missing else []


def _rest(run: Result, facts: Mapping[str, Any], option: str) -> str:
    """All that distinguishes a run but an option."""
    skipped = (option, *FOLLOWING.get(option, ()))
    others = {key: value for key, value in facts.items() if key not in skipped and not key.startswith(f"{option}.")}
    return canonical([run.class_name, run.seed, run.protocol.setting_words, others])


def _in_order(values: Mapping[str, Any]) -> list[str]:
    """The texts of values in the order of the values: numbers by their size."""
    try:
        return sorted(values, key=lambda text: values[text])
    except TypeError:  # None beside a number
        return sorted(values)
