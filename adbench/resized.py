"""Anomaly maps at other sizes than a method makes them, each resized only while it is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .types import Size

RESAMPLING = "bilinear"
"""How maps are resized: between the centres of four pixels, without smoothing where they shrink."""


@dataclass(frozen=True, eq=False)
class Resized:
    """Maps (N, h, w) that stand for maps of ``sizes``, N of them; number i is (H_i, W_i), on the maps' device."""

    maps: torch.Tensor
    sizes: tuple[Size, ...]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, number: int) -> torch.Tensor | NDArray[Any]:
        values = self.maps[number][None, None].float()
        resized = F.interpolate(values, self.sizes[number], mode=RESAMPLING, align_corners=False)[0, 0]
        return resized if resized.is_cuda else resized.numpy()
