"""The training images of one model: several classes at once, a few images, or none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import TINY, Notes, brightness, curve_of, files_in, job_for, made_method, registry_of, resolve, scores_of

from adbench import Dataset, Detector, Epoch, Method, Sample, Task, UsageError
from adbench.api import registry as plugins
from adbench.api.data import SETTINGS
from adbench.results import store
from adbench.results.records import Result
from adbench.run import checkpoint, engine, plan, trial
from adbench.run.job import Job
from adbench.run.resolved import ResolvedJob
from adbench.run.standing import Inspector
from adbench.util.errors import DataError, OptionError

CLASSES = ("bolts", "nuts")


def joint_job(method: Method, data: Path, results: Path, **changes) -> Job:
    """A job of both classes together."""
    job = job_for(method, data, results, **changes)
    return replace(job, class_name="", classes=CLASSES, setting="multi-class")


def run_job(method: Method, job: Job, watch=None) -> tuple[tuple[Result, ...], ResolvedJob]:
    resolved = resolve(method, job)
    return engine.run(resolved, registry_of(method), watch=watch), resolved


def plan_of(methods: list[Method], data: Path, results: Path, **changes) -> plan.Plan:
    settings = {"overrides": {method.name: {} for method in methods}, "classes": CLASSES, "device": "cpu", **changes}
    reader = plugins.load().dataset("folder")
    return plan.Plan(methods=methods, dataset=reader, data_root=data, results=results, **settings)


def seeing(seen: list[list[str]], *, settings=SETTINGS, name: str = "seeing") -> Method:
    """A method that records its training images, and scores by brightness."""

    class Seeing(Detector):
        def fit(self, images) -> Iterator[Epoch]:
            seen.append([f"{sample.path.parents[2].name}/{sample.path.name}" for sample in images.store.samples])
            assert sum(len(batch) for batch in images) == len(images) == len(seen[-1])
            yield Epoch(1, 1)

        def score(self, batch):
            return brightness(batch)

    return Method(name, "made for a test", Seeing, plugins.load([TINY]).method("tiny").options, settings=settings)


# ---------------------------------------------------------------- several classes at once


def test_one_model_is_trained_on_all_classes_and_each_class_has_its_result(tiny_data, tmp_path):
    """``fit`` runs once, on all training images; results are in the folders of single classes."""
    seen: list[list[str]] = []
    method = seeing(seen)
    results, resolved = run_job(method, joint_job(method, tiny_data, tmp_path))
    assert seen == [[f"{name}/{number:03d}.png" for name in CLASSES for number in range(6)]]
    assert [result.class_name for result in results] == list(CLASSES)
    assert {result.run for result in results} == {resolved.folder.run}
    for each, result in zip(resolved.classes, results, strict=True):
        assert each.folder.path == tmp_path / "folder" / result.class_name / "seeing" / result.run
        assert files_in(each.folder.path) == {
            "result.json",
            "scores.csv",
            "thresholds.csv",
            "epochs.csv",
            "evidence.npz",
            "last.pt",
        }
        assert each.folder.read_result() == result
        assert (result.protocol.setting, result.protocol.classes) == ("multi-class", CLASSES)
        assert (result.train_images, result.test_images) == (6, 7)
        assert result.variant == "seeing:multi-class"
    one, other = (each.folder.path / "last.pt" for each in resolved.classes)
    assert one.samefile(other)


def test_a_class_scores_as_it_does_in_a_run_of_its_own_model(tiny, tiny_data, tmp_path):
    """The numbers of each class, including its threshold, are those that its checkpoint gives on its test images."""
    results, resolved = run_job(tiny, joint_job(tiny, tiny_data, tmp_path))
    for each, result in zip(resolved.classes, results, strict=True):
        job = replace(job_for(tiny, tiny_data, tmp_path), class_name=each.name)
        watch = Notes()
        found = trial.run(job, registry_of(tiny), checkpoint.read(each.folder.path / "last.pt"), watch=watch)
        assert (found.metrics, found.threshold) == (result.metrics, result.threshold)
        assert found.protocol == replace(result.protocol, epoch_policy="the checkpoint's")
        assert watch.notes == []
    assert results[0].threshold.value != results[1].threshold.value
    assert trial.trained_on(checkpoint.read(resolved.folder.path / "last.pt"), "folder") == "bolts,nuts"


def test_the_order_of_the_classes_moves_no_number(tiny, tiny_data, tmp_path):
    """In another order the classes are the same job, whose results exist already."""
    first = plan_of([tiny], tiny_data, tmp_path, setting="multi-class")
    second = replace(first, classes=CLASSES[::-1])
    assert first.jobs() == second.jobs()
    (made,) = plan.run_here(first.jobs(), registry_of(tiny))
    (again,) = plan.run_here(second.jobs(), registry_of(tiny))
    assert (made.reused, again.reused) == (False, True)
    assert again.results == made.results


def test_other_classes_or_another_setting_are_another_run(tiny, tiny_data, tmp_path):
    """RUN depends on the setting, the shots and the set of classes; one-class runs keep their names."""
    single = job_for(tiny, tiny_data, tmp_path)
    few = [replace(single, setting="few-shot", shots=shots) for shots in (1, 2)]
    none = replace(single, setting="zero-shot")
    both = joint_job(tiny, tiny_data, tmp_path)
    names = [resolve(tiny, job).folder.run for job in (single, *few, none, both)]
    assert len(set(names)) == 5
    words = [name.rpartition("-")[0] for name in names]
    assert words == [
        "paper-seed0", "paper-few-shot1-seed0", "paper-few-shot2-seed0", "paper-zero-shot-seed0",
        "paper-multi-class-seed0",
    ]  # fmt: skip


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_a_multi_class_run_broken_off_ends_in_the_same_numbers(tiny, tiny_data, tmp_path, monkeypatch, stop_at):
    """A second start resumes after the last finished epoch; state and lock are in one folder."""
    job = joint_job(tiny, tiny_data, tmp_path / "broken", stop_at=stop_at, eval_every=1)
    with pytest.raises(KeyboardInterrupt):
        run_job(tiny, job)
    assert not list(tmp_path.rglob("result.json"))
    assert len(list(tmp_path.rglob("state.pt"))) == (stop_at > 1)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    watch = Notes()
    results, resolved = run_job(tiny, job, watch)
    whole, other = run_job(tiny, joint_job(tiny, tiny_data, tmp_path / "whole", stop_at=stop_at, eval_every=1))
    assert watch.epochs == list(range(stop_at, 5))
    assert watch.notes == ([f"tiny bolts+nuts: going on after epoch {stop_at - 1}"] if stop_at > 1 else [])
    for one, two, ours, theirs in zip(results, whole, resolved.classes, other.classes, strict=True):
        assert (one.metrics, one.oracle, one.threshold) == (two.metrics, two.oracle, two.threshold)
        assert scores_of(ours.folder) == scores_of(theirs.folder)
        pairs = zip(curve_of(ours.folder), curve_of(theirs.folder), strict=True)
        assert all({**row, "seconds": 0} == {**expected, "seconds": 0} for row, expected in pairs)
    assert not list((tmp_path / "broken").rglob("state.pt"))


def test_a_run_that_is_killed_between_two_results_writes_the_rest(tiny, tiny_data, tmp_path, monkeypatch):
    """A multi-class run is finished when every class has its result; until then nothing is trained again."""
    job = joint_job(tiny, tiny_data, tmp_path)
    write, written = store.RunFolder.write_result, []

    def once(folder, result, *rest):
        if written:
            raise KeyboardInterrupt
        written.append(result.class_name)
        return write(folder, result, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(store.RunFolder, "write_result", once)
        with pytest.raises(KeyboardInterrupt):
            run_job(tiny, job)
    assert [path.parents[2].name for path in tmp_path.rglob("result.json")] == written
    assert not resolve(tiny, job).is_finished()
    watch = Notes()
    _, resolved = run_job(tiny, job, watch)
    assert watch.epochs == []
    assert resolved.is_finished()
    assert not list(tmp_path.rglob("state.pt"))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_class_whose_result_was_removed_is_scored_again(tiny, tiny_data, tmp_path, lost):
    """Nothing is trained; its files have the numbers of before, its curve and oracle those of the last epoch."""
    job = joint_job(tiny, tiny_data, tmp_path, eval_every=1, lr=0.3, keep="oracle")
    before, resolved = run_job(tiny, job)
    folder = resolved.classes[lost].folder
    scores, curve, files = scores_of(folder), curve_of(folder), files_in(folder.path)
    shutil.rmtree(folder.path)
    watch = Notes()
    after, _ = run_job(tiny, job, watch)
    assert watch.epochs == []
    assert f"the result of {CLASSES[lost]} is gone. It is made again from the model of" in watch.notes[0]
    assert (scores_of(folder), files_in(folder.path)) == (scores, files)
    rows = curve_of(folder)
    assert rows[-1] == curve[-1]
    assert [(row["loss"], row["image_auroc"]) for row in rows[:-1]] == [(row["loss"], "") for row in curve[:-1]]
    kept = tuple(best for best in before[lost].oracle if best.epoch == 4)
    digests = {**before[lost].files, "epochs.csv": after[lost].files["epochs.csv"]}
    other = before[1 - lost]  # says what is known of the training
    shared = {"timing": other.timing, "peak_memory_bytes": other.peak_memory_bytes, "finished": other.finished}
    stored = {"oracle": kept, "digest": after[lost].digest}
    assert after[lost] == replace(before[lost], files=digests, **stored, **shared)
    assert after[1 - lost] == before[1 - lost]
    one, other = (each.folder.path / "last.pt" for each in resolved.classes)
    assert one.samefile(other)


@pytest.mark.parametrize("fault", ["damaged", "missing", "of another epoch", "forced"])
def test_a_removed_result_is_trained_again_without_a_checkpoint_of_use(tiny, tiny_data, tmp_path, fault):
    """The reason is said, and the numbers are the same as those of a whole training."""
    job = joint_job(tiny, tiny_data, tmp_path)
    before, resolved = run_job(tiny, job)
    shutil.rmtree(resolved.classes[1].folder.path)
    path = resolved.folder.checkpoint("last")
    if fault == "damaged":
        path.write_bytes(path.read_bytes()[:-400])
    elif fault == "missing":
        path.unlink()
    elif fault == "of another epoch":
        torch.save({**torch.load(path, weights_only=True), "epoch": 3}, path)
    watch = Notes()
    after, _ = run_job(tiny, replace(job, force=fault == "forced"), watch)
    assert watch.epochs == [1, 2, 3, 4]
    said = [note for note in watch.notes if "the result of nuts is gone. It can't be made again" in note]
    assert len(said) == (fault != "forced")
    assert [result.metrics for result in after] == [result.metrics for result in before]


def test_the_oracle_of_several_classes_is_one_epoch(tiny, tiny_data, tmp_path):
    """It is the epoch with the best mean over the classes, and each class has its own value there."""
    results, resolved = run_job(tiny, joint_job(tiny, tiny_data, tmp_path, eval_every=1, lr=0.3, keep="oracle"))
    curves = [curve_of(each.folder) for each in resolved.classes]
    for metric in ("image_auroc", "aupro"):
        means = [sum(float(row[metric]) for row in rows) for rows in zip(*curves, strict=True)]
        best = means.index(max(means))
        for result, curve in zip(results, curves, strict=True):
            (own,) = [each for each in result.oracle if each.metric == metric]
            assert (own.epoch, own.value) == (best + 1, float(curve[best][metric]))
    one, other = (each.folder.path / "oracle_aupro.pt" for each in resolved.classes)
    assert one.samefile(other)


def test_images_of_one_class_that_change_make_all_results_of_the_model_stale(tiny, tiny_data, tmp_path):
    """The model was trained on them; a model of only the other class is as current as before."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    joint, _ = run_job(tiny, joint_job(tiny, data, tmp_path))
    (single,), _ = run_job(tiny, job_for(tiny, data, tmp_path))
    inspector = Inspector(plugins.load([TINY]), [data])
    assert [inspector.standing(result).state for result in (*joint, single)] == ["current"] * 3
    shutil.copyfile(data / "nuts/train/good/000.png", data / "nuts/train/good/001.png")
    inspector = Inspector(plugins.load([TINY]), [data])
    standings = [inspector.standing(result) for result in (*joint, single)]
    assert [each.state for each in standings] == ["stale", "stale", "current"]
    assert standings[0].reason == "images or masks changed"
    shutil.rmtree(data / "nuts")
    assert Inspector(plugins.load([TINY]), [data]).standing(joint[0]).reason == "its images are not at hand"


