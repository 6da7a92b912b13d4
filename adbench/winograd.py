"""3 x 3 convolutions with a quarter of the multiplications, for frozen networks on a processor.

Winograd's F(4 x 4, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv
1509.09308): a tile of 6 x 6 pixels and the kernel are evaluated at 36 points, where a convolution is a
product, and 4 x 4 pixels come back. What is left are 36 matrix products with the channels' sums in them,
and additions. In float32, rounding leaves one such convolution up to 4e-6 of its largest output off, a plain one
2e-6, and a wide_resnet50_2's features a fifth further off than plain ones do (``tests/test_winograd.py``).
"""

from __future__ import annotations

from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .products import batched

CHANNELS = range(256, 513)
"""Where it pays: below, the additions cost what the products save; above, the kernels at 36 points, four
times as large as they were, take hundreds of megabytes, whose reading eats most of what is saved."""

_TILE = 4
_SPAN = _TILE + 2  # pixels that a tile is made from
_PASS = 4 << 20  # bytes of input at a time, so that what is made of them stays in the cache

_FAR = 3 / 2
_NEAR = 1 / _FAR
"""The six points are 0, these two on both sides of it, and infinity. The usual 2 and 1 lose twice as much to
rounding: Barabasz, Anderson, Soodhalter and Gregg, "Error analysis and improving the accuracy of Winograd
convolution for deep neural networks" (arXiv 1803.10986)."""
_FAR2, _NEAR2 = _FAR**2, _NEAR**2


class WinogradConv2d(nn.Module):
    """Computes what a convolution that ``fits`` computes, but for rounding and without gradients.

    Args:
        conv: 3 x 3 with padding 1, stride 1 and no groups; any number of channels. Its bias and its way of
            padding are taken over.
    """

    points: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach().movedim((2, 3, 1), (0, 1, 2)).contiguous()  # (3, 3, C, K)
        matrix = torch.tensor(_kernel_matrix(), dtype=weight.dtype)
        rows = torch.tensordot(matrix, weight, 1)
        points = torch.tensordot(matrix, rows, ([1], [1]))  # (6, 6, C, K), across before down
        self.mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        self.register_buffer("points", points.flatten(0, 1))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W), best with its channels innermost, as the (B, K, H, W) result has them."""
        batch, _, height, width = x.shape
        down, across = -(-height // _TILE), -(-width // _TILE)
        out = x.new_empty(batch, down, _TILE, across, _TILE, self.points.shape[2])
        size = x.shape[1:].numel() * x.element_size()
        pictures, lines = max(1, _PASS // size), max(1, down * _PASS // size)
        for part, target in zip(torch.split(x, pictures), torch.split(out, pictures), strict=True):
            part = F.pad(part, (1, 1, 1, 1), self.mode)
            part = F.pad(part, (0, _TILE * across - width, 0, _TILE * down - height)).movedim(1, 3)
            for first in range(0, down, lines):
                strip = target[:, first : first + lines]
                self._convolve(part[:, _TILE * first : _TILE * (first + strip.shape[1]) + 2], strip)
        return out.flatten(3, 4).flatten(1, 2)[:, :height, :width].movedim(3, 1)

    def _convolve(self, x: Tensor, out: Tensor) -> None:
        """(B, 4 h + 2, 4 w + 2, C) -> (B, h, 4, w, 4, K)."""
        batch, down, _, across, _, wide = out.shape
        rows = x.new_empty(_SPAN, batch, down, *x.shape[2:])
        _to_points([x[:, i : i + _TILE * down : _TILE] for i in range(_SPAN)], rows)
        tiles = x.new_empty(_SPAN, _SPAN, batch, down, across, x.shape[3])
        _to_points([rows[:, :, :, j : j + _TILE * across : _TILE] for j in range(_SPAN)], tiles)
        products = batched(tiles.flatten(2, 4).flatten(0, 1), self.points)
        columns = x.new_empty(_TILE, _SPAN, batch, down, across, wide)
        _to_pixels(products.view(_SPAN, _SPAN, batch, down, across, wide), columns)
        _to_pixels(columns.transpose(0, 1), out.movedim((2, 4), (0, 1)))
        if self.bias is not None:
            out += self.bias


def fits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether ``WinogradConv2d`` computes the same, and faster."""
    return (
        type(conv) is nn.Conv2d
        and (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
        == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
        and conv.in_channels in CHANNELS
        and conv.out_channels in CHANNELS
    )


def _kernel_matrix() -> list[list[float]]:
    """6 x 3, from three weights to their values at the six points, scaled to save ``_to_pixels`` products."""
    near, far = 2 * _NEAR * (_NEAR2 - _FAR2), 2 * (_FAR2 - _NEAR2)
    return [
        [1, 0, 0],
        [1 / near, _NEAR / near, _NEAR2 / near],
        [1 / near, -_NEAR / near, _NEAR2 / near],
        [1 / far, _FAR / far, _FAR2 / far],
        [1 / far, -_FAR / far, _FAR2 / far],
        [0, 0, 1],
    ]


def _to_points(x: list[Tensor], out: Tensor) -> None:
    """Along one axis: pixels 0 to 5 of a tile to its values at the six points."""
    torch.sub(x[4] + x[0], x[2], alpha=_FAR2 + _NEAR2, out=out[0])
    torch.sub(x[5] + x[1], x[3], alpha=_FAR2 + _NEAR2, out=out[5])
    for first, point, other in ((1, _NEAR, _FAR2), (3, _FAR, _NEAR2)):
        even = torch.sub(x[4], x[2], alpha=other)
        odd = torch.sub(x[3], x[1], alpha=other)
        torch.add(even, odd, alpha=point, out=out[first])
        torch.sub(even, odd, alpha=point, out=out[first + 1])


def _to_pixels(x: Tensor, out: Tensor) -> None:
    """Along the first axis: scaled values at the six points to the four pixels of a tile."""
    even, odd = x[1] + x[2], x[1] - x[2]
    far_even, far_odd = x[3] + x[4], x[3] - x[4]
    torch.add(odd, far_odd, alpha=1 / _FAR, out=out[1])
    torch.add(far_even, even, alpha=_NEAR, out=out[2])
    torch.add(torch.add(x[0], even, alpha=1 / _NEAR, out=even), far_even, alpha=1 / _FAR2, out=out[0])
    torch.add(torch.add(x[5], odd, alpha=_NEAR2, out=odd), far_odd, alpha=_FAR, out=out[3])
