"""Short helpers to run things, for the tests of everything around a method."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from adbench import Detector, Epoch, Method, Scores
from adbench.api import registry as plugins
from adbench.backbones.feature_cache import FeatureCache
from adbench.cli import board, console, progress
from adbench.cli.main import app
from adbench.results.records import Result as RunResult
from adbench.results.store import RunFolder
from adbench.run import engine
from adbench.run.identity import Identifier
from adbench.run.job import Job
from adbench.run.resolved import ResolvedJob, prepare
from adbench.run.watch import Watch

TINY = Path(__file__).with_name("tiny_method.py")

ONE = ("-c", "bolts", "-o", "epochs=1")
"""The shortest possible run."""

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals or terminals")

Fit = Callable[[Any, Any], Iterator[Epoch]]


# ---------------------------------------------------------------- the command line


def adbench(*words: object) -> Result:
    """Run a command in this process; on a busy machine it says no more of its progress than on a quiet one."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (console, progress, board):
            patch.setattr(module, "LOG_EVERY", math.inf)
        return CliRunner().invoke(app, [str(word) for word in words])


def run_tiny(data: Path, results: Path, *words: object) -> Result:
    """Run the tiny method on the folder data set in this process."""
    return adbench(
        "run", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", data, "--results", results, *words
    )


def adbench_process(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "adbench", *map(str, words)]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": str(torch.get_num_threads()), **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", timeout=120)


def line_of(result: Result) -> str:
    """The only line on standard error, but for what a run says beforehand about the disk."""
    (line,) = [line for line in result.stderr.splitlines() if ": leaves about " not in line]
    return line


def only_run(results: Path, class_name: str = "bolts") -> Path:
    """The folder of the only run of a class."""
    (folder,) = (results / "folder" / class_name).glob("*/*")
    return folder


def metrics_of(folder: Path) -> dict[str, float]:
    return json.loads((folder / "result.json").read_text())["metrics"]


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


# ---------------------------------------------------------------- one task


class Notes(Watch):
    """A watch that records its calls."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.announced: list[tuple[int, int]] = []
        self.epochs: list[int] = []

    def note(self, message: str) -> None:
        """Keep the message."""
        self.notes.append(message)

    def announce(self, epoch: int, total: int) -> None:
        """Keep both numbers."""
        self.announced.append((epoch, total))

    def epoch(self, record) -> None:
        """Keep the number."""
        self.epochs.append(record.number)


def brightness(batch) -> Scores:
    """Score by brightness: the defects of the tiny data are bright."""
    maps = batch.images.mean(dim=1)
    return Scores(image=maps.amax(dim=(1, 2)), map=maps)


def made_method(fit: Fit, score: Callable[[Any, Any], Scores] | None = None) -> Method:
    """A method named "made" from two functions of a detector."""

    class Made(Detector):
        def fit(self, images):
            return fit(self, images)

        def score(self, batch):
            return score(self, batch) if score else brightness(batch)

    return Method("made", "made for a test", Made)


def job_for(method: Method, data: Path, results: Path, **changes: Any) -> Job:
    """A job on the class ``bolts`` at 64 x 64; a field of the options or of the job may be changed."""
    options = replace(method.options(), size=(64, 64), batch_size=4)
    own = {key: changes.pop(key) for key in tuple(changes) if hasattr(options, key)}
    job = Job(method.name, "paper", (), replace(options, **own), "folder", "bolts", data, device="cpu", results=results)
    return replace(job, **changes)


def one_epoch(detector: Detector, images: Any) -> Iterator[Epoch]:
    """A fit that learns nothing."""
    yield Epoch(1, 1)


def scores_of(folder: RunFolder) -> str:
    return (folder.path / "scores.csv").read_text()


def curve_of(folder: RunFolder) -> list[dict[str, str]]:
    with (folder.path / "epochs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def registry_of(*methods: Method) -> plugins.Registry:
    """A registry of these methods and the installed data sets."""
    return plugins.Registry({method.name: method for method in methods}, plugins.load().datasets)


def run_one(
    method: Method, job: Job, watch: Watch | None = None, cache: FeatureCache | None = None
) -> tuple[RunResult, RunFolder]:
    """Run one job of one class through the engine."""
    resolved = resolve(method, job)
    (result,) = engine.run(resolved, registry_of(method), cache=cache, watch=watch)
    return result, resolved.folder


def resolve(method: Method, job: Job) -> ResolvedJob:
    """Find the images of a job's classes and name its run."""
    registry = registry_of(method)
    tasks = [registry.dataset(job.dataset).load(job.data_root, name) for name in job.classes]
    return prepare(job, tasks, Identifier(registry).of(job, tasks))
