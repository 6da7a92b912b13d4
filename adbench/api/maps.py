"""Post-processing of anomaly maps: enlarge, smooth, and reduce to an image score."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .data import Size

Border = Literal["reflect", "mirror", "nearest", "zero"]
"""Values beyond the border of a map, in SciPy's words: reflect is d c b a | a b c d | d c b a, mirror
d c b | a b c d | c b a, nearest a a a | a b c d | d d d; zero is SciPy's constant."""


def upsample(
    maps: Tensor, size: Size, *, align_corners: bool = False, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Resize maps (B, h, w) to ``size`` (H, W).

    Args:
        maps: of any floating type.
        size: height and width.
        align_corners: for bilinear: the centres of corner pixels stay corners, as in some papers' programs. False is
            the way of image libraries.
        mode: bilinear between four pixels, or the nearest pixel.

    Returns:
        (B, H, W).
    """
    corners = align_corners if mode == "bilinear" else None
    return F.interpolate(maps[:, None], size, mode=mode, align_corners=corners)[:, 0]


def gaussian(
    maps: Tensor, sigma: float, *, truncate: float = 4.0, radius: int | None = None, border: Border = "reflect"
) -> Tensor:
    """Smooth maps (B, H, W) with a Gaussian, as ``scipy.ndimage.gaussian_filter`` defines it.

    It is two products with banded matrices, ten times as fast on a CPU as convolutions of a single channel.

    Args:
        maps: of any floating type.
        sigma: standard deviation in pixels; 0 for none.
        truncate: standard deviations at which the kernel ends.
        radius: pixels at which the kernel ends, instead of ``truncate``: 2 for a kernel of 5 x 5.
        border: values beyond the border.

    Returns:
        (B, H, W).
    """
    reach = int(truncate * sigma + 0.5) if radius is None else radius
    if sigma == 0 or reach == 0:
        return maps
    down, across = (_blur_matrix(length, sigma, reach, border).to(maps) for length in maps.shape[1:])
    return down @ maps @ across.T


@lru_cache(maxsize=32)
def _blur_matrix(length: int, sigma: float, radius: int, border: Border) -> Tensor:
    """The matrix (N, N) that smooths a column of length N, float64."""
    with torch.inference_mode(False):  # training may use it, even if scoring makes it
        return _made_blur_matrix(length, sigma, radius, border)


def _made_blur_matrix(length: int, sigma: float, radius: int, border: Border) -> Tensor:
    steps = torch.arange(-radius, radius + 1)
    kernel = torch.softmax(-0.5 * (steps.double() / sigma) ** 2, dim=0)
    seen = torch.arange(length)[:, None] + steps  # (N, 2 radius + 1)
    inside = (seen >= 0) & (seen < length)
    if border == "reflect":
        period = seen % (2 * length)
        seen = torch.minimum(period, 2 * length - 1 - period)
    elif border == "mirror":
        period = seen % max(2 * length - 2, 1)
        seen = torch.minimum(period, 2 * length - 2 - period) if length > 1 else torch.zeros_like(seen)
    else:
        seen = seen.clamp(0, length - 1)
    weights = kernel.expand(length, -1)
    if border == "zero":
        weights = torch.where(inside, weights, 0.0)
    return torch.zeros(length, length, dtype=torch.float64).scatter_add_(1, seen, weights)


def highest(maps: Tensor) -> Tensor:
    """The highest pixel of each map: (B, H, W) -> (B,)."""
    return maps.amax(dim=(1, 2))


def top_mean(maps: Tensor, share: float) -> Tensor:
    """Mean of the highest ``share`` of each map's pixels, rounded down but at least one: (B, H, W) -> (B,).

    Args:
        maps: of any floating type.
        share: part of the pixels, above 0 and at most 1.
    """
    pixels = maps.flatten(1)
    count = max(1, int(pixels.shape[1] * share))
    return pixels.topk(count, dim=1).values.mean(dim=1)
