"""Commands of adbench in processes of their own, with faults; torch and adbench are imported once for all of them.

A process is forked from a server that has imported them (``multiprocessing``'s forkserver). Where there is none, as on
Windows, each process imports them anew.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from .faults import NO_FAULT, Fault, Injector
from .worker_faults import HEAD

PATIENCE = 300.0
"""Seconds after which a command counts as one that never ends."""

NEVER = -1000
"""The exit code of a command that never ends."""

KILLED = -int(getattr(signal, "SIGKILL", signal.SIGTERM))


@dataclass(frozen=True)
class Order:
    """A command to start.

    ``words`` are those after "adbench". ``folder`` is where it works; it may write there alone. ``machine`` is the one
    that it stands for: each has a cache of its own. ``prepare`` is called in the process first: tests break the product
    by it. ``variables`` are added to the environment.
    """

    words: tuple[str, ...]
    folder: Path
    fault: Fault = NO_FAULT
    machine: str = "first"
    prepare: Callable[[], None] | None = None
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: the signal), what it printed, and whether the fault took place.

    ``operations`` is the number of file operations, ``writes`` the places of those that need space; a killed process
    can't tell them. ``cpu`` are the seconds of the processor.
    """

    code: int
    output: str
    errors: str
    hit: bool = False
    operations: int = 0
    writes: tuple[int, ...] = ()
    cpu: float = 0.0

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return self.code == KILLED


class Child:
    """A started command."""

    def __init__(self, order: Order) -> None:
        order.folder.mkdir(parents=True, exist_ok=True)
        self._log = _log_of(order)
        for path in self._log.parent.glob(f"{self._log.name}.*"):
            path.unlink()
        self._process: BaseProcess = _context().Process(target=_work, args=(order,))  # type: ignore[attr-defined]
        self._process.start()

    def kill(self, after: float) -> None:
        """End it as by ``kill -9``, unless it ends by itself before it has used so many seconds of the processor."""
        watched = psutil.Process(self._process.pid)
        while self._process.exitcode is None:
            with suppress(psutil.Error):
                used = watched.cpu_times()
                if used.user + used.system >= after:
                    break
            self._process.join(0.005)
        self._process.kill()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it ends, or for some seconds."""
        self._process.join(seconds)

    def ended(self) -> Ended:
        """Wait until it ends, and say how."""
        self._process.join(PATIENCE)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            return Ended(NEVER, "", f"it did not end in {PATIENCE:g} s: {self._read('err')[-500:]}")
        facts = json.loads(self._read("json") or "{}")
        return Ended(code, self._read("out"), self._read("err"), **{**facts, "writes": tuple(facts.get("writes", ()))})

    def _read(self, kind: str) -> str:
        path = self._log.with_name(f"{self._log.name}.{kind}")
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def run(order: Order) -> Ended:
    """Start a command and wait for its end."""
    return Child(order).ended()


@cache
def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.campaign.warm"])
    return context


def _log_of(order: Order) -> Path:
    """Where a command's output goes: beside its folder, so that it is none of the product's files."""
    return order.folder.with_name(f"{order.folder.name}.{order.machine}")


def _work(order: Order) -> None:
    """Be the process: redirect the output, install the fault, run the command."""
    log = _log_of(order)
    for descriptor, kind in ((1, "out"), (2, "err")):
        target = os.open(f"{log}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, descriptor)
        os.close(target)
    os.chdir(order.folder)
    cache_folder = order.folder / f"cache-{order.machine}"
    os.environ.update(ADBENCH_CACHE=str(cache_folder), OMP_NUM_THREADS="1", COLUMNS="200")
    os.environ.update({HEAD: str(os.getpid()), **dict(order.variables)})
    sys.argv = ["adbench", *order.words]
    from adbench.cli.main import main

    if order.prepare:
        order.prepare()
    injector = Injector(order.fault, [order.folder])
    injector.install()
    try:
        main()
    finally:
        used = os.times()
        facts = {"hit": injector.hit, "operations": injector.count, "writes": injector.writes_at}
        text = json.dumps({**facts, "cpu": used.user + used.system})
        target = os.open(f"{log}.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(target, text.encode())
        os.close(target)
