"""Accuracy against speed, with the Pareto front: the variants that no other one beats in both."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ...util.errors import ResultError
from ..frontier import Frontier, Point
from .labels import FAR, Box, place
from .style import COLOURS, DASHES, GREY, MARKERS, new_figure, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Against = Literal["images/s", "ms"]

Steps = tuple[list[float], list[float]]
"""A line through x and y values."""

RADIUS = 3.2
"""Of a mark, in points."""

SHAPE = 0.66
"""Height of the figure by its width."""

AXES = {"images/s": "images per second (log)", "ms": "milliseconds per image (log)"}


def draw(frontier: Frontier, *, against: Against = "images/s", width: float = 5.5) -> Figure:
    """Draw a point for each variant, filled on the front and hollow elsewhere, with labels that don't overlap.

    Points that were timed on different machines or numbers of threads have different marks, and each place has its own
    front. Where there is no room for a label, all points get numbers, and the key below has the names.

    Args:
        frontier: the points.
        against: the speed, or the time for an image; both to a logarithmic scale.
        width: of the figure in inches.

    Raises:
        ResultError: no variant has both an accuracy and a speed.
    """
    if not frontier.points:
        raise ResultError(
            f"figure of {frontier.dataset}", found="no ranked variant with a speed", hint="Run its methods again"
        )
    figure = new_figure(width, width * SHAPE, layout="constrained")
    axes = figure.add_subplot()
    device, places = _places(frontier)
    steps = _marks(axes, frontier, against, places)
    axes.set_xscale("log")
    _limits(axes, frontier.points, against)
    measured = "from decoded image to map" + (f"; {shown(device)}" if device else "")
    axes.set_xlabel(f"{AXES[against]}\n{textwrap.fill(measured, int(width * 14))}")
    axes.set_ylabel(f"{frontier.title}, %")
    handles, names = axes.get_legend_handles_labels()
    columns = int(width / (0.6 + 0.055 * max(map(len, names))))
    figure.legend(handles, names, loc="outside upper left", ncols=min(max(1, columns), len(names)))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the labels are placed for these axes
    _name(figure, axes, frontier.points, against, steps)
    return figure


def _places(frontier: Frontier) -> tuple[str, list[str]]:
    """The device that all timings share, and what tells the places apart, such as the number of threads."""
    if len(frontier.places) == 1:
        return frontier.places[0], [""]
    parts = [place.rpartition(", ") for place in frontier.places]
    if len({device for device, _, _ in parts}) == 1:
        return parts[0][0], [f", {rest}" for _, _, rest in parts]
    return "", [f", {place}" for place in frontier.places]


def _at(point: Point, against: Against) -> tuple[float, float]:
    return point.speed if against == "images/s" else point.milliseconds, 100 * point.accuracy


def _marks(axes: Axes, frontier: Frontier, against: Against, places: Sequence[str]) -> list[Steps]:
    """Draw the points, and a line of steps through each front: what lies under it is beaten. Return the lines."""
    front = frontier.front()
    lines = []
    for number, where in enumerate(frontier.places):
        best = [_at(each, against) for each in front if each.place == where]
        rest = [_at(each, against) for each in frontier.points if each.place == where and each not in front]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        said = shown(places[number])
        lines.append(_steps(best, against))
        axes.plot(
            *lines[-1], color=colour, linestyle=DASHES[number % len(DASHES)], linewidth=1.0, zorder=1,
            label=f"Pareto front{said}",
        )  # fmt: skip
        axes.plot(*_columns(best), marker, color=colour, markersize=2 * RADIUS, zorder=3, label=f"on the front{said}")
        if rest:
            axes.plot(
                *_columns(rest), marker, markerfacecolor="white", markeredgecolor=GREY, markersize=2 * RADIUS,
                zorder=2, label=f"dominated{said}",
            )  # fmt: skip
    return lines


def _columns(spots: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in spots], [y for _, y in spots]


def _steps(best: Sequence[tuple[float, float]], against: Against) -> Steps:
    """The front as steps: from one of its points to the next, speed falls before accuracy rises."""
    ordered = sorted(best, reverse=against == "images/s")
    xs, ys = [ordered[0][0]], [ordered[0][1]]
    for x, y in ordered[1:]:
        xs += [x, x]
        ys += [ys[-1], y]
    return xs, ys


def _limits(axes: Axes, points: Sequence[Point], against: Against) -> None:
    """Room for the labels, and round numbers on the logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    xs, ys = _columns([_at(each, against) for each in points])
    axes.set_xlim(min(xs) / 1.7, max(xs) * 1.7)
    margin = max(0.12 * (max(ys) - min(ys)), 0.3)
    axes.set_ylim(min(ys) - margin, max(ys) + margin)
    few = max(xs) / min(xs) < 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _name(figure: Figure, axes: Axes, points: Sequence[Point], against: Against, steps: Sequence[Steps]) -> None:
    """Write the names beside the points, or numbers and a key where there is no room."""
    names = [shown(each.label) for each in points]
    boxes = _placed(figure, axes, points, names, against, steps)
    if any(box is None for box in boxes):
        key = "   ".join(f"{number} {name}" for number, name in enumerate(names, 1))
        _key(figure, axes, key)
        names = [str(number) for number in range(1, len(points) + 1)]
        boxes = _placed(figure, axes, points, names, against, steps)
    for point, name, box in zip(points, names, boxes, strict=True):
        spot = _spot(axes, _at(point, against), figure.dpi)
        shift = (RADIUS + 1, RADIUS + 1) if box is None else (box.left - spot[0], box.bottom - spot[1])
        axes.annotate(
            name, _at(point, against), xytext=shift, textcoords="offset points", ha="left", va="bottom", fontsize=7,
            zorder=4,
        )  # fmt: skip
        if box is not None and box.distance(spot) > FAR:
            _lead(axes, _at(point, against), spot, box)


