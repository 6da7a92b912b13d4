"""The commands ``weights list`` and ``weights get``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs import adbench

from adbench.backbones import weight_files as places
from adbench.backbones.weight_files import WeightFile
from adbench.util.errors import WeightsError


@pytest.fixture
def fetched(monkeypatch) -> list[tuple[str, Path | None]]:
    """What is fetched or brought; the backbone "bad" can't be."""
    done: list[tuple[str, Path | None]] = []

    def take(name, file=None):
        if name == "bad":
            raise WeightsError("weights of bad", found="no way to fetch them", hint="Bring the file")
        done.append((name, file))
        return WeightFile(name, "here", "", Path("/there"), 1)

    monkeypatch.setattr(places, "fetch", take)
    monkeypatch.setattr(places, "bring", take)
    return done


@pytest.mark.slow
def test_the_list_has_all_backbones_and_those_of_presets(tmp_path, monkeypatch):
    """Each has a state, a source and the path where adbench looks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    done = adbench("weights", "list", "--format", "json")
    assert done.exit_code == 0, done.stderr
    rows = {row["backbone"]: row for row in json.loads(done.stdout)[0]["rows"]}
    assert rows["efficientnet_lite0"]["state"] == "here"
    assert rows["wide_resnet50_2"]["state"] == "not here"
    assert rows["wide_resnet50_2"]["source"].startswith("https://download.pytorch.org/")
    assert rows["wide_resnet50_2"]["path"].startswith(str(tmp_path))
    assert "timm:vit_base_patch14_reg4_dinov2" in rows


def test_names_are_fetched_one_by_one(fetched):
    """One that can't be is an error with the remedy, and the others are fetched all the same."""
    done = adbench("weights", "get", "resnet18", "bad", "resnet34")
    assert done.exit_code == 2
    assert fetched == [("resnet18", None), ("resnet34", None)]
    assert "Bring the file" in done.stderr
    assert "resnet34: /there" in done.stderr
    assert adbench("weights", "get", "resnet18").exit_code == 0
    alone = adbench("weights", "get", "bad")
    assert (alone.exit_code, alone.stderr.count("Bring the file")) == (2, 1)


def test_a_file_is_for_one_name(fetched, tmp_path):
    """With --from the file is taken; for two names it is a mistake."""
    file = tmp_path / "file.pth"
    assert adbench("weights", "get", "resnet18", "--from", file).exit_code == 0
    assert fetched == [("resnet18", file)]
    done = adbench("weights", "get", "resnet18", "resnet34", "--from", file)
    assert done.exit_code == 2
    assert "--from: found 2 backbones, wanted one." in done.stderr
