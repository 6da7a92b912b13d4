"""A suite: the plans and jobs of several methods, data sets and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_method import adbench_methods

from adbench import Dataset, Detector, Method, UsageError
from adbench.api.method import Preset
from adbench.api.options import Options
from adbench.run.suite import DataChoice, MethodChoice, Suite

TINY = adbench_methods()[0]
PLAIN = Method("plain", "one class alone", Detector, Options, {"cpu": Preset(Options(size=(64, 64)))})


def data(name: str, *classes: str) -> DataChoice:
    def load(root: Path, class_name: str) -> Any:
        raise AssertionError("no job needs its images")

    return DataChoice(Dataset(name, "made", lambda root: classes, load), Path(name), classes)


def tiny(*points: dict[str, Any], preset: str = "cpu") -> MethodChoice:
    return MethodChoice(TINY, preset, points or ({},))


def rows(suite: Suite) -> list[tuple[Any, ...]]:
    return [(job.dataset, job.class_name, job.seed, job.method, job.preset) for job in suite.planned().jobs()]


def test_jobs_come_data_set_by_data_set_and_class_by_class():
    """Methods with other presets and other seeds share the images of a class."""
    suite = Suite([data("a", "x", "y"), data("b", "z")], [tiny(), tiny(preset="paper")], seeds=(0, 1))
    assert rows(suite) == [
        (name, each, seed, "tiny", preset)
        for name, each in (("a", "x"), ("a", "y"), ("b", "z"))
        for preset in ("cpu", "paper")
        for seed in (0, 1)
    ]


def test_a_method_that_stands_there_twice_has_the_runs_of_both_each_once():
    """Entries of one method become one grid, also with other options, and a job that is there twice is one."""
    suite = Suite([data("a", "x")], [tiny({"epochs": 1}), tiny({"epochs": 1}, {"lr": 0.5}), tiny({"epochs": 2})])
    jobs = suite.planned().jobs()
    assert [dict(job.overrides) for job in jobs] == [{"epochs": 1}, {"lr": 0.5}, {"epochs": 2}]
    assert [job.title for job in jobs][1] == f"tiny · a/x · epochs={jobs[1].options.epochs} lr=0.5 · seed 0"


SETTINGS = (("one-class", None), ("multi-class", None), ("few-shot", 2))


def test_of_several_settings_a_method_has_those_that_it_supports():
    """It is left out of the others, and what was left out is known."""
    planned = Suite([data("a", "x", "y")], [tiny(), MethodChoice(PLAIN, "cpu")], SETTINGS).planned()
    found = [(job.method, job.setting, job.classes) for job in planned.jobs()]
    assert ("tiny", "multi-class", ("x", "y")) in found
    assert [each for each in found if each[0] == "plain"] == [
        ("plain", "one-class", ("x",)), ("plain", "one-class", ("y",)),
    ]  # fmt: skip
    assert planned.lacking == {"plain": ["the setting multi-class", "the setting few-shot"]}


def test_a_single_setting_that_a_method_lacks_is_a_mistake():
    """Nothing is left out in silence of what was asked for alone, and a suite of nothing is refused."""
    with pytest.raises(UsageError, match="plain does not support --setting multi-class"):
        Suite([data("a", "x", "y")], [MethodChoice(PLAIN, "cpu")], SETTINGS[1:2]).planned().jobs()
    with pytest.raises(UsageError, match="nothing can be trained: found plain lacks the setting multi-class"):
        Suite([data("a", "x", "y")], [MethodChoice(PLAIN, "cpu")], SETTINGS[1:]).planned()


def test_a_preset_is_left_out_of_settings_that_it_is_not_for():
    """As a method is: alone it is a mistake, beside other settings it is left out."""
    joint = Preset(Options(size=(64, 64)), settings=("multi-class",))
    choice = MethodChoice(
        Method("both", "", Detector, Options, {"joint": joint}, settings=("one-class", "multi-class")), "joint"
    )
    planned = Suite([data("a", "x", "y")], [choice], SETTINGS[:2]).planned()
    assert [job.setting for job in planned.jobs()] == ["multi-class"]
    assert planned.lacking == {"both": ["the setting one-class"]}
    with pytest.raises(UsageError, match="preset joint of both: found --setting one-class"):
        Suite([data("a", "x")], [choice]).planned().jobs()


def test_all_methods_leave_out_those_that_lack_something():
    """With ``every``, a method that can't be trained is no mistake."""
    planned = Suite([data("a", "x", "y")], [tiny(), MethodChoice(PLAIN, "cpu")], SETTINGS[2:], every=True).planned()
    assert {job.method for job in planned.jobs()} == {"tiny"}
    assert planned.lacking == {"plain": ["the setting few-shot"]}


def test_no_method_is_no_suite():
    """An empty suite has no plan."""
    nothing: Sequence[MethodChoice] = ()
    with pytest.raises(UsageError, match="found no method"):
        Suite([data("a", "x")], nothing).planned()
