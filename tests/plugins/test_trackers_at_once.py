"""Trackers in several processes at once: no run is lost, none breaks another one, and nothing is left."""

from __future__ import annotations

import csv
import multiprocessing

import pytest
from runs import TINY, adbench, adbench_process

from adbench.api import TrackedRun

CLASSES = ("bolts", "nuts")


@pytest.fixture(autouse=True)
def _own_places(monkeypatch, tmp_path):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


def words(data, results, *more):
    return ("run", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", data, "--results", results, "-o",
            "epochs=2", "--seeds", "0,1", "--workers", 2, *more)  # fmt: skip


def mlflow_runs(results):
    """The runs of the local file, by class and seed."""
    mlflow = pytest.importorskip("mlflow", reason="install it: pip install mlflow-skinny")
    client = mlflow.MlflowClient(f"sqlite:///{(results / 'tracking/mlflow.db').as_posix()}")
    (experiment,) = client.search_experiments(filter_string="name = 'adbench'")
    runs = client.search_runs([experiment.experiment_id])
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [each.step for each in history] == [1, 2]
    return {run.info.run_name: run for run in runs}


def require_whole(results):
    """Each run is there once and finished; the tables of the last runs of both seeds have both classes."""
    runs = mlflow_runs(results)
    titles = {f"tiny:epochs=2 · folder/{name} · seed {seed}" for name in CLASSES for seed in (0, 1)}
    assert set(runs) == titles
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    tables = {}
    for title, run in runs.items():
        path = results / "tracking/mlflow" / run.info.run_id / "artifacts/classes.csv"
        rows = [row["class"] for row in csv.DictReader(path.open(newline=""))]
        tables.setdefault(title.rpartition(" ")[2], []).append(sorted(rows))
    assert [max(found, key=len) for found in tables.values()] == [list(CLASSES)] * 2
    assert not list((results / "tracking").glob(".*.tmp"))


@pytest.mark.slow
def test_trackers_of_two_processes_lose_nothing(tiny_data, tmp_path):
    """MLflow has each run once in its file that both have made; TensorBoard and wandb have a folder for each."""
    for package in ("wandb", "tensorboard"):
        pytest.importorskip(package, reason=f"install it: pip install {package}")
    track = ("--track", "mlflow,tensorboard,wandb")
    done = adbench(*words(tiny_data, tmp_path / "results", "--executor", "processes", *track))
    assert done.exit_code == 0, done.stderr
    assert "failed and logs no more" not in done.stderr
    assert done.stderr.count("mlflow: mlflow ui --backend-store-uri") == 1
    require_whole(tmp_path / "results")
    tracking = tmp_path / "results" / "tracking"
    assert len(list((tracking / "tensorboard").glob("folder/*/tiny/*/events*"))) == 4
    assert len(list((tracking / "wandb").glob("offline-run-*/run-*.wandb"))) == 4


@pytest.mark.slow
def test_trackers_of_two_workers_of_ray_lose_nothing(tiny_data, tmp_path):
    """The same file of MLflow, made by two workers of Ray, has each run once."""
    pytest.importorskip("ray", reason="needs ray: pip install -e .[ray]")
    done = adbench_process(
        *words(tiny_data, tmp_path / "results", "--executor", "ray", "--track", "mlflow"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "failed and logs no more" not in done.stderr
    require_whole(tmp_path / "results")


def _start(store, number, barrier, ends):
    from adbench_plugins.trackers.mlflow import MlflowTracker

    tracker = MlflowTracker()
    run = TrackedRun("run", "path", "tiny", "tiny", "folder", ("bolts",), number, {}, {}, {}, "adbench run", store)
    barrier.wait(60)
    try:
        ends.put(tracker.run_started(run).id)
    except Exception as error:
        ends.put(f"failed: {error}")


@pytest.mark.slow
def test_two_processes_make_mlflows_file_at_once(tmp_path):
    """Both start at the same moment: one makes the tables, the other one waits; each has its run."""
    mlflow = pytest.importorskip("mlflow", reason="install it: pip install mlflow-skinny")
    context = multiprocessing.get_context("spawn")
    barrier, ends = context.Barrier(2), context.Queue()
    others = [context.Process(target=_start, args=(tmp_path, number, barrier, ends)) for number in range(2)]
    for process in others:
        process.start()
    found = sorted(ends.get(timeout=120) for _ in others)
    for process in others:
        process.join()
    client = mlflow.MlflowClient(f"sqlite:///{(tmp_path / 'mlflow.db').as_posix()}")
    experiment = client.get_experiment_by_name("adbench")
    assert sorted(run.info.run_id for run in client.search_runs([experiment.experiment_id])) == found
