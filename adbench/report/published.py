"""The numbers that methods' authors report: all of a method, and which of them stand beside ours."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..api.data import Setting
from ..api.method import POLICIES, Method, Policy, Published
from ..api.scores import MAIN_METRICS, METRIC_NAMES
from ..results.variants import TITLES
from .tables import Column, Table

MEAN = "mean"
"""Class name of a published mean over all classes of a data set."""

PublishedNumbers = Mapping[str, tuple[Published, ...]]
"""The numbers that each method's authors report, by the method's name."""


@dataclass(frozen=True)
class Reference:
    """One source of published numbers for one metric and one kind of epoch.

    Attributes:
        policy: the kind of epoch.
        source: where the numbers are published.
        configuration: distinguishes several configurations in one source.
        values: the number of each class.
        epochs: the epoch of each class's number, where the source names it.
        mean: the source's own mean over all classes of the data set, if it has one.
    """

    policy: Policy
    source: str
    configuration: str
    values: Mapping[str, float]
    epochs: Mapping[str, int]
    mean: float | None = None

    @property
    def place(self) -> str:
        """The source, with the configuration if the source has several."""
        return place_of(self.source, self.configuration)


def place_of(source: str, configuration: str) -> str:
    """A source of numbers, with the configuration if the source has several."""
    return f"{source}, configuration {configuration}" if configuration else source


def numbers_of(
    numbers: Iterable[Published], dataset: str, metric: str, setting: Setting, shots: int | None
) -> list[Published]:
    """The finite numbers of one metric on a data set, in one setting."""
    wanted = (dataset, metric, setting, shots)
    return [
        each
        for each in numbers
        if (each.dataset, each.metric, each.setting, each.shots) == wanted and math.isfinite(each.value)
    ]


def references(
    numbers: Sequence[Published], classes: Sequence[str], words: Collection[str] = frozenset()
) -> list[Reference]:
    """The source of each kind of epoch with which these classes are compared.

    Of several sources it is the one whose configuration has most of ``words``; then the one that has most of the
    classes; then a paper's table before a log, which names epochs. Configurations of one source count like sources.
    Where none has any of the classes, it is one with the mean alone.

    Args:
        numbers: published numbers of one metric, data set and setting.
        classes: our classes.
        words: texts among the options of our runs, such as the backbone's name.
    """
    found = (_reference([each for each in numbers if each.policy == policy], classes, words) for policy in POLICIES)
    return [each for each in found if each is not None]


def _reference(numbers: Sequence[Published], classes: Sequence[str], words: Collection[str]) -> Reference | None:
    by_source: dict[tuple[str, str], list[Published]] = {}
    for number in numbers:
        if number.class_name in (*classes, MEAN):
            by_source.setdefault((number.source, number.configuration), []).append(number)
    if not by_source:
        return None

    def order(place: tuple[str, str]) -> tuple[bool, int, int, bool]:
        found = [number for number in by_source[place] if number.class_name != MEAN]
        fitting = {word.strip() for word in place[1].split(",")}.intersection(words)
        return bool(found), len(fitting), len(found), by_source[place][0].epoch is None

    source, configuration = chosen = max(by_source, key=order)
    values = {number.class_name: number.value for number in by_source[chosen]}
    epochs = {number.class_name: number.epoch for number in by_source[chosen] if number.epoch is not None}
    total = values.pop(MEAN, None)
    return Reference(by_source[chosen][0].policy, source, configuration, values, epochs, total)


# ---------------------------------------------------------------- all of a method


@dataclass(frozen=True)
class Source:
    """What distinguishes sets of published numbers."""

    dataset: str
    setting: str
    configuration: str
    policy: Policy
    source: str

    @classmethod
    def of(cls, number: Published) -> Source:
        """The set that a number belongs to."""
        shots = f", {number.shots} images" if number.shots else ""
        return cls(number.dataset, number.setting + shots, number.configuration, number.policy, number.source)


def sources(numbers: Iterable[Published]) -> dict[Source, list[Published]]:
    """The numbers of metrics that adbench has, by their source."""
    found: dict[Source, list[Published]] = {}
    for number in numbers:
        if number.metric in METRIC_NAMES:
            found.setdefault(Source.of(number), []).append(number)
    return found


def classes_of(numbers: Iterable[Published]) -> list[str]:
    """The classes that some numbers are of, without means."""
    return list(dict.fromkeys(each.class_name for each in numbers if each.class_name != MEAN))


def mean_of(numbers: Iterable[Published], metric: str) -> float | None:
    """The mean of one metric: that of the source itself, or else over its classes; None if it has none."""
    found = [each for each in numbers if each.metric == metric]
    own = [each.value for each in found if each.class_name == MEAN]
    values = own[:1] or [each.value for each in found]
    return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class _Row:
    """One source, by its place in the notes."""

    number: int
    source: Source
    numbers: tuple[Published, ...]


def published_table(method: Method) -> Table[_Row]:
    """A row for each set of numbers that a method's authors report: setting, kind of epoch, and means."""
    rows = [_Row(number, *each) for number, each in enumerate(
        ((source, tuple(found)) for source, found in sources(method.published).items()), 1,
    )]  # fmt: skip

    def mean(metric: str) -> Column[_Row]:
        return Column(metric, TITLES[metric], lambda row: mean_of(row.numbers, metric), "percent")

    columns: tuple[Column[_Row], ...] = (
        Column("number", "no.", lambda row: row.number, "count", role="key"),
        Column("dataset", "data set", lambda row: row.source.dataset, role="key"),
        Column("setting", "setting", lambda row: row.source.setting),
        Column("policy", "epoch", lambda row: row.source.policy),
        Column("configuration", "configuration", lambda row: row.source.configuration or None),
        Column("classes", "classes", lambda row: len(classes_of(row.numbers)) or None, "count"),
        *map(mean, MAIN_METRICS),
        Column("source", "source", lambda row: row.source.source, audience="programs"),
    )
    notes = (
        *(f"{row.number}. {row.source.source}" for row in rows),
        "Means of the source itself, or else over its classes. Epoch: the last one, oracle (the best one on the test "
        f"set) or unknown. adbench compare {method.name} --vs published sets yours beside them, class by class.",
    )
    return Table(f"Published numbers of {method.name}", columns, tuple(rows), notes)
