"""Many tasks: which are left to do, and that a failing task doesn't affect the others."""

from __future__ import annotations

import gc
import json
import pickle
import shutil
import traceback
import unicodedata
import weakref
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from runs import TINY, Notes, adbench

from adbench import Dataset, Detector, Epoch, Method, Task, UsageError
from adbench.api import Facts
from adbench.api import registry as plugins
from adbench.api.data import Problem
from adbench.data import image_store
from adbench.results.store import read_all
from adbench.run import plan as suite
from adbench.run import verify
from adbench.util.errors import DataError, OptionError, TaskError, UnknownNameError, WeightsError


@pytest.fixture(scope="module")
def registry() -> plugins.Registry:
    return plugins.load([TINY])


def plan(registry, data: Path, results: Path, *methods: str, **changes) -> suite.Plan:
    """One epoch of some methods on bolts and nuts."""
    chosen = [registry.method(name) for name in methods or ("tiny",)]
    overrides = {method.name: {"epochs": 1} if method.name == "tiny" else {} for method in chosen}
    dataset = registry.dataset("folder")
    settings = {"overrides": overrides, "classes": ["bolts", "nuts"], "preset": "cpu", "device": "cpu", **changes}
    return suite.Plan(methods=chosen, dataset=dataset, data_root=data, results=results, **settings)


def outcomes(registry, plan: suite.Plan, watch=None) -> list[suite.Outcome]:
    return list(suite.run_here(plan.jobs(), registry, watch=watch))


class Heavy(Detector):
    """Fails in training; its weight shows whether any reference to it is left."""

    alive: ClassVar[weakref.WeakSet[torch.Tensor]] = weakref.WeakSet()

    def __init__(self, options, device):
        super().__init__(options, device)
        self.weight = torch.zeros(10)
        self.alive.add(self.weight)

    def fit(self, images):
        yield Epoch(0, 1)
        raise ValueError("broken")

    def score(self, batch):
        raise NotImplementedError


@pytest.fixture
def copied(tiny_data, tmp_path) -> Path:
    """A copy of the tiny data that a test may break."""
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


def test_jobs_come_class_by_class_so_that_features_are_shared(registry, tiny_data, tmp_path):
    """All methods and seeds of a class come before the next class."""
    jobs = plan(registry, tiny_data, tmp_path, "tiny", "random", seeds=(0, 1)).jobs()
    expected = [(name, seed, method) for name in ("bolts", "nuts") for seed in (0, 1) for method in ("tiny", "random")]
    assert [(job.class_name, job.seed, job.method) for job in jobs] == expected


def test_a_job_survives_pickling_and_then_finds_its_result(registry, tiny_data, tmp_path):
    """A job that is sent to another process is the same job: its result is found there."""
    jobs = plan(registry, tiny_data, tmp_path, plugin_files=(TINY,)).jobs()
    sent = pickle.loads(pickle.dumps(jobs))
    assert sent == jobs
    first = list(suite.run_here(jobs, registry))
    again = list(suite.run_here(sent, registry))
    assert [outcome.reused for outcome in (*first, *again)] == [False, False, True, True]
    assert [outcome.result for outcome in again] == [outcome.result for outcome in first]


def test_options_of_single_classes_come_from_the_preset(registry, tiny_data, tmp_path):
    """A preset may have other options for a class; the user's changes win."""
    jobs = plan(registry, tiny_data, tmp_path, preset="big").jobs()
    assert [(job.class_name, job.options.lr) for job in jobs] == [("bolts", 0.05), ("nuts", 0.1)]
    jobs = plan(registry, tiny_data, tmp_path, preset="big", overrides={"tiny": {"lr": 0.05}}).jobs()
    assert [job.options.lr for job in jobs] == [0.05, 0.05]


def test_an_option_that_says_what_the_preset_says_is_no_other_run(registry, tiny_data, tmp_path):
    """Setting an option to the preset's value keeps the configuration's name."""
    jobs = plan(registry, tiny_data, tmp_path, overrides={"tiny": {"epochs": 3}}).jobs()
    assert jobs == plan(registry, tiny_data, tmp_path, overrides={"tiny": {}}).jobs()


def test_classes_are_chosen_by_name(registry, tiny_data):
    """The word "all" means every class; names keep the user's order, once each."""
    folder = registry.dataset("folder")
    assert suite.choose_classes(folder, tiny_data, "all") == ["bolts", "nuts"]
    assert suite.choose_classes(folder, tiny_data, "nuts, bolts,nuts") == ["nuts", "bolts"]
    assert suite.choose_classes(folder, tiny_data, "all,all") == ["bolts", "nuts"]
    with pytest.raises(UsageError, match="--class 'all,nuts': found all, beside others"):
        suite.choose_classes(folder, tiny_data, "all, nuts")
    with pytest.raises(UnknownNameError, match="Did you mean 'bolts'"):
        suite.choose_classes(folder, tiny_data, "nuts,bolt")
    with pytest.raises(UsageError, match="no class"):
        suite.choose_classes(folder, tiny_data, ",")


