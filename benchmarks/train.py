"""Times one training epoch, from the second on: adbench's path and the plain loop, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from adbench.backbones.feature_cache import FeatureCache
from adbench.util.devices import DTYPES

from .setting import Ours, Setting, plain
from .timing import Stages, in_turn, matrix_rate, no_stage, peak_memory, timed

STAGES = ("decode", "backbone", "features", "flow forward", "backward", "optimiser", "steps")


def run(setting: Setting, precisions: Sequence[str], rounds: int, console: Console) -> None:
    """Time, then print the ratio table and the stages.

    Args:
        setting: what is trained.
        precisions: "off" is fp32; the table has ratios to the plain loop in each of them.
        rounds: epochs of each side that count, after one that doesn't.
        console: prints the tables.
    """
    paths = [sample.path for sample in setting.task().train]
    cache = FeatureCache()
    ours: dict[str, Ours] = {}
    loops = {}
    memory = {
        f"{side} {_name(amp)}": _memory(setting, side, amp) for side in ("plain", "adbench") for amp in precisions
    }
    for amp in precisions:
        ours[amp] = Ours(setting, amp, cache)
        ours[amp].epoch()
        loops[amp] = plain(setting, amp, ours[amp])
        loops[amp].epoch(paths[: 2 * setting.batch], no_stage)
    works = {f"plain {_name(amp)}": (lambda loop=loop: loop.epoch(paths, no_stage)) for amp, loop in loops.items()}
    works |= {f"adbench {_name(amp)}": each.epoch for amp, each in ours.items()}
    seconds = in_turn(works, rounds, setting.device)

    console.print(setting.describe(), highlight=False, soft_wrap=True)
    console.print(_ratios(setting, ours, {name: median(each) for name, each in seconds.items()}, memory))
    for line in _spread(seconds):
        console.print(line, highlight=False, soft_wrap=True)
    stages: dict[str, Mapping[str, float]] = {}
    for amp, loop in loops.items():
        clock = Stages(setting.device)
        loop.epoch(paths, clock)
        stages[f"plain {_name(amp)}"] = clock.seconds
    for amp, each in ours.items():
        clock = Stages(setting.device)
        with each.staged(clock):
            total = timed(each.epoch, setting.device)
        stages[f"adbench {_name(amp)}"] = {**clock.seconds, "the rest": total - sum(clock.seconds.values())}
    console.print(stage_table("Milliseconds per image in each stage of an epoch", stages, setting.images))


def _ratios(
    setting: Setting, ours: Mapping[str, Ours], seconds: Mapping[str, float], memory: Mapping[str, int]
) -> Table:
    table = Table(title="One training epoch, from the second on")
    plains = [name for name in seconds if name.startswith("plain")]
    for column in ("", "ms / image", *(f"x {name}" for name in plains), "limit, ms", "of limit", "peak memory, MB"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, spent in seconds.items():
        each = 1000 * spent / setting.images
        limit = ""
        share = ""
        amp = next((amp for amp in ours if name == f"adbench {_name(amp)}"), None)
        if amp is not None:
            ideal = 1000 * _limit(setting, ours[amp], amp) / setting.images
            limit, share = f"{ideal:.1f}", f"{100 * ideal / each:.0f} %"
        ratios = [f"{seconds[other] / spent:.2f}" for other in plains]
        table.add_row(name, f"{each:.1f}", *ratios, limit, share, f"{memory[name] / 1e6:.0f}")
    return table


def _spread(seconds: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """The range of ratios in single rounds, which shows the machine's noise."""
    for name, spent in seconds.items():
        if name.startswith("adbench"):
            spans = []
            for plain_name in (other for other in seconds if other.startswith("plain")):
                ratios = sorted(theirs / mine for theirs, mine in zip(seconds[plain_name], spent, strict=True))
                spans.append(f"{ratios[0]:.2f} to {ratios[-1]:.2f} x {plain_name}")
            yield f"{name} in each of {len(spent)} rounds: {', '.join(spans)}"


def _limit(setting: Setting, ours: Ours, amp: str) -> float:
    """Seconds that an epoch's matrix products take at this machine's best rate in that precision."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # products in other threads are not counted
        with ours.kernel_by_kernel(), FlopCounterMode(display=False) as counter:
            ours.epoch()
    finally:
        torch.set_num_threads(threads)
    return counter.get_total_flops() / matrix_rate(DTYPES[amp], setting.device)


def _memory(setting: Setting, side: str, amp: str) -> int:
    """Peak bytes of two epochs of one side, in a process of its own with empty caches."""
    setting = replace(setting, images=min(setting.images, 2 * setting.batch))
    words = [sys.executable, "-m", "benchmarks.train", *setting.words(), side, amp]
    with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as empty:
        environment = {**os.environ, "ADBENCH_CACHE": empty}
        return int(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)


def _measure_memory(words: Sequence[str]) -> None:
    *described, side, amp = words
    setting = Setting.of(described)
    matrix_rate(DTYPES[amp], setting.device)  # memory that libraries keep for themselves is not counted
    with peak_memory(setting.device) as peak:
        if side == "adbench":
            ours = Ours(setting, amp, FeatureCache())
            for _ in range(2):
                ours.epoch()
        else:
            loop = plain(setting, amp)
            paths = [sample.path for sample in setting.task().train]
            for _ in range(2):
                loop.epoch(paths, no_stage)
    print(peak[0])


def stage_table(title: str, stages: Mapping[str, Mapping[str, float]], images: int) -> Table:
    """A row per stage, a column per side."""
    table = Table(title=title)
    table.add_column("")
    for name in stages:
        table.add_column(name, justify="right", no_wrap=True)
    order = dict.fromkeys([*STAGES, *(stage for each in stages.values() for stage in each)])
    for stage in order:
        cells = [each.get(stage) for each in stages.values()]
        if any(cell is not None for cell in cells):
            table.add_row(stage, *("" if cell is None else f"{1000 * cell / images:.1f}" for cell in cells))
    return table


def _name(amp: str) -> str:
    return "fp32" if amp == "off" else amp


if __name__ == "__main__":
    _measure_memory(sys.argv[1:])
