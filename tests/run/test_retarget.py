"""Another threshold for a stored run: in result and checkpoint alike, while every other number stays."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import job_for, registry_of, resolve, run_one

from adbench.results import result_file
from adbench.results.records import Result
from adbench.results.run_files import folder_of, read_good_scores
from adbench.results.store import RunFolder
from adbench.run import checkpoint, engine, retarget
from adbench.run.retarget import Change, Model
from adbench.stats import conformal
from adbench.util.errors import ResultError


@pytest.fixture(scope="module")
def ran(tiny, tiny_data, tmp_path_factory) -> tuple[Result, Path]:
    """A run with three images held out, and its results; tests must not change them."""
    results = tmp_path_factory.mktemp("ran")
    return run_one(tiny, job_for(tiny, tiny_data, results, epochs=1, holdout=0.5, keep="oracle"))[0], results


@pytest.fixture
def made(ran, tmp_path) -> tuple[Result, RunFolder]:
    """The run and a copy of its folder; files are links, which a test may replace but not write into."""
    shutil.copytree(ran[1], tmp_path, copy_function=os.link, dirs_exist_ok=True)
    return ran[0], folder_of(tmp_path, ran[0])


def set_target(results: Path, folder: RunFolder, result, target: float):
    (stored,) = retarget.apply(Model.of(results, result), [retarget.stored_target(folder, result, target)])
    return stored


def test_a_target_moves_nothing_but_the_threshold(made, tmp_path):
    """Result and checkpoint get the conformal threshold; the other fields and the weights stay bit by bit."""
    result, folder = made
    before = folder.load_checkpoint("last")
    stored = set_target(tmp_path, folder, result, 0.25)
    scores = [each.score for each in read_good_scores(folder.path, result)]
    assert (stored.threshold.value, stored.threshold.promise) == conformal.threshold(scores, 0.25)
    assert replace(stored, threshold=result.threshold, digest=result.digest) == result
    assert folder.read_result() == stored
    after = folder.load_checkpoint("last")
    changed = {name for name in after if name not in before or not _same(before[name], after[name])}
    assert changed <= {"threshold", "threshold_useless", "threshold_promise", "pixel_threshold"}
    assert checkpoint.read(folder.checkpoint("last")).threshold_of("bolts").value == stored.threshold.value


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return one == other


def test_a_value_by_hand_is_recorded_as_such_and_keeps_the_threshold_of_pixels(made, tmp_path):
    """It promises nothing; a later target replaces it."""
    result, folder = made
    aimed = set_target(tmp_path, folder, result, 0.25)
    (stored,) = retarget.apply(Model.of(tmp_path, aimed), [retarget.by_hand(aimed, 0.125)])
    assert (stored.threshold.value, stored.threshold.rule, stored.threshold.promise) == (0.125, "set by hand", None)
    assert stored.threshold.pixel == aimed.threshold.pixel
    assert "threshold_promise" not in folder.load_checkpoint("last")
    assert set_target(tmp_path, folder, stored, 0.25) == aimed


def test_training_scores_promise_nothing(tiny, tiny_data, tmp_path):
    """The error says what to do; the run stays as it was."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1))
    with pytest.raises(ResultError, match=r"those of training images, which promise nothing.*--target-false-alarms"):
        set_target(tmp_path, folder, result, 0.25)
    assert folder.read_result() == result


def test_a_run_of_an_older_adbench_has_no_good_scores(made, tmp_path):
    """A result without the file says that it must be computed again; another file in its place is refused."""
    result, folder = made
    older = replace(result, files={name: digest for name, digest in result.files.items() if name != "thresholds.csv"})
    with pytest.raises(ResultError, match=r"no scores of good images.*--force"):
        retarget.stored_target(folder, older, 0.25)
    (folder.path / "thresholds.csv").unlink()
    (folder.path / "thresholds.csv").write_text("path,source,fold,folds,score,highest_pixel\na,held-out,,,1,\n")
    with pytest.raises(ResultError, match="another content than the run stored"):
        retarget.stored_target(folder, result, 0.25)


