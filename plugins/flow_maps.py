"""Anomaly maps of flows from logarithms of likelihoods, so that nothing saturates.

FastFlow and U-Flow score a position by 1 minus the mean over levels of exp(-|z|^2 / 2C), or by minus that mean. In
float32 this is the same number wherever |z|^2 / C exceeds some 200. The negative logarithm of the mean ranks alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .flows import logaddexp


def log_likelihoods(z: Sequence[Tensor]) -> list[Tensor]:
    """-|z|^2 / 2C of each position: L tensors (B, C_i, H_i, W_i) -> L x (B, H_i, W_i)."""
    return [-0.5 * level.square().mean(dim=1) for level in z]


def negative_log_mean(logs: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """-log of the mean over L levels of their likelihoods, each resized to ``size``: L x (B, h, w) -> (B, H, W).

    The likelihoods exp(``logs``) are resized as ``maps.upsample`` does, bilinearly and without aligned corners.
    """
    levels = torch.stack([upsample_logarithms(level, size) for level in logs])  # (L, B, H, W)
    return math.log(len(logs)) - levels.logsumexp(dim=0)


def upsample_logarithms(logs: Tensor, size: tuple[int, int]) -> Tensor:
    """``maps.upsample(logs.exp(), size).log()`` for maps (B, h, w) of any logarithms: nothing underflows."""
    for dim, length in zip((1, 2), size, strict=True):
        count = logs.shape[dim]
        pixels = torch.arange(length, dtype=logs.dtype, device=logs.device)
        places = ((pixels + 0.5) * (count / length) - 0.5).clamp_min(0)  # in pixels of ``logs``
        low = places.long()
        share = (places - low).view(-1, *[1] * (2 - dim))  # of the next pixel
        here, there = logs.index_select(dim, low), logs.index_select(dim, (low + 1).clamp_max(count - 1))
        logs = logaddexp(here + torch.log1p(-share), there + share.log())
    return logs
