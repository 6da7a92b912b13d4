"""Tables of single runs: what is stored, and what a checkpoint scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ResultError
from ..types import MAIN_METRICS, Result
from ..variants import TITLES, dataset_title, mean, protocol_text
from .leaderboard import _RATES, _rate_columns, _some
from .tables import Column, Table

if TYPE_CHECKING:
    from ..trial import Trial


def list_runs(results: Sequence[Result]) -> Table:
    """All runs: where, what, which seed, how good and when.

    Raises:
        ResultError: there is no result.
    """
    rows = [
        (
            dataset_title(run.dataset, run.synthetic),
            run.dataset,
            run.synthetic,
            run.class_name,
            run.variant,
            run.method,
            run.seed,
            *(getattr(run.metrics, name) for name in MAIN_METRICS),
            run.finished[:16].replace("T", " "),
            run.finished,
            run.run,
        )
        for run in _some(results)
    ]
    columns = (
        Column("dataset", "data set", audience="people"),
        Column("dataset", "data set", audience="programs"),
        Column("synthetic", "synthetic", audience="programs"),
        Column("class", "class"),
        Column("variant", "variant"),
        Column("method", "method", audience="programs"),
        Column("seed", "seed", "count"),
        *(Column(name, TITLES[name], "percent") for name in MAIN_METRICS),
        Column("finished", "finished", audience="people"),
        Column("finished", "finished", audience="programs"),
        Column("run", "run"),
    )
    return Table("Runs: metrics in % at the last epoch", columns, tuple(rows))


def trial_table(trials: Sequence[Trial]) -> Table:
    """What a checkpoint scored, class by class.

    Raises:
        ResultError: there is no trial.
    """
    if not trials:
        raise ResultError("there is nothing to show", found="no class that was scored")
    first = trials[0]
    rows = [
        (
            trial.class_name,
            trial.dataset,
            trial.synthetic,
            trial.method,
            trial.checkpoint,
            trial.epoch,
            *(getattr(trial.metrics, name) for name in MAIN_METRICS),
            *(getattr(trial.threshold, name, None) for name in ("value", *_RATES)),
        )
        for trial in trials
    ]
    numbers = [mean(getattr(trial.metrics, name) for trial in trials) for name in MAIN_METRICS]
    numbers += [None, *(mean(getattr(trial.threshold, name, None) for trial in trials) for name in _RATES)]
    footer = (f"mean ({len(rows)})", first.dataset, first.synthetic, first.method, first.checkpoint, None, *numbers)
    columns = (
        Column("class", "class"),
        Column("dataset", "data set", audience="programs"),
        Column("synthetic", "synthetic", audience="programs"),
        Column("method", "method", audience="programs"),
        Column("checkpoint", "checkpoint", audience="programs"),
        Column("epoch", "epoch", "count"),
        *(Column(name, TITLES[name], "percent") for name in MAIN_METRICS),
        Column(
            "threshold", "threshold", "score", audience="all" if any(each.threshold for each in trials) else "programs"
        ),
        *_rate_columns(any(each.threshold for each in trials)),
    )
    title = f"{first.method} from {first.checkpoint} on {dataset_title(first.dataset, first.synthetic)}: metrics in %"
    notes = dict.fromkeys(f"Protocol: {protocol_text(trial.protocol)}." for trial in trials)
    return Table(title, columns, tuple(rows), tuple(notes), (footer,) if len(rows) > 1 else ())
