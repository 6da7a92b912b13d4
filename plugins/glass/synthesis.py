"""GLASS's local anomalies: textures painted over images, within two joined or crossed fields of Perlin noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench.api import Size

from .. import painting, perlin
from ..painting import Change

CHANGES: tuple[Change, ...] = (
    painting.contrast,
    painting.scale_brightness,
    painting.slight_hue_and_saturation,
    painting.mirror,
    painting.turn_over,
    painting.grey,
    painting.autocontrast,
    painting.equalize,
    painting.rotation,
)
"""Three of them change each texture."""

THRESHOLD = 0.5
"""Perlin noise above it is anomalous."""


def synthesise(images: Tensor, draw_texture: Callable[[], Tensor], grid: Size) -> tuple[Tensor, Tensor]:
    """Paint a texture over each image, by torch's global generator.

    Args:
        images: good ones in [0, 1], (B, 3, H, W).
        draw_texture: returns a texture as uint8 (3, H, W).
        grid: height and width of the features.

    Returns:
        Painted images (B, 3, H, W), and the positions of the features with paint, (B, h, w) of 0 and 1: at least one
        for each image.
    """
    masks, positions = draw_masks(len(images), (images.shape[2], images.shape[3]), grid)
    changed = [painting.change_some(draw_texture().to(images.device), CHANGES) for _ in images]
    kept = (0.5 + 0.1 * torch.randn(len(images))).clamp(0.2, 0.8)
    painted = painting.paint(images, torch.stack(changed) / 255, masks[:, None].to(images.device), kept)
    return painted, positions.to(images.device)


def draw_masks(count: int, size: Size, grid: Size) -> tuple[Tensor, Tensor]:
    """Draw masks (count, H, W), none empty, and the same at ``grid`` (count, h, w), of 0 and 1, on the CPU."""
    masks = torch.zeros(count, *size)
    empty = torch.arange(count)
    while len(empty):  # a field may be low everywhere
        fields = perlin.fields(2 * len(empty), size, rotation=90).unflatten(0, (2, -1))
        masks[empty] = joined_masks(fields > THRESHOLD, torch.rand(len(empty)))
        empty = (masks.amax((1, 2)) == 0).nonzero()[:, 0]
    return masks, shrunk(masks, grid)


def joined_masks(pairs: Tensor, chances: Tensor) -> Tensor:
    """Join two masks, cross them, or take the first one alone, each in a third of the cases.

    Args:
        pairs: bool (2, B, H, W).
        chances: from 0 to 1, (B,): below 1/3 the first one alone, above 2/3 the union.

    Returns:
        (B, H, W) of 0 and 1.
    """
    first, second = pairs
    is_alone, is_union = ((each)[:, None, None] for each in (chances <= 1 / 3, chances > 2 / 3))
    return torch.where(is_alone, first, torch.where(is_union, first | second, first & second)).float()


def shrunk(masks: Tensor, grid: Size) -> Tensor:
    """Masks (B, H, W) at the positions of the features (B, h, w): 1 where any pixel is."""
    return F.adaptive_max_pool2d(masks[:, None], grid)[:, 0]
