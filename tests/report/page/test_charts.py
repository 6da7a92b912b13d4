"""Charts: positions are right, and any data gives a drawing."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.report.page import charts
from adbench.report.page.charts import Axis, Chart, Mark, Series
from adbench.report.page.templates import chart_svg

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))


def read(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(chart_svg(chart))


def by_class(chart: Chart, name: str) -> list[ElementTree.Element]:
    return [each for each in read(chart).iter() if name in each.get("class", "").split()]


def corners(path: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d", ""))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_a_line_runs_from_corner_to_corner_of_its_axes():
    """(0, 0) is at the bottom left of the plot, (1, 1) at the top right."""
    chart = charts.line_chart("ROC", [Series("a<b", [(0, 0), (1, 1)], 0)], Axis("x"), Axis("y"))
    (line,) = by_class(chart, "line")
    bottom_left = (charts.LEFT, charts.HEIGHT - charts.BOTTOM)
    assert corners(line) == [bottom_left, (charts.WIDTH - charts.RIGHT, charts.TOP)]
    assert line.find("title").text == "a<b"
    assert read(chart).get("aria-label") == "ROC: a<b"


def test_thinning_keeps_ends_and_corners_and_drops_what_lies_between():
    """Ten thousand points on two straight lines become three."""
    line = [(x / 100, 0.0) for x in range(5000)] + [(50.0, y / 100) for y in range(5001)]
    assert charts.thin(line) == [(0, 0), (50, 0), (50, 50)]


@settings(max_examples=50, deadline=None)
@given(NUMBERS, st.floats(1e-3, 1e6))
def test_ticks_are_few_and_inside(low, width):
    """Two to eleven evenly spaced ticks, none outside the axis."""
    high = low + width
    ticks = charts.nice_ticks(low, high)
    slack = width * 1e-6
    assert 2 <= len(ticks) <= 11
    assert all(low - slack <= tick <= high + slack for tick in ticks)


def test_a_log_axis_places_powers_of_ten_evenly():
    """1, 10 and 100 are equally far apart, and a narrow range still has ticks."""
    axis = Axis("speed", 1, 100, log=True)
    assert [axis.place(value) for value in (1, 10, 100)] == pytest.approx([0, 0.5, 1])
    assert Axis("speed", 1, 100, log=True).ticks() == [1, 10, 100]
    assert Axis("speed", 15, 60, log=True).ticks() == [20, 50]


@settings(max_examples=30, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=30), st.lists(NUMBERS, max_size=30))
def test_a_histogram_shows_every_image_once(good, bad):
    """The bars of each kind sum up to its images; good ones are above the line, defective ones below."""
    chart = charts.histogram("scores", good, bad)
    heights = {}
    for kind in ("good", "defective"):
        bars = [each for each in by_class(chart, kind) if each.tag == "rect"]
        heights[kind] = sum(int(bar.find("title").text.split()[0]) for bar in bars)
    assert heights == {"good": len(good), "defective": len(bad)}
    middle = charts.TOP + (charts.HEIGHT - charts.BOTTOM - charts.TOP) / 2
    above = [float(bar.get("y")) for bar in by_class(chart, "good") if bar.tag == "rect"]
    assert all(y < middle for y in above)


def test_each_kind_has_its_own_scale():
    """Two defective images beside a hundred good ones have bars as high, and each half has its own counts."""
    chart = charts.histogram("scores", [0.1] * 100, [0.9] * 2)
    tallest = {kind: max(float(bar.get("height")) for bar in by_class(chart, kind) if bar.tag == "rect")
               for kind in ("good", "defective")}  # fmt: skip
    assert tallest["good"] == pytest.approx(tallest["defective"], abs=0.2)
    ticks = [each.words for each in chart.scales]
    assert "100" in ticks
    assert "2" in ticks


@pytest.mark.parametrize(("value", "place"), [(1.5, 0.5), (3.0, 1.0), (99.0, 1.0), (-99.0, 0.0)])
def test_a_histogram_marks_a_score(value, place):
    """The line is at its score and the axis reaches it; a score far from all others is at the edge."""
    chart = charts.histogram("scores", [1.0, 1.2], [1.8, 2.0], line=(value, "threshold"))
    (line,) = by_class(chart, "threshold")
    assert line.find("title").text == "threshold"
    across = float(line.get("d").split()[0].removeprefix("M"))
    assert across == pytest.approx(charts.LEFT + place * (charts.WIDTH - charts.LEFT - charts.RIGHT), abs=0.1)


def test_the_first_25_styles_differ_in_colour_or_dash():
    """No two lines of a page look the same up to 25."""
    assert len({charts.style_class(style) for style in range(25)}) == 25
    for style in range(5):
        assert charts.style_class(style).split()[1] == f"d{style}"


def test_marks_and_points_carry_their_texts():
    """A mark's text is its tooltip, and a screen reader finds it in the page."""
    mark = Mark((1, 0.5), "oracle 0.5 at epoch 1", 2, "oracle")
    chart = charts.line_chart("m", [Series("a", [(0, 0), (1, 1)], 2)], Axis("x"), Axis("y"), marks=[mark])
    (drawn,) = by_class(chart, "oracle")
    assert drawn.find("title").text == mark.text
    scatter = charts.scatter("s", [((10, 0.9), "one"), ((100, 0.5), "two")], Axis("x", 1, 1000, log=True), Axis("y"))
    assert [each.find("title").text for each in by_class(scatter, "point")] == ["one", "two"]


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(0.2, 0.2, "0.2"), (0.25, 0.05, "0.25"), (100, 20, "100"), (20000, 5000, "20k"), (1.5e6, 5e5, "1.5M"), (0, 1, "0"),
     (-1e-17, 0.2, "0"), (2e-5, 1e-5, "2e-05")],
)  # fmt: skip
def test_ticks_are_written_short(value, step, text):
    """A tick has as many digits as its neighbours need to differ, and no long rows of zeros."""
    assert charts.number_text(value, step) == text


