"""Random transforms of training images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    pass


ROTATION_SEED = 2107
"""Seed of the rotated copies; the same for all runs, so that methods and seeds share their features."""


@dataclass(frozen=True)
class Rotation:
    """Rotates images by up to ``degrees``: in ``copies`` fixed versions, or anew each time where ``copies`` is 0."""

    degrees: float
    copies: int
    number: int = 0

    @property
    def key(self) -> str:
        """Identifies the fixed version."""
        return f"rotated {self.degrees:g} #{self.number}"

    def next(self) -> Rotation:
        """The version after this one; the first after the last."""
        return replace(self, number=(self.number + 1) % self.copies) if self.copies else self

    def angles(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        """Degrees (B,) for ``rows`` of ``count`` images, uniform in +-``degrees``, counter-clockwise."""
        if self.copies:
            generator = torch.Generator().manual_seed(ROTATION_SEED + self.number)
            unit = torch.rand(count, generator=generator)[rows]
        else:
            unit = torch.rand(len(rows))
        return (2 * unit - 1) * self.degrees


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate each image (B, 3, H, W) by its own angle (B,), counter-clockwise about its centre.

    Nearest pixel, black outside, as torchvision's ``RandomRotation`` does by default.
    """
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # grid_sample measures in half images, so an oblong one needs its aspect ratio here
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], dim=1),
            torch.stack([sine * width / height, cosine, zero], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)
