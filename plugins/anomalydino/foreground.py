"""Which tokens of an image are its foreground, by the image's own first principal component."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench.api import devices

SQUARINGS = 14
"""Squarings of a matrix after which an exported file takes its first eigenvector from it: a power of 16384."""

SMALLEST = 1e-30
"""Bound of divisors that are 0 for an image of a single colour."""

CENTRE = (0.2, 0.8)
"""Part of the height and of the width in which the object is expected."""


def foreground(tokens: Tensor, threshold: float, growth: Literal["grid", "program"] = "grid") -> Tensor:
    """Find the foreground of each image: the side of its first principal component that fills its centre.

    The authors take the first side if it fills more than 35 % of the centre, else the other one. A component has no
    sign of its own, so here it is the side that fills more of the centre: the same where theirs has one answer.
    The mask is dilated, and then closed, by a square of 3 x 3 tokens.

    Args:
        tokens: (B, h, w, C), not normalised.
        threshold: absolute value above which a token is on a side.
        growth: "grid" dilates and closes on the grid; "program" in the flat order of tokens, so that masks grow to the
            left and right alone, and from the end of a row to the start of the next, as in the authors' program.

    Returns:
        bool (B, h, w).
    """
    height, width = tokens.shape[1:3]
    scores = principal_scores(tokens.flatten(1, 2)).unflatten(1, (height, width))
    sides = torch.stack([scores > threshold, scores < -threshold])  # (2, B, h, w)
    rows, columns = (slice(int(CENTRE[0] * n), max(int(CENTRE[1] * n), 1)) for n in (height, width))
    filled = sides[:, :, rows, columns].float().mean((2, 3))  # (2, B)
    chosen = torch.where((filled[0] >= filled[1])[:, None, None], sides[0], sides[1]).float()
    planes = chosen[:, None] if growth == "grid" else chosen.flatten(1)[:, None, :, None]
    closed = -_dilated(-_dilated(_dilated(planes)))
    return closed.reshape(chosen.shape) > 0.5


def principal_scores(tokens: Tensor) -> Tensor:
    """Each token's value on the first principal component of its image, up to its sign: (B, N, C) -> (B, N).

    They are exact, in float64, and neither depend on other images nor on a random start.
    """
    where = "cpu" if tokens.device.type == "mps" else tokens.device  # MPS has no float64
    centred = tokens.to(where).double()
    centred = centred - centred.mean(1, keepdim=True)
    if devices.is_exporting():
        return _by_powers(centred.float())
    directions = torch.linalg.eigh(centred.mT @ centred).eigenvectors  # (B, C, C), the largest one last
    return (centred @ directions[:, :, -1:])[..., 0].float().to(tokens.device)


def _by_powers(centred: Tensor) -> Tensor:
    """``principal_scores`` of centred tokens (B, N, C) for files: no format has eigenvectors, but all have products."""
    power = centred.mT @ centred  # (B, C, C)
    for _ in range(SQUARINGS):
        power = power / power.diagonal(dim1=1, dim2=2).sum(1).clamp_min(SMALLEST)[:, None, None]
        power = power @ power
    longest = power.square().sum(1).argmax(1)  # (B,), every column is the eigenvector times a number
    direction = power.gather(2, longest[:, None, None].expand(-1, power.shape[1], 1))
    return (centred @ F.normalize(direction, dim=1, eps=SMALLEST))[..., 0]


def _dilated(planes: Tensor) -> Tensor:
    """The largest value among 3 x 3; what is beyond the border doesn't count."""
    return F.max_pool2d(planes, 3, stride=1, padding=1)
