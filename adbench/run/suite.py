"""A suite of runs: methods, data sets and settings that were looked up, and the plans and jobs that they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..api import requirements
from ..api.data import Dataset, EvalSize, Setting
from ..api.levels import Levels
from ..api.method import Method, resolve, settings_of
from ..results.records import GIVEN
from ..util.errors import UsageError
from .job import Job, RunSettings
from .plan import Plan


@dataclass(frozen=True)
class DataChoice:
    """A data set as it is read, its folder, and the classes to train on.

    ``levels``, which ``levels_by`` decided, ``eval_size`` and ``skip_bad`` hold in place of the common ones, where they
    are not None.
    """

    dataset: Dataset
    root: Path
    classes: Sequence[str]
    test: str | None = None
    levels: Levels | None = None
    levels_by: str = GIVEN
    eval_size: EvalSize | None = None
    skip_bad: bool | None = None


@dataclass(frozen=True)
class MethodChoice:
    """A method with its preset, the changes of each of its runs, and its auxiliary data."""

    method: Method
    preset: str
    points: Sequence[Mapping[str, Any]] = ({},)
    auxiliary: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """What is to be trained.

    Attributes:
        data: the data sets.
        methods: the methods; one may be there several times, with other presets or changes.
        settings: each setting with its shots.
        seeds: of each run.
        common: the rest; setting, shots and test split in it don't count.
        every: all methods were asked for, so that those with unmet requirements are left out.
    """

    data: Sequence[DataChoice]
    methods: Sequence[MethodChoice]
    settings: Sequence[tuple[Setting, int | None]] = (("one-class", None),)
    seeds: Sequence[int] = (0,)
    common: RunSettings = field(default_factory=RunSettings)
    every: bool = False

    def planned(self) -> Planned:
        """The plans, and what was left out of them.

        Raises:
            UsageError: a preset or an option's value that a method doesn't have, or nothing is left.
        """
        plans: list[Plan] = []
        lacking: dict[str, dict[str, None]] = {}
        for data in self.data:
            for setting, shots in self.settings:
                chosen = []
                for choice in self.methods:
                    lacks = self._lacks(choice, data, setting)
                    if lacks:
                        lacking.setdefault(choice.method.name, {}).update(dict.fromkeys(lacks))
                    else:
                        chosen.append(choice)
                plans += [self._plan(group, data, setting, shots) for group in _groups(chosen)]
        if not plans:
            found = "; ".join(f"{name} lacks {' and '.join(lacks)}" for name, lacks in lacking.items())
            raise UsageError("nothing can be trained", found=found or "no method")
        return Planned(plans, {name: list(lacks) for name, lacks in lacking.items()})

    def _lacks(self, choice: MethodChoice, data: DataChoice, setting: Setting) -> list[str]:
        """Why a method is left out of a data set and setting; one that was named is left out only by a setting."""
        method, settings = choice.method, settings_of(choice.method, choice.preset)
        if self.every:
            lacks = {} if setting in settings else {f"the setting {setting}": None}
            for name in data.classes:
                options = resolve(method, choice.preset, choice.points[0], data.dataset.name, name)
                lacks |= dict.fromkeys(requirements.unmet(method.requirements, options, choice.auxiliary))
            return list(lacks)
        unfit = len(self.settings) > 1 and setting not in settings
        return [f"the setting {setting}"] if unfit else []

    def _plan(self, group: Sequence[MethodChoice], data: DataChoice, setting: Setting, shots: int | None) -> Plan:
        common = {each.name: getattr(self.common, each.name) for each in fields(RunSettings)}
        return Plan(
            methods=[choice.method for choice in group],
            overrides={choice.method.name: choice.points[0] for choice in group},
            grid={choice.method.name: choice.points for choice in group},
            dataset=data.dataset,
            classes=data.classes,
            data_root=data.root,
            preset=group[0].preset,
            seeds=self.seeds,
            auxiliary={choice.method.name: choice.auxiliary for choice in group},
            **{**common, "setting": setting, "shots": shots, "test": data.test, **_own(data)},
        )


def _own(data: DataChoice) -> dict[str, Any]:
    """The settings of a plan that hold for its data set in place of the common ones."""
    levels = {} if data.levels is None else {"levels": data.levels, "levels_by": data.levels_by}
    others = {"eval_size": data.eval_size, "skip_bad": data.skip_bad}
    return {**levels, **{name: value for name, value in others.items() if value is not None}}


@dataclass(frozen=True)
class Planned:
    """The plans of a suite; ``lacking`` says what each method lacks that was left out of a plan."""

    plans: Sequence[Plan]
    lacking: Mapping[str, Sequence[str]]

    def jobs(self) -> list[Job]:
        """The jobs of all plans, each once, data set by data set and class by class. Raises those of ``Plan.jobs``."""
        return in_order(job for plan in self.plans for job in plan.jobs())


def _groups(choices: Sequence[MethodChoice]) -> Iterator[list[MethodChoice]]:
    """Methods that one plan can have: with the same preset, and each once, with all its runs."""
    left = list(choices)
    while left:
        group: dict[str, MethodChoice] = {}
        rest = []
        for choice in left:
            name, first = choice.method.name, group.get(choice.method.name)
            if group and choice.preset != next(iter(group.values())).preset:
                rest.append(choice)
            elif first is None:
                group[name] = choice
            elif first.auxiliary == choice.auxiliary:
                more = [point for point in choice.points if point not in first.points]
                group[name] = replace(first, points=[*first.points, *more])
            else:
                rest.append(choice)
        yield list(group.values())
        left = rest


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Each job once; those of a class follow one another, so that they share its images and features."""
    once = {repr(replace(job, varied=())): job for job in jobs}
    places: dict[str, list[Job]] = {}
    for job in once.values():
        place = repr((job.dataset, job.data_root, job.data_options, job.test, job.classes))
        places.setdefault(place, []).append(job)
    return [job for together in places.values() for job in together]
