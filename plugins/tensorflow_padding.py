"""Convolutions padded as in TensorFlow, for networks whose weights come from there.

The package ``efficientnet_pytorch``, which several methods' programs use, pads so. torchvision pads convolutions with
stride 2 symmetrically.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class TensorFlowConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same": more to the right and below if the padding is odd."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C_out, H / stride, W / stride), rounded up."""
        sides = []
        for length, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            sides += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, sides), self.weight, None, self.stride, groups=self.groups)


def pad_as_tensorflow(net: nn.Module) -> None:
    """Replace the convolutions with stride 2 of a network; its weights are new ones."""
    for parent in list(net.modules()):
        for name, conv in list(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
                channels, kernel = (conv.in_channels, conv.out_channels), conv.kernel_size
                setattr(parent, name, TensorFlowConv2d(*channels, kernel, 2, groups=conv.groups, bias=False))
