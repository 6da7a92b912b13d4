"""The checks of a method: each one finds its fault, and the built-in methods pass."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import bad_methods as bad
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import adbench

from adbench import Method, Options
from adbench.api.method import Preset
from adbench.run import check_method, evaluate
from adbench.run.check_bench import difference, small_options
from adbench.util.errors import AdbenchError, UnknownNameError, UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

PLUGIN = Path(bad.__file__)
SAMPLE = Path(__file__).parents[2] / "docs" / "sample_plugin" / "adbench_sample.py"
SAMPLE_0_1 = Path(__file__).parents[1] / "plugin_0_1" / "adbench_sample.py"
SMALL = {"size": (32, 40)}


@pytest.fixture(autouse=True)
def _nothing_kept():
    yield
    bad.KEPT.clear()


def failures(method: Method) -> dict[str, str]:
    """The failed checks with their reasons."""
    return {
        result.check: result.reason for result in check_method.run(method, changes=SMALL) if result.outcome == "failed"
    }


def test_an_honest_method_passes_every_check_that_can_be_made():
    """Nothing fails, and only the GPU check is skipped."""
    results = check_method.run(bad.method_of(bad.Honest))
    assert [result.check for result in results if result.outcome == "failed"] == []
    skipped = {result.check for result in results if result.outcome == "skipped"}
    assert skipped == (set() if torch.cuda.is_available() else {"works on a GPU"})
    assert len(results) == 11
    check_method.check_method(bad.method_of(bad.Honest))


FOUNDERS = ("padim", "msflow", "cflow")


def test_a_frozen_module_as_a_backbone_passes():
    """A method with a plain module that stays as it is keeps every rule."""
    assert failures(bad.method_of(bad.WithNetwork)) == {}


@pytest.mark.parametrize("name", ["random", *(pytest.param(each, marks=pytest.mark.slow) for each in FOUNDERS)])
def test_the_built_in_methods_pass(name):
    """Adbench's own methods keep its rules."""
    check_method.check_method(name)


@pytest.mark.parametrize("file", [SAMPLE, SAMPLE_0_1], ids=["of the guide", "of 0.1"])
def test_the_samples_pass(file):
    """The sample from which plugin authors start passes, and so does that of adbench 0.1."""
    check_method.check_method("sample", plugin_files=[file])


@pytest.mark.parametrize(
    ("detector", "check", "reason"),
    [
        (bad.BreaksInFit, "works on the CPU", "ZeroDivisionError: no luck"),
        (bad.DivergingLoss, "works on the CPU", "loss in epoch 1: found nan"),
        (bad.MovesItsBackbone, "works on the CPU", "Conv2d as a backbone: found weights that changed between two uses"),
        (bad.TrainsItsBackbone, "works on the CPU", r"found weight that requires a gradient\. Freeze it with"),
        (bad.LeavesItsBackboneInTraining, "works on the CPU", r"found Conv2d in training mode\. Freeze it with"),
        (bad.WrongShape, "shapes and finite values", r"Scores\.map: found shape"),
        (bad.NotFinite, "shapes and finite values", r"Scores\.image: found NaN or infinity"),
        (bad.NormalisesByTheBatch, "scores alone equal scores in a batch", "in a batch the scores differ"),
        (bad.NormalisesByWhatItSaw, "scores alone equal scores in a batch", "the scores differ"),
        (bad.IgnoresTheSeed, "same seed, same scores", "trained again, the scores differ by"),
        (bad.ForgetsAPart, "state saved and loaded scores the same", "a loaded state's scores differ by"),
        (bad.SavesNoData, "state saved and loaded scores the same", "weights_only|Weights only|UnpicklingError"),
        (bad.ReadsTestFiles, "fit sees no test image", "with other test images"),
        (bad.LearnsFromWhatItScores, "fit sees no test image", "with other test images"),
        (bad.NeedsTwoImages, "works in its settings", "few-shot: ValueError: a spread needs two images"),
        (bad.NeedsAnImage, "works in its settings", "zero-shot: RuntimeError: generator raised StopIteration"),
        (bad.StartsAgain, "resumes to the same numbers", "epoch 1 after epoch 0|count from self.epoch|differ"),
        (bad.ResumesWithoutItsMomentum, "resumes to the same numbers", "gone on after epoch 1, the scores differ"),
        (bad.StaysInMemory, "memory is released", "the detector is still in memory"),
        (bad.LeavesTensors, "memory is released", "1 tensors are left behind"),
    ],
)
def test_each_check_catches_a_method_made_to_fail_it(detector, check, reason):
    """A method that breaks one rule fails the check of that rule."""
    found = failures(bad.method_of(detector))
    assert check in found
    assert re.search(reason, found[check])


