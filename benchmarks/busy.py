"""Times a whole ``adbench run`` on an idle machine and beside a busy loop, with default and fixed numbers of threads.

Each run is a process of its own. The settings take turns, so that other work on the machine affects all alike. A
first run that is not timed caches images and features.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from adbench.cli.main import NO_SPINNING
from adbench.util.threads import NUMBER_VARIABLES, this_machine

from .setting import describe_machine

DEFAULT = "default"
PLAIN = "torch's own"
"""torch's own number of threads, which spin while they wait."""


@dataclass(frozen=True)
class Loads:
    """Measurements under one load: seconds of each round, and the number of threads that the default chose."""

    name: str
    loops: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)

    def add(self, setting: str, seconds: float, threads: int) -> None:
        """Add one run."""
        self.seconds.setdefault(setting, []).append(seconds)
        if setting == DEFAULT:
            self.taken.append(threads)

    def median(self, setting: str) -> float:
        """Median seconds of one setting."""
        return median(self.seconds[setting])


def fixed_numbers(cores: int) -> list[int]:
    """Numbers of threads to compare with the default: all of them on a small machine, else powers of two."""
    if cores <= 4:
        return list(range(1, cores + 1))
    return sorted({2**power for power in range(cores.bit_length())} | {cores})


def run(words: tuple[str, ...], rounds: int, loops: int, plain: bool, console: Console) -> None:
    """Measure and print a table.

    Args:
        words: the arguments of ``adbench run``.
        rounds: runs of each setting under each load; the median counts.
        loops: busy loops of the busy machine.
        plain: measure torch's own number of threads, too.
        console: prints the table.
    """
    cores = this_machine().cores
    settings: dict[str, tuple[str, ...]] = {DEFAULT: ()}
    settings |= {str(number): ("--threads", str(number)) for number in fixed_numbers(cores)}
    if plain:
        settings[PLAIN] = ()
    loads = [Loads("idle", 0), Loads("busy", loops)]
    with tempfile.TemporaryDirectory() as folder:
        _adbench(words, Path(folder))
        for _ in range(rounds):
            for load in loads:
                with busy_loops(load.loops):
                    for setting, more in settings.items():
                        load.add(setting, *_adbench((*words, *more), Path(folder), plain=setting == PLAIN))
    console.print(describe_machine(torch.device("cpu")), highlight=False, soft_wrap=True)
    console.print(f"adbench run {' '.join(words)}; medians of {rounds} rounds", highlight=False)
    console.print(_table(loads, list(settings)))


def _table(loads: list[Loads], settings: list[str]) -> Table:
    fixed = [setting for setting in settings if setting.isdigit()]
    table = Table(title="Seconds of a whole run, by number of threads")
    titles = [setting if setting != DEFAULT else f"{DEFAULT} (takes)" for setting in settings]
    for column in ("", *titles, "best", "default / best"):
        table.add_column(column, justify="right" if column else "left")
    for load in loads:
        best = min(load.median(setting) for setting in fixed)
        cells = [f"{load.median(setting):.1f}" for setting in settings]
        cells[0] += f" ({', '.join(map(str, sorted(set(load.taken))))})"
        table.add_row(load.name, *cells, f"{best:.1f}", f"{load.median(DEFAULT) / best:.2f}")
    return table


def _adbench(words: tuple[str, ...], folder: Path, *, plain: bool = False) -> tuple[float, int]:
    """Run in a process of its own; return its seconds and the number of threads in its result."""
    env = {name: value for name, value in os.environ.items() if name not in (*NUMBER_VARIABLES, *NO_SPINNING)}
    if plain:
        env["KMP_BLOCKTIME"] = "200"  # LLVM's default, unknown to GNU's library: with it adbench sets nothing
        env[NUMBER_VARIABLES[0]] = str(this_machine().cores)
    command = [sys.executable, "-m", "adbench", "run", *words, "--force", "--results", str(folder)]
    began = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    newest = max(folder.rglob("result.json"), key=lambda path: path.stat().st_mtime)
    return seconds, int(json.loads(newest.read_text(encoding="utf-8"))["environment"]["threads"])


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep ``count`` cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
