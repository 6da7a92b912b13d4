"""The critical-difference diagram as a chart: mean ranks, and bars over those that don't differ significantly.

As in Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006, but with a row for each name,
so that long names have room on a phone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ...results.variants import Board
from ...util.errors import ResultError
from ...util.text import printable
from ..ranks import Ranked, Unit, lanes, ranked, table_of
from ..tables import AnyTable
from .charts import WIDTH, Chart, Dot, Line, Text, short
from .figures import Figure

MOST = 40
"""Variants of a diagram, at most; the table has more."""

SIDE, AXIS, LANE, ROW = 20.0, 44.0, 8.0, 18.0
"""Units: beside the axis, above it, for a lane of bars, and for a name."""

LETTER = 6.2
"""Width of a letter in units, about."""


@dataclass(frozen=True)
class Ranks:
    """A diagram with its table, or only a ``note`` that says why there is none."""

    figure: Figure | None
    table: AnyTable | None
    note: str = ""


def of_boards(boards: Sequence[Board], metric: str, unit: Unit) -> Ranks:
    """The mean ranks over data sets or classes, as a diagram and as a table.

    Args:
        boards: what to rank.
        metric: a field of ``Metrics``.
        unit: what counts once.
    """
    try:
        found = ranked(boards, metric, unit)
    except ResultError as error:
        return Ranks(None, None, f"No critical-difference diagram: it needs {error.parts['wanted']}.")
    if len(found.rows) > MOST:
        note = f"No critical-difference diagram of more than {MOST} variants; the table has all {len(found.rows)}."
        return Ranks(None, table_of(found), note)
    return Ranks(Figure("Critical difference", diagram(found)), table_of(found))


def diagram(found: Ranked) -> Chart:
    """Mean ranks on an axis, best on the left; below it bars, and a row for each variant.

    Args:
        found: the mean ranks of at least two variants.
    """
    count = len(found.rows)
    scale = min(WIDTH - 2 * SIDE, (WIDTH - 2 * SIDE) * (count - 1) / found.critical_difference) / (count - 1)

    def across(rank: float) -> float:
        return SIDE + scale * (rank - 1)

    bars = lanes(found)
    top = AXIS + LANE * (max(bars, default=-1) + 2)
    step = max(1, count // 12)
    ticks = [rank for rank in range(1, count + 1) if (rank - 1) % step == 0]
    scales = [Text(short(across(rank)), short(AXIS - 6), str(rank), anchor="middle") for rank in ticks]
    said = f"critical difference {found.critical_difference:.2f}"
    scales.append(Text(short(SIDE), "12", f"mean rank, 1 is the best; {said}", "axis"))
    lines = [Line(f"M{short(across(1))} {AXIS:g}H{short(across(count))}", "axis-line")]
    lines += [Line(f"M{short(across(rank))} {AXIS - 4:g}v4", "axis-line") for rank in ticks]
    width = short(scale * found.critical_difference)
    lines.append(Line(f"M{short(across(1))} 16v6m0-3h{width}m0-3v6", "cd", said))
    places = [(short(across(row.rank)), top + ROW * (number + 0.5)) for number, row in enumerate(found.rows)]
    lines += [Line(f"M{x} {AXIS:g}V{short(y)}", "stem") for x, y in places]
    for (first, last), lane in zip(found.bars, bars, strict=True):
        start, end = across(found.rows[first].rank) - 3, across(found.rows[last].rank) + 3
        names = ", ".join(row.label for row in found.rows[first : last + 1])
        y = short(AXIS + LANE * (lane + 1))
        lines.append(Line(f"M{short(start)} {y}H{short(end)}", "clique", f"not significantly different: {names}"))
    dots = [
        Dot(x, short(y), "3.5", "point c0", f"{row.label}: mean rank {row.rank:.2f}")
        for row, (x, y) in zip(found.rows, places, strict=True)
    ]
    names_ = [_name(row.label, row.rank, across(row.rank), y) for row, (_, y) in zip(found.rows, places, strict=True)]
    label = f"{found.title}: " + "; ".join(f"{row.label} {row.rank:.2f}" for row in found.rows)
    return Chart(
        label, "", tuple(scales), lines=tuple(lines), dots=tuple(dots), names=tuple(names_),
        height=short(top + ROW * count + 4),
    )  # fmt: skip


def _name(label: str, rank: float, x: float, y: float) -> Text:
    """A name beside its dot, on the side that has more room."""
    is_right = x < WIDTH / 2
    room = (WIDTH - x if is_right else x) - 12
    text = f"{fitting(printable(label), int(room / LETTER) - 5)} {rank:.2f}"
    return Text(short(x + (8 if is_right else -8)), short(y + 4), text, "rank", "start" if is_right else "end")


def fitting(text: str, room: int) -> str:
    """The text, cut off where it is wider than so many letters; letters of East Asia are twice as wide."""
    widths = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(widths) <= room:
        return text
    kept, used = "", 1
    for letter, width in zip(text, widths, strict=True):
        used += width
        if used > room:
            break
        kept += letter
    return f"{kept}\N{HORIZONTAL ELLIPSIS}"
