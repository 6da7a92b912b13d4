"""Trackers: programs that log runs, such as TensorBoard, and what they are told about a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..util.text import csv_text
from .options import option_text
from .requirements import Package
from .scores import METRIC_NAMES, Metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fact: TypeAlias = "str | int | float | bool | None"
"""A value that every tracker can show."""


@dataclass(frozen=True)
class TrackedRun:
    """A run that starts, or goes on after a break: one model with all that is known before its training.

    Attributes:
        title: its name for people: "msflow:cpu · demo/brick · seed 0".
        path: its name below the folder of results, with slashes: "demo/brick/msflow/cpu-seed0-1a2b3c4d".
        method: name of the method.
        variant: the method with what differs from its preset ``paper``, as in a leaderboard.
        dataset: name of the data set.
        classes: names of the model's classes.
        seed: of the random generators.
        options: all options, as they stand in results.
        protocol: everything else that moves a number, as far as it is known before training.
        environment: the machine and the versions of packages.
        command: the command line.
        store: a folder for files of trackers, unless the user has set another place; it may not exist yet.
        earlier: ``TrackerRun.id`` as this tracker returned it before the break; empty for a new run.
        epoch: the epoch after which the run goes on; 0 for a new run.
    """

    title: str
    path: str
    method: str
    variant: str
    dataset: str
    classes: tuple[str, ...]
    seed: int
    options: Mapping[str, Any]
    protocol: Mapping[str, Any]
    environment: Mapping[str, Any]
    command: str
    store: Path
    earlier: str = ""
    epoch: int = 0

    def facts(self) -> dict[str, Fact]:
        """All that describes the run, flat: "method", "options.lr", "environment.packages.torch" and others."""
        own = {
            "method": self.method, "variant": self.variant, "dataset": self.dataset, "classes": self.classes,
            "seed": self.seed, "run": self.path, "command": self.command,
        }  # fmt: skip
        parts = {"options": self.options, "protocol": self.protocol, "environment": self.environment}
        return flat({**own, **parts})


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Fact]:
    """Flatten nested mappings: {"a": {"b": (1, 2)}} is {"a.b": "1,2"}."""
    found: dict[str, Fact] = {}
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif value is None or isinstance(value, (str, int, float, bool)):
            found[name] = value
        else:
            found[name] = option_text("size" if key.endswith("size") else key, value)
    return found


@dataclass(frozen=True)
class TrackedEpoch:
    """An epoch that has ended.

    Attributes:
        number: from 1.
        total: number of all epochs, as the method says now.
        loss: as the method gives it.
        learning_rate: as the method gives it.
        fit_seconds: seconds of training from the first epoch to here, without evaluations and cached features.
        metrics: of the test set after this epoch, the means over the classes; None where nothing was evaluated.
        classes: those of each class, by its name; empty where nothing was evaluated.
    """

    number: int
    total: int
    loss: float | None = None
    learning_rate: float | None = None
    fit_seconds: float = 0.0
    metrics: Metrics | None = None
    classes: Mapping[str, Metrics] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """All numbers that are there, by name: "loss", "image_auroc", and with several classes "screw/image_auroc"."""
        found: dict[str, float | None] = {
            "loss": self.loss, "learning_rate": self.learning_rate, "fit_seconds": self.fit_seconds
        }  # fmt: skip
        found |= _by_name(self.metrics)
        if len(self.classes) > 1:
            for name, metrics in self.classes.items():
                found |= {f"{name}/{metric}": value for metric, value in _by_name(metrics).items()}
        return {name: value for name, value in found.items() if value is not None}


def _by_name(metrics: Metrics | None) -> dict[str, float | None]:
    return {} if metrics is None else {name: getattr(metrics, name) for name in METRIC_NAMES}


@dataclass(frozen=True)
class TrackedTable:
    """A table: names of columns, and rows of as many values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Fact, ...], ...]

    def csv(self) -> str:
        """The table as CSV."""
        return csv_text(self.columns, self.rows)

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Fact) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").split())


@dataclass(frozen=True)
class TrackedClass:
    """A row of the class table: the numbers of one class after the last epoch.

    ``fit_seconds`` are those of training, of a model of several classes the share of this one.
    """

    name: str
    metrics: Metrics
    last_epoch: int
    fit_seconds: float
    images_per_second: float | None


@dataclass(frozen=True)
class FrontierPoint:
    """An evaluated epoch: the time that it took to get there, and how good the model was.

    ``on_frontier`` is True where no earlier epoch was as good. It looks at the test set, so it chooses nothing.
    """

    epoch: int
    fit_seconds: float
    image_auroc: float
    on_frontier: bool


