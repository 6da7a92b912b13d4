"""One run file by each executor of this machine, with a worker killed in mid-run: the same table, and the seconds."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from adbench.api.executor import LOCAL

WORKERS = {"processes": "multiprocessing.spawn", "ray": "ray::"}
"""Executors of this machine, and what is in the command line of their workers while these are at work."""

MOVING = ("fit_seconds", "images_per_second", "peak_mb")
"""Columns of a leaderboard that say how fast and large a run was."""

PATIENCE = 3600.0
"""Seconds after which a command counts as one that never ends."""


@dataclass(frozen=True)
class Ran:
    """What became of the run file under one executor.

    ``commands`` is how often it had to be started; ``scores`` has the bytes of the scores of each run by its path.
    """

    executor: str
    killed: int
    commands: int
    seconds: float
    board: list[dict[str, str]]
    scores: dict[str, bytes]


def run(
    methods: Sequence[str], data: Path | None, classes: Sequence[str], size: int, workers: int, seeds: int,
    console: Console,
) -> None:  # fmt: skip
    """Run everything, and print the table.

    Args:
        methods: names.
        data: a folder of classes in MVTec layout, besides those of ``demo``.
        classes: of that folder; all if there are none.
        size: of the images, in pixels.
        workers: of the executors.
        seeds: number of seeds.
        console: where the table goes.

    Raises:
        RuntimeError: a command fails that nobody has hurt, or the numbers differ.
    """
    with tempfile.TemporaryDirectory(prefix="adb") as folder:  # a short path: Ray's sockets are below it
        place = Path(folder)
        (place / "suite.toml").write_text(suite(methods, data, classes, size, seeds), encoding="utf-8")
        names = [LOCAL, *(name for name in WORKERS if name != "ray" or find_spec("ray"))]
        found = [_ran(name, place, workers) for name in names]
    local = found[0]
    where = sorted({"/".join(path.split("/")[:2]) for path in local.scores})
    title = (
        f"{', '.join(methods)}; {', '.join(where)}; {seeds} seeds: {len(local.scores)} tasks of {size} x {size} pixels"
    )
    table = Table(title=title)
    for column in ("executor", "at once", "workers killed", "commands", "scores and table", "s"):
        table.add_column(column, justify="left" if column == "executor" else "right")
    for each in found:
        same = (each.board, each.scores) == (local.board, local.scores)
        equal = "-" if each is local else "those of local" if same else "OTHERS"
        at_once = "1" if each is local else str(workers)
        table.add_row(each.executor, at_once, str(each.killed), str(each.commands), equal, f"{each.seconds:.0f}")
    console.print(table)
    wrong = [each.executor for each in found if (each.board, each.scores) != (local.board, local.scores)]
    if wrong:
        raise RuntimeError(f"other numbers than those of local: {', '.join(wrong)}")


def suite(methods: Sequence[str], data: Path | None, classes: Sequence[str], size: int, seeds: int) -> str:
    """The run file: each method on all classes of demo, and on those of a folder, on one thread."""
    tables: list[dict[str, object]] = [{"name": "demo"}]
    if data:
        tables.append({"name": "folder", "root": str(data), "classes": list(classes) or "all"})
    rows = ["{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in each.items()) + "}" for each in tables]
    facts = {"methods": list(methods), "seeds": list(range(seeds)), "preset": "cpu", "size": size, "device": "cpu",
             "threads": "1"}  # fmt: skip
    return "\n".join([f"data = [{', '.join(rows)}]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())])


def _ran(executor: str, place: Path, workers: int) -> Ran:
    """Start the run file under an executor until it ends well; a worker is killed in the first try."""
    words = ["run", "suite.toml", "--results", executor, "--executor", executor]
    words += [] if executor == LOCAL else ["--workers", str(workers)]
    began, killed, commands = time.monotonic(), 0, 0
    while True:
        commands += 1
        log = place / f"{executor}-{commands}.log"
        with log.open("w") as stream:
            started = subprocess.Popen(_command(words), cwd=place, env=_environment(place, executor),
                                       stdout=subprocess.DEVNULL, stderr=stream)  # fmt: skip
            if executor != LOCAL and not killed:
                killed += _kill_one(started, WORKERS[executor], place / executor)
            code = started.wait(PATIENCE)
        if code == 0:
            break
        if commands > 1 or not killed:
            raise RuntimeError(f"--executor {executor} ended with {code}: {log.read_text(errors='replace')[-2000:]}")
    seconds = time.monotonic() - began
    words = ["leaderboard", "--results", executor, "--format", "csv"]
    env = _environment(place, executor)
    printed = subprocess.run(_command(words), cwd=place, env=env, capture_output=True, text=True, check=True).stdout
    board = without_times(printed)
    root = place / executor
    scores = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/*/*/*/scores.csv"))}
    return Ran(executor, killed, commands, seconds, board, scores)


def without_times(board: str) -> list[dict[str, str]]:
    """The rows of a leaderboard in CSV without what differs between two equal runs."""
    rows = csv.DictReader(io.StringIO(board))
    return [{key: value for key, value in row.items() if key not in MOVING} for row in rows]


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "adbench", *words]


def _environment(place: Path, executor: str) -> dict[str, str]:
    """Each executor begins with an empty cache."""
    (place / "tmp").mkdir(exist_ok=True)
    own = {"ADBENCH_CACHE": str(place / f"cache-{executor}"), "RAY_TMPDIR": str(place / "tmp"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own}


def _kill_one(command: subprocess.Popen[bytes], mark: str, results: Path) -> int:
    """Kill one of a command's workers as by ``kill -9``, as soon as two results are there; 0 if there was none."""
    watched = psutil.Process(command.pid)
    while command.poll() is None:
        if len(list(results.glob("*/*/*/*/result.json"))) >= 2:
            with suppress(psutil.Error):
                for child in watched.children(recursive=True):
                    if mark in " ".join(child.cmdline()) and _is_at_work(child, results):
                        child.kill()
                        return 1
        time.sleep(0.05)
    return 0


def _is_at_work(process: psutil.Process, results: Path) -> bool:
    """Whether it holds the lock of a run."""
    with suppress(psutil.Error):
        return any(Path(each.path).is_relative_to(results) for each in process.open_files())
    return False
