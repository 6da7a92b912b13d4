"""Charts as inline SVG. Their colours are CSS variables, so that one drawing does for light and dark.

Every series has a colour *and* a dash of its own: nothing is told by colour alone. All charts are drawn 360
units wide, about what a phone shows, so that their letters keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from .markup import Html, breakable, join, tag

Point = tuple[float, float]

WIDTH, HEIGHT = 360.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 10.0, 38.0

COLOURS = 5
"""Colours, and as many dashes, in the style sheet; two series share both only from the 26th on."""

FINENESS = 0.4
"""A curve is drawn to within this many units."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows, from where to where."""

    title: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, 0 at the low end and 1 at the high end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(value) - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[float]:
        """A few round values within the axis."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            decades = [10.0**power for power in range(first, last + 1)]
            few = [value for value in decades if self.low <= value <= self.high]
            more = [each * decade for decade in decades for each in (1, 2, 5)]
            return few if len(few) > 2 else [value for value in more if self.low <= value <= self.high]
        return nice_ticks(self.low, self.high, whole=self.whole)


def nice_ticks(low: float, high: float, *, count: int = 5, whole: bool = False) -> list[float]:
    """About ``count`` values of 1, 2 or 5 times a power of ten from ``low`` to ``high``."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class Series:
    """A named line through points; ``style`` numbers its colour and dash, the same on the whole page."""

    name: str
    points: Sequence[Point]
    style: int


@dataclass(frozen=True)
class Mark:
    """A single point with a text that shows when it is pointed at."""

    point: Point
    text: str
    style: int
    kind: Literal["last", "oracle"]


def style_class(style: int) -> str:
    """The CSS classes of a style."""
    return f"c{style % COLOURS} d{(style + style // COLOURS) % COLOURS}"


# ---------------------------------------------------------------- charts


def line_chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, *, marks: Sequence[Mark] = (), chance: bool = False
) -> Html:
    """Lines over two axes; ``chance`` adds the diagonal of guessing."""
    parts = [_grid(x, y)]
    if chance:
        parts.append(_path([(x.low, y.low), (x.high, y.high)], x, y, "chance"))
    for each in series:
        line = _path(each.points, x, y, f"line {style_class(each.style)}", tag("title", None, each.name))
        parts.append(line)
    parts += [_mark(mark, x, y) for mark in marks]
    return _svg(f"{title}: {', '.join(each.name for each in series)}", parts)


def histogram(
    title: str,
    good: Sequence[float],
    bad: Sequence[float],
    *,
    line: tuple[float, str] | None = None,
    bins: int = 24,
) -> Html:
    """Scores of good pictures upwards, of defective ones downwards, over one axis.

    ``line`` is a score to mark and its text. One that lies farther from all scores than these from each other
    stands at the edge: the bars must stay apart.
    """
    low, high = min([*good, *bad]), max([*good, *bad])
    if line is not None:
        reach = 1.02 * (high - low)
        low, high = max(low - reach, min(low, line[0])), min(high + reach, max(high, line[0]))
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = [_count(values, low, high, bins) for values in (good, bad)]
    peak = 1.25 * max(1, *counts[0], *counts[1])  # room for the names
    x, y = Axis("score", low, high), Axis("pictures", -peak, peak, whole=True)
    width = (high - low) / bins
    bars = [
        tag("rect", _bar(x, y, low + number * width, width, sign * count) | {"class": kind},
            tag("title", None, f"{count} {kind} from {number_text(low + number * width, width)}"))
        for kind, sign, column in (("good", 1, counts[0]), ("defective", -1, counts[1]))
        for number, count in enumerate(column)
        if count
    ]  # fmt: skip
    marked = []
    if line is not None:
        across = min(max(line[0], low), high)
        marked = [_path([(across, -peak), (across, peak)], x, y, "threshold", tag("title", None, line[1]))]
    names = [
        tag("text", {"x": LEFT + 6, "y": TOP + 12, "class": "name good"}, f"good ({len(good)})"),
        tag("text", {"x": LEFT + 6, "y": HEIGHT - BOTTOM - 6, "class": "name defective"}, f"defective ({len(bad)})"),
    ]
    return _svg(f"{title}: scores of {len(good)} good and {len(bad)} defective pictures",
                [_grid(x, y, y_text=lambda value: f"{abs(value):g}"), *bars, _path([(low, 0), (high, 0)], x, y, "zero"),
                 *marked, *names])  # fmt: skip


