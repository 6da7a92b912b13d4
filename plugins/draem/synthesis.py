"""DRAEM's synthetic anomalies: textures mixed into good images where Perlin noise is high (the paper's section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import painting, perlin
from ..painting import Change

CHANGES: tuple[Change, ...] = (
    painting.gamma,
    painting.brightness,
    painting.sharpness,
    painting.hue_and_saturation,
    painting.solarize,
    painting.posterize,
    painting.invert,
    painting.autocontrast,
    painting.equalize,
    painting.rotation,
)
"""Three of them change each texture."""

THRESHOLD = 0.5
"""Perlin noise above it is anomalous."""

MOST_KEPT = 0.8
"""Share of the image that stays visible below the texture, at most."""

GOOD_SHARE = 0.5
"""Share of the images that stay good."""


def synthesise(images: Tensor, draw_texture: Callable[[], Tensor], rotated: float) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a training batch by torch's global generator.

    Args:
        images: good ones in [0, 1], (B, 3, H, W).
        draw_texture: returns a texture as uint8 (3, H, W).
        rotated: share of the images that are rotated.

    Returns:
        Painted images (B, 3, H, W), the same without paint, and masks of the paint (B, 1, H, W), of 0 and 1.
    """
    clean = rotate_some(images, rotated)
    fields = perlin.fields(len(images), (images.shape[2], images.shape[3]), rotation=90)
    masks = masks_of(fields, torch.rand(len(images)))
    kept = MOST_KEPT * torch.rand(len(images))
    textures = torch.zeros_like(images)
    for index in masks.amax((1, 2, 3)).nonzero()[:, 0].tolist():  # the others need none
        textures[index] = painting.change_some(draw_texture().to(images.device), CHANGES) / 255
    masks = masks.to(images.device)
    return painting.paint(clean, textures, masks, kept), clean, masks


def rotate_some(images: Tensor, share: float) -> Tensor:
    """Rotate a ``share`` of images (B, C, H, W) by up to 90 degrees in either direction, with black outside."""
    degrees = 180 * torch.rand(len(images)) - 90
    chosen = torch.rand(len(images)) < share
    turned = painting.rotate(images, degrees) if chosen.any() else images
    return torch.where(chosen.to(images.device)[:, None, None, None], turned, images)


def masks_of(fields: Tensor, chances: Tensor) -> Tensor:
    """Where Perlin noise (B, H, W) is high, unless an image's chance (B,) says that it stays good: (B, 1, H, W)."""
    painted = (fields > THRESHOLD) & (chances <= GOOD_SHARE)[:, None, None]
    return painted[:, None].float()