def test_padding_leaves_a_margin_even_around_one_value():
    """A range is never empty."""
    assert charts.padded([0.5, 0.5])[0] < 0.5 < charts.padded([0.5, 0.5])[1]
    assert charts.padded([0.0]) == (-1, 1)
    assert math.isclose(charts.padded([0, 100], share=0.1)[1], 110)


ANY = st.floats(-9e299, 9e299)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=6), st.lists(ANY, max_size=6), st.none() | ANY)
def test_any_numbers_give_a_drawing(good, bad, line):
    """Scores and losses that are equal, tiny, huge or far apart are drawn at finite positions."""
    drawn = [charts.histogram("scores", good, bad, line=None if line is None else (line, "threshold"))]
    low, high = charts.padded(good)
    points = [(float(number), value) for number, value in enumerate(good)]
    drawn.append(charts.line_chart("loss", [Series("a", points, 0)], Axis("x", 0, 7), Axis("y", low, high)))
    for chart in drawn:
        svg = chart_svg(chart)
        ElementTree.fromstring(svg)
        places = re.findall(r' (?:x|y|width|height|d|points)="([^"]*)"', svg)
        assert not [place for place in places if "nan" in place or "inf" in place]


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e9), (5e-324, 1e300), (1.0, 1.5)])
def test_a_log_axis_has_few_ticks(low, high):
    """However many decades an axis spans, its ticks are readable."""
    assert 1 <= len(Axis("loss", low, high, log=True).ticks()) <= 13


@pytest.mark.parametrize("values", [[0.5, 99.5], [100.0], [-20.0], [250.0, 300.0], [0.0]])
def test_an_axis_of_percentages_holds_its_values(values):
    """It ends at 0 and at the top unless values lie beyond."""
    axis = charts.percent_axis("y", values, 102.0)
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values)
    assert axis.low >= min(0.0, *values)
    assert axis.high <= max(102.0, *values)
