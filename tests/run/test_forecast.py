"""What jobs will do: states, times and sizes, from what is stored."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from runs import TINY, adbench

from adbench.api import registry as plugins
from adbench.results import store
from adbench.results.run_files import folder_of
from adbench.run import forecast
from adbench.run.forecast import Forecast
from adbench.run.job import Job
from adbench.run.plan import Plan


@pytest.fixture(scope="module")
def registry() -> plugins.Registry:
    return plugins.load([TINY])


def jobs(registry, data: Path, results: Path, *classes: str, epochs: int = 1, **changes) -> list[Job]:
    """Jobs of tiny, as those of the fixture ``ran``."""
    made = {"preset": "cpu", "device": "cpu", "results": results, "plugin_files": (TINY,), **changes}
    return Plan(
        methods=[registry.method("tiny")], overrides={"tiny": {"epochs": epochs}}, data_root=data,
        dataset=registry.dataset("folder"), classes=classes or ("bolts",), **made,
    ).jobs()  # fmt: skip


def only(found: list[Forecast]) -> Forecast:
    (each,) = found
    return each


@pytest.fixture
def copied(ran, tmp_path) -> Path:
    """A copy of the results that a test may change."""
    return Path(shutil.copytree(ran, tmp_path / "results"))


def test_a_stored_run_is_done_and_costs_nothing(registry, tiny_data, ran):
    """Its result is used again, unless --force computes it again."""
    found = only(forecast.forecasts(jobs(registry, tiny_data, ran), registry))
    assert (found.state, found.seconds, found.bytes) == ("done", 0.0, 0)
    assert (ran / "folder" / "bolts" / "tiny" / found.run).is_dir()
    again = only(forecast.forecasts(jobs(registry, tiny_data, ran, force=True), registry))
    assert (again.state, again.detail) == ("left", "--force computes it again")
    assert again.seconds > 0


def test_another_seed_takes_what_the_stored_ones_took(registry, tiny_data, ran):
    """The time is the mean over the runs of the same class, and the size has their checkpoint in it."""
    found = only(forecast.forecasts(jobs(registry, tiny_data, ran, seeds=(7,)), registry))
    stored = store.read_all(ran, class_name="bolts", method="tiny").results
    assert (found.state, found.basis) == ("left", "same class")
    assert found.seconds == pytest.approx(sum(each.timing.total for each in stored) / len(stored))
    checkpoints = [folder_of(ran, each).checkpoint("last").stat().st_size for each in stored]
    assert found.bytes > max(checkpoints)


def test_another_class_takes_its_share_of_images(registry, tiny_data, copied):
    """Without a run of the class, the seconds for each image of other classes count."""
    shutil.rmtree(copied / "folder" / "bolts" / "tiny")
    found = only(forecast.forecasts(jobs(registry, tiny_data, copied), registry))
    stored = store.read_all(copied, class_name="nuts", method="tiny").results
    assert found.basis == "other classes"  # as many images in each
    assert found.seconds == pytest.approx(sum(each.timing.total for each in stored) / len(stored))


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 3}, {"preset": "paper"}, {"setting": "few-shot", "shots": 2}],
    ids=["options", "preset", "setting"],
)
def test_where_nothing_alike_is_stored_the_time_is_unknown(changes, registry, tiny_data, ran):
    """Other options, another preset or another setting are other work: nothing is made up."""
    found = only(forecast.forecasts(jobs(registry, tiny_data, ran, **changes), registry))
    assert (found.state, found.seconds, found.bytes, found.basis) == ("left", None, None, "")


def test_runs_of_another_machine_say_nothing(registry, tiny_data, ran, monkeypatch):
    """The time of another processor is not the time here."""
    here = forecast.environment
    monkeypatch.setattr(forecast, "environment", lambda *words, **named: replace(
        here(*words, **named), device_name="another one"
    ))  # fmt: skip
    assert only(forecast.forecasts(jobs(registry, tiny_data, ran, seeds=(7,)), registry)).seconds is None


def test_a_run_of_other_images_is_stale(registry, tiny_data, ran, tmp_path):
    """The same command would compute it again, and the reason is said."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    (image, *_) = sorted((data / "bolts" / "train" / "good").iterdir())
    image.unlink()
    found = only(forecast.forecasts(jobs(registry, data, ran), registry))
    assert (found.state, found.detail) == ("stale", "images or masks changed")


def test_a_stopped_run_goes_on_and_takes_the_rest(registry, tiny_data, tmp_path):
    """The epoch of its state is said; a state that can't be read is none."""
    words = ("-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-c", "bolts", "-p", "cpu")
    stopped = adbench("run", *words, "--results", tmp_path, "--device", "cpu", "-o", "stop_at=3", "-o", "epochs=4")
    assert stopped.exit_code == 130
    plan = Plan(
        methods=[registry.method("tiny")], overrides={"tiny": {"epochs": 4, "stop_at": 3}}, data_root=tiny_data,
        dataset=registry.dataset("folder"), classes=("bolts",), preset="cpu", device="cpu", results=tmp_path,
    )  # fmt: skip
    found = only(forecast.forecasts(plan.jobs(), registry))
    assert (found.state, found.detail) == ("unfinished", "goes on after epoch 2 of 4")
    (state,) = tmp_path.rglob("state.pt")
    state.write_bytes(b"broken")
    assert only(forecast.forecasts(plan.jobs(), registry)).state == "left"


def test_what_cant_run_says_why_and_the_others_stay(registry, tiny_data, ran, tmp_path):
    """A class without training images doesn't hide what is known of another one."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    shutil.rmtree(data / "nuts" / "train" / "good")
    found = forecast.forecasts(jobs(registry, data, ran, "bolts", "nuts"), registry)
    assert [each.state for each in found] == ["done", "can't run"]
    assert "nuts" in found[1].detail
    assert found[1].error is not None


def test_nothing_is_written(registry, tiny_data, ran, tmp_path):
    """Neither results nor decoded images come of a look."""
    results = tmp_path / "results"
    (found,) = forecast.forecasts(jobs(registry, tiny_data, results, "bolts"), registry)
    assert not results.exists()
    assert found.decoding is not None
    assert all(size >= 0 for size in found.decoding.values())
