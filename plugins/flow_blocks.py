"""The affine coupling block that FastFlow and U-Flow share: FrEIA's ``AllInOneBlock`` over maps, without a condition.

Parameter names are FrEIA's, so those of the published checkpoints. ``coupling.MapBlock`` computes the same numbers
faster than FrEIA does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .coupling import MapBlock, Precision
from .flows import at_least_float32
from .freia import AllInOneBlock, SequenceINN

ANY_SIZE = (1, 1)
"""FrEIA wants the height and width of a map, but uses only the number of dimensions."""


class Convolution(nn.Conv2d):
    """A convolution that keeps the map's size, or halves it with stride 2.

    It computes in a given precision, whatever that of its input.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, precision: Precision, *, stride: int = 1
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, padding=kernel // 2)
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H, W), or to half the height and width, rounded up."""
        dtype = self.precision or x.dtype
        return F.conv2d(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype), self.stride, self.padding)


class Subnet(nn.Sequential):
    """Predicts scale and shift of one coupling from the first half of the channels: convolution, ReLU, convolution.

    Args:
        channels_in: of the first half.
        channels_out: twice those of the second half.
        kernel: side of both convolutions.
        ratio: hidden channels per input channel.
        precision: of the convolutions.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, ratio: float, precision: Precision) -> None:
        hidden = max(1, int(channels_in * ratio))
        super().__init__(
            Convolution(channels_in, hidden, kernel, precision),
            nn.ReLU(inplace=True),
            Convolution(hidden, channels_out, kernel, precision),
        )
        self.precision = precision

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H, W); ``MapBlock`` passes a code, which has no channels here."""
        result: Tensor = super().forward(x)
        return result if code is not None else at_least_float32(result)


class PlainBlock(MapBlock):
    """A block over maps (B, C, H, W) without a position code; forwards it is as fast as MSFlow's."""

    def forward(
        self, x: Sequence[Tensor], c: Sequence[Tensor] = (), rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Map (B, C, H, W) to the same shape and the log-Jacobian (B,); FrEIA computes the inverse."""
        if rev:
            back: tuple[tuple[Tensor], Tensor] = AllInOneBlock.forward(self, (at_least_float32(x[0]),), rev=True)
            return back
        y, log_jac = self.forwards(x[0], code=x[0][:, :0])
        return (y,), log_jac


def plain_flow(
    channels: int, kernels: Sequence[int], *, ratio: float, clamp: float, precision: Precision
) -> SequenceINN:
    """Build one block for each of ``kernels``, the sides of its subnet's convolutions.

    Args:
        channels: of the map.
        kernels: of the blocks in order.
        ratio: hidden channels of a subnet per input channel.
        clamp: bound of the exponents.
        precision: of the convolutions.
    """
    flow = SequenceINN(channels, *ANY_SIZE)
    for kernel in kernels:
        flow.append(
            PlainBlock,
            subnet_constructor=partial(Subnet, kernel=kernel, ratio=ratio, precision=precision),
            affine_clamping=clamp,
            global_affine_type="SOFTPLUS",
        )
    return flow
