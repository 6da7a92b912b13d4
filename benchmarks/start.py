"""How soon a run on cached pictures and features reaches its first epoch, counted from the end of the imports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from statistics import median

from rich.console import Console
from rich.table import Table

from .setting import Setting


def run(setting: Setting, amp: str, rounds: int, console: Console) -> None:
    """Start the run in a process of its own, first to fill the caches, then to time it."""
    marks = [_start([*setting.words(), amp]) for _ in range(rounds + 1)][1:]
    table = Table(title="Seconds until the first epoch, pictures and features cached")
    for column in ("imports", "pictures", "network", "features", "from imports to the first epoch"):
        table.add_column(column, justify="right")
    steps = [[after - before for before, after in pairwise(each)] for each in marks]
    table.add_row(*(f"{median(each):.2f}" for each in zip(*steps, strict=True)),
                  f"{median(each[-1] - each[1] for each in marks):.2f}")  # fmt: skip
    console.print(setting.describe(), highlight=False, soft_wrap=True)
    console.print(table)


def _start(words: Sequence[str]) -> list[float]:
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return [began, *map(float, done.stdout.split())]


def _child(words: Sequence[str], amp: str) -> None:
    """Do what ``adbench run`` does up to its first epoch, and print when each part was done."""
    import torchvision  # noqa: F401 - the imports are timed

    from adbench import engine, pictures, suite  # noqa: F401
    from adbench.features import FeatureCache
    from adbench.progress import Watch

    setting = Setting.of(words)
    import_module(f"{setting.plugin.build.__module__}.model")
    times = [time.time()]
    options, task = setting.options(amp), setting.task()
    plugin = setting.plugin
    opened = engine.open_images(
        task, "train", options, setting.device, skip_bad=False, cache=FeatureCache(), watch=Watch()
    )
    times.append(time.time())
    detector = plugin.build(options, setting.device)
    times.append(time.time())
    next(opened.features(detector.backbone))
    times.append(time.time())
    print(*times)


if __name__ == "__main__":
    _child(sys.argv[1:-1], sys.argv[-1])
