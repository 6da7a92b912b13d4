"""Anomaly maps as images: the scale, the outline, the files."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adbench.run import overlay
from adbench.run.overlay import INFERNO, Scale


def square(side: int = 40) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[10:20, 12:30] = 1
    return mask


def test_the_scale_ends_where_the_percentiles_lie():
    """One hot pixel of ten thousand moves neither end."""
    maps = np.linspace(0, 1, 10_000).reshape(4, 50, 50)
    scale = Scale.of(maps)
    hot = maps.copy()
    hot[3, 49, 49] = 1e6
    assert scale.low == np.percentile(maps, overlay.LOW_PERCENTILE)
    assert Scale.of(hot) == scale


def test_heat_runs_from_the_first_colour_to_the_last():
    """Values at and beyond the ends of a scale get the end's colours."""
    values = np.array([[-5.0, 1.0], [3.0, 99.0]])
    drawn = overlay.heat(values, Scale(1, 3))
    assert drawn.reshape(4, 3).tolist() == [list(INFERNO[0])] * 2 + [list(INFERNO[-1])] * 2


def test_a_constant_map_is_drawn_dark():
    """A scale without a width divides by nothing."""
    flat = np.full((3, 3), 2.0)
    assert (overlay.heat(flat, Scale.of(flat[None])) == INFERNO[0]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_hotter_is_never_darker(values):
    """Lightness follows the value."""
    ordered = np.sort(np.array(values))[None]
    light = overlay.heat(ordered, Scale(-10, 10)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) >= -1).all()  # rounded colours


def test_an_overlay_leaves_the_cold_parts_of_an_image_and_outlines_the_mask():
    """Below the scale the image shows through; a white line surrounds the defect and covers none of it."""
    image = np.full((40, 40, 3), 100, np.uint8)
    mask = square()
    drawn = overlay.overlay(image, np.zeros((40, 40)), mask, Scale(0.5, 1))
    assert (drawn[mask > 0] == 100).all()
    assert (drawn[9, 12:30] == 255).all()
    assert (drawn[8, 12:30] == 0).all()
    assert (drawn[30:, :] == 100).all()


def test_polygons_follow_the_mask():
    """An outline follows the edges of the mask's pixels; one at the image's edge closes, and so does that of a hole."""
    mask = square()
    ((*corners, last),) = overlay.polygons(mask)
    assert corners[0] == last
    across, down = zip(*corners, strict=True)
    assert (min(across), max(across), min(down), max(down)) == (12, 30, 10, 20)
    edge = np.zeros((10, 10), np.uint8)
    edge[:, :4] = 1
    edge[4:6, 1:3] = 0
    assert len(overlay.polygons(edge)) == 2
    assert overlay.polygons(np.zeros((5, 5), np.uint8)) == ()


def test_an_outline_around_a_thin_crack_leaves_it_free():
    """A line of one pixel is not covered: the outline keeps its distance, and near regions share one."""
    crack = np.zeros((30, 30), np.uint8)
    crack[15, 5:25] = 1
    crack[18, 5:25] = 1
    ((*corners, _),) = overlay.outline_around(crack, 2)
    across, down = zip(*corners, strict=True)
    assert (min(across), max(across), min(down), max(down)) == (3, 27, 13, 21)
    assert overlay.outline_around(np.zeros((5, 5), np.uint8), 2) == ()


def test_the_part_that_no_input_reached_is_grey_or_the_image_itself():
    """NaN in a map is no score: it is neither hot nor cold."""
    values = np.array([[np.nan, 1.0]])
    image = np.full((1, 2, 3), 100, np.uint8)
    assert overlay.heat(values, Scale(0, 1)).tolist() == [[list(overlay.UNSEEN), list(INFERNO[-1])]]
    drawn = overlay.overlay(image, values, None, Scale(0, 1))
    assert drawn[0, 0].tolist() == [100] * 3
    assert drawn[0, 1].tolist() != [100] * 3


def test_wide_images_are_joined_below_each_other():
    """So a page can show both in full width; others stand side by side."""
    for size, joined in (((10, 20), (24, 20)), ((20, 10), (20, 24)), ((10, 10), (10, 24))):
        image = np.zeros((*size, 3), np.uint8)
        assert overlay.beside(image, image).shape == (*joined, 3)


def test_encoded_images_are_small_and_keep_their_shape():
    """The longer side has the wanted length, and a smaller image isn't enlarged."""
    image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
    assert Image.open(io.BytesIO(overlay.encode(image, 50))).size == (50, 25)
    assert Image.open(io.BytesIO(overlay.encode(image, 500))).size == (200, 100)


def test_the_legend_holds_the_scale_and_any_text():
    """Letters that the built-in font lacks don't break it, and a long line widens it."""
    assert overlay.legend(Scale(0, 1), ["日本"]).shape[1] == 420
    assert overlay.legend(Scale(0, 1), ["x" * 200]).shape[1] > 1000
