"""Turned copies of an image that fill its corners by reflection, as OpenCV's ``warpAffine`` makes them."""

from __future__ import annotations

from math import cos, radians, sin

import torch
import torch.nn.functional as F
from torch import Tensor

TURNS = (45, 90, 135, 180, 225, 270, 315)
"""Degrees by which good images are turned besides 0."""

GREYS = 255


def turned(images: Tensor, degrees: float) -> Tensor:
    """Turn images (B, 3, H, W) in [0, 1] counter-clockwise about the pixel (W / 2, H / 2), half a pixel off the centre.

    Values are interpolated bilinearly and rounded to 256 greys. Beyond the border the image is reflected about its
    outermost pixels. Sizes stay.
    """
    height, width = images.shape[2:]
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    across = torch.arange(width, dtype=torch.float64) - width / 2
    down = torch.arange(height, dtype=torch.float64)[:, None] - height / 2
    column, row = cosine * across - sine * down + width / 2, sine * across + cosine * down + height / 2  # (H, W)
    grid = torch.stack([2 * column / max(width - 1, 1) - 1, 2 * row / max(height - 1, 1) - 1], dim=2)
    grids = grid.float().to(images).expand(len(images), -1, -1, -1)
    found = F.grid_sample(images, grids, mode="bilinear", padding_mode="reflection", align_corners=True)
    return (found * GREYS).round() / GREYS
