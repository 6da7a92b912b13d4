"""Labels beside points: none covers another one or a point."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.report.plots.labels import Box, place

INSIDE = Box(0, 0, 300, 200)
SPOTS = st.lists(st.tuples(st.floats(5, 295), st.floats(5, 195)), min_size=1, max_size=15)


@settings(max_examples=20)
@given(SPOTS, st.data())
def test_no_label_covers_a_label_or_a_mark(spots, data):
    """Wherever the points are, placed labels are inside and apart; the others are reported as not placed."""
    sizes = [(data.draw(st.floats(5, 90)), 9.0) for _ in spots]
    boxes = [box for box in place(spots, sizes, INSIDE) if box is not None]
    assert all(box.within(INSIDE) for box in boxes)
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    assert not any(box.overlaps(Box.around(spot, 3.0)) for box in boxes for spot in spots)


def test_twenty_labels_of_one_crowd_find_their_places():
    """Points of a usual figure, some of them equal, all get a label."""
    spots = [(100 + 6 * (number % 5), 80 + 5 * (number // 5)) for number in range(20)]
    assert None not in place(spots, [(60.0, 9.0)] * 20, Box(0, 0, 396, 260))


def test_no_label_lies_on_a_line():
    """Beside an upright line a label moves to its other side."""
    line = ((160, 0), (160, 200))
    (box,) = place([(150, 100)], [(40, 9)], INSIDE, lines=[line])
    assert box.right <= 159 or box.left >= 161


def test_a_label_stands_right_of_a_lonely_mark():
    """The nearest place is taken, and a label too large for the figure has none."""
    (box,) = place([(150, 100)], [(40, 9)], INSIDE)
    assert (box.left, (box.bottom + box.top) / 2) == (155, 100)
    assert box.distance((150, 100)) == 5
    assert box.nearest((150, 100)) == (155, 100)
    assert place([(150, 100)], [(400, 9)], INSIDE) == [None]
