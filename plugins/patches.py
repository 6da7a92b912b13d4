"""Patch embeddings: one vector for each position of a feature map, from the ``patch`` x ``patch`` positions around it.

PatchCore (arXiv 2106.08265, section 3.1) and SimpleNet (arXiv 2303.15140) begin with one of these two. Neighbours
beyond the border are zeros that count in every mean. Coarser layers are resized to the first layer's grid, bilinearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor


def averaged(features: Sequence[Tensor], patch: int = 3) -> Tensor:
    """Average each patch channel by channel, and concatenate the layers: the embedding that the paper describes.

    Args:
        features: L layers (B, C_i, h_i, w_i) of any floating type; the first one gives the grid.
        patch: positions on a side of a patch, an odd number.

    Returns:
        float32 (B, h, w, C_1 + ... + C_L).
    """
    grid = features[0].shape[2:]
    layers = map(_prepared, features)
    parts = [_resized(F.avg_pool2d(layer, patch, stride=1, padding=patch // 2), grid) for layer in layers]
    return torch.cat(parts, dim=1).permute(0, 2, 3, 1)


def flat_pooled(features: Sequence[Tensor], dimensions: int, target: int, patch: int = 3) -> Tensor:
    """Pool the flattened patches, as the programs of PatchCore and SimpleNet do.

    A patch of a layer is flattened in the order channel, row, column: C * patch^2 numbers. Adaptive average pooling in
    one dimension makes ``dimensions`` of them. The vectors of all layers are laid end to end and pooled in the same
    way to ``target``. The windows of the first pooling may split a channel's patch or join neighbouring channels.

    All of this is linear along the channels, and resizing is linear along the positions, so their order is free. Here
    both poolings are one small convolution on the layer's own grid, and the flattened patches, nine times as large as
    the features, are never made.

    Args:
        features: L layers (B, C_i, h_i, w_i) of any floating type; the first one gives the grid.
        dimensions: of each layer's vector.
        target: dimensions of the result.
        patch: positions on a side of a patch, an odd number.

    Returns:
        float32 (B, h, w, target).
    """
    grid = features[0].shape[2:]
    is_split = target % len(features) == 0  # no window of the second pooling covers two layers
    own = target // len(features) if is_split else dimensions
    parts = [_resized(_convolved(_prepared(layer), dimensions, own, patch), grid) for layer in features]
    joined = torch.cat(parts, dim=1).permute(0, 2, 3, 1)  # (B, h, w, L * own)
    return joined if is_split else F.adaptive_avg_pool1d(joined.flatten(1, 2), target).unflatten(1, grid)


def _convolved(layer: Tensor, dimensions: int, target: int, patch: int) -> Tensor:
    """Pool each flattened patch to ``dimensions`` and then to ``target``: (B, C, h, w) -> (B, target, h, w).

    The windows repeat after C / G channels, where G divides all three numbers: the same kernel for each of G groups.
    """
    groups = gcd(layer.shape[1], dimensions, target)
    kernel = _kernel(layer.shape[1] // groups, dimensions // groups, target // groups, patch).to(layer)
    return F.conv2d(layer, kernel.repeat(groups, 1, 1, 1), padding=patch // 2, groups=groups)


@lru_cache(maxsize=32)
def _kernel(channels: int, dimensions: int, target: int, patch: int) -> Tensor:
    """The two poolings as a convolution, float32 (target, channels, patch, patch)."""
    joined = _pooling(dimensions, target) @ _pooling(channels * patch**2, dimensions)
    return joined.view(target, channels, patch, patch).float()


def _pooling(length: int, count: int) -> Tensor:
    """Adaptive average pooling in one dimension as a matrix, float64 (count, length)."""
    return F.adaptive_avg_pool1d(torch.eye(length, dtype=torch.float64)[:, None], count)[:, 0].T


def _prepared(layer: Tensor) -> Tensor:
    """Lay a layer out channel by channel at each position, in which all that follows is several times as fast."""
    return layer.float().contiguous(memory_format=torch.channels_last)


def _resized(planes: Tensor, grid: torch.Size) -> Tensor:
    """Resize (B, C, h, w) to another grid; a layer that has it already is returned as it is."""
    return planes if planes.shape[2:] == grid else F.interpolate(planes, grid, mode="bilinear")
