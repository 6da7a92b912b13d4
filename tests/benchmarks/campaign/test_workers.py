"""Kills of workers: who takes which, and how the end of a command is judged."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from runs import posix_only

from benchmarks.campaign import worker_faults, workers
from benchmarks.campaign.children import KILLED, Ended
from benchmarks.campaign.worker_faults import WorkerFault

WORKER = """
import runpy, sys
from pathlib import Path
runpy.run_path(sys.argv[1])
for number in range(5):
    Path("results", str(number)).write_text("")
print("done")
"""


def worker(folder: Path, head: int = 0) -> subprocess.CompletedProcess[str]:
    """A process that loads the plugin and writes five files."""
    root = str(Path(worker_faults.__file__).parents[2])
    own = {"PYTHONPATH": root, "ADBENCH_CACHE": str(folder / "cache"), worker_faults.FOLDER: str(folder / "faults")}
    return subprocess.run(
        [sys.executable, "-c", WORKER, worker_faults.__file__], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, **own, worker_faults.HEAD: str(head)},
    )  # fmt: skip


@posix_only
def test_each_worker_takes_a_fault_and_the_last_none(tmp_path):
    """The first is killed at its third operation, the second kills the command and goes on, the third is left alone."""
    (tmp_path / "results").mkdir()
    worker_faults.write(tmp_path / "faults", [WorkerFault("worker", "kill", 3), WorkerFault("head", "kill", 0)])
    head = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    first, second, third = (worker(tmp_path, head.pid) for _ in range(3))
    assert (first.returncode, second.returncode, third.returncode) == (-9, 0, 0), second.stderr + third.stderr
    assert head.wait() == -9
    assert worker_faults.hits(tmp_path / "faults") == ["worker kill 3", "head kill 0"]


def test_faults_are_drawn_by_the_seed_and_the_command_is_killed_last():
    """No more than asked for, and at most one kill of the command, which ends all others."""
    for seed in range(50):
        for most in (1, 2, 9):
            found = workers._faults(random.Random(seed), most)
            assert found == workers._faults(random.Random(seed), most)
            assert len(found) == min(most, workers.KILLS_AT_ONCE)
            assert all(fault.victim == "worker" for fault in found[:-1])


@dataclass
class Product:
    """Stands for the command: what each start in a folder ends like, and stores."""

    ends: list[tuple[int, str, str]] = field(default_factory=list)
    hits: int = 1

    def run(self, order):
        code, errors, stored = self.ends.pop(0)
        results = order.folder / "results"
        results.mkdir(parents=True, exist_ok=True)
        (results / "scores.csv").write_text(stored)
        for path in sorted((order.folder / "faults").glob("*[0-9]"))[: self.hits]:
            path.rename(f"{path}{worker_faults.TAKEN}{worker_faults.HIT}")
        return Ended(code, "", errors)


LOST = (1, "✗ padim was lost: found worker 1 (process 7) was killed by SIGKILL", "half")
BUSY = (1, f"✗ padim {workers.BUSY}", "half")
WHOLE = (0, "", "whole")


@pytest.mark.parametrize(
    ("executor", "ends", "outcome"),
    [
        ("processes", [LOST, WHOLE], (1, 0, "")),
        ("processes", [(KILLED, "", "half"), WHOLE], (1, 0, "")),
        ("processes", [(KILLED, "", "half"), BUSY, WHOLE], (1, 1, "")),
        ("ray", [WHOLE], (1, 0, "")),
        ("ray", [(0, "", "other")], (1, 0, "scores.csv differs")),
        ("processes", [(0, "", "half")], (1, 0, "scores.csv differs")),
        ("processes", [LOST, (0, "", "other")], (1, 0, "scores.csv differs")),
        ("processes", [LOST, (1, "Error: broken", "half")], (1, 0, "then ended with 1: Error: broken")),
        ("ray", [(2, "Error: no such option", "")], (1, 0, "it ended with 2: Error: no such option")),
    ],
)
def test_the_end_must_be_that_of_an_unbroken_command(tmp_path, monkeypatch, executor, ends, outcome):
    """The same command again, or with Ray the first one, stores what the unbroken one stored; all else is a fault."""
    product = Product([WHOLE, *ends])
    monkeypatch.setattr(workers, "run", product.run)
    monkeypatch.setattr(workers, "_left", lambda folder: "")
    monkeypatch.setattr(workers.time, "sleep", lambda seconds: None)
    crew = workers.Crew(executor, tmp_path / "place")
    kills, busy, problem = crew.killed(random.Random(0), 1)
    crew.close()
    assert (kills, busy) == outcome[:2]
    assert outcome[2] in problem
    assert bool(outcome[2]) == bool(problem)
    assert product.ends == []


@posix_only
def test_processes_that_live_on_are_ended_and_named(tmp_path, monkeypatch):
    """A process that was started with the cache of a folder counts until it is gone; others are left alone."""
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    folders = [tmp_path / name for name in ("one", "other")]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            env={**os.environ, "ADBENCH_CACHE": str(folder / "cache-first")},
        )
        for folder in folders
    ]
    assert workers._left(folders[0]) == "processes that live on: 1"
    assert children[0].wait() == -9
    assert children[1].poll() is None
    children[1].kill()
    children[1].wait()
