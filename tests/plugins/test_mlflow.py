"""MLflow's own client finds all that a run logs, in a local SQLite file."""

from __future__ import annotations

import csv

import pytest
from runs import curve_of, only_run, run_tiny

from adbench.results.store import RunFolder

for package in ("sqlalchemy", "alembic"):
    pytest.importorskip(package, reason=f"install it: pip install {package}")
mlflow = pytest.importorskip("mlflow", reason="install it: pip install mlflow-skinny")


@pytest.fixture(autouse=True)
def _own_place(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def tracked(data, results, *words):
    return run_tiny(data, results, "-c", "bolts", "--track", "mlflow", *words)


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_has_all_its_parts(tiny_data, tmp_path, monkeypatch):
    """One run has options, each epoch once, class table, frontier, maps and checkpoint, though it was stopped."""
    stop = ("-o", "stop_at=3", "--eval-every", 1)
    assert tracked(tiny_data, tmp_path, *stop).exit_code == 130
    uri = f"sqlite:///{(tmp_path / 'tracking/mlflow.db').as_posix()}"
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("adbench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "stopped by the user")

    monkeypatch.setenv("TINY_SURVIVES", "1")
    done = tracked(tiny_data, tmp_path, *stop)
    assert done.exit_code == 0, done.stderr
    assert f"mlflow: mlflow ui --backend-store-uri {uri}" in done.stderr
    assert "alembic" not in done.stderr
    (run,) = client.search_runs([experiment.experiment_id])
    folder = only_run(tmp_path)
    rows = curve_of(RunFolder(tmp_path, "folder", "bolts", "tiny", folder.name))
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "tiny:stop_at=3 · folder/bolts · seed 0"
    assert (run.data.params["options.lr"], run.data.params["protocol.size"]) == ("0.05", "64x64")
    assert run.data.params["environment.packages.torch"]
    for name in ("loss", "image_auroc"):
        history = client.get_metric_history(run.info.run_id, name)
        assert [(each.step, each.value) for each in history] == [(int(row["number"]), float(row[name])) for row in rows]
    assert run.data.tags["checkpoint"] == str((folder / "last.pt").absolute())
    artifacts = tmp_path / "tracking" / "mlflow" / run.info.run_id / "artifacts"
    (row,) = csv.DictReader((artifacts / "classes.csv").open(newline=""))
    assert (row["class"], float(row["image_auroc"])) == ("bolts", float(rows[3]["image_auroc"]))
    assert len((artifacts / "frontier.csv").read_text().splitlines()) == 5
    assert list((artifacts / "maps" / "bolts").glob("*.png"))