def test_the_best_epoch_that_is_the_same_file_stays_it(made, tmp_path):
    """An oracle checkpoint that is the last epoch's gets the threshold as well, and no second copy."""
    result, folder = made
    last, oracle = folder.checkpoint("last"), folder.checkpoint("oracle_image_auroc")
    assert oracle.samefile(last)
    set_target(tmp_path, folder, result, 0.25)
    assert oracle.samefile(last)


def test_one_class_of_a_model_of_several_is_changed_alone(tiny, tiny_data, tmp_path):
    """The other class keeps its threshold and its result, and both folders have the same checkpoint."""
    job = replace(
        job_for(tiny, tiny_data, tmp_path, epochs=1, holdout=0.5),
        class_name="", classes=("bolts", "nuts"), setting="multi-class",
    )  # fmt: skip
    resolved = resolve(tiny, job)
    bolts, nuts = engine.run(resolved, registry_of(tiny))
    (stored,) = retarget.apply(Model.of(tmp_path, nuts), [retarget.by_hand(nuts, 0.5)])
    one, other = (each.folder for each in resolved.classes)
    assert (one.read_result(), other.read_result()) == (bolts, stored)
    saved = checkpoint.read(one.checkpoint("last"))
    assert saved.threshold_of("bolts").value == bolts.threshold.value
    assert saved.threshold_of("nuts").value == 0.5
    assert one.checkpoint("last").samefile(other.checkpoint("last"))


def test_a_model_whose_first_class_is_gone_is_changed_in_its_other_ones(tiny, tiny_data, tmp_path):
    """The lock of the first class leaves no folder behind, and result and checkpoint of the other one agree."""
    job = replace(
        job_for(tiny, tiny_data, tmp_path, epochs=1), class_name="", classes=("bolts", "nuts"), setting="multi-class"
    )
    resolved = resolve(tiny, job)
    _, nuts = engine.run(resolved, registry_of(tiny))
    gone, kept = (each.folder for each in resolved.classes)
    gone.remove()
    model = Model.of(tmp_path, nuts)
    with model.first.lock():
        retarget.apply(model, [retarget.by_hand(nuts, 0.25)])
    assert kept.read_result().threshold.value == 0.25
    assert checkpoint.read(kept.checkpoint("last")).threshold_of("nuts").value == 0.25
    assert not (tmp_path / "folder" / "bolts").exists()


def test_a_run_of_an_older_scale_of_scores_gets_no_threshold(made, tiny, tmp_path):
    """No command would use it; a checkpoint of adbench 0.1 names no scale, which is the first one."""
    result, folder = made
    model, registry = Model.of(tmp_path, result), registry_of(tiny)
    retarget.require_present_scale(model, result, registry)
    saved = folder.load_checkpoint("last")
    folder.save_checkpoint("last", {**saved, "score_scale": 7})
    other = replace(result, method_package="of yesterday 0.1")
    with pytest.raises(ResultError, match=r"found scores of an older scale of tiny.*--force"):
        retarget.require_present_scale(model, other, registry)
    del saved["score_scale"]
    folder.save_checkpoint("last", saved)
    retarget.require_present_scale(model, result, registry)
    assert folder.read_result() == result


def test_a_result_without_its_checkpoint_can_be_changed(made, tmp_path):
    """Results that were brought from elsewhere may have none."""
    result, folder = made
    folder.checkpoint("last").unlink()
    (stored,) = retarget.apply(Model.of(tmp_path, result), [retarget.by_hand(result, 2.0)])
    assert result_file.read(folder.path / "result.json").threshold == stored.threshold
    assert not folder.checkpoint("last").exists()


def test_what_a_threshold_does_is_measured_on_the_stored_test_scores(made, tmp_path):
    """Below all scores it calls every image defective, and says that it is useless."""
    result, _ = made
    (stored,) = retarget.apply(Model.of(tmp_path, result), [Change(result, retarget.by_hand(result, -1.0).found)])
    assert (stored.threshold.false_alarm_rate, stored.threshold.miss_rate) == (1, 0)
    assert "every good test image" in stored.threshold.useless
