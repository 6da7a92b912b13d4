"""Measures PatchCore's two heavy parts, the choice of the coreset and the search, beside plain ones and anomalib's.

anomalib 2.7 needs an environment of its own; where it can be imported, its rows are in the tables.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import torch
from adbench_plugins.patchcore import PatchCoreOptions
from adbench_plugins.patchcore.coreset import KCentre, Picks
from adbench_plugins.patchcore.model import PatchCore
from adbench_plugins.patchcore.neighbours import Neighbours
from rich.console import Console
from rich.table import Table
from torch import Tensor

from adbench.util.memory import free

from .setting import describe_machine

PARTS = ("coreset", "large", "search", "class")

CPU = torch.device("cpu")


@dataclass
class Runs:
    """Repeated work: seconds, seconds of all processors, the additional memory, and what it returned last."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    bytes: int = 0
    result: Any = None

    @property
    def cells(self) -> tuple[str, str, str]:
        """Median seconds, those of all processors, and MB."""
        return f"{self.median:.2f}", f"{self.cpu_median:.2f}", f"{self.bytes / 1e6:.0f}"

    @property
    def median(self) -> float:
        """Of the seconds."""
        return median(self.seconds)

    @property
    def cpu_median(self) -> float:
        """Of the seconds of all processors."""
        return median(self.cpu_seconds)

    def time(self, program: Callable[[], Any]) -> None:
        """Run once more."""
        self.result = None
        began, began_cpu = time.perf_counter(), time.process_time()
        self.result = program()
        self.seconds.append(time.perf_counter() - began)
        self.cpu_seconds.append(time.process_time() - began_cpu)


def in_turn(programs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Runs]:
    """Run all programs once in each round, so that noise affects all alike, and then once more for their memory."""
    found = {name: Runs() for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            found[name].time(program)
    for name, program in programs.items():
        found[name].bytes = additional_bytes(program)
    return found


def additional_bytes(program: Callable[[], Any]) -> int:
    """The most memory that this process takes in addition while it runs a program, looked up every 2 ms."""
    free()  # memory that the allocator keeps would hide what the program takes
    process, most, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(0.002):
            most = max(most, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        program()
    finally:
        done.set()
        watcher.join()
    return most


def run(parts: tuple[str, ...], threads: int, rounds: int, console: Console) -> None:
    """Measure and print a table for each part.

    Args:
        parts: some of ``PARTS``.
        threads: of torch.
        rounds: repetitions in turn; the median counts.
        console: prints the tables. MB are those that the work takes in addition to the rows.
    """
    torch.set_num_threads(threads)
    blocked(torch.randn(1000, 16), 0, 10)  # libraries take memory when they are first used
    console.print(describe_machine(CPU), highlight=False, soft_wrap=True)
    if "coreset" in parts:
        console.print(_coresets(rounds))
    if "large" in parts:
        console.print(_large())
    if "search" in parts:
        console.print(_search(rounds))
    if "class" in parts:
        console.print(_whole_class())


# ---------------------------------------------------------------- coreset


def blocked(rows: Tensor, start: int, count: int) -> Tensor:
    """The picks of adbench from a first one, (count,)."""
    search = KCentre(rows)
    search.from_row(start)
    return torch.cat([torch.tensor([start]), *(some.rows for some in search.picks(count - 1))])


def plain(rows: Tensor, start: int, count: int) -> Tensor:
    """The picks of the plain loop, which subtracts each pick from all rows, (count,)."""
    nearest = torch.linalg.vector_norm(rows - rows[start], dim=1)
    picks = [start]
    while len(picks) < count:
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, torch.linalg.vector_norm(rows - rows[picks[-1]], dim=1))
    return torch.tensor(picks)


def shortfalls(rows: Tensor, picks: Tensor) -> Tensor:
    """How much nearer each pick is than the farthest row, relative, in float64, (len(picks) - 1,).

    All are 0 for greedy k-centre in exact arithmetic, and below 1e-6 where float32 chose between rows that tie.
    """
    centres = rows[picks].double()
    farthest = torch.zeros(len(picks), dtype=torch.float64)
    own = torch.zeros(len(picks), dtype=torch.float64)
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096].double()
        nearest = torch.cdist(part, centres).cummin(1).values  # after each pick
        farthest = torch.maximum(farthest, nearest.amax(0))
        inside = ((picks >= start) & (picks < start + len(part))).nonzero()[:, 0]
        inside = inside[inside > 0]
        own[inside] = nearest[picks[inside] - start, inside - 1]
    return 1 - own[1:] / farthest[:-1]


