"""Clocks for benchmarks: stages of an epoch, alternating rounds, the machine's matrix rate, and peak memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch

MATRIX = 2048
BATCH, CHANNELS, SIDE = 8, 512, 32
SAMPLED_EVERY = 0.01


def synchronize(device: torch.device) -> None:
    """Wait for a GPU; a CPU needs no waiting."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class Stages:
    """Seconds in each stage, for code under ``stage(name)``.

    They are seconds of the whole processor: code on one of two threads, beside other work, counts half.
    """

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    threads: int = field(default_factory=torch.get_num_threads)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a stage."""
        synchronize(self.device)
        started = time.perf_counter()
        try:
            yield
        finally:
            synchronize(self.device)
            spent = (time.perf_counter() - started) * torch.get_num_threads() / self.threads
            with self.lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

    @contextmanager
    def around(self, owner: Any, name: str, stage: str) -> Iterator[None]:
        """Count all calls of a function as a stage."""
        original = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self(stage):
                return original(*arguments, **named)

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, original)


@contextmanager
def no_stage(_: str) -> Iterator[None]:
    """Time nothing."""
    yield


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that ``work`` takes."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def in_turn(works: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each work in each of ``rounds`` rounds; every round runs all works in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(timed(work, device))
    return seconds


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """The best rate of a large matrix product or a 3 x 3 convolution, in operations per second.

    Torch leaves products and convolutions to different libraries, and either can be the faster one.
    """
    a, b = (torch.randn(MATRIX, MATRIX, device=device).to(dtype) for _ in range(2))
    images, kernels = (
        torch.randn(count, CHANNELS, side, side, device=device).to(dtype, memory_format=torch.channels_last)
        for count, side in ((BATCH, SIDE), (CHANNELS, 3))
    )
    works: tuple[tuple[int, Callable[[], object]], ...] = (
        (2 * MATRIX**3, lambda: torch.nn.functional.linear(a, b)),
        (2 * BATCH * SIDE**2 * 9 * CHANNELS**2, lambda: torch.nn.functional.conv2d(images, kernels, padding=1)),
    )
    with torch.inference_mode():
        return max(operations / min(timed(work, device) for _ in range(12)) for operations, work in works)


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[int]]:
    """Fill a list with the peak bytes of the code inside, beyond the memory that was in use before."""
    result: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield result
        result.append(torch.cuda.max_memory_allocated(device) - before)
        return
    process = psutil.Process()
    before = process.memory_info().rss
    highest = [before]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLED_EVERY):
            highest.append(max(highest.pop(), process.memory_info().rss))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        done.set()
        thread.join()
        result.append(max(highest[-1], process.memory_info().rss) - before)
