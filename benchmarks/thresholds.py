"""Compares rules for a threshold by their effect on the test set: ``python -m benchmarks.thresholds``."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from unittest.mock import patch

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from adbench.api import registry as plugins
from adbench.backbones.feature_cache import FeatureCache
from adbench.run import engine
from adbench.run.identity import Identifier
from adbench.run.job import Job
from adbench.run.plan import Plan, choose_classes
from adbench.run.resolved import prepare
from adbench.stats import thresholds
from adbench.util.files import cache_folder

from .__main__ import REAL_DATA

Rule = Callable[[NDArray[np.float64]], float]
Rates = tuple[float, float]


def deviations(scores: NDArray[np.float64]) -> float:
    """The rule of adbench; NaN where it suggests nothing."""
    found = thresholds.suggest(scores, source="held-out")
    return found[0] if found else np.nan


def median_and_mad(scores: NDArray[np.float64]) -> float:
    """Median plus five median absolute deviations, scaled to a standard deviation."""
    middle = np.median(scores)
    return float(middle + 5 * 1.4826 * np.median(np.abs(scores - middle)))


RULES: dict[str, Rule] = {
    "quantile 0.99": lambda scores: float(np.quantile(scores, 0.99)),
    "maximum": lambda scores: float(scores.max()),
    "mean + 3 sd": deviations,
    "median + 5 MAD": median_and_mad,
}


def rates(job: Job, registry: plugins.Registry) -> dict[str, Rates]:
    """Run a job; return each rule's share of good images called defective, and of defective ones called good."""
    task = registry.dataset(job.dataset).load(job.data_root, job.class_name)
    resolved = prepare(job, [task], Identifier(registry).of(job, [task]))
    with patch.object(thresholds, "suggest", wraps=thresholds.suggest) as suggest:
        engine.run(resolved, registry, cache=FeatureCache())
    good = np.asarray(suggest.call_args.args[0], dtype=np.float64)
    with (resolved.folder.path / "scores.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    labels = np.array([row["label"] != "0" for row in rows])
    scores = np.array([float(row["score"]) for row in rows])
    found = {}
    for name, rule in RULES.items():
        verdict = thresholds.judge(rule(good), name, labels, scores)
        assert verdict.false_alarm_rate is not None
        assert verdict.miss_rate is not None
        found[name] = verdict.false_alarm_rate, verdict.miss_rate
    return found


def averages(classes: Sequence[dict[str, Rates]]) -> dict[str, str]:
    """The means over classes in %, as text."""
    return {
        name: " / ".join(f"{100 * mean(each[name][which] for each in classes):.0f}" for which in (0, 1))
        for name in RULES
    }


@click.command()
@click.option("--method", default="cflow,msflow,padim", show_default=True)
@click.option("--dataset", default="demo", show_default=True)
@click.option("--data-root", type=click.Path(path_type=Path), envvar=REAL_DATA, help="Of data sets that need one.")
@click.option("--class", "class_name", default="all", show_default=True)
@click.option("--preset", default="cpu", show_default=True)
@click.option("--holdout", default=0.1, show_default=True)
def main(method: str, dataset: str, data_root: Path | None, class_name: str, preset: str, holdout: float) -> None:
    """Print false alarms / misses in % of the good / defective test images; in float32, seed 0."""
    registry = plugins.load()
    methods, reader = [registry.method(name) for name in method.split(",")], registry.dataset(dataset)
    root = data_root if reader.needs_root else cache_folder()
    if root is None:
        raise click.UsageError(f"Say where {dataset} lies: --data-root DIR or {REAL_DATA}.")
    classes = choose_classes(reader, root, class_name)
    table = Table()
    for column in ("scores of", "rule", *(each.name for each in methods)):
        table.add_column(column, justify="right" if column in method else "left", no_wrap=True)
    for share, source in ((0.0, "all training images"), (holdout, "held-out images")):
        columns = []
        for each in methods:
            with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as folder:
                plan = Plan(
                    methods=[each], overrides={each.name: {"amp": "off"}}, dataset=reader, classes=classes,
                    data_root=root, preset=preset, holdout=share, eval_every=0, results=Path(folder),
                )  # fmt: skip
                columns.append(averages([rates(job, registry) for job in plan.jobs()]))
        for number, name in enumerate(RULES):
            table.add_row("" if number else source, name, *(column[name] for column in columns))
    console = Console()
    console.print(f"False alarms / misses in %, {dataset}, mean over {', '.join(classes)}", soft_wrap=True)
    console.print(table)


if __name__ == "__main__":
    main()
