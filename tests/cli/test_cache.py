"""The commands for the cache, and what a run reports about the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs import adbench, run_tiny

from adbench.results.store import read_all

RUN = ("-c", "bolts", "-o", "epochs=1")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache folder of its own."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def listed() -> list[dict[str, object]]:
    done = adbench("cache", "list", "--format", "json")
    assert done.exit_code == 0
    (table,) = json.loads(done.stdout)
    return table["rows"]


def test_the_cache_is_listed_pruned_and_cleared(cache, tiny_data, tmp_path):
    """A run's files are shown with their size; a limit removes the first used, clearing removes the rest."""
    assert listed() == []
    assert run_tiny(tiny_data, tmp_path / "results", *RUN).exit_code == 0
    rows = listed()
    assert [row["kind"] for row in rows] == ["images", "images"]
    assert {str(row["about"]).split(" images of ")[0] for row in rows} == {"6", "7"}
    assert all(row["bytes"] > 6 * 3 * 64 * 64 for row in rows)
    shown = adbench("cache", "list", "--cache-limit", "5 MB")
    assert "which is kept below 5.0 MB (ADBENCH_CACHE_LIMIT)" in " ".join(shown.stdout.split())
    pruned = adbench("cache", "prune", "--cache-limit", "150KB")
    assert "Removed 1 image store and 0 feature files" in pruned.stderr
    assert len(listed()) == 1
    cleared = adbench("cache", "clear", "--only", "features")
    assert "Removed 0 image stores" in cleared.stderr
    assert len(listed()) == 1
    cleared = adbench("cache", "clear")
    assert "Removed 1 image store and 0 feature files" in cleared.stderr
    assert "0 image stores and 0 feature files (0 KB) are left." in cleared.stderr
    assert listed() == []


def test_pruning_removes_what_killed_runs_left(cache):
    """Unfinished files of the cache folder and of its two parts are removed."""
    for place in (cache, cache / "pictures", cache / "features"):
        place.mkdir(exist_ok=True)
        (place / f".a-{'0' * 32}.tmp").write_bytes(b"half")
    assert "Removed 3 unfinished files and folders of killed runs." in adbench("cache", "prune").stderr
    assert not list(cache.rglob("*.tmp"))


def test_a_run_keeps_to_the_limit(cache, tiny_data, tmp_path):
    """Images that a task needs are decoded beyond the limit, with a sentence, and go when the run ends."""
    done = run_tiny(tiny_data, tmp_path, *RUN, "--cache-limit", "100KB")
    assert done.exit_code == 0, done.stderr
    assert "takes more than its limit of 100 KB (ADBENCH_CACHE_LIMIT) until the run ends." in done.stderr
    assert sum(int(row["bytes"]) for row in listed()) <= 100_000


@pytest.mark.parametrize("words", [("cache", "prune"), ("cache", "list"), ("run", "-m", "random", "-d", "demo")])
def test_a_limit_that_is_none_is_a_mistake(words):
    """The mistake is reported before anything is done."""
    done = adbench(*words, "--cache-limit", "plenty")
    assert done.exit_code == 2
    assert "--cache-limit: found 'plenty', wanted a number of bytes such as 4GB or 512MB." in done.stderr


def test_a_run_says_beforehand_what_it_will_leave(tiny_data, tmp_path):
    """There is one line for each variant before its first task is trained: for each task, in all, and in the cache."""
    done = run_tiny(tiny_data, tmp_path, "-o", "epochs=1", "--seeds", "0,1", "--shots", "2")
    lines = done.stderr.splitlines()
    (place,) = [number for number, line in enumerate(lines) if ": leaves about " in line]
    assert place < next(number for number, line in enumerate(lines) if "epoch 1/1" in line)
    assert lines[place].startswith("tiny:few-shot=2,epochs=1: leaves about ")
    assert {run.variant for run in read_all(tmp_path).results} == {"tiny:few-shot=2,epochs=1"}
    assert " for each of 4 tasks, " in lines[place]
    assert f" in all in {tmp_path}; the cache in " in lines[place]
    again = run_tiny(tiny_data, tmp_path, "-o", "epochs=1", "--seeds", "0,1", "--shots", "2")
    assert ": leaves about " not in again.stderr  # nothing is computed