def _coresets(rounds: int, size: int = 50_000) -> Table:
    table = Table(title=f"Coreset: 1 % of {size:,} normal rows")
    for column in ("numbers", "program", "same picks", "ties", "seconds", "CPU s", "MB", "times adbench's"):
        table.add_column(column, justify="right" if column != "program" else "left")
    for dimensions in (128, 384):
        drawn = torch.randn(size, dimensions, generator=torch.Generator().manual_seed(dimensions))
        programs: dict[str, Callable[[], Tensor]] = {
            "adbench": partial(blocked, drawn, 0, size // 100),
            "plain loop": partial(plain, drawn, 0, size // 100),
        }
        _rows_of(table, str(dimensions), drawn, programs, rounds)
        anomalib = _anomalibs_sampler(drawn)
        if anomalib:
            numbers, rows = f"{dimensions}, projected to {anomalib.rows.shape[1]}", anomalib.rows
            programs = {"adbench": partial(blocked, rows, anomalib.first, size // 100), "anomalib": anomalib.picks}
            _rows_of(table, numbers, rows, programs, rounds)
            alone = in_turn({"": anomalib.projected}, rounds)[""]
            table.add_row(numbers, "its projection alone", "", "", *alone.cells)
            table.add_section()
    return table


def _rows_of(table: Table, numbers: str, rows: Tensor, programs: dict[str, Callable[[], Tensor]], rounds: int) -> None:
    """Add a row for each program; the first one is adbench's. ``rows`` are those that are picked from."""
    found = in_turn(programs, rounds)
    ours, *_ = found.values()
    for name, runs in found.items():
        gaps = shortfalls(rows, runs.result)
        ties = f"{int((gaps > 1e-12).sum())}" if float(gaps.max()) < 1e-6 else "not greedy"
        same = f"{int((runs.result == ours.result).sum())} of {len(ours.result)}"
        times = f"{runs.median / ours.median:.1f} (CPU {runs.cpu_median / ours.cpu_median:.1f})"
        table.add_row(numbers, name, same, ties, *runs.cells, times)
    table.add_section()


class AnomalibsSampler:
    """anomalib's sampler for 1 % of some rows, which it projects first. Raises ``ImportError`` without anomalib.

    Args:
        drawn: (N, D).
    """

    def __init__(self, drawn: Tensor) -> None:
        from anomalib.models.components.sampling import KCenterGreedy

        self.drawn, self.sampler = drawn, KCenterGreedy(embedding=drawn, sampling_ratio=0.01)
        self.first = int(self.picks()[0])  # it is random

    @property
    def rows(self) -> Tensor:
        """The projected rows."""
        features: Tensor = self.sampler.features
        return features

    def picks(self) -> Tensor:
        """Project and pick."""
        np.random.seed(0)  # of the projection
        torch.manual_seed(0)  # of the first pick
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # its progress
            return torch.tensor([int(each) for each in self.sampler.select_coreset_idxs()])

    def projected(self) -> Tensor:
        """Only project."""
        projected: Tensor = self.sampler.model.transform(self.drawn)
        return projected


def _anomalibs_sampler(drawn: Tensor) -> AnomalibsSampler | None:
    try:
        return AnomalibsSampler(drawn)
    except ImportError:
        return None


def _large(size: int = 160_000) -> Table:
    rows = torch.randn(size, 128, generator=torch.Generator().manual_seed(0))
    table = Table(title=f"Coreset: 10 % of {size:,} normal rows of 128 numbers ({rows.nbytes / 1e6:.0f} MB)")
    for column in ("picks", "blocks", "ties", "seconds", "CPU s", "MB"):
        table.add_column(column, justify="right")

    def work() -> list[Picks]:
        search = KCentre(rows)
        search.from_row(0)
        return list(search.picks(len(rows) // 10 - 1))

    runs = in_turn({"": work}, 1)[""]
    picks, ties = sum(len(some.rows) for some in runs.result) + 1, sum(some.ties for some in runs.result)
    table.add_row(f"{picks}", f"{len(runs.result)}", f"{ties}", *runs.cells)
    return table


# ---------------------------------------------------------------- search


def _search(rounds: int, sizes: tuple[int, int, int] = (4096, 8560, 1024)) -> Table:
    draw, (asked, kept, dimensions) = torch.Generator().manual_seed(0), sizes
    queries, bank = (torch.randn(count, dimensions, generator=draw) for count in (asked, kept))
    neighbours = Neighbours(bank)
    limit = "limit: the product alone"
    programs: dict[str, Callable[[], Any]] = {
        limit: lambda: queries @ bank.T,
        "adbench": lambda: neighbours.find(queries).squares[:, 0].sqrt(),
        "plain: torch.cdist and min": lambda: torch.cdist(queries, bank).min(1).values,
    }
    anomalib = _anomalibs_search(bank)
    if anomalib:
        programs["anomalib"] = partial(anomalib, queries)
    exact = torch.cdist(queries[:256].double(), bank.double()).amin(1)
    table = Table(title=f"Search: {asked:,} queries in a bank of {kept:,} rows of {dimensions:,} numbers")
    for column in ("program", "largest error of a distance", "seconds", "CPU s", "MB", "share of the limit (CPU)"):
        table.add_column(column, justify="right" if column != "program" else "left")
    found = in_turn(programs, rounds)
    for name, runs in found.items():
        error = "" if name == limit else f"{float((runs.result[:256] / exact - 1).abs().max()):.0e}"
        table.add_row(name, error, *runs.cells, f"{found[limit].cpu_median / runs.cpu_median:.0%}")
    return table


def _anomalibs_search(bank: Tensor) -> Callable[[Tensor], Tensor] | None:
    try:
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError:
        return None
    model = PatchcoreModel(layers=["layer2"], backbone="resnet18", pre_trained=False)
    model.memory_bank = bank

    def find(queries: Tensor) -> Tensor:
        distances: Tensor = model.nearest_neighbors(queries, n_neighbors=1)[0]
        return distances.flatten()

    return find


# ---------------------------------------------------------------- a class


class RandomFeatures(torch.nn.Module):
    """Stands for wide_resnet50_2: features of its sizes, random and always the same for an image's number."""

    channels, strides = (512, 1024), (8, 16)


class RandomImages:
    """Square images that are nothing but their features, made when they are read."""

    def __init__(self, count: int, side: int) -> None:
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def features(self, backbone: RandomFeatures) -> Iterator[list[Tensor]]:
        """One image at a time, in a random order."""
        for number in torch.randperm(self.count).tolist():
            draw = torch.Generator().manual_seed(number)
            sides = (self.side // stride for stride in backbone.strides)
            yield [
                torch.randn(1, channels, side, side, generator=draw)
                for channels, side in zip(backbone.channels, sides, strict=True)
            ]


def _whole_class(count: int = 209, side: int = 512) -> Table:
    """Fit and score with the channels of wide_resnet50_2."""
    options = PatchCoreOptions(size=(side, side), share=0.01, amp="off")
    detector = PatchCore(options, CPU, RandomFeatures())  # type: ignore[arg-type]
    images = RandomImages(count, side)
    torch.manual_seed(0)
    fit, score = Runs(), Runs()
    fit.bytes = additional_bytes(lambda: fit.time(lambda: list(detector.fit(images))))  # type: ignore[arg-type]
    features = next(images.features(detector.backbone))  # type: ignore[arg-type]
    batch: Any = SimpleNamespace(features=lambda _: features, size=options.size)
    score.bytes = additional_bytes(lambda: score.time(lambda: detector.score(batch)))
    title = f"A class of {count} images at {side} x {side} with the channels of wide_resnet50_2, share 0.01"
    table = Table(title=title)
    for column in ("", "seconds", "CPU s", "MB"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(f"fit: a bank of {tuple(detector.state_dict()['bank'].shape)}", *fit.cells)
    table.add_row("score an image", *score.cells)
    return table