def test_a_class_is_the_same_in_both_forms_of_its_letters(tmp_path, tiny_data):
    """-c Tür finds the folder whose name macOS wrote, in a run, a check of the data and among results."""
    typed, named = (unicodedata.normalize(form, "Tür") for form in ("NFC", "NFD"))
    shutil.copytree(tiny_data / "nuts", tmp_path / "data" / named)
    shutil.copytree(tiny_data / "nuts", tmp_path / "data" / "other")
    where = ("-d", "folder", "--data-root", tmp_path / "data", "-c", typed, "--results", tmp_path / "results")
    done = adbench("run", "-m", "random", *where, "--size", "32")
    assert done.exit_code == 0, done.stderr
    checked = adbench("data", "check", "folder", *where[2:6], "--format", "json")
    assert [row["class"] for row in json.loads(checked.stdout)[0]["rows"]] == [named]
    stored = read_all(tmp_path / "results", class_name=typed).results
    assert [each.class_name for each in stored] == [named]
    assert adbench("threshold", stored[0].run, "-c", typed, "--results", tmp_path / "results").exit_code == 0


def test_a_data_set_without_a_class_is_an_error(tmp_path):
    """A reader without a class is an error, not an empty run."""
    empty = Dataset("empty", "", classes=lambda root: [], load=lambda root, name: pytest.fail("loaded"))
    with pytest.raises(DataError, match="data set empty at"):
        suite.choose_classes(empty, tmp_path, "all")


def test_a_class_that_was_not_downloaded_is_no_wrong_name(registry, tiny_data):
    """A data set that is known to have it says where to get it."""
    known = replace(registry.dataset("folder"), facts=Facts(classes=("bolts", "rivets")), source="https://a.page")
    with pytest.raises(DataError, match=r"class rivets of folder: found nothing of it.*Get it from https://a.page"):
        suite.choose_classes(known, tiny_data, "rivets")


def test_a_failing_class_does_not_stop_the_others(registry, tiny_data, tmp_path):
    """One class fails in training; the other one's result is kept."""
    overrides = {"tiny": {"epochs": 1, "fail_class": "bolts"}}
    bolts, nuts = outcomes(registry, plan(registry, tiny_data, tmp_path, overrides=overrides))
    assert (bolts.job.class_name, bolts.result, str(bolts.error)) == ("bolts", None, "this class fails on purpose.")
    assert (nuts.job.class_name, nuts.error) == ("nuts", None)
    assert nuts.result.metrics.image_auroc is not None


def test_an_unforeseen_error_becomes_one_of_ours_and_keeps_its_cause(registry, tiny_data, tmp_path, monkeypatch):
    """A method that raises anything fails alone, with its name, the first line of the reason, and a hint."""
    from adbench.run import engine

    cause = ZeroDivisionError("division\nby zero")

    def broken(*_, **__):
        raise cause

    monkeypatch.setattr(engine, "run", broken)
    error = outcomes(registry, plan(registry, tiny_data, tmp_path))[0].error
    assert isinstance(error, TaskError)
    assert str(error) == "tiny broke off: found ZeroDivisionError: division. See the traceback with --debug."
    assert error.__cause__ is cause


def test_a_failed_task_leaves_nothing_in_memory(registry, tiny_data, tmp_path):
    """Its error is kept to the end, its detector is not: the next class has all the memory."""
    heavy = plugins.Registry({"heavy": Method("heavy", "fails", Heavy)}, registry.datasets)
    for outcome in suite.run_here(plan(heavy, tiny_data, tmp_path, "heavy", preset="paper").jobs(), heavy):
        gc.collect()
        assert "broken" in str(outcome.error)
        assert "raise ValueError" in "".join(traceback.format_exception(outcome.error))
        assert not Heavy.alive


@pytest.mark.parametrize("fault", ["no training image", "test type without images"])
def test_a_bad_class_is_reported_before_the_first_one_is_trained(registry, copied, tmp_path, fault):
    """A class that can't be read is reported first, however late its turn; the others still run."""
    if fault == "no training image":
        shutil.rmtree(copied / "nuts/train/good")
        (copied / "nuts/train/good").mkdir()
    else:
        (copied / "nuts/test/dent").mkdir()
    watch = Notes()
    running = suite.run_here(plan(registry, copied, tmp_path / "results").jobs(), registry, watch=watch)
    first = next(running)
    assert (first.job.class_name, type(first.error)) == ("nuts", DataError)
    assert watch.epochs == []
    (second,) = running
    assert second.job.class_name == "bolts"
    assert second.result is not None


