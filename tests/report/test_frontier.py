"""Accuracy against speed: which points are on the front."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result

from adbench.report import frontier
from adbench.report.frontier import Frontier, Point
from adbench.results.records import Result
from adbench.results.variants import boards

POINTS = st.lists(
    st.builds(Point, st.just("m"), st.integers(0, 5).map(float), st.integers(1, 5).map(float), st.sampled_from("ab")),
    min_size=1, max_size=12,
)  # fmt: skip


def timed(method: str, image: float | None, speed: float | None, class_name: str = "bolts") -> Result:
    result = make_result(method, class_name, image=image)
    return replace(result, timing=replace(result.timing, images_per_second=speed))


@settings(max_examples=40)
@given(POINTS)
def test_a_point_is_on_the_front_or_beaten_by_one_that_is(points):
    """No point of the front beats another one, and each other point is beaten by one of the front at its place."""
    found = Frontier("d", "image_auroc", "t", tuple(points), ())
    front = found.front()
    assert front
    assert not any(one.beats(other) for one in front for other in front)
    for each in points:
        assert each in front or any(one.beats(each) for one in front)


def test_timings_of_different_places_do_not_compare():
    """A slower machine makes no method worse."""
    here, there = Point("a", 0.9, 10.0, "GPU"), Point("b", 0.8, 5.0, "CPU")
    assert Frontier("d", "image_auroc", "t", (here, there), ()).front() == [here, there]


def test_the_lowest_rate_of_false_alarms_is_the_best():
    """Of a metric whose lowest value is the best, the front has the low ones."""
    fast, best, poor = Point("fast", 0.4, 90.0, "x"), Point("best", 0.1, 10.0, "x"), Point("poor", 0.5, 50.0, "x")
    assert Frontier("d", "image_fpr95", "t", (poor, best, fast), ()).front() == [fast, best]


def test_the_points_are_those_of_the_leaderboard():
    """Means over classes, with those left out that don't rank or were not timed."""
    results = [timed("a", value, 10.0, name) for name, value in (("x", 0.5), ("y", 1.0), ("z", 0.75))]
    results += [timed("b", 0.9, None, name) for name in "xyz"] + [timed("few", 1.0, 99.0, "x")]
    (board,) = boards(results)
    found = frontier.of_board(board, results, "image_auroc")
    assert found.points == (Point("a", 0.75, 10.0, "a processor, 2 threads"),)
    assert found.left_out == ("b", "few")
    assert found.title == "image AUROC, mean over 3 classes"
    assert found.points[0].milliseconds == 100.0
