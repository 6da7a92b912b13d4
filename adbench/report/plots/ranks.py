"""The critical-difference diagram: mean ranks on an axis, and bars over those that don't differ significantly.

As in Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006, figure 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ranks import Ranked, lanes
from .style import COLOURS, GREY, new_figure, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, LANE, AXIS, NOTE = 0.17, 0.1, 0.5, 0.13
"""Heights in inches: of a name, of a lane of bars, of the axis with the critical difference, of a line below."""

MARGIN = 0.3
"""Share of the width on either side of the axis: for the names."""

LETTERS = 14.0
"""Letters of 7 points in an inch, about."""


def draw(found: Ranked, *, width: float = 6.0) -> Figure:
    """Draw the mean ranks: the best variant on the left, the critical difference above the axis.

    The names of the better half stand on the left, those of the others on the right.

    Args:
        found: the mean ranks.
        width: of the figure in inches.
    """
    count = len(found.rows)
    left = (count + 1) // 2
    bars = lanes(found)
    lines = [line for note in found.notes for line in textwrap.wrap(shown(note), int(width * LETTERS * 1.1))]
    below = AXIS + LANE * (max(bars, default=-1) + 2)
    height = below + ROW * left + NOTE * (len(lines) + 2.5)
    figure = new_figure(width, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)  # downwards, in inches

    def across(rank: float) -> float:
        return width * (MARGIN + (1 - 2 * MARGIN) * (rank - 1) / (count - 1))

    _axis(axes, found, across(1), across(count), [across(rank) for rank in range(1, count + 1)])
    for (first, last), lane in zip(found.bars, bars, strict=True):
        ends = [across(found.rows[first].rank) - 0.03, across(found.rows[last].rank) + 0.03]
        y = AXIS + LANE * (lane + 1)
        axes.plot(ends, [y, y], color=COLOURS[0], linewidth=3.0, solid_capstyle="butt", zorder=3)
    room = int(width * MARGIN * LETTERS)
    for number, row in enumerate(found.rows):
        is_left = number < left
        y = below + ROW * (number if is_left else count - 1 - number) + ROW / 2
        x, end = across(row.rank), width * (MARGIN - 0.01 if is_left else 1 - MARGIN + 0.01)
        axes.plot([x, x, end], [AXIS, y, y], color=GREY, linewidth=0.7, zorder=1)
        text = f"{_fitting(shown(row.label), room)} {row.rank:.2f}"
        axes.text(
            end + (-0.04 if is_left else 0.04), y, text, ha="right" if is_left else "left", va="center", fontsize=7
        )
    start = below + ROW * left + NOTE
    for number, line in enumerate([shown(found.title) + ".", *lines]):
        axes.text(0.06, start + NOTE * (number + 0.5), line, va="center", fontsize=6.5, color="black")
    return figure


def _fitting(name: str, room: int) -> str:
    """A name of at most so many letters: the end of a longer one is left out."""
    return name if len(name) <= room else f"{name[: max(1, room - 3)]}..."


def _axis(axes: Axes, found: Ranked, low: float, high: float, ticks: Sequence[float]) -> None:
    """The axis with its ranks, and the critical difference as a line above it."""
    axes.plot([low, high], [AXIS, AXIS], color="black", linewidth=0.8, zorder=2)
    step = max(1, len(ticks) // 20)
    for number, x in enumerate(ticks):
        if number % step == 0 or number == len(ticks) - 1:
            axes.plot([x, x], [AXIS - 0.05, AXIS], color="black", linewidth=0.8)
            axes.text(x, AXIS - 0.07, str(number + 1), ha="center", va="bottom", fontsize=7)
    length = (high - low) * found.critical_difference / (len(ticks) - 1)
    end = min(low + length, 2 * high - low)
    axes.plot([low, end], [0.2, 0.2], color="black", linewidth=1.0, marker="|", markersize=4)
    axes.text(low, 0.13, f"critical difference {found.critical_difference:.2f}", ha="left", va="bottom", fontsize=7)