@pytest.mark.parametrize("kind", [WeightsError, OptionError])
def test_what_cannot_be_built_is_reported_before_images_are_decoded(registry, tiny_data, tmp_path, monkeypatch, kind):
    """Weights are the same for all classes and are tried once; other mistakes may be those of one class."""
    built = []

    def build(options, context):
        built.append(context.classes)
        raise kind("these", found="nothing of use")

    monkeypatch.setattr(image_store, "open_store", lambda *_, **__: pytest.fail("images were decoded"))
    bad = plugins.Registry({"bad": Method("bad", "", build)}, registry.datasets)
    found = outcomes(bad, plan(bad, tiny_data, tmp_path, "bad", preset="paper"))
    assert [str(outcome.error) for outcome in found] == ["these: found nothing of use."] * 2
    assert built == ([("bolts",)] if kind is WeightsError else [("bolts",), ("nuts",)])


def test_jobs_with_the_same_options_are_built_once_more_to_try_them(registry, tiny_data, tmp_path, monkeypatch):
    """A detector for each configuration is built and dropped before training; none where all results are there."""
    tiny, built = registry.method("tiny"), []

    def build(options, context):
        built.append((context.classes[0], options.lr))
        return tiny.make(options, context)

    monkeypatch.setattr(verify, "is_worth_it", lambda *_, **__: False)  # which builds one more after each task
    counting = plugins.Registry({"tiny": replace(tiny, build=build)}, registry.datasets)
    assert all(each.result for each in outcomes(counting, plan(counting, tiny_data, tmp_path / "two", seeds=(0, 1))))
    assert [name for name, _ in built] == ["bolts", "bolts", "bolts", "nuts", "nuts"]
    built.clear()
    outcomes(counting, plan(counting, tiny_data, tmp_path / "big", preset="big"))
    assert built == [("bolts", 0.05), ("nuts", 0.1)] * 2
    built.clear()
    outcomes(counting, plan(counting, tiny_data, tmp_path / "big", preset="big"))
    assert built == []


def test_problems_that_a_reader_found_are_no_error_with_skip_bad(registry, copied, tmp_path):
    """With ``skip_bad`` a defect type without images is recorded, and the class runs."""
    (copied / "nuts/test/dent").mkdir()
    found = outcomes(registry, plan(registry, copied, tmp_path / "results", classes=["nuts"], skip_bad=True))
    assert "nuts/test/dent" in found[0].result.skipped[0]


def test_a_reader_that_breaks_fails_its_class_only(registry, tiny_data, tmp_path):
    """An error of a foreign data set is a message for that class."""
    folder = registry.dataset("folder")

    def load(root: Path, name: str) -> Task:
        if name == "nuts":
            raise KeyError("split")
        return folder.load(root, name)

    mine = Dataset("folder", "", folder.classes, load)
    changed = plugins.Registry(registry.methods, {"folder": mine})
    nuts, bolts = outcomes(changed, plan(registry, tiny_data, tmp_path))
    assert str(nuts.error).startswith("reading folder/nuts broke off: found KeyError: 'split'.")
    assert bolts.result is not None


def test_images_are_looked_for_once_per_class(registry, tiny_data, tmp_path):
    """Seeds and methods share the list of a class's images."""
    folder = registry.dataset("folder")
    loaded = []

    def load(root: Path, name: str) -> Task:
        loaded.append(name)
        return Task("folder", name, root, (), (), problems=(Problem(root, "nothing", "Stop here"),))

    changed = plugins.Registry(registry.methods, {"folder": Dataset("folder", "", folder.classes, load)})
    found = outcomes(changed, plan(registry, tiny_data, tmp_path, seeds=(0, 1, 2)))
    assert loaded == ["bolts", "nuts"]
    assert len(found) == 6


def test_ctrl_c_passes_through_and_keeps_what_is_finished(registry, tiny_data, tmp_path):
    """Ctrl-C is no failure of a task: it ends the run, and finished classes are reused."""
    stopping = {"tiny": {"epochs": 2, "stop_at": 2}}
    with pytest.raises(KeyboardInterrupt):
        outcomes(registry, plan(registry, tiny_data, tmp_path, overrides=stopping))
    assert not list(tmp_path.rglob("result.json"))
    assert len(list(tmp_path.rglob("state.pt"))) == 1
