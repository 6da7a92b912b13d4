"""Tiles: where they lie, how they are cut, and how their maps are joined."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from adbench.data.tiling import Grid, starts, window

SIDE = st.integers(1, 90)


@st.composite
def grids(draw) -> Grid:
    """Grids of any size, tile and overlap."""
    tile = draw(SIDE), draw(SIDE)
    return Grid((draw(SIDE), draw(SIDE)), tile, draw(st.integers(0, min(tile) - 1)))


def cut(grid: Grid, values: np.ndarray) -> torch.Tensor:
    """The tiles of one channel (H, W) as maps (T, h, w)."""
    return torch.from_numpy(np.stack([tile[..., 0] for tile in grid.cut(values[..., None])]))


@given(grids(), st.integers(0, 1000))
@example(Grid((3, 1), (32, 32), 31), 0)
def test_joining_the_tiles_of_an_image_gives_the_image_back(grid, seed):
    """Cut and joined again, every pixel has exactly its value, for any size, tile and overlap."""
    values = np.random.default_rng(seed).normal(size=grid.size).astype(np.float32)
    tiles = cut(grid, values)
    assert tiles.shape == (len(grid), *grid.tile)
    assert np.array_equal(grid.blend(tiles).numpy(), values)


@given(grids(), st.floats(-1e6, 1e6, width=32))
def test_a_constant_map_stays_exactly_constant(grid, value):
    """Weights sum to 1 to the last digit: where all tiles say the same, the image gets that very number."""
    joined = grid.blend(torch.full((len(grid), *grid.tile), value))
    assert joined.min() == joined.max() == value


@given(st.integers(1, 500), st.integers(1, 100), st.data())
def test_every_pixel_is_in_a_tile(length, tile, data):
    """Tiles begin at least a pixel apart, overlap by at least what was asked for, and end where the image ends."""
    overlap = data.draw(st.integers(0, tile - 1))
    found = starts(length, tile, overlap)
    assert found[0] == 0
    assert found[-1] == max(length - tile, 0)
    assert all(0 < after - before <= tile - overlap for before, after in pairwise(found))


def test_weights_of_neighbours_sum_to_one():
    """Over the overlap one tile's weight falls as its neighbour's rises, and both are smooth."""
    weights = window(64, 16)
    assert weights[48:] + weights[:16] == pytest.approx(np.ones(16))
    assert weights[16:48].tolist() == [1.0] * 32
    assert np.abs(np.diff(weights)).max() < 0.1


def test_a_map_is_smooth_where_tiles_disagree():
    """Two tiles that say 0 and 1 meet in a slope over their overlap, without an edge."""
    grid = Grid((32, 56), (32, 32), 8)
    joined = grid.blend(torch.stack([torch.zeros(32, 32), torch.ones(32, 32)]))
    assert joined[:, :24].max() == 0
    assert joined[:, 32:].min() == 1
    assert joined[0].diff().max() < 0.25


def test_small_images_are_continued_by_reflection():
    """An image smaller than a tile is mirrored at its last row and column; its map has its own size."""
    grid = Grid((2, 3), (4, 4), 0)
    (tile,) = grid.cut(np.arange(6, dtype=np.uint8).reshape(2, 3, 1))
    assert tile[..., 0].tolist() == [[0, 1, 2, 1], [3, 4, 5, 4], [0, 1, 2, 1], [3, 4, 5, 4]]
    assert grid.blend(torch.zeros(1, 4, 4)).shape == (2, 3)
