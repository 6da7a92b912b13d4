"""The critical-difference diagram of the report and the site."""

from __future__ import annotations

from xml.etree import ElementTree

from made_results import make_result

from adbench.report.page import ranks, templates
from adbench.report.ranks import Ranked, RankRow
from adbench.results.variants import boards


def made(*values: float, bars=((0, 1),), label="m") -> Ranked:
    """Variants with these mean ranks."""
    rows = tuple(RankRow(f"{label}{number}", value, "a") for number, value in enumerate(values))
    return Ranked("Mean ranks", rows, tuple(bars), 0.8, 0.01, ("a note",))


def test_a_mean_rank_stands_at_its_place_on_the_axis():
    """Ranks 1, 2 and 3 have equal distances; the line of the critical difference is 0.8 of one of them."""
    chart = ranks.diagram(made(1.0, 2.0, 3.0))
    places = [float(dot.x) for dot in chart.dots]
    assert places[1] - places[0] == places[2] - places[1] > 100
    (width,) = [line.data.split("h")[1].split("m")[0] for line in chart.lines if line.kind == "cd"]
    assert float(width) == 0.8 * (places[1] - places[0])


def test_a_bar_joins_what_does_not_differ():
    """It runs from the first to the last of its variants, and its tooltip names them."""
    chart = ranks.diagram(made(1.0, 1.5, 3.0))
    (bar,) = [line for line in chart.lines if line.kind == "clique"]
    start, end = (float(part.split()[0]) for part in bar.data[1:].split("H"))
    assert start < float(chart.dots[0].x) < float(chart.dots[1].x) < end < float(chart.dots[2].x)
    assert bar.title == "not significantly different: m0, m1"


def test_a_wide_critical_difference_fits():
    """Two variants on two data sets: the line is longer than the axis, and both are within the chart."""
    found = Ranked("Mean ranks", made(1.0, 2.0).rows, ((0, 1),), 1.39, 0.5, ())
    (line,) = [line for line in ranks.diagram(found).lines if line.kind == "cd"]
    assert 20 + float(line.data.split("h")[1].split("m")[0]) <= 340


def test_long_and_nasty_names_stay_within_and_are_text():
    """A name that has no room is cut off; nothing in it becomes markup."""
    chart = ranks.diagram(made(1.0, 2.0, label="<b>" + "x" * 90))
    assert all(len(name.words) < 60 for name in chart.names)
    svg = ElementTree.fromstring(templates.chart_svg(chart))
    assert any("<b>x" in (each.text or "") for each in svg.iter("text"))
    assert ranks.fitting("零件零件", 5) == "零件…"


def test_too_few_classes_or_too_many_variants_are_said():
    """One class gives a sentence; 41 variants give a table and a sentence."""
    (board,) = boards([make_result("a"), make_result("b")])
    few = ranks.of_boards([board], "image_auroc", "classes")
    assert (few.figure, few.table) == (None, None)
    assert few.note == "No critical-difference diagram: it needs two variants on the same two classes at least."
    many = [make_result(f"m{number:02}", name, image=number / 50) for number in range(41) for name in ("x", "y")]
    crowd = ranks.of_boards(boards(many), "image_auroc", "classes")
    assert crowd.figure is None
    assert len(crowd.table.rows) == 41
    assert "more than 40" in crowd.note