# ---------------------------------------------------------------- a few images


def test_few_images_are_the_same_for_all_methods_and_are_recorded(tiny_data, tmp_path):
    """The seed of the run draws them, class by class; more shots include those of fewer."""
    seen: list[list[str]] = []
    methods = [seeing(seen), seeing(seen, name="other")]
    made = plan_of(methods, tiny_data, tmp_path, setting="few-shot", shots=2, seeds=(0, 1))
    outcomes = list(plan.run_here(made.jobs(), registry_of(*methods)))
    assert [len(names) for names in seen] == [2] * 8
    assert seen[0::2] == seen[1::2]
    assert seen[0] != seen[2]
    first = outcomes[0].result
    assert first.shots == tuple(name.replace("/", "/train/good/") for name in seen[0])
    assert (first.train_images, first.protocol.shots, first.variant) == (2, 2, "seeing:few-shot=2")
    run_job(methods[0], replace(made.jobs()[0], shots=3))
    assert set(seen[0]) < set(seen[-1])


def test_fewer_images_than_shots_are_refused(tiny, tiny_data, tmp_path):
    """There are six training images, so seven can't be drawn."""
    with pytest.raises(DataError, match=r"found 6 training images, wanted at least the 7 of --shots"):
        run_job(tiny, replace(job_for(tiny, tiny_data, tmp_path), setting="few-shot", shots=7))


