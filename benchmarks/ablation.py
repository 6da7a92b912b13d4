"""Measures what each fast path gains: a whole ``adbench run`` with all of them, and without one at a time.

Each run is a process of its own that starts from nothing: no decoded image, no feature and no result. This module
replaces what is switched off; adbench itself has no switches for it. ``python -m benchmarks ablation --help``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

NOTHING = "nothing"


@dataclass(frozen=True)
class Part:
    """A fast path that can be switched off.

    Attributes:
        environment: variables of the process that switch it off.
        words: command-line arguments that switch it off.
        replace: changes adbench in the process, before the command starts.
        methods: methods that use it; none for all.
        devices: kinds of devices on which it is used; none for all.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    replace: Callable[[], None] = lambda: None
    methods: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def fits(self, method: str, device: str) -> bool:
        """Whether the method uses it on that kind of device."""
        return method in (self.methods or [method]) and device in (self.devices or [device])


@dataclass(frozen=True)
class Spent:
    """Cost of one run: wall-clock seconds, CPU seconds of all cores, and peak bytes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


# ---------------------------------------------------------------- fast paths


def _plain_blocks() -> None:
    """Compute coupling blocks as FrEIA does, with the same parameters."""
    from adbench_plugins.cflow.block import VectorBlock
    from adbench_plugins.coupling import FastBlock
    from adbench_plugins.flows import at_least_float32
    from FrEIA.modules import AllInOneBlock

    def forward(block: Any, x: Any, c: Any, rev: bool = False, jac: bool = True) -> Any:
        codes = [code.repeat_interleave(len(x[0]) // len(code), dim=0) for code in c]
        return AllInOneBlock.forward(block, [at_least_float32(x[0])], codes, rev=rev, jac=jac)

    def couple(block: Any, x: Any, code: Any) -> Any:
        (y,), log_jac = forward(block, [x], [code])  # with the rotation, which keeps lengths
        return y, log_jac

    FastBlock.forward = forward  # type: ignore[method-assign]
    VectorBlock.couple = couple  # type: ignore[method-assign]


def _plain_adam() -> None:
    """Take Adam's steps parameter by parameter."""
    from torch.optim import Adam

    original = Adam.__init__

    def unfused(self: Any, *arguments: Any, fused: bool = False, **named: Any) -> None:
        original(self, *arguments, foreach=False, **named)

    Adam.__init__ = unfused  # type: ignore[method-assign]


def _norms_apart() -> None:
    """Keep batch norms as separate layers."""
    from adbench.backbones import levels

    levels.fold_norms = lambda trunk: None


def _no_worker_threads() -> None:
    """Train decoders in the main thread, with all of torch's threads for each step."""
    import torch
    from adbench_plugins.worker_threads import WorkerThreads

    original = WorkerThreads.__init__

    def inline(self: Any, chains: int, _: torch.device) -> None:
        original(self, chains, torch.device("meta"))

    WorkerThreads.__init__ = inline  # type: ignore[method-assign]


def _eager_steps() -> None:
    """Launch the kernels of a training step one by one."""
    from adbench_plugins.cuda_graph import GraphedStep

    original = GraphedStep.__init__

    def eager(self: Any, step: Any, possible: bool, refused: Any) -> None:
        original(self, step, False, refused)

    GraphedStep.__init__ = eager  # type: ignore[method-assign]


FLOWS = ("msflow", "cflow")

PARTS: dict[str, Part] = {
    "cached features": Part(environment={"ADBENCH_FEATURE_BUDGET": "0", "ADBENCH_FEATURE_DISK": "0"}),
    "bf16": Part(words=("--amp", "off")),
    "fused coupling blocks": Part(replace=_plain_blocks, methods=FLOWS),
    "fused Adam": Part(replace=_plain_adam, methods=FLOWS),
    "worker threads": Part(replace=_no_worker_threads, methods=("cflow",), devices=("cpu",)),
    "CUDA graphs": Part(replace=_eager_steps, methods=FLOWS, devices=("cuda",)),
    "folded norms": Part(replace=_norms_apart),
    "large pages": Part(environment={"THP_MEM_ALLOC_ENABLE": "0"}, devices=("cpu",)),
}


# ---------------------------------------------------------------- measuring


def run(command: Sequence[str], parts: Sequence[str], rounds: int, console: Console) -> None:
    """Time a command with all fast paths and without each of ``parts``, in turn, and print what each gains.

    Args:
        command: arguments of ``adbench``.
        parts: names of ``PARTS``.
        rounds: number of runs of each; medians count.
        console: prints the table.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in (NOTHING, *parts)}
    for _ in range(rounds):
        for name, runs in spent.items():
            runs.append(_run_once(command, name))
    console.print(f"adbench {' '.join(command)}", highlight=False, soft_wrap=True)
    console.print(_table(spent, rounds))


def _table(spent: Mapping[str, Sequence[Spent]], rounds: int) -> Table:
    table = Table(title=f"A whole run, medians of {rounds}")
    for column in ("without", "seconds", "x", "x in single rounds", "CPU seconds", "peak memory, MB"):
        table.add_column(column, justify="left" if column == "without" else "right", no_wrap=True)
    for name, runs in spent.items():
        ratios = sorted(each.seconds / whole.seconds for each, whole in zip(runs, spent[NOTHING], strict=True))
        table.add_row(
            name,
            f"{median(each.seconds for each in runs):.1f}",
            f"{median(ratios):.2f}",
            "" if name == NOTHING else f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
            f"{median(each.cpu_seconds for each in runs):.1f}",
            f"{median(each.peak_bytes for each in runs) / 1e6:.0f}",
        )
    return table


def _run_once(command: Sequence[str], name: str) -> Spent:
    """Run the command in a process of its own, with empty folders for caches and results."""
    part = PARTS.get(name, Part())
    with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as folder:
        results = Path(folder, "results")
        words = [sys.executable, "-m", "benchmarks.ablation", name, *command, *part.words, "--results", str(results)]
        environment = {**os.environ, "ADBENCH_CACHE": str(Path(folder, "cache")), **part.environment}
        began, cpu_before = time.perf_counter(), _cpu_seconds_of_children()
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds_of_children() - cpu_before
        if done.returncode:
            raise click.ClickException(f"The run without {name} failed:\n{done.stderr}")
        stored = [json.loads(path.read_text(encoding="utf-8")) for path in results.rglob("result.json")]
    return Spent(seconds, cpu_seconds, max(each["peak_memory_bytes"] for each in stored))


def _cpu_seconds_of_children() -> float:
    """CPU seconds of child processes that have ended; 0 on Windows, which doesn't count them."""
    times = os.times()
    return times.children_user + times.children_system


def _child(name: str, words: Sequence[str]) -> None:
    """Run ``adbench`` without one part."""
    from adbench.cli.main import main, prepare_torch

    prepare_torch()  # before torch is loaded
    PARTS.get(name, Part()).replace()
    sys.argv = ["adbench", *words]
    main()


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2:])
