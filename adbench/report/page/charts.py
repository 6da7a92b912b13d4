"""Charts as inline SVG. Their colours are CSS variables, so that one drawing serves for light and dark.

Every series has its own colour *and* its own dash, so colour alone carries no information. All charts are 360 units
wide, about the width of a phone, so that their letters keep their size.

Plotting libraries were tried. Their SVG is larger and slower to make, and no style sheet reaches its colours
(docs/report.md has the numbers).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Point = tuple[float, float]

WIDTH, HEIGHT = 360.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 10.0, 38.0

COLOURS = 5
"""Number of colours in the style sheet, and of dashes; two series share both only from the 26th on."""

FINENESS = 0.4
"""Tolerance in units within which a curve is drawn."""

LARGEST = 1e300
"""Limit of values, so that the difference of two is finite."""

NARROWEST = 1e-9
"""Least width of an axis, as a share of its values: a narrower one would show rounding errors."""


# ---------------------------------------------------------------- what is drawn


@dataclass(frozen=True)
class Series:
    """A named line through points; ``style`` numbers its colour and dash, the same on the whole page."""

    name: str
    points: Sequence[Point]
    style: int


@dataclass(frozen=True)
class Mark:
    """A single point with a tooltip."""

    point: Point
    text: str
    style: int
    kind: Literal["last", "oracle"]


@dataclass(frozen=True)
class Axis:
    """An axis with its title and its range."""

    title: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Position of a value: 0 at the low end, 1 at the high end."""
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
            if len(few) > 2:
                return few[:: math.ceil(len(few) / 8)]
            return [value for value in more if self.low <= value <= self.high]
        return nice_ticks(self.low, self.high, whole=self.whole)


