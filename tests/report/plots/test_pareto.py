"""The figure of accuracy against speed."""

from __future__ import annotations

import pytest

from adbench.report.frontier import Frontier, Point
from adbench.report.plots import pareto, style
from adbench.util.errors import ResultError

pytest.importorskip("matplotlib")


def frontier(*points: tuple[str, float, float], places: str = "") -> Frontier:
    """Points with names, accuracies and speeds; all timed at one place, or at those given by letters."""
    where = places or "a" * len(points)
    made = tuple(Point(name, value, speed, place) for (name, value, speed), place in zip(points, where, strict=True))
    return Frontier("demo", "image_auroc", "image AUROC", made, ())


def labels(figure) -> list:
    """The texts beside the points."""
    (axes,) = figure.axes
    return [each for each in axes.texts if each.get_text()]


def crowd(count: int) -> Frontier:
    """Points on a slope, close to each other, with names as long as variants'."""
    return frontier(*[(f"supersimplenet:cpu{number}", 0.9 + number / 1000, 60 - number / 2) for number in range(count)])


def test_no_label_covers_another_one_or_leaves_the_axes():
    """Twelve close points have their names beside them, all readable, with lines to the farther ones."""
    with style.settings():
        figure = pareto.draw(crowd(12))
        boxes = [each.get_window_extent() for each in labels(figure)]
        inside = figure.axes[0].get_window_extent()
    assert len(boxes) == 12
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
               for box in boxes)  # fmt: skip


def test_points_get_numbers_and_a_key_where_names_have_no_room():
    """A figure of a single column with many methods is still whole."""
    with style.settings():
        figure = pareto.draw(crowd(40), width=2.0)
    assert sorted(int(each.get_text()) for each in labels(figure)) == list(range(1, 41))
    (key,) = [each.get_text() for each in figure.texts]
    assert " ".join(key.split()).endswith("40 supersimplenet:cpu39")


def test_the_front_is_filled_and_the_rest_is_hollow():
    """In grey, too, it is seen which points nothing beats; a line of steps runs through them."""
    found = frontier(("fast", 0.8, 100), ("good", 0.9, 10), ("poor", 0.7, 50))
    for against, xs, title in (
        ("images/s", [100, 10, 10], "images per second"),
        ("ms", [10, 100, 100], "milliseconds"),
    ):
        with style.settings():
            figure = pareto.draw(found, against=against)
        line, best, rest = figure.axes[0].lines
        assert list(line.get_xdata()) == pytest.approx(xs)
        assert list(line.get_ydata()) == pytest.approx([80, 80, 90])
        assert sorted(best.get_ydata()) == pytest.approx([80, 90])
        assert list(rest.get_ydata()) == pytest.approx([70])
        assert rest.get_markerfacecolor() == "white"
        assert figure.axes[0].get_xlabel().startswith(title)


def test_each_place_has_its_own_front_and_mark():
    """Timings on a GPU and on a CPU don't compare; the legend names the places."""
    with style.settings():
        figure = pareto.draw(frontier(("x", 0.8, 100), ("y", 0.7, 10), places="ab"))
    names = [each.get_text() for each in figure.legends[0].get_texts()]
    assert names == ["Pareto front, a", "on the front, a", "Pareto front, b", "on the front, b"]


def test_a_device_that_all_share_is_said_once():
    """Below the axis; the legend names the numbers of threads, and fits the figure."""
    points = [Point("x", 0.8, 100, "a long processor, 1 thread"), Point("y", 0.7, 10, "a long processor, 2 threads")]
    with style.settings():
        figure = pareto.draw(Frontier("demo", "image_auroc", "image AUROC", tuple(points), ()))
        box, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert figure.axes[0].get_xlabel().endswith("from decoded image to map; a long processor")
    assert figure.legends[0].get_texts()[0].get_text() == "Pareto front, 1 thread"
    assert box.x1 <= whole.x1
    assert box.y1 <= whole.y1


def test_nothing_to_draw_is_a_mistake():
    """A data set without timings has no figure."""
    with pytest.raises(ResultError, match="no ranked variant with a speed"):
        pareto.draw(Frontier("demo", "image_auroc", "t", (), ("a",)))
