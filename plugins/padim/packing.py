"""Packs lower triangular matrices into three eighths of the space of square float32 ones.

Only the triangle is stored, with 24 bits for each number: an integer in units of a power of two that is common to its
row. So a number is accurate to 2^-24 of the largest one in its row, as a float is for that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

BITS = 23
"""Bits of a number without its sign."""

LARGEST = 2**BITS - 1

SMALLEST = 126
"""Range of exponents whose powers of two are float32, too."""

AT_ONCE = 2**20
"""Numbers that are processed at once."""


@dataclass(frozen=True)
class Packed:
    """P packed matrices (D, D), row after row: T = D (D + 1) / 2 numbers each.

    A number is ``(256 * high + low) * 2 ** exponent`` of its row: ``high`` (P, T) int16, ``low`` (P, T) uint8,
    ``exponent`` (P, D) int16.
    """

    high: torch.Tensor
    low: torch.Tensor
    exponent: torch.Tensor

    def is_whole(self) -> bool:
        """Whether shapes and types are those of the same matrices."""
        if self.exponent.ndim != 2 or self.high.shape != self.low.shape:
            return False
        count, rows = self.exponent.shape
        types = self.high.dtype, self.low.dtype, self.exponent.dtype
        shape = (count, rows * (rows + 1) // 2)
        return self.high.shape == shape and types == (torch.int16, torch.uint8, torch.int16)


def round_rows(matrices: torch.Tensor) -> torch.Tensor:
    """Round float32 matrices (P, D, D) to the precision of ``pack``, which then packs them without loss."""
    units = _units(_exponents(matrices))
    return _whole(matrices, units).mul_(units)


def pack(matrices: torch.Tensor) -> Packed:
    """Pack float32 matrices (P, D, D) that are 0 above the diagonal."""
    rows = matrices.shape[1]
    lower = _lower(rows, matrices.device)
    high = torch.empty(len(matrices), len(lower), dtype=torch.int16, device=matrices.device)
    low = torch.empty_like(high, dtype=torch.uint8)
    exponent = torch.empty(len(matrices), rows, dtype=torch.int16, device=matrices.device)
    for part in _parts(*matrices.shape[:2]):
        exponent[part] = _exponents(matrices[part])
        whole = _whole(matrices[part], _units(exponent[part])).flatten(1).index_select(1, lower).to(torch.int32)
        high[part] = (whole >> 8).to(torch.int16)
        low[part] = (whole & 255).to(torch.uint8)
    return Packed(high, low, exponent)


def unpack(packed: Packed) -> torch.Tensor:
    """Unpack matrices (P, D, D) in float32, exactly those of ``round_rows``."""
    count, rows = packed.exponent.shape
    lower = _lower(rows, packed.high.device)
    matrices = torch.zeros(count, rows, rows, device=packed.high.device)
    for part in _parts(count, rows):
        whole = (packed.high[part].to(torch.int32) << 8) | packed.low[part].to(torch.int32)
        matrices[part].flatten(1).index_copy_(1, lower, whole.float())
        matrices[part].mul_(_units(packed.exponent[part]))
    return matrices


def packed_bytes(rows: int) -> int:
    """Bytes of one packed matrix with this number of rows."""
    return 3 * (rows * (rows + 1) // 2) + 2 * rows


def _lower(rows: int, device: torch.device) -> torch.Tensor:
    """Indices of the triangle in a matrix that is stored row by row, (T,) int64."""
    return torch.ones(rows, rows, dtype=torch.bool, device=device).tril_().flatten().nonzero()[:, 0]


def _parts(count: int, rows: int) -> Iterator[slice]:
    """A few matrices at a time, which fit into the processor's cache."""
    step = max(1, AT_ONCE // rows**2)
    return (slice(start, start + step) for start in range(0, count, step))


def _exponents(matrices: torch.Tensor) -> torch.Tensor:
    """Exponent for each row (P, D) of the power of two in which its largest number has 23 bits, int16."""
    largest = torch.frexp(torch.linalg.vector_norm(matrices, float("inf"), dim=2)).exponent
    return (largest - BITS).clamp_(-SMALLEST, SMALLEST).to(torch.int16)


def _units(exponent: torch.Tensor) -> torch.Tensor:
    """The powers of two of rows, (P, D) -> (P, D, 1)."""
    return torch.ldexp(torch.ones(exponent.shape, device=exponent.device), exponent)[..., None]


def _whole(matrices: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Numbers in whole units, still as float32."""
    return (matrices / units).round_().clamp_(-LARGEST, LARGEST)
