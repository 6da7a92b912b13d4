"""Accuracy against speed: which variants no other one beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from ..api.scores import merit
from ..results.records import Result
from ..results.variants import TITLES, Board, Names
from .leaderboard import leaderboard
from .tables import Cell


@dataclass(frozen=True)
class Point:
    """A ranked variant with its accuracy, a fraction, and its speed in images per second, measured at ``place``."""

    label: str
    accuracy: float
    speed: float
    place: str

    @property
    def milliseconds(self) -> float:
        """Time for one image."""
        return 1000.0 / self.speed

    def beats(self, other: Point) -> bool:
        """Whether it is no worse than another in both and better in one; timings of other places don't compare.

        Higher accuracies are better here.
        """
        no_worse = self.accuracy >= other.accuracy and self.speed >= other.speed
        return self.place == other.place and no_worse and (self.accuracy, self.speed) != (other.accuracy, other.speed)


@dataclass(frozen=True)
class Frontier:
    """The ranked variants of a data set; ``left_out`` names those without a rank or without a speed.

    ``metric`` is a field of ``Metrics``, ``title`` its title with the number of classes over which the means are.
    """

    dataset: str
    metric: str
    title: str
    points: tuple[Point, ...]
    left_out: tuple[str, ...]

    def front(self) -> list[Point]:
        """The points that no other point beats, fastest first, place by place."""
        rising = [replace(each, accuracy=merit(self.metric, each.accuracy)) for each in self.points]
        best = [
            (each, point)
            for each, point in zip(rising, self.points, strict=True)
            if not any(other.beats(each) for other in rising)
        ]
        best.sort(key=lambda pair: (self.places.index(pair[0].place), -pair[0].speed, -pair[0].accuracy))
        return [point for _, point in best]

    @property
    def places(self) -> list[str]:
        """Where the speeds were measured, in order of appearance."""
        return list(dict.fromkeys(each.place for each in self.points))


def of_board(board: Board, results: Sequence[Result], metric: str, *, names: Names | None = None) -> Frontier:
    """The accuracy and the speed of each ranked variant of a data set.

    Args:
        board: the data set.
        results: the runs of any data sets.
        metric: the field of ``Metrics`` that ranks; of the last epoch, as mean over seeds and then over classes.
        names: names of the variants; by default from these results alone.
    """
    (table,) = leaderboard([run for run in results if board.holds(run)], metric=metric, names=names)
    rows = zip(
        *(table.column(key) for key in ("variant", "rank", metric, "images_per_second", "timed_on", "classes")),
        strict=True,
    )
    points, left_out, counts = [], [], set()
    for label, rank, accuracy, speed, place, classes in rows:
        if rank is None or not isinstance(accuracy, (int, float)) or not _is_speed(speed):
            left_out.append(str(label))
            continue
        points.append(Point(str(label), float(accuracy), float(speed), str(place)))
        counts.add(classes)
    several = [count for count in counts if isinstance(count, int) and count > 1]
    title = f"{TITLES[metric]}, mean over {several[0]} classes" if several else TITLES[metric]
    return Frontier(board.title, metric, title, tuple(points), tuple(left_out))


def _is_speed(value: Cell) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
