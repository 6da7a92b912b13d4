"""TensorBoard's own reader finds all that a run logs."""

from __future__ import annotations

import pytest
from runs import curve_of, only_run, run_tiny

from adbench.results.store import RunFolder

pytest.importorskip("tensorboard", reason="install it: pip install tensorboard")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
    return found.Reload()


def scalars(found, tag):
    return {event.step: event.value for event in found.Scalars(tag)}


def text(found, tag):
    return found.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


def tracked(data, results, *words):
    return run_tiny(data, results, "-c", "bolts", "--track", "tensorboard", *words)


def test_a_stopped_run_goes_on_and_has_all_its_parts(tiny_data, tmp_path, monkeypatch):
    """One folder has options, each epoch once, class table, frontier, maps and checkpoint; --force makes another."""
    stop = ("-o", "epochs=2", "-o", "stop_at=2", "--eval-every", 1)
    assert tracked(tiny_data, tmp_path, *stop).exit_code == 130
    monkeypatch.setenv("TINY_SURVIVES", "1")
    done = tracked(tiny_data, tmp_path, *stop)
    assert done.exit_code == 0, done.stderr
    base, run = tmp_path / "tracking" / "tensorboard", only_run(tmp_path)
    assert f"tensorboard: tensorboard --logdir {base}" in done.stderr
    found = read(base / "folder/bolts/tiny" / run.name)
    rows = curve_of(RunFolder(tmp_path, "folder", "bolts", "tiny", run.name))
    for name in ("loss", "image_auroc"):
        assert scalars(found, name) == pytest.approx({int(row["number"]): float(row[name]) for row in rows})
    by_time = scalars(found, "image_auroc_by_fit_ms")
    assert list(by_time.values()) == pytest.approx([float(row["image_auroc"]) for row in rows])
    assert "| options.lr | 0.05 |" in text(found, "run")
    assert "| environment.packages.torch |" in text(found, "run")
    assert "| bolts |" in text(found, "classes")
    assert "| 2 |" in text(found, "frontier")
    assert text(found, "failure") == "stopped by the user"
    assert str((run / "last.pt").absolute()) in text(found, "result")
    assert any(tag.startswith("bolts/Worst misses/bolts/test/spot/") for tag in found.Tags()["images"])
    assert "_hparams_/session_start_info" in found.summary_metadata
    assert tracked(tiny_data, tmp_path, *stop, "--force").exit_code == 0
    assert {path.name for path in (base / "folder/bolts/tiny").iterdir()} == {run.name, f"{run.name}-2"}
