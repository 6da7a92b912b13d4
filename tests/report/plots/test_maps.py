"""The figure of test images and their maps."""

from __future__ import annotations

import numpy as np
import pytest

from adbench.report.plots import maps, style
from adbench.run.montage import Montage, Row

pytest.importorskip("matplotlib")


def row(height: int, width: int, *, masked: bool = True) -> Row:
    image = np.full((height, width, 3), 100, np.uint8)
    mask = np.ones((height, width), np.uint8) if masked else None
    return Row("c/test/hole/0.png", "hole", image, mask, (image + 1, image + 2))


def cells(figure) -> list:
    """Width and height of each image in inches, row by row."""
    size = figure.get_size_inches()
    return [(axes.get_position().width * size[0], axes.get_position().height * size[1]) for axes in figure.axes]


def test_each_image_keeps_its_shape_beside_its_truth_and_maps():
    """All columns are equally wide, and a tall image makes its row tall."""
    with style.settings():
        figure = maps.draw(Montage(("padim:cpu", "cfa"), (row(10, 20), row(50, 20))))
    found = cells(figure)
    assert len(found) == 2 * 4
    assert len({round(width, 6) for width, _ in found}) == 1
    assert [round(height / width, 6) for width, height in found] == [0.5] * 4 + [2.5] * 4
    assert [each.get_text() for each in figure.texts][:4] == ["image", "ground truth", "padim:cpu", "cfa"]
    drawn = [axes.images[0].get_array() for axes in figure.axes]
    assert drawn[1].min() == 255
    assert drawn[2].min() == 101


def test_without_masks_there_is_no_column_for_them():
    """A good image beside defective ones has a black one."""
    with style.settings():
        without = maps.draw(Montage(("a", "b"), (row(10, 20, masked=False),)))
        mixed = maps.draw(Montage(("a", "b"), (row(10, 20), row(10, 20, masked=False))))
    assert len(without.axes) == 3
    assert mixed.axes[5].images[0].get_array().max() == 0


def test_long_names_are_folded_above_their_column():
    """No title covers the next one."""
    name = "supersimplenet:cpu,few-shot=4,backbone=wide_resnet50_2"
    with style.settings():
        figure = maps.draw(Montage((name, name), (row(10, 10),)), width=4)
        boxes = [each.get_window_extent() for each in figure.texts[:4]]
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    assert all(box.y1 <= figure.get_window_extent().y1 for box in boxes)


def test_the_images_are_named():
    """A person must know which images they are."""
    assert maps.described(Montage(("a",), (row(4, 4),))) == "1 image, from top to bottom: c/test/hole/0.png."
