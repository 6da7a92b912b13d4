"""A reproduction: our runs of a published set-up beside the published numbers, class by class.

Numbers are compared under the policy of the source: the authors' last epoch with our last, their best epoch on the test
set with our best one. Where a source does not say of which epoch its numbers are, they stand beside our last, marked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..api.data import Setting
from ..api.method import Policy, Published
from ..api.registry import texts_in
from ..api.scores import METRIC_NAMES
from ..results.records import Environment, Result
from ..results.variants import TITLES, Variant, mean
from ..util.errors import UsageError
from .published import MEAN, Reference, numbers_of, place_of, references

SCHEMA = 1
"""Version of ``ledger.json``."""

TOLERANCE = 0.005
"""Gaps above this fraction, half a point, are flagged."""

_ROUNDING = 1e-9
"""Errors of float arithmetic, which must not flag a gap of exactly half a point."""


@dataclass(frozen=True)
class Row:
    """One class, or the mean of several, beside one published number.

    Attributes:
        class_name: the class, or "mean".
        classes: the number of classes: 1, or those that the mean is over.
        metric: a field of ``Metrics``.
        policy: the kind of epoch: the source's and ours, where "unknown" is our last.
        ours: our number as the mean over seeds, a fraction; None where there is none.
        published: the source's number, a fraction; None where there is none.
        gap: ours minus published; None where one of them is missing.
        flagged: whether the gap is above ``TOLERANCE``.
        source: where the number is published.
        configuration: distinguishes several configurations in one source.
        epoch: the epoch of the published number, where the source names it.
    """

    class_name: str
    classes: int
    metric: str
    policy: Policy
    ours: float | None
    published: float | None
    gap: float | None
    flagged: bool
    source: str
    configuration: str = ""
    epoch: int | None = None


@dataclass(frozen=True)
class Ledger:
    """A reproduction, complete enough to be checked and repeated.

    Attributes:
        schema: version of the file.
        method: the method's name.
        method_package: its distribution and version.
        paper: where the method comes from.
        variant: the name of its configuration.
        preset: the preset that was run.
        options: the options that all classes share; those of each class are in ``runs``.
        setting: what a model was trained on.
        shots: training images of each class, in the setting "few-shot".
        dataset: the data set.
        dataset_classes: the number of its classes.
        data: a digest of the images and masks of each class: names, labels and contents.
        seeds: the seeds.
        environments: machines, devices and versions of packages.
        command: the command line.
        complete: whether every class and seed that was asked for has a result; ``data`` says which classes.
        failed: the reason of each task without a result, by its name.
        tolerance: larger gaps are flagged, as a fraction.
        rows: the comparison of each class, metric and policy.
        means: the same for the means over classes; a metric and policy has one source.
        runs: the results themselves.
    """

    schema: int
    method: str
    method_package: str
    paper: str
    variant: str
    preset: str
    options: Mapping[str, Any]
    setting: Setting
    shots: int | None
    dataset: str
    dataset_classes: int
    data: Mapping[str, str]
    seeds: tuple[int, ...]
    environments: tuple[Environment, ...]
    command: str
    complete: bool
    failed: Mapping[str, str]
    tolerance: float
    rows: tuple[Row, ...]
    means: tuple[Row, ...]
    runs: tuple[Result, ...]


@dataclass(frozen=True)
class Target:
    """The published numbers of a method that are to be reproduced, in one setting on one data set."""

    method: str
    dataset: str
    setting: Setting
    shots: int | None
    numbers: tuple[Published, ...]

    def references(self, classes: Sequence[str], options: Mapping[str, Any]) -> dict[str, list[Reference]]:
        """The sources that classes are compared with, by metric; metrics without one are left out.

        Args:
            classes: our classes.
            options: of our runs; a source's configuration that names one of them is preferred.
        """
        found = {
            metric: references(
                numbers_of(self.numbers, self.dataset, metric, self.setting, self.shots), classes, texts_in(options)
            )
            for metric in METRIC_NAMES
        }
        return {metric: each for metric, each in found.items() if each}

    def lacks(self, classes: Sequence[str], dataset_classes: Sequence[str], options: Mapping[str, Any]) -> list[str]:
        """What will get no gap for want of published numbers, in sentences to read before hours of training.

        Args:
            classes: our classes.
            dataset_classes: all classes of the data set.
            options: of our runs.
        """
        means: list[str] = []
        missing: dict[str, list[str]] = {}
        for metric, found in self.references(classes, options).items():
            for each in found:
                what = f"{TITLES[metric]} ({each.policy})"
                unknown = [name for name in classes if name not in each.values]
                if not each.values:
                    means.append(what)
                elif unknown:
                    missing.setdefault(", ".join(unknown), []).append(what)
        whole = set(classes) >= set(dataset_classes)
        gap = "a gap of the mean alone" if whole else f"no gap with {len(set(classes))} of them"
        only = (
            f"Only the mean over the {len(dataset_classes)} classes of {self.dataset} is published for "
            f"{', '.join(means)}: there will be {gap}."
        )
        lines = [f"Not published, so without a gap: {', '.join(what)} of {names}." for names, what in missing.items()]
        return [only, *lines] if means else lines


def target(
    method: str,
    published: Sequence[Published],
    dataset: str,
    *,
    setting: Setting | None = None,
    shots: int | None = None,
    source: str = "",
) -> Target:
    """Choose the published numbers to reproduce.

    Args:
        method: the method's name.
        published: all numbers that its plugin has.
        dataset: the data set.
        setting: the setting; by default "one-class", or where nothing is published for it the first one of the numbers.
        shots: training images of each class, in the setting "few-shot".
        source: only numbers with this text in their source or configuration, in any case of letters.

    Raises:
        UsageError: nothing like that is published.
    """
    known = [each for each in published if each.dataset == dataset and each.metric in METRIC_NAMES]
    named = [each for each in known if source.lower() in place_of(each.source, each.configuration).lower()]
    if source and known and not named:
        places = dict.fromkeys(place_of(each.source, each.configuration) for each in known)
        raise UsageError(
            f"--source '{source}'", found=f"no such source of numbers of {method} on {dataset}",
            wanted=f"a part of one of: {'; '.join(places)}",
        )  # fmt: skip
    settings = list(dict.fromkeys((each.setting, each.shots) for each in named))
    usual: tuple[Setting, int | None] = ("one-class", None)
    wanted = (setting, shots) if setting else usual if usual in settings or not settings else settings[0]
    numbers = tuple(each for each in named if (each.setting, each.shots) == wanted)
    if not numbers:
        others = ", ".join(sorted({f"{each.dataset} ({_setting(each.setting, each.shots)})" for each in published}))
        raise UsageError(
            f"published numbers of {method} on {dataset} ({_setting(*wanted)})", found="none",
            wanted=f"one of {others}" if others else "a method with published numbers",
            hint="Without them, use adbench run",
        )  # fmt: skip
    return Target(method, dataset, *wanted, numbers)


def _setting(setting: Setting, shots: int | None) -> str:
    return setting if shots is None else f"{setting}, --shots {shots}"


def make(
    results: Sequence[Result],
    wanted: Target,
    *,
    paper: str,
    dataset_classes: Sequence[str],
    failed: Mapping[str, str],
    command: str,
) -> Ledger:
    """Set results beside published numbers.

    Args:
        results: finished runs of one variant, one for each class and seed; at least one.
        wanted: the published numbers.
        paper: where the method comes from.
        dataset_classes: all classes of the data set.
        failed: the reason of each task without a result, by its name.
        command: the command line.
    """
    first = results[0]
    by_class: dict[str, tuple[Result, ...]] = {}
    for result in results:
        by_class[result.class_name] = (*by_class.get(result.class_name, ()), result)
    variant = Variant(first.variant, first.method, by_class)
    rows: list[Row] = []
    means: list[Row] = []
    for metric, found in wanted.references(list(by_class), first.options).items():
        for reference in found:
            found_rows, found_mean = _compare(variant, metric, reference, dataset_classes)
            rows += found_rows
            means.append(found_mean)
    return Ledger(
        schema=SCHEMA,
        method=first.method,
        method_package=first.method_package,
        paper=paper,
        variant=first.variant,
        preset=first.preset,
        options={key: value for key, value in first.options.items() if _is_shared(key, results)},
        setting=wanted.setting,
        shots=wanted.shots,
        dataset=first.dataset,
        dataset_classes=len(dataset_classes),
        data={name: runs[0].identity.data if runs[0].identity else "" for name, runs in by_class.items()},
        seeds=tuple(sorted({result.seed for result in results})),
        environments=_distinct([result.environment for result in results]),
        command=command,
        complete=not failed,
        failed=dict(failed),
        tolerance=TOLERANCE,
        rows=tuple(rows),
        means=tuple(means),
        runs=tuple(replace(run, data_root=None) for run in results),  # where it lies concerns no other machine
    )


def _is_shared(key: str, results: Sequence[Result]) -> bool:
    return all(result.options.get(key) == results[0].options.get(key) for result in results)


def _distinct(environments: Sequence[Environment]) -> tuple[Environment, ...]:
    found: list[Environment] = []
    for each in environments:
        if each not in found:
            found.append(each)
    return tuple(found)


def _compare(
    variant: Variant, metric: str, reference: Reference, dataset_classes: Sequence[str]
) -> tuple[list[Row], Row]:
    """A row for each of our classes, and one for the mean.

    The mean is over the classes that both sides have. If only the source's own mean is there, it stands beside ours of
    all classes of the data set, or without a gap where we have fewer.
    """

    def ours(name: str) -> float | None:
        found = (variant.oracle if reference.policy == "oracle" else variant.metric)(name, metric)
        return found if found is not None and math.isfinite(found) else None

    def row(name: str, classes: int, our: float | None, their: float | None, *, comparable: bool = True) -> Row:
        gap = our - their if our is not None and their is not None and comparable else None
        return Row(
            name, classes, metric, reference.policy, our, their, gap, is_flagged(gap), reference.source,
            reference.configuration, reference.epochs.get(name),
        )  # fmt: skip

    names = list(variant.runs)
    rows = [row(name, 1, ours(name), reference.values.get(name)) for name in names]
    if reference.values:
        both = [name for name in names if ours(name) is not None and name in reference.values]
        return rows, row(MEAN, len(both), mean(map(ours, both)), mean(reference.values[name] for name in both))
    scored = [name for name in names if ours(name) is not None]
    whole = set(scored) >= set(dataset_classes)
    return rows, row(MEAN, len(scored), mean(map(ours, scored)), reference.mean, comparable=whole)


def is_flagged(gap: float | None) -> bool:
    """Whether a gap, as a fraction, is above half a point in either direction; one of exactly half a point is not."""
    return gap is not None and abs(gap) > TOLERANCE + _ROUNDING
