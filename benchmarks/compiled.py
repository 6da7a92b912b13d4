"""Times adbench's optimiser steps beside the same steps under ``torch.compile``, whose start-up counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from adbench.backbones.feature_cache import FeatureCache

from .setting import Ours, Setting
from .timing import in_turn, timed


def run(setting: Setting, amp: str, rounds: int, console: Console) -> None:
    """Time first and later steps of both, and print the number of steps after which compiling pays.

    A step is one batch of MSFlow, or one mini-batch of fibres for each of CFLOW-AD's decoders.
    """
    ours = Ours(setting, amp, FeatureCache())
    works = {"as it is": _step(ours), "compiled": _compiled(ours)}
    first = {name: timed(work, setting.device) for name, work in works.items()}
    in_turn(works, 2, setting.device)  # warm-up of both
    later = {name: median(each) for name, each in in_turn(works, 4 * rounds, setting.device).items()}

    table = Table(title=f"Optimiser steps in {'fp32' if amp == 'off' else amp}")
    for column in ("", "first step, s", "later steps, ms", "ratio"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, spent in later.items():
        table.add_row(name, f"{first[name]:.1f}", f"{1000 * spent:.1f}", f"{later['as it is'] / spent:.2f}")
    console.print(setting.describe(), highlight=False, soft_wrap=True)
    console.print(table)
    saved = later["as it is"] - later["compiled"]
    ahead = math.ceil((first["compiled"] - first["as it is"]) / saved) if saved > 0 else None
    console.print(f"Compiling pays after {ahead} steps." if ahead else "Compiling never pays.", highlight=False)


def _step(ours: Ours) -> Callable[[], object]:
    """One optimiser step on the first batch, as the detector takes it."""
    detector: Any = ours.detector
    features = next(iter(ours.train.features(detector.backbone)))
    if hasattr(detector, "flow"):
        return lambda: detector.step(features)
    parts = [next(detector.mini_batches(level)) for level in features]
    return lambda: [detector.step(level, *part) for level, part in enumerate(parts)]


def _compiled(ours: Ours) -> Callable[[], object]:
    """The same step with the flow and its loss compiled, while it runs."""
    from adbench_plugins.cflow import model as cflow

    owner, name = (ours.detector, "losses") if hasattr(ours.detector, "flow") else (cflow, "log_likelihood")
    plain = getattr(owner, name)
    compiled, step = torch.compile(plain), _step(ours)

    def work() -> None:
        setattr(owner, name, compiled)
        try:
            step()
        finally:
            setattr(owner, name, plain)

    return work
