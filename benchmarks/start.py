"""Times a run with cached images and features from the end of the imports to its first epoch."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from .setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

    from adbench.run.job import Job

MARKS = 4
"""Stages: imports done, images checked, network built, features loaded."""


def run(setting: Setting, amp: str, rounds: int, console: Console) -> None:
    """Start the run in a process of its own: first to fill the caches, then to time it."""
    with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as results:
        marks = [_start([*setting.words(), amp, results]) for _ in range(rounds + 1)][1:]
    table = Table(title="Seconds until the first epoch, images and features cached")
    for column in ("imports", "checks", "network", "features", "from imports to the first epoch"):
        table.add_column(column, justify="right")
    steps = [[after - before for before, after in pairwise(each)] for each in marks]
    table.add_row(*(f"{median(each):.2f}" for each in zip(*steps, strict=True)),
                  f"{median(each[-1] - each[1] for each in marks):.2f}")  # fmt: skip
    console.print(setting.describe(whole=True), highlight=False, soft_wrap=True)
    console.print(table)


def _start(words: Sequence[str]) -> list[float]:
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return [began, *map(float, done.stdout.split())]


def _child(words: Sequence[str], amp: str, results: Path) -> None:
    """Run a whole class as ``adbench run`` does, and print the time of each stage up to the first features."""
    from adbench.api import registry as plugins
    from adbench.backbones import feature_cache
    from adbench.run import plan as suite
    from adbench.run.watch import Watch

    setting = Setting.of(words)
    for late in ("torchvision", "adbench.run.engine", f"{setting.plugin.build.__module__}.model"):
        import_module(late)
    times = [time.time()]

    class Marks(Watch):
        """Notes when the images are checked, and when the network is built and the first epoch begins."""

        def start(self, job: Job) -> None:
            times.append(time.time())

        def announce(self, epoch: int, total: int) -> None:
            times.append(time.time())

    gather = feature_cache.Table.gather

    def first(table: feature_cache.Table, rows: Tensor) -> list[Tensor]:
        found = gather(table, rows)
        if len(times) == MARKS - 1:
            print(*times, time.time(), flush=True)
            os._exit(0)  # the rest is training
        return found

    registry = plugins.load()
    plan = suite.Plan(
        methods=[setting.plugin], overrides={setting.method: setting.changes(amp)}, dataset=registry.dataset("folder"),
        classes=[setting.class_name], data_root=setting.data, device=str(setting.device), results=results, force=True,
    )  # fmt: skip
    with patch.object(feature_cache.Table, "gather", first):
        for outcome in suite.run_here(plan.jobs(), registry, watch=Marks()):
            raise SystemExit(f"ended before its first epoch: {outcome.error}")


if __name__ == "__main__":
    _child(sys.argv[1:-2], sys.argv[-2], Path(sys.argv[-1]))
