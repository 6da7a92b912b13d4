"""Perlin noise against DRAEM's program, and the laws of noise, lattices and rotations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from adbench_plugins import perlin
from flow_doubles import assert_near, golden_file
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_noise_is_that_of_draems_program(number: int) -> None:
    """With its random angles, fields of 64 x 64 with 4 x 8, 1 x 2 and 32 x 16 cells are those of DRAEM's program."""
    golden = golden_file("perlin_small.npz")
    angles = 2 * math.pi * torch.from_numpy(golden[f"perlin{number}_unit_angles"])
    cells = torch.from_numpy(golden[f"perlin{number}_res"])
    found = perlin.noise(angles[None], cells[None], (64, 64))
    assert_near(golden[f"perlin{number}_noise_64x64"], found[0], 1e-5)


def plain_noise(angles: np.ndarray, cells: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """One field, pixel by pixel."""
    field = np.zeros(size)
    for y, x in np.ndindex(*size):
        place = y * cells[0] / size[0], x * cells[1] / size[1]
        row, column = int(place[0]), int(place[1])
        corners = {}
        for below, right in np.ndindex(2, 2):
            angle = angles[row + below, column + right]
            way = place[0] - row - below, place[1] - column - right
            corners[below, right] = math.cos(angle) * way[0] + math.sin(angle) * way[1]
        down, across = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (place[0] - row, place[1] - column))
        left = corners[0, 0] + down * (corners[1, 0] - corners[0, 0])
        right_side = corners[0, 1] + down * (corners[1, 1] - corners[0, 1])
        field[y, x] = math.sqrt(2) * (left + across * (right_side - left))
    return field


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    st.tuples(st.integers(5, 12), st.integers(5, 12)),
)
def test_fields_of_different_lattices_are_those_of_a_plain_loop(cells, size):
    """Each field uses its own cells and the first corners, at sizes that the cells don't divide as well."""
    angles = 2 * math.pi * torch.rand(len(cells), 6, 6, dtype=torch.float64)
    found = perlin.noise(angles, torch.tensor(cells), size)
    for number, own in enumerate(cells):
        np.testing.assert_allclose(found[number], plain_noise(angles[number].numpy(), own, size), atol=1e-6)


def test_noise_is_zero_at_corners_and_within_bounds() -> None:
    """Every corner of a cell is 0, and no value is beyond 1."""
    found = perlin.fields(200, (64, 64), generator=torch.Generator().manual_seed(0))
    assert found.shape == (200, 64, 64)
    assert found[:, 0, 0].abs().max() == 0
    assert 0.7 < found.abs().max() <= 1
    cells = torch.tensor([[4, 8]])
    one = perlin.noise(2 * math.pi * torch.rand(1, 5, 9), cells, (64, 64))
    assert one[0, ::16, ::8].abs().max() == 0
    assert one.abs().max() > 0.1


def test_a_generator_repeats_its_fields_and_leaves_the_global_one_alone() -> None:
    """The same seed gives the same fields, another one others; without a generator the global one is used."""
    before = torch.get_rng_state()
    first, second, third = (
        perlin.fields(3, (32, 48), rotation=90, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    torch.manual_seed(1)
    assert torch.equal(perlin.fields(3, (32, 48), rotation=90), first)


@pytest.mark.parametrize("size", [(2, 2), (3, 40), (16, 24), (288, 288)])
def test_no_field_of_any_size_is_flat(size: tuple[int, int]) -> None:
    """Cells are never smaller than two pixels, where noise would be 0 everywhere."""
    found = perlin.fields(20, size, generator=torch.Generator().manual_seed(0))
    assert (found.flatten(1).abs().amax(dim=1) > 0).all()


def test_all_numbers_of_cells_are_drawn_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Along each axis, and independently: the 36 pairs of exponents from 0 to 5 have the same share."""
    seen = []

    def record(angles: torch.Tensor, cells: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        seen.append(cells)
        return torch.zeros(len(angles), *size)

    monkeypatch.setattr(perlin, "noise", record)
    perlin.fields(3600, (64, 64), generator=torch.Generator().manual_seed(0))
    rows, columns = seen[0].log2().long().unbind(1)
    counts = torch.bincount(6 * rows + columns, minlength=36)
    assert len(counts) == 36
    assert 60 < counts.min() <= counts.max() < 140


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 1), (-90, -1), (180, 2)])
def test_quarter_turns_rotate_exactly(degrees: float, turns: int) -> None:
    """A square field rotated by quarter turns is numpy's, counter-clockwise."""
    fields = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(0))
    found = perlin.rotate(fields, torch.full((2,), float(degrees)))
    np.testing.assert_allclose(found, np.rot90(fields, turns, axes=(1, 2)), atol=1e-4)


def test_a_rotated_oblong_field_keeps_its_scale() -> None:
    """A centred square keeps its area at 30 degrees, and the corners outside are 0."""
    fields = torch.zeros(1, 40, 80)
    fields[:, 12:28, 32:48] = 1
    found = perlin.rotate(fields, torch.tensor([30.0]))
    assert found.sum().item() == pytest.approx(256, rel=0.02)
    assert perlin.rotate(torch.ones(1, 40, 80), torch.tensor([30.0]))[0, 0, 0] == 0
