"""Packed triangular matrices: small, exact once rounded, and accurate to the last bits of a float."""

from __future__ import annotations

import torch
from adbench_plugins.padim.packing import Packed, pack, packed_bytes, round_rows, unpack
from hypothesis import given, settings
from hypothesis import strategies as st


def triangles(count: int, rows: int, seed: int = 0, spread: float = 3.0) -> torch.Tensor:
    """Random lower triangular matrices (P, D, D) whose rows differ by orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, rows, rows, generator=generator)
    scales = 10 ** (spread * torch.randn(count, rows, 1, generator=generator))
    return (values * scales).tril_()


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 5), rows=st.integers(1, 40), seed=st.integers(0, 99), spread=st.floats(0, 9))
def test_rounded_matrices_are_packed_without_loss(count, rows, seed, spread):
    """Rounded matrices are unpacked bit by bit, and rounding them again changes nothing."""
    rounded = round_rows(triangles(count, rows, seed, spread))
    assert torch.equal(rounded, unpack(pack(rounded)))
    assert torch.equal(rounded, round_rows(rounded))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), seed=st.integers(0, 99))
def test_rounding_is_right_to_24_bits_of_a_rows_largest_number(rows, seed):
    """The error is at most half a unit of the last of 23 bits and the sign."""
    matrices = triangles(3, rows, seed)
    largest = matrices.abs().amax(dim=2, keepdim=True)
    error = (round_rows(matrices).double() - matrices.double()).abs()
    assert bool((error <= largest.double() * 2**-23).all())


def test_numbers_at_the_limits():
    """Zeros, the largest fraction below a power of two, the smallest and the largest floats are exact."""
    for value in (0.0, 1 - 2.0**-24, -1.0, 2.0**-149, 1e-42, 3e38):
        rounded = round_rows(torch.full((1, 3, 3), value).tril_())
        assert torch.isfinite(rounded).all()
        assert torch.equal(rounded, unpack(pack(rounded)))


def test_the_size_is_three_eighths():
    """There are three bytes for each number of the triangle, and two for each row."""
    for rows in (1, 20, 550):
        packed = pack(round_rows(triangles(2, rows)))
        size = sum(part.nbytes for part in (packed.high, packed.low, packed.exponent))
        assert size == 2 * packed_bytes(rows)
    assert packed_bytes(550) < 0.38 * 4 * 550**2
    assert packed_bytes(20) < 0.43 * 4 * 20**2


def test_whoever_reads_the_docstring_gets_the_numbers():
    """The documented formula gives the matrix without our code."""
    rounded = round_rows(triangles(2, 4))
    packed = pack(rounded)
    numbers = (256 * packed.high.double() + packed.low.double()).tolist()
    for matrix, values, exponents in zip(rounded.double(), numbers, packed.exponent.tolist(), strict=True):
        for row in range(4):
            for column in range(row + 1):
                value = values[row * (row + 1) // 2 + column] * 2.0 ** exponents[row]
                assert value == float(matrix[row, column])


def test_parts_of_other_matrices_are_told():
    """Shapes and types must fit together."""
    whole = pack(round_rows(triangles(3, 5)))
    assert whole.is_whole()
    assert not Packed(whole.high[:2], whole.low, whole.exponent).is_whole()
    assert not Packed(whole.high, whole.low, whole.exponent[:, :4]).is_whole()
    assert not Packed(whole.high.float(), whole.low, whole.exponent).is_whole()
    assert not Packed(whole.high, whole.low, whole.exponent[0]).is_whole()
