"""Helpers of the tests of methods that restore a transformer's layers: a tiny encoder, images, and golden encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from adbench_plugins.token_groups import TokenGroups
from torch import nn

from adbench import BackboneEntry, Network, backbones
from adbench.data.images import Batch

CPU = torch.device("cpu")
WIDTH, STRIDE, TOKENS = 16, 8, 3


class TinyEncoder(nn.Module):
    """Layers of 16 channels at stride 8, and after them three tokens of each, as a transformer gives them out."""

    def __init__(self, layers: Sequence[int], *, tokens: bool) -> None:
        super().__init__()
        self.tokens = TOKENS if tokens else 0
        self.first = nn.Conv2d(3, WIDTH, STRIDE, STRIDE)
        self.blocks = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(max(layers)))
        self.layers = layers

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) -> maps (B, 16, H / 8, W / 8), then tokens (B, 16, 1, 3) if there are any."""
        x = self.first(x)
        outputs = []
        for block in self.blocks:
            x = x + torch.tanh(block(x))
            outputs.append(x)
        chosen = [outputs[layer - 1] for layer in self.layers]
        tokens = [each.flatten(2)[:, :, None, : self.tokens] for each in chosen]
        return [*chosen, *(tokens if self.tokens else [])]


def tiny_groups(layers: tuple[int, ...] = (1, 2, 3, 4), *, tokens: bool = True) -> TokenGroups:
    """Two groups of the tiny encoder's layers, always with the same weights."""

    def build(layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
        torch.manual_seed(7)
        count = len(layers)
        net = TinyEncoder(layers, tokens=tokens)
        return Network(net, (WIDTH,) * count, (STRIDE,) * count, (0.0,) * 3, (1.0,) * 3, STRIDE)

    entry = BackboneEntry("tiny_encoder", "A tiny encoder", build)
    return TokenGroups(backbones.load(entry.name, layers=layers, device=CPU, offered={entry.name: entry}))


class FixedImages:
    """Training images (N, 3, 32, 48), shuffled by the global generator as the real ones are."""

    def __init__(self, count: int = 10, batch_size: int = 3) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images, self.batch_size = torch.rand(count, 3, 32, 48, generator=generator), batch_size

    def __len__(self) -> int:
        return len(self.images)

    def features(self, backbone: TokenGroups) -> object:
        """One shuffled epoch."""
        for chosen in torch.randperm(len(self)).split(self.batch_size):
            yield Batch.of(self.images[chosen]).features(backbone)


class FixedBatch:
    """A batch whose features are given."""

    def __init__(self, features: list[torch.Tensor], size: tuple[int, int]) -> None:
        self.given, self.size = features, size

    def features(self, backbone: object) -> list[torch.Tensor]:
        """The given ones."""
        return self.given