def _spot(axes: Axes, at: tuple[float, float], dpi: float) -> tuple[float, float]:
    """A position in points from the figure's lower left corner."""
    x, y = axes.transData.transform(at)
    return float(x) * 72 / dpi, float(y) * 72 / dpi


def _placed(
    figure: Figure,
    axes: Axes,
    points: Sequence[Point],
    names: Sequence[str],
    against: Against,
    steps: Sequence[Steps],
) -> list[Box | None]:
    spots = [_spot(axes, _at(each, against), figure.dpi) for each in points]
    found = axes.get_window_extent()
    scale = 72 / figure.dpi
    inside = Box(found.x0 * scale, found.y0 * scale, found.x1 * scale, found.y1 * scale)
    corners = [[_spot(axes, at, figure.dpi) for at in zip(*line, strict=True)] for line in steps]
    lines = [pair for each in corners for pair in pairwise(each)]
    return place(spots, [_size(figure, name) for name in names], inside, radius=RADIUS + 0.8, lines=lines)


def _size(figure: Figure, text: str) -> tuple[float, float]:
    """Width and height of a label in points, with a little air."""
    written: Any = figure.text(0, 0, text, fontsize=7, va="bottom")
    extent = written.get_window_extent()
    written.remove()
    return float(extent.width) * 72 / figure.dpi + 2, float(extent.height) * 72 / figure.dpi + 1


def _lead(axes: Axes, at: tuple[float, float], spot: tuple[float, float], box: Box) -> None:
    """A thin line from a label to its point."""
    x, y = box.nearest(spot)
    axes.annotate(
        "", at, xytext=(x - spot[0], y - spot[1]), textcoords="offset points", zorder=1,
        arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": GREY, "shrinkA": 0, "shrinkB": RADIUS},
    )  # fmt: skip


def _key(figure: Figure, axes: Axes, text: str) -> None:
    """The names of numbered points, below the axes."""
    lines = textwrap.wrap(text, width=int(figure.get_figwidth() * 17), break_long_words=True)
    room = 10 * len(lines) / 72 / figure.get_figheight()
    figure.set_figheight(figure.get_figheight() * (1 + room))
    where = axes.get_position()
    part = room / (1 + room)
    axes.set_position((where.x0, part + where.y0 * (1 - part), where.width, where.height * (1 - part)))
    figure.text(0.02, 0.01, "\n".join(lines), fontsize=7, va="bottom")
