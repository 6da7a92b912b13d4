"""Painting textures over images: random changes of a texture's colours and place, and the mixture of both.

The changes are those that DRAEM (arXiv 2108.07610) and GLASS (arXiv 2407.09359) choose three of for each texture. Each
takes a texture as uint8 RGB (3, H, W), draws its strength by torch's global generator, and returns another one of the
same shape. They are made of torchvision's functions; the authors' programs use imgaug, which has other ones in places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from . import perlin

Change = Callable[[Tensor], Tensor]


def paint(images: Tensor, textures: Tensor, masks: Tensor, kept: Tensor) -> Tensor:
    """Mix textures into images where masks are 1.

    Args:
        images: (B, 3, H, W), in any unit.
        textures: the same shape and unit.
        masks: of 0 and 1, (B, 1, H, W).
        kept: share of the image that stays below the texture, (B,).

    Returns:
        (B, 3, H, W).
    """
    mixed = torch.lerp(textures, images, kept.to(images)[:, None, None, None])
    return torch.where(masks > 0, mixed, images)


def change_some(texture: Tensor, changes: Sequence[Change], count: int = 3) -> Tensor:
    """Apply ``count`` different ones of ``changes`` in random order to a texture, uint8 (3, H, W)."""
    for index in torch.randperm(len(changes))[:count].tolist():
        texture = changes[index](texture)
    return texture


def uniform(low: float, high: float) -> float:
    """Draw a number from ``low`` to ``high``, by torch's global generator."""
    return low + (high - low) * float(torch.rand(()))


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each of images (B, C, H, W) by its own ``degrees`` (B,), bilinear, with 0 outside."""
    channels = images.shape[1]
    turned = perlin.rotate(images.flatten(0, 1), degrees.to(images).repeat_interleave(channels))
    return turned.unflatten(0, (-1, channels))


# ---------------------------------------------------------------- changes of a texture


def gamma(texture: Tensor) -> Tensor:
    """Raise each channel to a power of its own from 0.5 to 2."""
    powers = 0.5 + 1.5 * torch.rand(3).to(texture.device)
    return _to_bytes(255 * (texture / 255) ** powers[:, None, None])


def brightness(texture: Tensor) -> Tensor:
    """Multiply by 0.8 to 1.2, and add -30 to 30 of 255."""
    return _to_bytes(uniform(0.8, 1.2) * texture + uniform(-30, 30))


def scale_brightness(texture: Tensor) -> Tensor:
    """Multiply by 0.8 to 1.2."""
    return TF.adjust_brightness(texture, uniform(0.8, 1.2))


def contrast(texture: Tensor) -> Tensor:
    """Scale what differs from the mean grey by 0.8 to 1.2."""
    return TF.adjust_contrast(texture, uniform(0.8, 1.2))


def sharpness(texture: Tensor) -> Tensor:
    """Blur (0), leave as it is (1), or sharpen (up to 2)."""
    return TF.adjust_sharpness(texture, uniform(0, 2))


def hue_and_saturation(texture: Tensor) -> Tensor:
    """Turn hues by up to a fifth of the circle, and scale saturation by 0.5 to 1.5."""
    return TF.adjust_saturation(TF.adjust_hue(texture, uniform(-0.2, 0.2)), uniform(0.5, 1.5))


def slight_hue_and_saturation(texture: Tensor) -> Tensor:
    """Turn hues by up to a fifth of the circle, and scale saturation by 0.8 to 1.2."""
    return TF.adjust_saturation(TF.adjust_hue(texture, uniform(-0.2, 0.2)), uniform(0.8, 1.2))


def solarize(texture: Tensor) -> Tensor:
    """Invert what is brighter than 32 to 128 of 255, in half of the cases."""
    threshold = uniform(32, 128)
    return TF.solarize(texture, threshold) if uniform(0, 1) < 0.5 else texture


def posterize(texture: Tensor) -> Tensor:
    """Keep 1 to 8 bits of each channel."""
    return TF.posterize(texture, int(torch.randint(1, 9, ())))


def invert(texture: Tensor) -> Tensor:
    """Turn bright to dark."""
    return TF.invert(texture)


def autocontrast(texture: Tensor) -> Tensor:
    """Stretch each channel to the whole range."""
    return TF.autocontrast(texture)


def equalize(texture: Tensor) -> Tensor:
    """Spread the values of each channel evenly."""
    return TF.equalize(texture)


def grey(texture: Tensor) -> Tensor:
    """Remove colours."""
    return TF.rgb_to_grayscale(texture, num_output_channels=3)


def mirror(texture: Tensor) -> Tensor:
    """Swap left and right."""
    return texture.flip(2)


def turn_over(texture: Tensor) -> Tensor:
    """Swap top and bottom."""
    return texture.flip(1)


def rotation(texture: Tensor) -> Tensor:
    """Rotate by up to 45 degrees, with black outside."""
    return _to_bytes(rotate(texture.float()[None], torch.tensor([uniform(-45, 45)]))[0])


def _to_bytes(texture: Tensor) -> Tensor:
    return texture.round().clamp(0, 255).to(torch.uint8)