def nice_ticks(low: float, high: float, *, count: int = 5, whole: bool = False) -> list[float]:
    """About ``count`` values from ``low`` to ``high``, in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def padded(values: Iterable[float], *, share: float = 0.08) -> tuple[float, float]:
    """A range around values with a margin on either side."""
    found = list(values)
    low, high = min(found), max(found)
    margin = (high - low) * share or abs(high) * share or 1.0
    return widened(low - margin, high + margin)


def percent_axis(title: str, values: Sequence[float], top: float) -> Axis:
    """An axis around percentages, within 0 and ``top`` if they are."""
    low, high = padded(values)
    return Axis(title, max(low, min(0.0, *values)), min(high, max(top, *values)))


def widened(low: float, high: float) -> tuple[float, float]:
    """A range of at least the least width: NARROWEST of its values, or 1 if both ends are equal."""
    missing = max(abs(low), abs(high)) * NARROWEST + 1e-300 - (high - low)
    if missing <= 0:
        return low, high
    margin = max(missing, 0.5 if low == high else 0.0)
    return low - margin, high + margin


# ---------------------------------------------------------------- where it is drawn


@dataclass(frozen=True)
class Text:
    """Words at a position; ``kind`` is a CSS class here and below."""

    x: str
    y: str
    words: str
    kind: str = ""
    anchor: Literal["start", "middle", "end"] = "start"
    upwards: bool = False


@dataclass(frozen=True)
class Line:
    """A path with a tooltip."""

    data: str
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Bar:
    """A rectangle."""

    x: str
    y: str
    width: str
    height: str
    kind: str
    title: str


@dataclass(frozen=True)
class Dot:
    """A disc, perhaps with a number on it."""

    x: str
    y: str
    radius: str
    kind: str
    title: str
    number: str = ""
    text_y: str = ""


@dataclass(frozen=True)
class Chart:
    """All parts of a chart, drawn by the template from back to front; ``label`` describes it for screen readers."""

    label: str
    grid: str
    scales: tuple[Text, ...]
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    names: tuple[Text, ...] = ()
    width: str = f"{WIDTH:g}"
    height: str = f"{HEIGHT:g}"


# ---------------------------------------------------------------- charts


def line_chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, *, marks: Sequence[Mark] = (), chance: bool = False
) -> Chart:
    """Lines over two axes; ``chance`` adds the diagonal of random scores."""
    lines = [_line([(x.low, y.low), (x.high, y.high)], x, y, "chance")] if chance else []
    lines += [_line(each.points, x, y, f"line {style_class(each.style)}", each.name) for each in series]
    lines += [_diamond(mark, x, y) for mark in marks if mark.kind == "oracle"]
    dots = tuple(_dot(mark.point, x, y, 3.5, _mark_kind(mark), mark.text) for mark in marks if mark.kind == "last")
    label = f"{title}: {', '.join(each.name for each in series)}"
    return Chart(label, *_grid(x, y), lines=tuple(lines), dots=dots)


def histogram(
    title: str, good: Sequence[float], bad: Sequence[float], *, line: tuple[float, str] | None = None, bins: int = 24
) -> Chart:
    """A histogram: scores of good images upwards, of defective ones downwards, over one axis.

    Both halves are as high, each by its own scale: ten defective images stay visible beside a thousand good ones.

    ``line`` is a score to mark, with its text. If it lies farther from all scores than these lie from each other, it
    is drawn at the edge, so that the bars stay separate.
    """
    low, high = widened(min([*good, *bad]), max([*good, *bad]))
    if line is not None:
        reach = 1.02 * (high - low)
        low, high = max(low - reach, min(low, line[0])), min(high + reach, max(high, line[0]))
    kinds = tuple((kind, sign, _count(values, low, high, bins))
                  for kind, sign, values in (("good", 1, good), ("defective", -1, bad)))  # fmt: skip
    x, y = Axis("score", low, high), Axis("images (two scales)", -1.25, 1.25)  # space for the names
    width = (high - low) / bins
    bars = tuple(
        _bar(x, y, number, bins, sign * count / max(column),
             kind, f"{count} {kind} from {number_text(low + number * width, width)}")
        for kind, sign, column in kinds
        for number, count in enumerate(column)
        if count
    )  # fmt: skip
    lines = [_line([(low, 0), (high, 0)], x, y, "zero")]
    if line is not None:
        across = min(max(line[0], low), high)
        lines.append(_line([(across, y.low), (across, y.high)], x, y, "threshold", line[1]))
    inside = short(LEFT + 6)
    names = (
        Text(inside, short(TOP + 12), f"good ({len(good)})", "name good"),
        Text(inside, short(HEIGHT - BOTTOM - 6), f"defective ({len(bad)})", "name defective"),
    )
    label = f"{title}: scores of {len(good)} good and {len(bad)} defective images"
    ticks = [
        (sign * value / max(1, *column), f"{value:g}")
        for _, sign, column in kinds
        for value in nice_ticks(0, max(1, *column), count=3, whole=True)
    ]
    return Chart(label, *_grid(x, y, y_ticks=ticks), bars=bars, lines=tuple(lines), names=names)


def scatter(
    title: str, points: Sequence[tuple[Point, str]], x: Axis, y: Axis, *, fronts: Sequence[Sequence[Point]] = ()
) -> Chart:
    """Numbered points; a legend gives the name of each number. Dashed lines join the points of each of ``fronts``."""
    dots = tuple(
        _dot(point, x, y, 10, f"point c{number % COLOURS}", text, str(number + 1))
        for number, (point, text) in enumerate(points)
    )
    lines = tuple(_line(front, x, y, "front", "Pareto front") for front in fronts if len(front) > 1)
    return Chart(f"{title}: {'; '.join(text for _, text in points)}", *_grid(x, y), lines=lines, dots=dots)


def style_class(style: int) -> str:
    """The CSS classes of a style."""
    return f"c{style % COLOURS} d{(style + style // COLOURS) % COLOURS}"


# ---------------------------------------------------------------- pieces


def _at(across: float, up: float, x: Axis, y: Axis) -> Point:
    return (
        LEFT + x.place(across) * (WIDTH - LEFT - RIGHT),
        HEIGHT - BOTTOM - y.place(up) * (HEIGHT - TOP - BOTTOM),
    )


def _grid(x: Axis, y: Axis, *, y_ticks: Sequence[tuple[float, str]] | None = None) -> tuple[str, tuple[Text, ...]]:
    """Lines at the ticks, the ticks' values, and the axes' titles."""
    if y_ticks is None:
        y_ticks = [(value, number_text(value, _step(y.ticks()))) for value in y.ticks()]
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    lines, texts = [], []
    for value in x.ticks():
        across = short(_at(value, y.low, x, y)[0])
        lines.append(f"M{across} {TOP:g}V{bottom:g}")
        texts.append(Text(across, short(bottom + 14), number_text(value, _step(x.ticks())), anchor="middle"))
    for value, words in y_ticks:
        down = _at(x.low, value, x, y)[1]
        lines.append(f"M{LEFT:g} {short(down)}H{right:g}")
        texts.append(Text(short(LEFT - 6), short(down + 4), words, anchor="end"))
    texts.append(Text(short((LEFT + right) / 2), short(HEIGHT - 7), x.title, "axis", "middle"))
    texts.append(Text("10", short(TOP + (bottom - TOP) / 2), y.title, "axis", "middle", upwards=True))
    return "".join(lines), tuple(texts)


def _step(ticks: Sequence[float]) -> float:
    return min((after - before for before, after in pairwise(ticks)), default=1.0)


def number_text(value: float, step: float) -> str:
    """Write a tick with the digits that its neighbours need; large numbers as 20k or 1.5M."""
    if abs(value) < step * 1e-6:
        return "0"
    if abs(value) >= 1e12 or abs(value) < 1e-3:
        return f"{value:.{max(0, _digits(step / 10.0 ** math.floor(math.log10(abs(value)))))}e}"
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scale = 1e3 if sign == "k" else limit
            return f"{value / scale:.{_digits(step / scale)}f}{sign}"
    return f"{value:.{_digits(step)}f}"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _line(points: Sequence[Point], x: Axis, y: Axis, kind: str, title: str = "") -> Line:
    placed = thin([_at(*point, x, y) for point in points])
    data = "".join(f"{'L' if number else 'M'}{short(a)} {short(b)}" for number, (a, b) in enumerate(placed))
    return Line(data, kind, title)


def thin(points: Sequence[Point]) -> list[Point]:
    """Drop points that lie on the line between others (Douglas and Peucker, 1973), to within ``FINENESS``."""
    if len(points) < 3:
        return list(points)
    import numpy as np
    from skimage.measure import approximate_polygon

    return [(float(a), float(b)) for a, b in approximate_polygon(np.array(points), FINENESS)]


def _mark_kind(mark: Mark) -> str:
    return f"mark {mark.kind} c{mark.style % COLOURS}"


def _diamond(mark: Mark, x: Axis, y: Axis) -> Line:
    across, down = _at(*mark.point, x, y)
    return Line(f"M{short(across)} {short(down - 6)}l6 6l-6 6l-6-6z", _mark_kind(mark), mark.text)


def _dot(point: Point, x: Axis, y: Axis, radius: float, kind: str, title: str, number: str = "") -> Dot:
    across, down = _at(*point, x, y)
    return Dot(short(across), short(down), short(radius), kind, title, number, short(down + 4))


def _count(values: Iterable[float], low: float, high: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return counts


def _bar(x: Axis, y: Axis, number: int, bins: int, height: float, kind: str, title: str) -> Bar:
    width = (WIDTH - LEFT - RIGHT) / bins
    zero, end = (_at(x.low, value, x, y)[1] for value in (0, height))
    return Bar(short(LEFT + number * width + 0.5), short(min(zero, end)), short(width - 1), short(abs(zero - end)),
               kind, title)  # fmt: skip


def short(value: float) -> str:
    """A length in units, with a tenth where it needs one."""
    return f"{value:.1f}".removesuffix(".0")