def test_of_few_images_some_are_held_out_where_asked_for(tiny, tiny_data, tmp_path):
    """The held-out images are among the shots: no other training image is used."""
    job = replace(job_for(tiny, tiny_data, tmp_path), setting="few-shot", shots=6, holdout=0.3)
    (result,), _ = run_job(tiny, job)
    assert (len(result.shots), result.train_images, result.held_out_images) == (6, 3, 3)


# ---------------------------------------------------------------- no image


def test_a_zero_shot_method_sees_no_training_image(tiny_data, tmp_path):
    """It sees none even if the data set has some, and no threshold is suggested."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    seen: list[list[str]] = []
    method = seeing(seen)
    job = replace(job_for(method, data, tmp_path), setting="zero-shot")
    (first,), _ = run_job(method, job)
    shutil.rmtree(data / "bolts/train")
    (second,), _ = run_job(method, job)
    assert seen == [[], []]
    assert (first.train_images, first.threshold, first.protocol.setting) == (0, None, "zero-shot")
    assert first.metrics == second.metrics
    assert first.metrics.image_auroc is not None


def test_without_training_images_other_settings_are_refused(tiny, tiny_data, tmp_path):
    """The message names the folder in which they belong."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    shutil.rmtree(data / "nuts/train")
    place = f"class nuts of folder: found no training image in {data / 'nuts/train/good'}"
    for setting, shots in (("one-class", None), ("multi-class", None), ("few-shot", 1)):
        jobs = plan_of([tiny], data, tmp_path, setting=setting, shots=shots).jobs()
        errors = [str(each.error) for each in plan.run_here(jobs, registry_of(tiny)) if each.error]
        assert len(errors) == 1
        assert errors[0].startswith(place)


