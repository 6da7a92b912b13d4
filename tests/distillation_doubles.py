"""Helpers of the tests of students and teachers: a small ResNet as a backbone, and images that can be split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torchvision.models.resnet import BasicBlock, ResNet

from adbench import BackboneEntry, Network, backbones
from adbench.backbones.levels import Levels
from adbench.data.images import Batch

CPU = torch.device("cpu")
STAGES = (("conv1", "bn1", "relu", "maxpool", "layer1"), ("layer2",), ("layer3",))
CHANNELS, STRIDES = (4, 8, 12), (4, 8, 16)


def small_resnet() -> ResNet:
    """A ResNet-18 with levels of 4, 8 and 12 channels."""
    net = ResNet(BasicBlock, [2, 2, 2, 2])
    net.inplanes = 64
    for number, planes in enumerate(CHANNELS, start=1):
        setattr(net, f"layer{number}", net._make_layer(BasicBlock, planes, 2, stride=1 if number == 1 else 2))
    return net


def as_network(layers: tuple[int, ...]) -> Network:
    """The small ResNet, whose images are not normalised."""
    channels, strides = ([values[layer - 1] for layer in layers] for values in (CHANNELS, STRIDES))
    net = Levels(small_resnet(), STAGES, layers)
    return Network(net, tuple(channels), tuple(strides), mean=(0.0,) * 3, std=(1.0,) * 3)


def _build(layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    if pretrained:
        torch.manual_seed(7)  # the same weights each time
    return as_network(layers)


def small_backbone() -> backbones.Backbone:
    """The small ResNet as a frozen backbone, always with the same weights."""
    entry = BackboneEntry("small_resnet", "A small ResNet", _build)
    return backbones.load(entry.name, device=CPU, offered={entry.name: entry})


def some_images(count: int = 4, size: tuple[int, int] = (64, 64), seed: int = 5) -> torch.Tensor:
    """Random images (B, 3, H, W)."""
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


class SmallImages:
    """Training images, shuffled by the global generator as the real ones are; the last ones can be held out."""

    def __init__(self, images: torch.Tensor | None = None, *, batch_size: int = 3, shuffled: bool = True) -> None:
        self.images = some_images(8) if images is None else images
        self.batch_size, self.shuffled = batch_size, shuffled
        self.asked: tuple[float, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.images.shape[2], self.images.shape[3]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self)) if self.shuffled else torch.arange(len(self))
        return (Batch.of(self.images[chosen]) for chosen in order.split(self.batch_size))

    def features(self, backbone: backbones.Backbone) -> Iterator[list[torch.Tensor]]:
        """One shuffled epoch."""
        return (batch.features(backbone) for batch in self)

    def split(self, share: float, seed: int = 0) -> tuple[SmallImages, SmallImages]:
        """Record the arguments."""
        self.asked = (share, seed)
        kept = len(self) - max(1, round(share * len(self)))
        return SmallImages(self.images[:kept]), SmallImages(self.images[kept:], shuffled=False)
