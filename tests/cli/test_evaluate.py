"""``adbench evaluate``: what it prints and stores, and its exit codes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from runs import TINY, adbench, line_of, run_tiny

from adbench.api.marking import Marking
from adbench.results.store import read_all
from adbench.run.identity import ignored_digest
from adbench.util.digests import Digests


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


def test_an_ignore_mask_is_given_anew(tiny_data, tmp_path):
    """The one with the run's content gives the name and the numbers of a run at that size; another one is refused."""
    there, moved, other = (tmp_path / name for name in ("there.png", "moved.png", "other.png"))
    marks = np.zeros((80, 80), np.uint8)
    marks[:50] = 255
    Image.fromarray(marks).save(there)
    shutil.copyfile(there, moved)
    Image.fromarray(255 - marks).save(other)
    results, whole = tmp_path / "results", tmp_path / "whole"
    words = ("-c", "nuts", "-o", "epochs=1", "--ignore-mask", there)
    assert run_tiny(tiny_data, results, *words).exit_code == 0
    assert run_tiny(tiny_data, whole, *words, "--eval-size", "native").exit_code == 0
    (run,) = read_all(results).results
    there.unlink()
    stored = str(run.protocol.ignore_mask)
    bare = evaluate(results, run.run, "--eval-size", "native")
    assert (bare.exit_code, stored in line_of(bare), "Give --ignore-mask" in line_of(bare)) == (2, True, True)
    wrong = evaluate(results, run.run, "--eval-size", "native", "--ignore-mask", other)
    found = ignored_digest(Marking(ignore_mask=str(other)), Digests())
    assert wrong.exit_code == 2
    assert f"found content {found}, wanted that of run {run.run}: {stored}" in line_of(wrong)
    done = evaluate(results, run.run, "--eval-size", "native", "--ignore-mask", moved)
    assert done.exit_code == 0, done.stderr
    (made,) = (each for each in read_all(results).results if each.evaluated_from)
    (trained,) = read_all(whole).results
    assert (made.run, made.metrics, made.protocol) == (trained.run, trained.metrics, trained.protocol)
    assert made.metrics != run.metrics


def test_an_ignore_mask_is_refused_for_a_run_without_one(ran, tiny_data, tmp_path):
    """Its numbers would not be of that mask."""
    path = tmp_path / "marks.png"
    Image.new("L", (80, 80), 255).save(path)
    run = read_all(ran).results[0].run
    done = evaluate(ran, run, "-c", "bolts", "--eval-size", "native", "--ignore-mask", path)
    assert done.exit_code == 2
    assert "no ignore mask" in line_of(done)


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
