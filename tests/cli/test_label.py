"""``adbench run --label`` and ``adbench label``."""

from __future__ import annotations

import json
import shutil

import pytest
from runs import ONE, adbench, line_of, run_tiny


@pytest.fixture
def copied(ran, tmp_path):
    """A copy of stored results, which a test may change."""
    shutil.copytree(ran, tmp_path / "ran")
    return tmp_path / "ran"


def rows(results, *words):
    return json.loads(adbench("list", "runs", "--results", results, "--format", "json", *words).stdout)[0]["rows"]


def test_a_run_gets_its_label_and_keeps_its_name(tiny_data, tmp_path):
    """A stored run gets another label without being computed, and keeps it by the same command without one."""
    done = run_tiny(tiny_data, tmp_path, *ONE, "--label", " first try ")
    assert done.exit_code == 0, done.stderr
    assert "first try" in done.stdout
    assert [row["label"] for row in rows(tmp_path)] == ["first try"]
    again = run_tiny(tiny_data, tmp_path, *ONE, "--label", "second")
    assert "already there, nothing to compute" in line_of(again)
    assert [row["label"] for row in rows(tmp_path)] == ["second"]
    plain = run_tiny(tiny_data, tmp_path, *ONE)
    assert "already there, nothing to compute" in line_of(plain)
    assert "second" in plain.stdout


def test_a_stored_run_is_labelled_and_the_label_removed(copied):
    """Any part of its name that no other run has will do; an empty text removes the label."""
    (before,) = rows(copied, "-c", "nuts")[:1]
    done = adbench("label", before["run"], "good light", "--results", copied)
    assert done.exit_code == 0, done.stderr
    assert line_of(done).endswith(f"{before['run']}: labelled 'good light'.")
    assert {**before, "label": "good light"} in rows(copied)
    assert "good light" in adbench("leaderboard", "--results", copied).stdout
    assert line_of(adbench("label", before["run"], "", "--results", copied)).endswith("has no label now.")
    assert before in rows(copied)


def test_labels_that_are_none_and_runs_that_are_not_there_are_refused(copied, tiny_data):
    """The exit code is 2; a run is refused before anything is trained."""
    run = rows(copied)[0]["run"]
    for words in (
        ("label", run, "x" * 61),
        ("label", run, "a\x07b"),
        ("label", "nothing", "x"),
        ("label", "seed", "x"),
    ):
        done = adbench(*words, "--results", copied)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    refused = run_tiny(tiny_data, copied.parent / "none", *ONE, "--label", "x" * 61)
    assert (refused.exit_code, "--label: found 61 characters" in refused.stderr) == (2, True)
    assert not (copied.parent / "none").exists()
