"""A stand-in for a backbone, and helpers for images of a small store."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from adbench.data.image_store import Store
from adbench.data.images import Batch, Images

CPU = torch.device("cpu")
COUNT = 11
HEIGHT = 12
WIDTH = 20


class Backbone(nn.Module):
    """Two levels that depend on image and position, and a count of the images seen."""

    def __init__(self, key: str = "fake") -> None:
        super().__init__()
        self.key, self.seen = key, 0
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Map (B, 3, H, W) to halves and quarters."""
        self.seen += len(pixels)
        return [nn.functional.avg_pool2d(pixels * self.scale, side) for side in (2, 4)]


def images(store: Store, *, shuffle: bool = False, **options: object) -> Images:
    return Images(store, CPU, 4, shuffle=shuffle, **options)


def all_images(batches: Iterator[Batch] | Images) -> torch.Tensor:
    return torch.cat([batch.images for batch in batches])


def all_features(source: Images, backbone: Backbone) -> list[torch.Tensor]:
    return [torch.cat(level) for level in zip(*source.features(backbone), strict=True)]


def assert_equal(expected: list[torch.Tensor], found: list[torch.Tensor]) -> None:
    for want, got in zip(expected, found, strict=True):
        assert torch.equal(want, got)


def noisy(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add an offset to each channel, and noise."""
    offsets = torch.rand(len(pixels), 3, 1, 1, generator=generator).to(pixels.device)
    return pixels + offsets + torch.rand(pixels.shape, generator=generator).to(pixels.device)
