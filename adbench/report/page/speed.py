"""Charts of accuracy against speed: images per second of all runs, and the latency of those that were measured.

The Pareto front is a line through the variants that no other one beats in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...results.variants import TITLES
from ..frontier import Frontier, Point
from ..tables import AnyTable
from . import charts
from .charts import Axis
from .figures import Figure


@dataclass(frozen=True)
class Speed:
    """A chart of accuracy against speed; ``points`` describes its numbered points."""

    figure: Figure
    points: tuple[str, ...]


def throughput(tables: Sequence[AnyTable], metric: str) -> Speed | None:
    """Images per second in batches, as each run has measured them; None if no variant has both numbers."""
    axis = "images per second, from decoded image to map (log)"
    return _speed(_points(tables, metric, "images_per_second", "timed_on"), metric, "Speed and accuracy", axis)


def latency(tables: Sequence[AnyTable], metric: str) -> Speed | None:
    """Milliseconds for one image, as ``adbench speed`` has measured them; None if no variant has both numbers."""
    if not any(column.key == "latency_ms" for table in tables for column in table.columns):
        return None
    points = [
        Point(each.label, each.accuracy, 1000.0 / each.speed, each.place)
        for each in _points(tables, metric, "latency_ms", "latency_on")
    ]
    return _speed(points, metric, "Latency and accuracy", "ms for one image, from decoded image to map (log)", ms=True)


def _points(tables: Sequence[AnyTable], metric: str, speed: str, place: str) -> list[Point]:
    rows = zip(
        *([each for table in tables for each in table.column(key)] for key in ("variant", metric, speed, place)),
        strict=True,
    )
    return [
        Point(str(label), float(value), float(fast), str(where))
        for label, value, fast, where in rows
        if isinstance(fast, (int, float)) and 0 < fast < charts.LARGEST and isinstance(value, (int, float))
    ]


def _speed(points: Sequence[Point], metric: str, title: str, axis: str, *, ms: bool = False) -> Speed | None:
    if not points:
        return None
    frontier = Frontier("", metric, TITLES[metric], tuple(points), ())
    best = frontier.front()
    several = len(frontier.places) > 1
    placed = [(each.milliseconds if ms else each.speed, 100 * each.accuracy) for each in points]
    texts = []
    for each in points:
        name = f"{each.label} ({each.place})" if several else each.label  # several machines or numbers of threads
        fast = f"{each.milliseconds:.1f} ms" if ms else f"{each.speed:.1f} images/s"
        texts.append(f"{name}: {100 * each.accuracy:.2f}\u00a0% at {fast}" + (", on the front" if each in best else ""))
    across = [x for x, _ in placed]
    x = Axis(axis, min(across) / 1.6, max(across) * 1.6, log=True)
    y = charts.percent_axis(f"{TITLES[metric]}, mean over classes, %", [value for _, value in placed], 104.0)
    fronts = [[placed[points.index(each)] for each in best if each.place == place] for place in frontier.places]
    chart = charts.scatter(title, list(zip(placed, texts, strict=True)), x, y, fronts=fronts)
    return Speed(Figure(title, chart), tuple(texts))
