"""The trained networks of RD4AD: the bottleneck embeds three levels of features, and the decoder restores them.

Parameters are named as in the authors' checkpoints. From the paper, arXiv 2201.10703, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

Scale = Literal["same", "half", "double"]


@dataclass(frozen=True)
class Shape:
    """The residual blocks of bottleneck and decoder, which are those of a ResNet.

    Attributes:
        narrowing: of a block's inner channels, below those that it gives out; 1 is a basic block of two 3 x 3
            convolutions, more a block of 1 x 1, 3 x 3 and 1 x 1.
        embedding: blocks of the bottleneck.
        decoding: blocks of the decoder's three stages, the coarsest one first.
        signed: whether the features can be negative. A ResNet's can't, and the decoder's stages end with a ReLU, too.
    """

    narrowing: int = 1
    embedding: int = 2
    decoding: tuple[int, int, int] = (2, 2, 2)
    signed: bool = False


SHAPES = {
    "resnet18": Shape(),
    "resnet34": Shape(1, 3, (3, 4, 6)),
    "resnet50": Shape(4, 3, (3, 4, 6)),
    "wide_resnet50_2": Shape(2, 3, (3, 4, 6)),
}
"""By backbone."""

OTHER = Shape(narrowing=4, signed=True)
"""Of other backbones, such as MobileNets and EfficientNets: few blocks, narrow inside, for features of any sign."""


class Bottleneck(nn.Module):
    """The one-class bottleneck embedding: L = 3 levels to a small code, which has no room for what is not usual.

    Each level is halved, by convolutions, to the size of the coarsest one. Residual blocks fuse all levels, halve them
    once more, and give out twice the channels of the coarsest one.
    """

    def __init__(self, channels: Sequence[int], shape: Shape) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.conv1, self.bn1 = _resizing(fine, middle, "half"), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = _resizing(middle, coarse, "half"), nn.BatchNorm2d(coarse)
        self.conv3, self.bn3 = _resizing(middle, coarse, "half"), nn.BatchNorm2d(coarse)
        self.bn_layer = _stage(3 * coarse, 2 * coarse, shape.embedding, shape.narrowing, "half")
        _initialise(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Three levels (B, C_i, h / 2^i, w / 2^i) -> the code (B, 2 C_2, h / 8, w / 8)."""
        fine, middle, coarse = features
        fine = torch.relu(self.bn1(self.conv1(fine)))
        fine = torch.relu(self.bn2(self.conv2(fine)))
        middle = torch.relu(self.bn3(self.conv3(middle)))
        return cast(Tensor, self.bn_layer(torch.cat((fine, middle, coarse.to(fine.dtype)), dim=1)))


class Decoder(nn.Module):
    """The student: a ResNet turned round, from the code to the three levels."""

    def __init__(self, channels: Sequence[int], shape: Shape) -> None:
        super().__init__()
        fine, middle, coarse = channels
        first, second, third = shape.decoding
        self.layer1 = _stage(2 * coarse, coarse, first, shape.narrowing, "double", signed=shape.signed)
        self.layer2 = _stage(coarse, middle, second, shape.narrowing, "double", signed=shape.signed)
        self.layer3 = _stage(middle, fine, third, shape.narrowing, "double", signed=shape.signed)
        _initialise(self)

    def forward(self, code: Tensor) -> list[Tensor]:
        """The code (B, 2 C_2, h / 8, w / 8) -> three levels (B, C_i, h / 2^i, w / 2^i)."""
        coarse = self.layer1(code)
        middle = self.layer2(coarse)
        return [self.layer3(middle), middle, coarse]


class Residual(nn.Module):
    """A residual block; its shortcut adapts channels and size. It ends with a ReLU, or is ``signed``."""

    def __init__(self, inputs: int, outputs: int, narrowing: int, scale: Scale, *, signed: bool = False) -> None:
        super().__init__()
        self.signed = signed
        inner = max(1, outputs // narrowing)
        self.is_basic = narrowing == 1
        if self.is_basic:
            self.conv1, self.bn1 = _resizing(inputs, outputs, scale), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = _resizing(outputs, outputs, "same"), nn.BatchNorm2d(outputs)
        else:
            self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = _resizing(inner, inner, scale), nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None
        if scale == "double":
            self.upsample = nn.Sequential(_resizing(inputs, outputs, scale), nn.BatchNorm2d(outputs))
        elif scale == "half" or inputs != outputs:
            stride = 2 if scale == "half" else 1
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, ...), at the same size, half or double of it."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if not self.is_basic:
            y = self.bn3(self.conv3(torch.relu(y)))
        shortcut = self.downsample or self.upsample
        y = y + (x if shortcut is None else shortcut(x))
        return y if self.signed else torch.relu(y)


def _stage(
    inputs: int, outputs: int, blocks: int, narrowing: int, scale: Scale, *, signed: bool = False
) -> nn.Sequential:
    """Residual blocks, of which the first one changes the size, and the last one may be ``signed``."""
    made = nn.Sequential()
    for number in range(blocks):
        first, last = number == 0, number == blocks - 1
        made.append(
            Residual(
                inputs if first else outputs, outputs, narrowing, scale if first else "same", signed=signed and last
            )
        )
    return made


def _resizing(inputs: int, outputs: int, scale: Scale) -> nn.Module:
    """A 3 x 3 convolution, or the 2 x 2 transposed one that doubles the size."""
    if scale == "double":
        return nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
    return nn.Conv2d(inputs, outputs, 3, 2 if scale == "half" else 1, padding=1, bias=False)


def _initialise(network: nn.Module) -> None:
    """Draw the convolutions as a ResNet's; the transposed ones keep what torch has drawn."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
