"""The figure of the critical-difference diagram."""

from __future__ import annotations

import pytest

from adbench.report.plots import ranks, style
from adbench.report.ranks import Ranked, RankRow

pytest.importorskip("matplotlib")


def made(count: int) -> Ranked:
    """Variants with the ranks from 1, where neighbours don't differ significantly."""
    rows = tuple(RankRow(f"method{number}", float(number + 1), "") for number in range(count))
    return Ranked("Mean ranks", rows, tuple((at, at + 1) for at in range(count - 1)), 1.5, 0.001, ("a note",))


def test_every_name_has_a_row_of_its_own_within_the_figure():
    """Ten names, five on either side: no text covers another one or is cut off."""
    with style.settings():
        figure = ranks.draw(made(10))
        (axes,) = figure.axes
        boxes = [text.get_window_extent() for text in axes.texts]
        whole = figure.bbox
    assert sum("method" in text.get_text() for text in axes.texts) == 10
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
               for box in boxes)  # fmt: skip


def test_bars_that_share_a_variant_are_on_different_lanes():
    """Four variants, three bars: each runs over its variants, and no two of one height touch."""
    with style.settings():
        (axes,) = ranks.draw(made(4)).axes
    bars = [line for line in axes.lines if line.get_linewidth() == 3.0]
    heights = [bar.get_ydata()[0] for bar in bars]
    assert len(bars) == 3
    assert heights[0] == heights[2] != heights[1]
    assert all(bar.get_xdata()[0] < bar.get_xdata()[1] for bar in bars)