@pytest.mark.parametrize(
    "detector",
    [bad.ReadsTestFiles, bad.StaysInMemory, bad.ForgetsAPart, bad.NormalisesByTheBatch, bad.NeedsTwoImages],
)
def test_a_single_fault_fails_a_single_check(detector):
    """The other checks still pass, so a report points at the fault."""
    assert len(failures(bad.method_of(detector))) == 1


def test_a_method_that_does_not_run_is_not_tried_further():
    """One failure reports it; the rest is skipped."""
    results = check_method.run(bad.method_of(bad.WrongShape))
    assert [result.outcome for result in results] == ["passed", "failed", *["skipped"] * 9]


def test_what_depends_on_the_seed_is_skipped_without_one():
    """If the same seed trains another detector, peeking at test images and resuming can't be checked."""
    outcomes = {result.check: result.outcome for result in check_method.run(bad.method_of(bad.IgnoresTheSeed))}
    assert outcomes["fit sees no test image"] == outcomes["resumes to the same numbers"] == "skipped"


def test_options_that_json_changes_are_caught():
    """A tuple in a tuple becomes a list in JSON, and so in every checkpoint."""
    method = bad.method_of(bad.Honest)
    nested = Preset(replace(bad.HonestOptions(), nested=((1, 2),)))
    found = failures(replace(method, presets={"cpu": nested}))
    assert list(found) == ["options survive JSON"]
    assert "nested is ((1, 2),) and comes back ([1, 2],)" in found["options survive JSON"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_method_for_the_cpu_alone_is_caught():
    """On a machine with a GPU, a method must also work there."""
    assert list(failures(bad.method_of(bad.WorksOnTheCpuOnly))) == ["works on a GPU"]


def test_check_method_lists_all_failures():
    """A failing test of a plugin lists all faults at once."""
    with pytest.raises(AssertionError, match=r"NormalisesByTheBatch failed 1 of 11 checks:\nscores alone equal"):
        check_method.check_method("NormalisesByTheBatch", plugin_files=[PLUGIN])


# ---------------------------------------------------------------- what is tried


def test_options_are_made_small_but_not_what_the_user_gave():
    """There are two epochs in all, small batches and float32; factors of the number of epochs become 1."""

    @dataclass(frozen=True)
    class Long(Options):
        meta_epochs: int = 25
        sub_epochs: int = 8
        decay_epochs: tuple[int, ...] = (70, 90)

    method = Method("long", "", bad.Honest, Long)
    small = small_options(method, None, {"batch_size": 20}, size=(96, 128))
    assert small == Long(size=(96, 128), batch_size=20, amp="off", meta_epochs=2, sub_epochs=1, decay_epochs=(70, 90))
    assert small_options(bad.method_of(bad.Honest), "paper", {}, size=None).size == (256, 256)
    with pytest.raises(UnknownNameError):
        small_options(method, "none", {}, size=None)


def test_a_method_of_a_fixed_size_is_tried_at_that_size():
    """A method that takes no small images gets images of its preset's size."""

    def build(options, device):
        if options.size != (64, 64):
            raise UsageError("64x64 alone")
        return bad.Honest(options, device)

    method = Method("fixed", "", build, bad.HonestOptions, {"cpu": Preset(bad.HonestOptions(size=(64, 64)))})
    assert check_method.run(method)[0].reason == "2 epochs at 64x64"
    with pytest.raises(UsageError, match="64x64 alone"):
        check_method.run(method, changes={"size": (32, 32)})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6), st.floats(0.5, 10), st.floats(-5, 5))