# ---------------------------------------------------------------- what doesn't fit


def test_a_method_is_asked_for_a_setting_that_it_lacks(tiny_data, tmp_path):
    """There is one error before anything is read, also for a job made by hand."""
    method = made_method(lambda detector, images: iter([Epoch(1, 1)]))
    with pytest.raises(UsageError, match="made does not support --setting zero-shot, only one-class"):
        plan_of([method], tiny_data, tmp_path, setting="zero-shot").jobs()
    job = replace(job_for(method, tiny_data, tmp_path), setting="few-shot", shots=1)
    (outcome,) = plan.run_here([job], registry_of(method))
    assert "made does not support --setting few-shot, only one-class" in str(outcome.error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": "multi-class"}, "found bolts, wanted two classes or more"),
        ({"classes": CLASSES, "class_name": ""}, "found bolts, nuts, wanted one class"),
        ({"setting": "few-shot"}, "wanted --shots K"),
        ({"shots": 3}, "found --shots 3, wanted no --shots"),
    ],
)
def test_classes_and_shots_fit_the_setting(tiny, tiny_data, tmp_path, changes, message):
    """A job that contradicts itself can't be made."""
    with pytest.raises(OptionError, match=message):
        replace(job_for(tiny, tiny_data, tmp_path), **changes)


