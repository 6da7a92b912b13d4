"""Backbones: networks that turn images into features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import nn


class Backbone(Protocol):
    """A network that turns images into features; ``adbench.backbones.Backbone`` is one."""

    @property
    def key(self) -> str:
        """Names everything that changes the outputs: features are cached under it."""
        ...

    def __call__(self, images: torch.Tensor, /) -> list[torch.Tensor]:
        """Map float RGB in [0, 1], (B, 3, H, W), to one (B, C, h, w) tensor per layer."""
        ...


AnyBackbone: TypeAlias = "Backbone | nn.Module"
"""The argument of ``features``: a backbone, or a frozen module from images (B, 3, H, W) to features (B, C, h, w)."""