def _count(values: Iterable[float], low: float, high: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return counts


def _bar(x: Axis, y: Axis, start: float, width: float, count: int) -> dict[str, str | int | float | bool | None]:
    left, right = _at(start, 0, x, y)[0], _at(start + width, 0, x, y)[0]
    zero, end = _at(start, 0, x, y)[1], _at(start, count, x, y)[1]
    return {
        "x": _short(left + 0.5),
        "y": _short(min(zero, end)),
        "width": _short(max(right - left - 1, 0.5)),
        "height": _short(abs(zero - end)),
    }


def scatter(title: str, points: Sequence[tuple[Point, str]], x: Axis, y: Axis) -> Html:
    """Numbered points; the number stands beside each name in a legend."""
    parts = [_grid(x, y)]
    for number, (point, text) in enumerate(points):
        across, down = _at(*point, x, y)
        circle = tag("circle", {"cx": _short(across), "cy": _short(down), "r": 10})
        label = tag("text", {"x": _short(across), "y": _short(down + 4), "text-anchor": "middle"}, str(number + 1))
        parts.append(tag("g", {"class": f"point c{number % COLOURS}"}, tag("title", None, text), circle, label))
    return _svg(f"{title}: {'; '.join(text for _, text in points)}", parts)


def swatch(style: int) -> Html:
    """A short piece of a series' line, for a legend."""
    line = tag("path", {"d": "M1 6H31", "class": f"line {style_class(style)}"})
    return tag("svg", {"class": "swatch", "viewBox": "0 0 32 12", "aria-hidden": "true"}, line)


# ---------------------------------------------------------------- pieces


def _svg(label: str, parts: Sequence[Html]) -> Html:
    box = {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img", "aria-label": label, "class": "chart"}
    return tag("svg", box, *parts)


def _at(across: float, up: float, x: Axis, y: Axis) -> Point:
    return (
        LEFT + x.place(across) * (WIDTH - LEFT - RIGHT),
        HEIGHT - BOTTOM - y.place(up) * (HEIGHT - TOP - BOTTOM),
    )


def _grid(x: Axis, y: Axis, *, y_text: Callable[[float], str] | None = None) -> Html:
    """Lines at the ticks, their values, and the axes' titles."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    lines, texts = [], []
    for value in x.ticks():
        across = _short(_at(value, y.low, x, y)[0])
        lines.append(f"M{across} {TOP:g}V{bottom:g}")
        text = number_text(value, _step(x.ticks()))
        texts.append(tag("text", {"x": across, "y": bottom + 14, "text-anchor": "middle"}, text))
    for value in y.ticks():
        down = _at(x.low, value, x, y)[1]
        lines.append(f"M{LEFT:g} {_short(down)}H{right:g}")
        text = y_text(value) if y_text else number_text(value, _step(y.ticks()))
        texts.append(tag("text", {"x": LEFT - 6, "y": _short(down + 4), "text-anchor": "end"}, text))
    middle = TOP + (bottom - TOP) / 2
    titles = [
        tag("text", {"x": (LEFT + right) / 2, "y": HEIGHT - 7, "text-anchor": "middle", "class": "axis"}, x.title),
        tag("text", {"transform": f"translate(10 {middle:g}) rotate(-90)", "text-anchor": "middle", "class": "axis"},
            y.title),
    ]  # fmt: skip
    return tag("g", {"class": "grid"}, tag("path", {"d": "".join(lines)}), *texts, *titles)


def _step(ticks: Sequence[float]) -> float:
    return min((after - before for before, after in pairwise(ticks)), default=1.0)


def number_text(value: float, step: float) -> str:
    """Write a tick with as many digits as its neighbours need; large ones as 20k or 1.5M."""
    if abs(value) < step * 1e-6:
        return "0"
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scale = 1e3 if sign == "k" else limit
            return f"{value / scale:.{_digits(step / scale)}f}{sign}"
    if abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.{_digits(step)}f}"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _path(points: Sequence[Point], x: Axis, y: Axis, kind: str, title: Html | None = None) -> Html:
    placed = thin([_at(*point, x, y) for point in points])
    data = "".join(f"{'L' if number else 'M'}{_short(a)} {_short(b)}" for number, (a, b) in enumerate(placed))
    return tag("path", {"d": data, "class": kind}, *([title] if title else []))


def thin(points: Sequence[Point]) -> list[Point]:
    """Drop points that lie on the line between others (Douglas and Peucker, 1973), to within ``FINENESS``."""
    if len(points) < 3:
        return list(points)
    import numpy as np
    from skimage.measure import approximate_polygon

    return [(float(a), float(b)) for a, b in approximate_polygon(np.array(points), FINENESS)]


def _mark(mark: Mark, x: Axis, y: Axis) -> Html:
    across, down = _at(*mark.point, x, y)
    names = {"class": f"mark {mark.kind} c{mark.style % COLOURS}"}
    title = tag("title", None, mark.text)
    if mark.kind == "last":
        return tag("circle", names | {"cx": _short(across), "cy": _short(down), "r": 3.5}, title)
    diamond = f"M{_short(across)} {_short(down - 6)}l6 6l-6 6l-6-6z"
    return tag("path", names | {"d": diamond}, title)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def padded(values: Iterable[float], *, share: float = 0.08) -> tuple[float, float]:
    """A range around values with some room on either side."""
    found = list(values)
    low, high = min(found), max(found)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def legend(names: Sequence[tuple[int, str]]) -> Html:
    """Names of series with a piece of each one's line."""
    items = [tag("li", None, swatch(style), breakable(name)) for style, name in names]
    return tag("ul", {"class": "legend"}, join(*items))
