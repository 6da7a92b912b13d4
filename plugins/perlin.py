"""Perlin noise: smooth random fields, whose high places are the shapes of synthetic anomalies.

Improved noise (Perlin 2002): random unit vectors at the corners of a lattice of cells; the value at a point is a smooth
mean of their products with the ways from the corners to the point. DRAEM (arXiv 2108.07610) brought it to anomaly
detection, with between 1 and 32 cells along each side.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench.api import Size

FINEST = 5
"""Lattices have at most 2 to the power of this many cells along each side."""


def noise(angles: Tensor, cells: Tensor, size: Size) -> Tensor:
    """Compute N fields of Perlin noise, each with its own number of cells.

    Args:
        angles: directions of the vectors at the corners of the cells in radians, from the first axis to the second,
            (N, R + 1, C + 1). A field with fewer than R x C cells uses the first ones.
        cells: cells along height and width, from 1 to R and C, int64 (N, 2).
        size: height and width of a field (H, W).

    Returns:
        (N, H, W), from -1 to 1, and 0 at the corners of the cells.
    """
    vectors = torch.stack((angles.cos(), angles.sin()), dim=-1)  # (N, R + 1, C + 1, 2)
    (rows, down), (columns, across) = (_places(cells[:, axis], size[axis]) for axis in (0, 1))
    field = torch.arange(len(angles), device=angles.device)[:, None, None]
    total = torch.zeros(len(angles), *size, dtype=angles.dtype, device=angles.device)
    for below in (0, 1):
        for right in (0, 1):
            corner = vectors[field, rows[:, :, None] + below, columns[:, None, :] + right]  # (N, H, W, 2)
            product = corner[..., 0] * (down - below)[:, :, None] + corner[..., 1] * (across - right)[:, None, :]
            total += product * _share(down, below)[:, :, None] * _share(across, right)[:, None, :]
    return math.sqrt(2) * total


def _places(cells: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """For each of ``length`` pixels the number of its cell, and its place within the cell from 0 to 1, (N, length)."""
    steps = torch.arange(length, device=cells.device) * cells[:, None]  # exact in whole numbers
    return steps // length, (steps % length) / length


def _share(place: Tensor, far: int) -> Tensor:
    """Weight of the near (0) or the far (1) corner along one axis: a polynomial with two flat derivatives."""
    fade = place**3 * (place * (6 * place - 15) + 10)
    return fade if far else 1 - fade


def fields(
    count: int, size: Size, *, rotation: float = 0.0, generator: torch.Generator | None = None, finest: int = FINEST
) -> Tensor:
    """Draw fields of Perlin noise, with 1, 2, 4 .. 2**finest cells along each axis, each equally often.

    Args:
        count: number of fields.
        size: height and width (H, W).
        rotation: degrees by which each field is rotated about its centre, at most; what comes in from outside is 0.
        generator: a generator on the CPU; None for torch's global one.
        finest: the largest exponent. A cell has at least two pixels: with one, the noise would be 0 everywhere.

    Returns:
        (count, H, W) on the CPU.
    """
    highest = [max(0, min(finest, int(math.log2(length)) - 1)) for length in size]
    exponents = [torch.randint(most + 1, (count,), generator=generator) for most in highest]
    turns = torch.rand(count, *(2**most + 1 for most in highest), generator=generator)
    found = noise(2 * math.pi * turns, 2 ** torch.stack(exponents, dim=1), size)
    if rotation == 0:
        return found
    return rotate(found, rotation * (2 * torch.rand(count, generator=generator) - 1))


def rotate(fields: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each of ``fields`` (N, H, W) about its centre by its own ``degrees`` (N,), bilinear, with 0 outside."""
    height, width = fields.shape[1:]
    angle = torch.deg2rad(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid counts in halves of a side, which differ in length where the field is oblong
    rows = (cosine, -sine * height / width, zero), (sine * width / height, cosine, zero)
    matrix = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(matrix, [len(fields), 1, height, width], align_corners=False)
    return F.grid_sample(fields[:, None], grid, align_corners=False)[:, 0]