def frontier(points: Iterable[tuple[int, float, float]]) -> tuple[FrontierPoint, ...]:
    """The frontier of time and accuracy from (epoch, seconds of training, image AUROC), in the order of epochs."""

    def found() -> Iterator[FrontierPoint]:
        best = -1.0
        for epoch, seconds, image_auroc in points:
            yield FrontierPoint(epoch, seconds, image_auroc, image_auroc > best)
            best = max(best, image_auroc)

    return tuple(found())


@dataclass(frozen=True, eq=False)
class TrackedImage:
    """A test image with its anomaly map drawn over it, and the outline of the ground truth.

    Attributes:
        class_name: its class.
        path: its path below the data set's root.
        label: 1 for a defective image.
        score: its anomaly score after the last epoch.
        heading: why it was chosen.
        pixels: (H, W, 3), RGB.
    """

    class_name: str
    path: str
    label: int
    score: float
    heading: str
    pixels: NDArray[np.uint8]

    @property
    def caption(self) -> str:
        """What it shows, in a line."""
        return f"{self.path}: {'defective' if self.label else 'good'}, score {self.score:.4g}"


@dataclass(frozen=True)
class TrackedResult:
    """A run that has ended well; its results are stored.

    Attributes:
        metrics: after the last epoch, the means over the classes.
        classes: the class table: this model's classes, after those that the same command trained before it with the
            same method, options and seed.
        frontier: the evaluated epochs.
        images: a few test images of each class: its worst misses and false alarms, and others.
        checkpoint: the file of the model after the last epoch.
        facts: what was not known before training: "protocol.aupro_map", "parameters", "threshold.value" and others;
            of several classes "threshold.screw.value".
    """

    metrics: Metrics
    classes: tuple[TrackedClass, ...]
    frontier: tuple[FrontierPoint, ...]
    images: tuple[TrackedImage, ...]
    checkpoint: Path
    facts: Mapping[str, Fact]

    def values(self) -> dict[str, float]:
        """The metrics that are there, by name."""
        return {name: value for name, value in _by_name(self.metrics).items() if value is not None}

    def class_table(self) -> TrackedTable:
        """A row for each class."""
        rows = [
            (each.name, *_by_name(each.metrics).values(), each.last_epoch, each.fit_seconds, each.images_per_second)
            for each in self.classes
        ]
        return TrackedTable(("class", *METRIC_NAMES, "last_epoch", "fit_seconds", "images_per_second"), tuple(rows))

    def frontier_table(self) -> TrackedTable:
        """A row for each evaluated epoch."""
        rows = [(each.epoch, each.fit_seconds, each.image_auroc, each.on_frontier) for each in self.frontier]
        return TrackedTable(("epoch", "fit_seconds", "image_auroc", "on_frontier"), tuple(rows))


@dataclass(frozen=True)
class TrackedFailure:
    """A run that broke off; ``stopped`` if the user stopped it, so that it may go on later."""

    reason: str
    stopped: bool = False


@dataclass(frozen=True)
class TrackerRun:
    """What a tracker made of a run.

    ``id`` is what it needs to go on in the same place after a break; empty if it can't. ``place`` says in a line where
    its runs are to be seen: an address, a folder, or a command.
    """

    id: str = ""
    place: str = ""


class Tracker:
    """Logs runs: one object all runs of a command, one after the other. This base class ignores them.

    The calls come between two epochs, in the process that trains. The random generators are set back after each. A
    tracker that raises an error gets no more calls. It cannot end a run.
    """

    def run_started(self, run: TrackedRun) -> TrackerRun:
        """Training starts, or goes on after a break."""
        return TrackerRun()

    def epoch(self, epoch: TrackedEpoch) -> None:
        """An epoch has ended; after a break some may come again."""

    def finished(self, result: TrackedResult) -> None:
        """The run is trained, evaluated and stored, with the threshold that was asked for."""

    def failed(self, failure: TrackedFailure) -> None:
        """The run broke off."""


@dataclass(frozen=True)
class TrackerEntry:
    """A tracker as its plugin offers it.

    Attributes:
        name: as in ``--track NAME``.
        summary: what it is.
        make: makes the tracker, once for a command and before anything is trained; imports what it needs.
        packages: what must be installed.
    """

    name: str
    summary: str
    make: Callable[[], Tracker]
    packages: Sequence[Package] = ()
