"""Scoring the test set: the first time with the backbone, and again as each evaluation during training does."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from adbench.features import FeatureCache

from .setting import Ours, Setting, plain
from .timing import in_turn, no_stage, timed


def run(setting: Setting, precisions: Sequence[str], rounds: int, console: Console) -> None:
    """Time both sides in each precision and print the ratios.

    The first time starts from decoded pictures on adbench's side only after its store was made, which is
    counted: it decodes and resizes as the plain loop does.
    """
    paths = [sample.path for sample in setting.task().test]
    table = Table(title="Scoring the test set")
    for column in ("", "plain, ms / picture", "adbench, ms / picture", "ratio"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for amp in precisions:
        name = "fp32" if amp == "off" else amp
        ours = Ours(setting, amp, FeatureCache())
        loop = plain(setting, amp, ours)
        if hasattr(ours.detector, "maxima"):
            ours.detector.maxima = torch.zeros(len(ours.detector.decoders), device=setting.device)
        loop.score_all(paths[: setting.batch], no_stage)  # warms up
        first: dict[str, list[float]] = {"plain": [], "adbench": []}
        for _ in range(rounds):
            ours.test.cache, ours.test._tables = FeatureCache(folder=_nowhere()), {}
            first["plain"].append(timed(lambda: loop.score_all(paths, no_stage), setting.device))
            first["adbench"].append(timed(ours.score, setting.device))
        again = in_turn(
            {"plain": lambda: loop.score_all(paths, no_stage), "adbench": ours.score}, rounds, setting.device
        )
        for what, seconds in (("first", first), ("again", again)):
            before, after = (1000 * median(seconds[side]) / len(paths) for side in ("plain", "adbench"))
            table.add_row(f"{name}, {what}", f"{before:.1f}", f"{after:.1f}", f"{before / after:.2f}")
    console.print(setting.describe(), highlight=False, soft_wrap=True)
    console.print(table)


def _nowhere() -> object:
    """A folder for features that is new each time, so that the first time is one."""
    import tempfile
    from pathlib import Path

    return Path(tempfile.mkdtemp(prefix="adbench-benchmark-"))
