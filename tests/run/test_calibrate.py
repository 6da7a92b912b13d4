"""A run's threshold with a promise: cross-validated by the engine where nothing is held out, and no number moves."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from memory_method import Fits, memory
from runs import Notes, files_in, registry_of, scores_of

from adbench import Method
from adbench.api import registry as plugins
from adbench.data import splits
from adbench.results import store
from adbench.results.run_files import folder_of, read_good_scores, read_threshold_scores
from adbench.run import checkpoint, plan, retarget, tasks, trial
from adbench.run.plan import Outcome, Plan
from adbench.stats import conformal
from adbench.util import files
from adbench.util.errors import OptionError

TARGET = 0.2


def run(method: Method, data: Path, results: Path, watch: Notes | None = None, **changes) -> list[Outcome]:
    """Run a method on the class bolts, or as ``changes`` say."""
    settings = {"classes": ("bolts",), "device": "cpu", "target_false_alarms": TARGET, **changes}
    made = Plan(
        methods=[method], overrides={method.name: {}}, dataset=plugins.load().dataset("folder"), data_root=data,
        results=results, **settings,
    )  # fmt: skip
    return list(plan.run_here(made.jobs(), registry_of(method), watch=watch))


def good_of(results: Path, outcome: Outcome):
    return read_good_scores(folder_of(results, outcome.result).path, outcome.result)


@pytest.fixture(scope="module")
def crossed(tiny_data, tmp_path_factory):
    """A cross-validated run, its trainings and its results; tests must not change it."""
    fits, results, watch = Fits(), tmp_path_factory.mktemp("crossed"), Notes()
    (made,) = run(memory(fits), tiny_data, results, watch)
    return made, fits, results, watch.notes


def test_each_good_image_is_scored_by_a_model_that_has_not_seen_it(crossed):
    """Five models are trained on the other folds; the threshold is the conformal one of their scores."""
    made, fits, results, _ = crossed
    names = [f"{number:03d}.png" for number in range(6)]
    parts = splits.folds(names, 5)
    assert fits.names == [names, *(sorted(set(names) - set(part)) for part in parts)]
    good = good_of(results, made)
    assert [(Path(each.path).name, each.fold) for each in good] == [
        (name, number) for number, part in enumerate(parts, 1) for name in part
    ]
    assert all(each.score > 0 and each.highest_pixel > 0 and each.folds == 5 for each in good)
    for found, values in (
        (made.result.threshold, [each.score for each in good]),
        (made.result.threshold.pixel, [each.highest_pixel for each in good]),
    ):
        assert (found.value, found.promise) == conformal.threshold(values, TARGET, folds=5)


def test_no_number_of_the_run_moves(crossed, tiny_data, tmp_path):
    """With the option a run has the same name, scores, metrics and files as without; the folds leave nothing."""
    made, _, results, _ = crossed
    (plain,) = run(memory(Fits()), tiny_data, tmp_path, target_false_alarms=None)
    one, other = folder_of(tmp_path, plain.result), folder_of(results, made.result)
    assert made.result.run == plain.result.run
    assert made.result.metrics == plain.result.metrics
    assert scores_of(one) == scores_of(other)
    assert files_in(one.path) == files_in(other.path)
    assert plain.result.threshold is None  # all training scores are 0
    assert other.read_result() == made.result


def test_the_checkpoint_has_the_threshold_and_its_promise(crossed):
    """What ``test`` finds with the checkpoint alone is what the result says, of images and of pixels."""
    made, fits, results, _ = crossed
    saved = checkpoint.read(folder_of(results, made.result).checkpoint("last"))
    assert saved.threshold_of("bolts").promise == made.result.threshold.promise
    found = trial.run(made.job, registry_of(memory(fits)), saved)
    assert found.threshold == made.result.threshold
    assert found.threshold.pixel.false_alarm_rate is not None


@pytest.mark.slow
def test_only_what_is_missing_is_trained(tiny_data, tmp_path):
    """A stored run gets folds alone; the same or another target then trains nothing; other folds are trained."""
    fits = Fits()
    method = memory(fits)
    run(method, tiny_data, tmp_path, target_false_alarms=None)
    (made,) = run(method, tiny_data, tmp_path, folds=2)
    assert (made.reused, len(fits.names)) == (False, 1 + 2)
    (same,) = run(method, tiny_data, tmp_path, folds=2)
    (other,) = run(method, tiny_data, tmp_path, folds=2, target_false_alarms=0.5)
    assert (same.reused, other.reused, len(fits.names)) == (True, True, 3)
    assert same.results == made.results
    assert other.result.threshold.promise.target == 0.5
    assert other.result.threshold.value < same.result.threshold.value
    (three,) = run(method, tiny_data, tmp_path, folds=3)
    assert (three.reused, len(fits.names), three.result.threshold.promise.folds) == (False, 3 + 3, 3)


def test_a_broken_cross_validation_keeps_the_result_and_goes_on(tiny_data, tmp_path):
    """The task failed, but its result is stored, and the next run trains the fold that is missing."""
    fits = Fits()
    fits.broken = {3}
    (failed,) = run(memory(fits), tiny_data, tmp_path, folds=2)
    assert "broken on purpose" in str(failed.error)
    (made,) = run(memory(fits), tiny_data, tmp_path, folds=2)
    assert len(fits.names) == 3 + 1
    assert len(good_of(tmp_path, made)) == 6
    assert not (folder_of(tmp_path, made.result).path / "folds").exists()


class _DeathError(BaseException):
    """A process that ends."""


def dying_at(monkeypatch, writes: int) -> list[int]:
    """Let the process die instead of its write number ``writes`` + 1 of a threshold; return a list of its writes."""
    done: list[int] = []
    write, apply = files.write, retarget.apply

    def counting(path, fill):
        if len(done) == writes:
            raise _DeathError
        done.append(1)
        write(path, fill)

    def armed(*arguments):
        monkeypatch.setattr(files, "write", counting)
        return apply(*arguments)

    monkeypatch.setattr(retarget, "apply", armed)
    return done


@pytest.mark.slow
def test_a_death_at_any_write_of_the_threshold_is_made_good_by_the_same_command(tiny_data, tmp_path, monkeypatch):
    """What was stored fits together after each write, and the same command gives the result of one that lives."""
    fits, classes = Fits(), {"classes": ("bolts", "nuts"), "setting": "multi-class", "folds": 2}
    method, start = memory(fits), tmp_path / "start"
    with monkeypatch.context() as patched:
        dying_at(patched, 0)
        with pytest.raises(_DeathError):
            run(method, tiny_data, start, **classes)
    living = shutil.copytree(start, tmp_path / "living")
    with monkeypatch.context() as patched:
        done = dying_at(patched, 99)
        (wanted,) = run(method, tiny_data, living, **classes)
    assert len(done) == 1 + 2 * 3  # the checkpoint; the old result, the scores and the new result of each class
    for writes in range(1, len(done)):
        place = shutil.copytree(start, tmp_path / f"{writes}")
        with monkeypatch.context() as patched:
            dying_at(patched, writes)
            with pytest.raises(_DeathError):
                run(method, tiny_data, place, **classes)
        for each in store.read_all(place).results:
            assert len(read_threshold_scores(folder_of(place, each).path, each)) > 6  # good and test images
        (made,) = run(method, tiny_data, place, **classes)
        assert [replace(each, files={}) for each in made.results] == [
            replace(each, files={}) for each in wanted.results
        ], writes
        assert [each.files["thresholds.csv"] for each in made.results] == [
            each.files["thresholds.csv"] for each in wanted.results
        ]
    assert len(fits.names) == 1 + 2  # no model was trained again


def test_held_out_images_need_no_further_model(tiny_data, tmp_path):
    """Their threshold is the split conformal one, with the better guarantee, and it is in the checkpoint at once."""
    fits = Fits()
    watch = Notes()
    (made,) = run(memory(fits), tiny_data, tmp_path, watch, holdout=0.5)
    assert not any("threshold" in note for note in watch.notes)  # nothing more to train, so no cost to tell
    good = good_of(tmp_path, made)
    assert ({each.source for each in good}, len(good), len(fits.names)) == ({"held-out"}, 3, 1)
    found = made.result.threshold
    assert (found.value, found.promise) == conformal.threshold([each.score for each in good], TARGET)
    assert not found.promise.is_kept
    (other,) = run(memory(fits), tiny_data, tmp_path, holdout=0.5, target_false_alarms=0.25)
    assert (other.result.threshold.promise.is_kept, len(fits.names)) == (True, 1)


@pytest.mark.slow
def test_a_model_of_several_classes_gets_a_threshold_for_each(tiny_data, tmp_path):
    """Each fold's model is one of all classes, and each class has the scores of its own images."""
    fits = Fits()
    (made,) = run(memory(fits), tiny_data, tmp_path, classes=("bolts", "nuts"), setting="multi-class", folds=2)
    assert [len(names) for names in fits.names] == [12, 6, 6]
    values = []
    for result in made.results:
        good = read_good_scores(folder_of(tmp_path, result).path, result)
        assert {each.path.partition("/")[0] for each in good} == {result.class_name}
        saved = checkpoint.read(folder_of(tmp_path, result).checkpoint("last"))
        assert saved.threshold_of(result.class_name).value == result.threshold.value
        values.append(result.threshold.value)
    assert values[0] != values[1]


