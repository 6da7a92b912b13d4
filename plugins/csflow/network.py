"""CS-Flow's invertible network: couplings of three scales of an image at once.

Marco Rudolph et al., "Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection", arXiv 2110.02855, WACV
2022. Parameter names are those of the authors' program.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coupling import Precision, permute_channels
from ..flow_blocks import Convolution
from ..flows import at_least_float32

SCALES = 3

BOUND = 1e6
"""Of every number of a block's output."""

KERNELS = (3, 3, 3, 5)
"""Sides of the convolutions in each block."""

SLOPE = 0.1
"""Of the leaky ReLU below 0."""


class CrossConvolutions(nn.Module):
    """Predicts scales and shifts for one half of each map's channels from the other halves of all maps.

    Each map passes a convolution, and what comes out passes three more: one for its own scale, one for the finer scale
    and one for the coarser scale, where their results are added. ``gamma`` starts at 0: the flow begins as a mere
    permutation.

    Args:
        channels_in: of each map.
        channels_out: scales and shifts of each map.
        hidden: channels between the convolutions.
        kernel: side of all convolutions.
        precision: of the convolutions.
    """

    def __init__(self, channels_in: int, channels_out: int, hidden: int, kernel: int, precision: Precision) -> None:
        super().__init__()

        def last(stride: int = 1) -> Convolution:
            return Convolution(hidden, channels_out, kernel, precision, stride=stride)

        self.gamma0, self.gamma1, self.gamma2 = (nn.Parameter(torch.zeros(1)) for _ in range(SCALES))
        self.conv_scale0_0, self.conv_scale1_0, self.conv_scale2_0 = (
            Convolution(channels_in, hidden, kernel, precision) for _ in range(SCALES)
        )
        self.conv_scale0_1, self.conv_scale1_1, self.conv_scale2_1 = (last() for _ in range(SCALES))
        self.up_conv10, self.up_conv21 = last(), last()
        self.down_conv01, self.down_conv12 = last(stride=2), last(stride=2)

    def forward(self, halves: Sequence[Tensor]) -> list[Tensor]:
        """Map halves (B, C_in, h, w), each half as high and wide as the one before, to float32 (B, C_out, h, w)."""
        first = (self.conv_scale0_0, self.conv_scale1_0, self.conv_scale2_0)
        h0, h1, h2 = (F.leaky_relu(conv(x), SLOPE, inplace=True) for conv, x in zip(first, halves, strict=True))
        mixed = (
            self.conv_scale0_1(h0) + self.up_conv10(_twice(h1)),
            self.conv_scale1_1(h1) + self.down_conv01(h0) + self.up_conv21(_twice(h2)),
            self.conv_scale2_1(h2) + self.down_conv12(h1),
        )
        gammas = (self.gamma0, self.gamma1, self.gamma2)
        return [at_least_float32(x) * gamma for x, gamma in zip(mixed, gammas, strict=True)]


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class CrossScaleCoupling(nn.Module):
    """An affine coupling of all scales: second halves change first halves, and the new first halves the second ones."""

    def __init__(self, channels: int, hidden: int, kernel: int, clamp: float, precision: Precision) -> None:
        super().__init__()
        self.clamp, self.halves = clamp, (channels // 2, channels - channels // 2)
        first, second = self.halves
        self.s1 = CrossConvolutions(first, 2 * second, hidden, kernel, precision)
        self.s2 = CrossConvolutions(second, 2 * first, hidden, kernel, precision)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Map L tensors (B, C, h, w) to the same shapes, and to the log-Jacobian (B,) of each scale."""
        first, second = zip(*(each.split(self.halves, dim=1) for each in maps), strict=True)
        first, jacobians = self._move(first, self.s2(second))
        second, more = self._move(second, self.s1(first))
        joined = [torch.cat(pair, dim=1).clamp(-BOUND, BOUND) for pair in zip(first, second, strict=True)]
        return joined, [one + other for one, other in zip(jacobians, more, strict=True)]

    def inverse(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Undo ``forward``, where nothing was clamped. The program's own inverse mixes up the two halves."""
        first, second = zip(*(each.split(self.halves, dim=1) for each in maps), strict=True)
        second = self._move_back(second, self.s1(first))
        first = self._move_back(first, self.s2(second))
        return [torch.cat(pair, dim=1) for pair in zip(first, second, strict=True)]

    def _move(self, halves: Sequence[Tensor], coefficients: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        parts = [self._exponents_and_shifts(each) for each in coefficients]
        moved = [torch.addcmul(t, x, e.exp()) for x, (e, t) in zip(halves, parts, strict=True)]
        return moved, [e.sum(dim=(1, 2, 3)) for e, _ in parts]

    def _move_back(self, halves: Sequence[Tensor], coefficients: Sequence[Tensor]) -> list[Tensor]:
        parts = [self._exponents_and_shifts(each) for each in coefficients]
        return [(x - t) * (-e).exp() for x, (e, t) in zip(halves, parts, strict=True)]

    def _exponents_and_shifts(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        s, t = coefficients.chunk(2, dim=1)
        return self.clamp * 0.636 * torch.atan(s / self.clamp), t  # within +-clamp, 0.636 being nearly 2 / pi


class Shuffle(nn.Module):
    """Permutes the channels of each scale. The orders follow from the block's number, so no checkpoint has them."""

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        random = np.random.RandomState(number)  # as in the program: NumPy's legacy generator, seeded by the number
        orders = torch.stack([torch.from_numpy(random.permutation(channels)) for _ in range(SCALES)])
        self.register_buffer("orders", orders, persistent=False)
        self.register_buffer("inverses", orders.argsort(dim=1), persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Reorder the channels of L tensors (B, C, h, w)."""
        return [permute_channels(*each) for each in zip(maps, self.orders, self.inverses, strict=True)]


class CrossScaleFlow(nn.Module):
    """Maps features of three scales to noise z of the same shapes.

    Args:
        channels: of each scale.
        hidden: channels within the subnets.
        clamp: bound of the exponents.
        precision: of the convolutions.
        kernels: side of the convolutions of each block.
    """

    def __init__(
        self, channels: int, hidden: int, clamp: float, precision: Precision, *, kernels: Sequence[int] = KERNELS
    ) -> None:
        super().__init__()
        self.shuffles = nn.ModuleList(Shuffle(channels, number) for number in range(len(kernels)))
        # the program numbers its nodes: three inputs, then a permutation and a coupling for each block
        self.module_list = nn.ModuleDict(
            {
                str(SCALES + 1 + 2 * number): CrossScaleCoupling(channels, hidden, kernel, clamp, precision)
                for number, kernel in enumerate(kernels)
            }
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Map L features (B, C, h, w) to L tensors z of the same shapes, and the log-Jacobian (B,)."""
        maps = [at_least_float32(x).contiguous(memory_format=torch.channels_last) for x in features]
        total = []
        for shuffle, coupling in zip(self.shuffles, self.module_list.values(), strict=True):
            maps, jacobians = coupling(shuffle(maps))
            total += jacobians
        return maps, torch.stack(total).sum(0)
