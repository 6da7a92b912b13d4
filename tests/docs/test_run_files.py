"""The run files of docs/run-files.md do what the page says."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import make_class
from doc_blocks import ROOT, blocks
from runs import adbench

from adbench.cli import defaults
from adbench.cli.main import app
from adbench.cli.run_file import other_keys
from adbench.run.run_file import KEYS
from adbench.util import toml_files


@pytest.fixture
def parts(desk, tmp_path, monkeypatch):
    """A copy of the run files beside a folder of parts, as the full one names it; the working folder."""
    for name in ("suite.toml", "all.toml"):
        shutil.copy(desk / name, tmp_path)
    made = make_class(tmp_path / "made", "parts", train=8, bad=4)
    for source, name in (("train/good", "good"), ("test/spot", "scratch"), ("test/good", "dent")):
        shutil.copytree(made / source, tmp_path / "parts" / "bracket" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dry(name: str) -> list[dict]:
    found = adbench("run", name, "--dry-run", "--format", "json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)[0]["rows"]


@pytest.mark.slow
def test_the_smallest_file_is_six_tasks(parts):
    """PaDiM has two runs for each seed, the other method one."""
    rows = dry("suite.toml")
    assert [(row["method"], row["options"], row["seed"]) for row in rows] == [
        (method, options, seed)
        for seed in (0, 1)
        for method, options in (("random", None), ("padim", "dimensions=50"), ("padim", "dimensions=100"))
    ]


@pytest.mark.slow
def test_the_full_file_is_all_combinations(parts):
    """Three classes of two data sets, three seeds, and each setting that a method supports."""
    rows = dry("all.toml")
    assert {row["data"] for row in rows} == {"demo/brick", "demo/grass", "folder/bracket"}
    assert {row["method"] for row in rows} == {"padim", "patchcore", "random"}
    padim = [row for row in rows if row["method"] == "padim"]
    assert len(padim) == 3 * 3 * 4 * len({row["setting"] for row in padim})
    assert {row["preset"] for row in rows if row["method"] == "patchcore"} == {"quick"}


def test_the_table_has_every_key():
    """Each key of a run file stands in the page; the keys of the command need not."""
    text = (ROOT / "docs" / "run-files.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"`{key}`" not in text] == []
    named = {"preset", "target_false_alarms", "holdout", "folds", "eval_size", "device", "label", "track", "results"}
    assert named <= set(other_keys(app.commands["run"]))


def test_the_defaults_of_the_page_are_valid(tmp_path):
    """adbench.toml as printed has known keys and fitting values."""
    (text,) = (block.text for block in blocks("toml") if block.text.startswith("# adbench.toml"))
    found = defaults.load(toml_files.parse(text.encode(), tmp_path / "adbench.toml"), app)
    assert found.values["run"]["preset"] == "cpu"
    assert found.values["leaderboard"]["oracle"] is True
    assert found.values["run"]["device"] == found.values["predict"]["device"] == "cpu"