def test_a_difference_is_a_part_of_the_spread(values, scale, shift):
    """It is 0 for equal scores, and neither another unit nor another zero changes it."""
    one = torch.tensor(values, dtype=torch.float64)
    other = one.flip(0)
    scores, turned = evaluate.TestScores(one, None, None), evaluate.TestScores(other, None, None)
    assert difference(scores, scores) == 0
    if float(one.max() - one.min()) > 1e-3:
        moved = [evaluate.TestScores(each * scale + shift, None, None) for each in (one, other)]
        assert difference(*moved) == pytest.approx(difference(scores, turned), abs=1e-6)


# ---------------------------------------------------------------- the command


def test_the_command_says_one_line_each_and_fails_with_1(tmp_path, monkeypatch):
    """Exit code 0 if all checks pass, 1 if one failed, and the table says which."""
    monkeypatch.chdir(tmp_path)
    done = adbench("check-method", "Honest", "--plugin", PLUGIN, "--format", "json")
    assert done.exit_code == 0
    rows = json.loads(done.stdout)[0]["rows"]
    assert {row["outcome"] for row in rows} <= {"passed", "skipped"}
    cheat = adbench("check-method", "NormalisesByTheBatch", "--plugin", PLUGIN)
    assert cheat.exit_code == AdbenchError.exit_code
    assert "1 of 11 checks failed" in cheat.stderr
    (line,) = (line for line in cheat.stdout.splitlines() if "failed" in line)
    assert "scores alone equal scores in a batch" in line


def test_the_outcome_is_stored_and_shown(tmp_path, monkeypatch):
    """``list methods`` and its table of one method show it; where it can't be stored, a warning says so."""
    monkeypatch.chdir(tmp_path)
    done = adbench("check-method", "Honest", "--plugin", PLUGIN, "-o", "size=32")
    assert done.stderr.startswith("Stored in results")
    methods, own = (
        json.loads(adbench("list", "methods", *name, "--plugin", PLUGIN, "--format", "json").stdout)
        for name in ((), ("Honest",))
    )
    assert {row["method"]: row["audit"] for row in methods[0]["rows"] if row["audit"]} == {"Honest": "passed"}
    assert own[-1]["title"].startswith("Checks of Honest, audited on 20")
    assert " with this code, as Honest:size=32x32: " in own[-1]["title"]
    assert own[-1]["rows"] == json.loads(
        adbench("check-method", "Honest", "--plugin", PLUGIN, "-o", "size=32", "--format", "json").stdout
    )[0]["rows"]  # fmt: skip
    (tmp_path / "file").write_text("mine")
    there = adbench("check-method", "Honest", "--plugin", PLUGIN, "--results", "file")
    assert there.exit_code == 0
    assert "Warning: audit" in there.stderr


@pytest.mark.parametrize(
    "words", [("nobody",), ("random", "-p", "huge"), ("random", "-o", "size=8"), ("padim", "-o", "weights=/no/file")]
)
def test_a_users_mistake_ends_with_2(words):
    """An unknown method or preset, a wrong option or missing weights: one line, exit code 2."""
    done = adbench("check-method", *words)
    assert done.exit_code == UsageError.exit_code
    assert done.stdout == ""


BROKEN = """
from adbench import Detector, Epoch, Method, Scores, hookimpl

class Mine(Detector):
    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        return Scores(image=unknown_name)

@hookimpl
def adbench_methods():
    return [Method("mine", "misspelt", Mine)]
"""


def test_an_error_of_a_method_is_found_by_file_and_line(tmp_path):
    """A misspelt name in ``score``, of a method whose class is its own ``build``."""
    plugin = tmp_path / "my_method.py"
    plugin.write_text(BROKEN, encoding="utf-8")

    first = check_method.run("mine", plugin_files=[plugin])[0]

    assert first.reason == "NameError: name 'unknown_name' is not defined, in my_method.py, line 9"
    assert isinstance(first.error, NameError)


def test_debug_shows_the_traceback_of_a_failed_check(tmp_path, monkeypatch):
    """Without ``--debug`` the table alone says what failed."""
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "my_method.py"
    plugin.write_text(BROKEN, encoding="utf-8")

    short = adbench("check-method", "mine", "--plugin", plugin)
    long = adbench("check-method", "mine", "--plugin", plugin, "--debug")

    assert (short.exit_code, long.exit_code) == (1, 1)
    assert "Traceback" not in short.output
    assert "Traceback (most recent call last)" in long.output
    assert "return Scores(image=unknown_name)" in long.output
