"""Loss and metrics by epoch of chosen runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...results.records import EpochRecord, Result
from ...results.variants import TITLES
from ...util.errors import ResultError
from .style import COLOURS, DASHES, MARKERS, new_figure, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_ROW = 3
"""Panels beside each other."""

PANEL = 0.78
"""Height of a panel by its width."""

STEEP = 20
"""A loss that falls to less than one part in so many has a logarithmic axis."""

MARKED = 8
"""About so many marks on a line."""

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """One run with its epochs; ``label`` tells it from the others."""

    label: str
    run: Result
    epochs: tuple[EpochRecord, ...]

    def losses(self) -> Points:
        """Epoch and loss."""
        return [(each.number, each.loss) for each in self.epochs if each.loss is not None]

    def metric(self, name: str) -> Points:
        """Epoch and metric in percent."""
        found = ((each.number, getattr(each.metrics, name)) for each in self.epochs if each.metrics)
        return [(number, 100 * value) for number, value in found if value is not None]

    def best(self, name: str) -> tuple[int, float] | None:
        """The best epoch on the test set, its oracle, with the metric in percent."""
        found = [each for each in self.run.oracle if each.metric == name and math.isfinite(each.value)]
        return (found[0].epoch, 100 * found[0].value) if found else None


@dataclass(frozen=True)
class _Panel:
    """Axes for the loss of some runs, or for a metric of all."""

    title: str
    curves: Sequence[Curve]
    metric: str | None = None

    def points(self, curve: Curve) -> Points:
        return curve.losses() if self.metric is None else curve.metric(self.metric)


def draw(curves: Sequence[Curve], metrics: Sequence[str], *, width: float = 7.0) -> Figure:
    """Draw a panel for the loss of each method, since losses of different methods don't compare, and one per metric.

    A filled mark at the end is the last epoch, which counts; a diamond the best epoch on the test set, which doesn't.

    Args:
        curves: the runs, in the order of the legend.
        metrics: fields of ``Metrics``; one that no run measured more than once is left out.
        width: of the figure in inches.

    Raises:
        ResultError: no run has more than one epoch of a loss or a metric.
    """
    panels = list(_panels(curves, metrics))
    if not panels:
        raise ResultError(
            f"curves of {', '.join(each.label for each in curves)}", found="no run with several epochs",
            hint="Methods that train in one epoch have none; others are evaluated with adbench run --eval-every 1",
        )  # fmt: skip
    across = min(PER_ROW, len(panels))
    down = math.ceil(len(panels) / across)
    figure = new_figure(width, down * PANEL * width / across + 0.05 * len(curves), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    there = {each.label for panel in panels for each in panel.curves}
    styles = {label: number for number, label in enumerate(each.label for each in curves if each.label in there)}
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel, styles)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    _legend(figure, styles, any(panel.metric for panel in panels))
    return figure


def without_curve(curves: Sequence[Curve], metrics: Sequence[str]) -> list[str]:
    """Labels of the runs that no panel shows."""
    there = {each.label for panel in _panels(curves, metrics) for each in panel.curves}
    return [each.label for each in curves if each.label not in there]


def _panels(curves: Sequence[Curve], metrics: Sequence[str]) -> Iterator[_Panel]:
    methods = dict.fromkeys(each.run.method for each in curves)
    for method in methods:
        found = [each for each in curves if each.run.method == method and len(each.losses()) > 1]
        if found:
            yield _Panel(f"loss of {method}" if len(methods) > 1 else "loss", found)
    for name in metrics:
        found = [each for each in curves if len(each.metric(name)) > 1]
        if found:
            yield _Panel(f"{TITLES[name]}, %", found, name)


def _draw(axes: Axes, panel: _Panel, styles: dict[str, int]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    for curve in panel.curves:
        number, points = styles[curve.label], panel.points(curve)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        xs, ys = [float(x) for x, _ in points], [y for _, y in points]
        axes.plot(
            xs, ys, color=colour, linestyle=DASHES[number % len(DASHES)], marker=marker,
            markevery=max(1, len(xs) // MARKED), markersize=3, markerfacecolor="white", markeredgewidth=0.7,
        )  # fmt: skip
        axes.plot(xs[-1:], ys[-1:], marker, color=colour, markersize=4.5, zorder=4)
        best = curve.best(panel.metric) if panel.metric else None
        if best is not None:
            axes.plot([best[0]], [best[1]], "D", markersize=7, markerfacecolor="none", markeredgecolor=colour, zorder=5)
    if panel.metric is None:
        values = [value for curve in panel.curves for _, value in panel.points(curve)]
        if min(values) > 0 and max(values) > STEEP * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(shown(panel.title))


def _legend(figure: Figure, styles: dict[str, int], with_metrics: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)], label=shown(label),
            marker=MARKERS[number % len(MARKERS)], markersize=3, markerfacecolor="white", markeredgewidth=0.7,
        )
        for label, number in styles.items()
    ]  # fmt: skip
    if with_metrics:
        handles.append(Line2D([], [], linestyle="", marker="o", color="black", label="last epoch, which counts"))
        handles.append(
            Line2D([], [], linestyle="", marker="D", markersize=6, markerfacecolor="none", markeredgecolor="black",
                   label="oracle: best on the test set")
        )  # fmt: skip
    longest = max(len(label) for label in styles)
    columns = max(1, min(4, int(figure.get_figwidth() * 16 / (longest + 8))))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=3.5)
