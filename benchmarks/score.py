"""Times scoring of the test set: the first time with the backbone, and again as in each evaluation during training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from adbench.backbones.feature_cache import FeatureCache

from .setting import Ours, Setting, plain
from .timing import in_turn, no_stage, timed


def run(setting: Setting, precisions: Sequence[str], rounds: int, console: Console) -> None:
    """Time both sides in each precision and print the ratios.

    adbench decodes the images before it trains, so its first time starts from its image store. The plain loop
    decodes each time. Both have loaded their backbone, which a run does once for the features of a class.
    """
    paths = [sample.path for sample in setting.task().test]
    table = Table(title="Scoring the test set")
    for column in ("", "plain, ms / image", "adbench, ms / image", "ratio"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for amp in precisions:
        for what, seconds in _time(setting, amp, paths, rounds).items():
            before, after = (1000 * median(seconds[side]) / len(paths) for side in ("plain", "adbench"))
            name = f"{'fp32' if amp == 'off' else amp}, {what}"
            table.add_row(name, f"{before:.1f}", f"{after:.1f}", f"{before / after:.2f}")
    console.print(setting.describe(), highlight=False, soft_wrap=True)
    console.print(table)


def _time(setting: Setting, amp: str, paths: Sequence[Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of both sides, for the first time and for later times."""
    ours = Ours(setting, amp, FeatureCache())
    loop = plain(setting, amp, ours)
    if hasattr(ours.detector, "maxima"):
        ours.detector.maxima = torch.zeros(len(ours.detector.decoders), device=setting.device)

    def plainly() -> object:
        return loop.score_all(paths, no_stage)

    plainly()
    first: dict[str, list[float]] = {"plain": [], "adbench": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as empty:
            ours.test.cache, ours.test._tables = FeatureCache(folder=Path(empty)), {}
            assert not ours.detector.backbone.network.training  # loaded before the clock starts
            first["plain"].append(timed(plainly, setting.device))
            first["adbench"].append(timed(ours.score, setting.device))
    return {"first": first, "again": in_turn({"plain": plainly, "adbench": ours.score}, rounds, setting.device)}