# ---------------------------------------------------------------- splits of a data set


def split_dataset() -> Dataset:
    """The folder data set, with its last two training images for validation, and good and odd test images apart."""
    folder = plugins.load().dataset("folder")

    def load(root: Path, name: str) -> Task:
        task = folder.load(root, name)
        tests: dict[str, tuple[Sample, ...]] = {"public": task.test, "private": task.test[1:-1]}
        return replace(task, train=task.train[:-3], validation=task.train[-3:], test=(), tests=tests)

    return replace(folder, name="folder", load=load)


def test_another_test_split_is_another_run_on_a_board_of_its_own(tiny, tiny_data, tmp_path):
    """The first split is scored by default; protocol and RUN name another one."""
    registry = plugins.Registry({"tiny": tiny}, {"folder": split_dataset()})
    made = plan_of([tiny], tiny_data, tmp_path, classes=["bolts"])
    jobs = [*made.jobs(), *replace(made, test="private").jobs()]
    public, private = (outcome.result for outcome in plan.run_here(jobs, registry))
    assert (public.test_images, private.test_images) == (7, 5)
    assert (public.protocol.test, private.protocol.test) == (None, "private")
    assert private.run.startswith("paper-seed0-private-")
    assert private.variant == "tiny:test=private"
    with pytest.raises(UsageError, match=r"unknown test split of folder/bolts 'secret': wanted one of private, public"):
        list(plan.run_here(replace(made, test="secret").jobs(), registry))


def test_a_threshold_comes_from_the_validation_images_of_a_data_set(tiny, tiny_data, tmp_path):
    """They are good and were not trained on; few-shot may see no more images than its shots."""
    registry = plugins.Registry({"tiny": tiny}, {"folder": split_dataset()})
    made = plan_of([tiny], tiny_data, tmp_path, classes=["bolts"])
    jobs = [*made.jobs(), *replace(made, setting="few-shot", shots=3).jobs()]
    one, few = (outcome.result for outcome in plan.run_here(jobs, registry))
    assert (one.train_images, one.held_out_images) == (3, 0)
    assert "3 validation scores" in one.threshold.rule
    assert "3 training scores" in few.threshold.rule
