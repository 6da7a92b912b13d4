"""The plugins of the guide work: methods, data sets, a backbone and a tracker."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import torchvision
from conftest import make_class
from runs import ONE, adbench, only_run, run_tiny

from adbench import backbones, checks
from adbench.api import registry

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

RUNS = {
    "bank": ("--shots", "3"),
    "student": ("-o", "epochs=2"),
    "painted": ("-o", "epochs=2", "-o", "batch_size=4"),
}
"""Options for the runs of the guide's methods here, besides a small size."""


@pytest.mark.parametrize("name", RUNS)
def test_methods_of_the_guide_run(name, desk, tiny_data, tmp_path, monkeypatch):
    """Each method of the guide trains and scores by its own command, shortened."""
    monkeypatch.chdir(desk)
    auxiliary = ["--aux", "textures=textures"] if name == "painted" else []
    found = adbench(
        "run", "--plugin", f"{name}.py", "-m", name, "-d", "folder", "--data-root", tiny_data, "-c", "nuts",
        "--results", tmp_path, "--size", "64", "--device", "cpu", "--amp", "off", *RUNS[name], *auxiliary,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    result = json.loads((only_run(tmp_path, "nuts") / "result.json").read_text())
    assert result["metrics"]["image_auroc"] is not None
    if name == "bank":  # the others learn nothing in two epochs
        assert result["metrics"]["pixel_auroc"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_methods_of_the_guide_keep_the_rules(name, desk):
    """Each method of the guide passes check-method."""
    auxiliary = {"textures": desk / "textures"} if name == "painted" else None
    checks.check_method(name, plugin_files=[desk / f"{name}.py"], auxiliary=auxiliary)


def test_auxiliary_data_is_asked_for(desk, tiny_data, tmp_path, monkeypatch):
    """The guide's method with auxiliary data is refused without it, with a message that says what to do."""
    monkeypatch.chdir(desk)
    found = adbench(
        "run",
        "--plugin",
        "painted.py",
        "-m",
        "painted",
        "-d",
        "folder",
        "--data-root",
        tiny_data,
        "--results",
        tmp_path,
    )
    assert found.exit_code == 2
    assert "--aux textures=DIR" in found.stderr
    assert "robots.ox.ac.uk" in found.stderr


def test_the_data_set_of_the_guide_can_be_read(desk, tmp_path):
    """The guide's reader finds its splits, and a run scores the named test split."""
    made = make_class(tmp_path / "made", "nuts", train=8, bad=2, good=2)
    parts = {"train": ("good", "train/good", 4), "validation": ("good", "train/good", 4)}
    for split in ("indoor", "outdoor"):
        parts[split] = ("good", "test/good", 2)
    for split, (prefix, part, count) in parts.items():
        folder = tmp_path / "data" / "nuts" / split
        folder.mkdir(parents=True)
        for path in sorted((made / part).iterdir())[:count]:
            shutil.copy(path, folder / f"{prefix}_{path.name}")
        for path in sorted((made / "test/spot").iterdir()) if split in ("indoor", "outdoor") else ():
            shutil.copy(path, folder / f"bad_{path.name}")

    dataset = registry.load([desk / "flat.py"]).datasets["flat"]
    task = dataset.load(tmp_path / "data", "nuts")

    assert dataset.classes(tmp_path / "data") == ["nuts"]
    assert {name: len(samples) for name, samples in task.splits.items()} == {
        "train": 4, "validation": 4, "indoor": 4, "outdoor": 4,
    }  # fmt: skip
    assert [sample.label for sample in task.test] == [0, 0, 1, 1]
    found = adbench(
        "run", "--plugin", desk / "flat.py", "-d", "flat", "--data-root", tmp_path / "data", "-m", "random",
        "--test-split", "outdoor", "--results", tmp_path / "results", "--device", "cpu", "--size", "64",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    (scores,) = (tmp_path / "results" / "flat" / "nuts").rglob("scores.csv")
    assert "outdoor/" in scores.read_text()
    assert "indoor/" not in scores.read_text()


def test_the_data_set_with_options_of_the_guide_can_be_read(desk, tmp_path):
    """The guide's reader splits as its options say, and the run's name and protocol have the changed one."""
    made, root = make_class(tmp_path / "made", "nuts", train=8, bad=2, good=1), tmp_path / "data"
    root.mkdir()
    for path in (made / "train/good").iterdir():
        shutil.copy(path, root / path.name)
    for path in (made / "test/spot").iterdir():
        shutil.copy(path, root / f"ng_{path.name}")

    found = adbench(
        "run", "--plugin", desk / "loose.py", "-d", "loose", "--data-root", root, "-m", "random", "--data-option",
        "every=2", "--results", tmp_path / "results", "--device", "cpu", "--size", "64",
    )  # fmt: skip

    assert found.exit_code == 0, found.output
    assert "loose/data: 4 of 8 good images for training." in found.stderr
    (path,) = (tmp_path / "results").rglob("result.json")
    result = json.loads(path.read_text())
    assert (result["train_images"], result["test_images"]) == (4, 6)
    assert "every=2" in result["run"]
    assert result["protocol"]["reading"] == {"options": {"bad": "ng_", "every": 2}, "changed": ["every"]}


def test_the_backbone_of_the_guide_works(desk, tmp_path):
    """The guide's network gives the channels and strides that it gives, frozen and as a trainable copy."""
    entry = registry.load([desk / "shufflenet.py"]).backbones["shufflenet_v2_x1_0"]
    with torch.random.fork_rng():
        torch.save(torchvision.models.get_model(entry.name, weights=None).state_dict(), tmp_path / "weights.pt")
    backbone = backbones.load(
        entry.name, layers=(1, 3), weights=tmp_path / "weights.pt", device=CPU, offered={entry.name: entry}
    )
    images = torch.rand(1, 3, 64, 96)
    assert [tuple(each.shape[1:]) for each in backbone(images)] == [(24, 16, 24), (232, 4, 6)]
    assert backbone.channels == (24, 232)
    assert backbone.strides == (4, 16)
    copy = backbone.trainable_copy().eval()
    torch.testing.assert_close(copy(images)[1], backbone(images)[1], rtol=1e-3, atol=1e-4)


def test_the_tracker_of_the_guide_works(desk, tiny_data, tiny_method, tmp_path):
    """The guide's tracker writes a line for the start, for each epoch and for the end of a run."""
    found = run_tiny(tiny_data, tmp_path, "--plugin", desk / "lines.py", "--track", "lines", *ONE)
    assert found.exit_code == 0, found.output
    lines = [json.loads(line) for line in (tmp_path / "tracking" / "lines.jsonl").read_text().splitlines()]
    assert [next(iter(line)) for line in lines] == ["run", "epoch", "checkpoint"]
    assert lines[1]["image_auroc"] == lines[2]["image_auroc"]
