"""``adbench evaluate``: what it prints and stores, and its exit codes."""

from __future__ import annotations

import json
import shutil

import pytest
from runs import TINY, adbench, line_of

from adbench.results.store import read_all


@pytest.fixture
def copied(ran, tmp_path):
    """A copy of stored results, which a test may change."""
    shutil.copytree(ran, tmp_path / "ran")
    return tmp_path / "ran"


def evaluate(results, *words):
    return adbench("evaluate", "--plugin", TINY, "--results", results, "--device", "cpu", *words)


def test_runs_are_evaluated_and_shown(copied, tiny_data):
    """The table has the new runs alone, a line names each, and the second time nothing is computed."""
    words = ("-c", "bolts", "--eval-size", "native", "--data-root", tiny_data)
    done = evaluate(copied, *words, "--format", "json")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout)
    assert [table["rows"][0]["variant"] for table in tables] == ["random:cpu,eval-size=native",
                                                                  "tiny:cpu,epochs=1,eval-size=native"]  # fmt: skip
    assert done.stderr.count(": stored as cpu-seed") == 4
    assert len([run for run in read_all(copied).results if run.evaluated_from]) == 4
    again = evaluate(copied, *words, "--format", "json")
    assert again.stderr.count(": already there as cpu-seed") == len(again.stderr.splitlines())
    assert json.loads(again.stdout)[0]["rows"] == tables[0]["rows"]


def test_a_run_that_cannot_be_evaluated_is_one_line(copied, tiny_data):
    """Of a single run it is the command's mistake; of several the others are evaluated, and the code is 1."""
    first, *_ = (run for run in read_all(copied).results if run.method == "tiny" and run.class_name == "bolts")
    (path,) = copied.glob(f"*/*/*/{first.run}/last.pt")
    path.unlink()
    single = evaluate(copied, first.run, "--eval-size", "native")
    assert (single.exit_code, single.stdout) == (2, "")
    assert "no such file" in line_of(single)
    several = evaluate(copied, "-c", "bolts", "--eval-size", "native")
    assert several.exit_code == 1
    assert "1 of 4 runs could not be evaluated." in several.stderr
    assert "eval-size=native" in several.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--eval-size", "native"), "adbench evaluate: found no run, wanted RUN, -d DATASET, -c CLASS or --all."),
        (("--all",), "'--eval-size'"),
        (("--all", "--eval-size", "big"), "--eval-size: found 'big', wanted native, or HxW such as 256x640."),
        (("nothing", "--eval-size", "native"), "unknown run 'nothing'"),
    ],
)
def test_mistakes_are_one_line(ran, words, said):
    """The exit code is 2, and nothing is computed."""
    done = evaluate(ran, *words)
    assert done.exit_code == 2
    assert said in line_of(done)