def test_the_cost_is_said_before_anything_is_trained(crossed):
    """One line says how many models more there are, and what spares them; another one how long they took."""
    _, _, _, notes = crossed
    assert notes[0].startswith("The threshold is cross-validated, since no good image is held out: 5 more models for")
    assert sum("is cross-validated, since" in note for note in notes) == 1
    assert sum("cross-validated in" in note for note in notes) == 1


def test_what_has_no_good_image_is_refused_before_training(tiny_data, tmp_path):
    """Zero-shot sees none, and one shot can't be split into folds."""
    fits = Fits()
    with pytest.raises(OptionError, match="zero-shot"):
        run(memory(fits), tiny_data, tmp_path, setting="zero-shot")
    (failed,) = run(memory(fits), tiny_data, tmp_path, setting="few-shot", shots=1)
    assert "found 1 training image, wanted at least 2" in str(failed.error)
    assert fits.names == []


def test_folds_are_refused_where_the_data_set_has_validation_images(tiny_data, tmp_path, monkeypatch):
    """They would replace the better scores for good; one message says so for all classes, before any training."""
    fits, load = Fits(), tasks.load_tasks

    def with_validation(jobs, registry):
        found = load(jobs, registry)
        return {place: replace(task, train=task.train[2:], validation=task.train[:2]) for place, task in found.items()}

    monkeypatch.setattr(tasks, "load_tasks", with_validation)
    with pytest.raises(OptionError, match=r"^--folds on folder/bolts: found 2 validation images, wanted a class with"):
        run(memory(fits), tiny_data, tmp_path, folds=2, classes=("bolts", "nuts"))
    assert fits.names == []
    assert list(tmp_path.iterdir()) == []
    (made,) = run(memory(fits), tiny_data, tmp_path, setting="few-shot", shots=2, folds=2)
    assert made.result.threshold.promise.folds == 2


@pytest.mark.slow
def test_few_shots_are_left_out_one_by_one(tiny_data, tmp_path):
    """With fewer images than folds each image is a fold."""
    fits = Fits()
    (made,) = run(memory(fits), tiny_data, tmp_path, setting="few-shot", shots=3)
    assert [len(names) for names in fits.names] == [3, 2, 2, 2]
    assert made.result.threshold.promise.folds == 3


@pytest.mark.slow
def test_force_trains_all_again(tiny_data, tmp_path):
    """The model and the folds."""
    fits = Fits()
    run(memory(fits), tiny_data, tmp_path, folds=2)
    (made,) = run(memory(fits), tiny_data, tmp_path, folds=2, force=True)
    assert (made.reused, len(fits.names)) == (False, 2 * (1 + 2))
