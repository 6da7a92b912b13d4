"""FrEIA's ``AllInOneBlock``, computed faster: same parameters, same names, same numbers.

FrEIA stays the definition, and computes the inverse (``rev=True``). Forwards, blocks over maps differ in four ways;
CFLOW-AD's blocks over vectors (``cflow/block.py``) go further:

- A hard permutation is an index, not a product with a matrix of zeros and ones.
- All images have the same position code, so its part of a subnet's first layer is computed once.
- Channels are innermost in memory (channels last), which suits convolutions and layer norms.
- The elementwise steps share their buffers and have their own backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .flows import at_least_float32
from .freia import AllInOneBlock, PermuteRandom

Precision = torch.dtype | None
"""Precision of matrix products, those of subnets and of rotations; None keeps the precision of their input.

Scales, shifts, log-Jacobians and norms are computed in float32.
"""


SHARPNESS = 0.5
"""Of the softplus that keeps FrEIA's global scales positive."""


class FastBlock(AllInOneBlock):  # type: ignore[misc]  # FrEIA has no types
    """A conditional affine coupling with its scaling and permutation, without FrEIA's rarer variants."""

    def forward(
        self, x: Sequence[Tensor], c: Sequence[Tensor], rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Map (B, C, H, W) or (N, C) to the same shape and the log-Jacobian (B,) or (N,); FrEIA does the inverse."""
        if rev:
            codes = [code.expand(len(x[0]), *code.shape[1:]) for code in c]  # FrEIA joins them with the images
            back: tuple[tuple[Tensor], Tensor] = super().forward([at_least_float32(x[0])], codes, rev=True, jac=jac)
            return back
        y, log_jac = self.forwards(x[0], c[0])
        return (y,), log_jac

    def forwards(self, x: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) or (N, C) to the same shape, with the log-Jacobian (B,) or (N,)."""
        raise NotImplementedError

    def _constant(self, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute ``make`` of the permutation's matrix, and again only when another matrix is loaded."""
        state = (self.w_perm, self.w_perm._version)
        made, result = self.__dict__.get("_made", (None, None))
        if made is None or made[0] is not state[0] or made[1] != state[1]:
            # training uses it as well, even if scoring makes it; a tensor of the inference mode can't be trained with
            with torch.inference_mode(False):
                result = make(self.w_perm.detach())
            self.__dict__["_made"] = (state, result)
        assert result is not None
        return result


class MapBlock(FastBlock):
    """A block over maps (B, C, H, W), with a hard permutation and one code (1, D, H, W) for all images.

    Its subnet gets the first half of the channels and the code separately: ``subnet(x1, code)``. For the inverse,
    FrEIA calls ``subnet(both)``.
    """

    def forwards(self, x: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to the same shape, with the log-Jacobian (B,)."""
        passive = self.splits[0]
        x1, x = _Fork.apply(x, passive, self.subnet.precision or x.dtype)  # type: ignore[no-untyped-call]
        coefficients = self.subnet(x1, code)
        coupled, log_jac = _Affine.apply(x, coefficients, self.global_scale, self.global_offset, self.clamp)  # type: ignore[no-untyped-call]
        order, inverse = self._constant(_order_and_inverse)
        return permute_channels(coupled, order, inverse), log_jac


class FastPermute(PermuteRandom):  # type: ignore[misc]
    """FrEIA's ``PermuteRandom``, whose gradient needs no scatter."""

    def forward(
        self, x: Sequence[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[list[Tensor], float]:
        """Reorder the channels of (B, C, H, W)."""
        order, inverse = (self.perm_inv, self.perm) if rev else (self.perm, self.perm_inv)
        return [permute_channels(x[0], order, inverse)], 0.0


# ---------------------------------------------------------------- layers


class CodedConv(nn.Conv2d):
    """A 3x3 convolution over a map's channels and those of a position code that all images share."""

    def __init__(self, channels_in: int, channels_out: int, precision: Precision) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.precision = precision

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Map (B, C - D, H, W) and a code (1, D, H, W), or both as (B, C, H, W), to (B, C_out, H, W)."""
        dtype = self.precision or x.dtype
        if code is None:
            return F.conv2d(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype), padding=1)
        convolved: Tensor = _ConvolveWithCode.apply(x, code, self.weight, self.bias, dtype)  # type: ignore[no-untyped-call]
        return convolved


class Conv(nn.Conv2d):
    """A 3x3 convolution that computes in a given precision, whatever the precision of its input and parameters."""

    def __init__(self, channels_in: int, channels_out: int, precision: Precision) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H, W)."""
        dtype = self.precision or x.dtype
        return F.conv2d(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype), padding=1)


class ChannelNorm(nn.LayerNorm):
    """Normalises over the channels at each position: (B, C, H, W) -> (B, C, H, W), without a copy.

    Means and variances are taken in float32, whatever the precision of x.
    """

    def forward(self, x: Tensor) -> Tensor:
        """View the channels as innermost, which they are in memory."""
        rows = x.movedim(1, -1)
        weight, bias = self.weight, self.bias
        if not rows.is_cpu:  # a GPU refuses weights of another precision
            weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        return F.layer_norm(rows, self.normalized_shape, weight, bias, self.eps).movedim(-1, 1)


class _ConvolveWithCode(Function):
    """Convolves the images' channels for each image, and the code's channels once for all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, code: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        own, innermost = x.shape[1], torch.channels_last
        # each part is cast on its own: a convolution would copy a slice of the whole
        for_own, for_code = (part.to(dtype).contiguous(memory_format=innermost) for part in _split(weight, own))
        x_cast, code_cast = x.to(dtype).contiguous(memory_format=innermost), code.to(dtype)
        ctx.save_for_backward(x_cast, code_cast, for_own, for_code, weight)
        ctx.x_dtype = x.dtype
        result = F.conv2d(x_cast, for_own, padding=1)
        return result.add_(F.conv2d(code_cast, for_code, bias.to(dtype), padding=1))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, code, of_own, of_code, weight = ctx.saved_tensors
        wants_x = ctx.needs_input_grad[0]
        for_x, for_own, _ = _convolution_backward(gradient, x, of_own, (wants_x, True, False))
        summed = gradient.sum(0, keepdim=True)
        _, for_code, _ = _convolution_backward(summed, code, of_code, (False, True, False))
        for_weight = torch.empty_like(weight)
        for part, values in zip(_split(for_weight, x.shape[1]), (for_own, for_code), strict=True):
            part.copy_(values)
        for_bias = summed.sum((0, 2, 3), dtype=weight.dtype)
        return for_x.to(ctx.x_dtype) if wants_x else None, None, for_weight, for_bias, None


def _split(weight: Tensor, own: int) -> tuple[Tensor, Tensor]:
    """Split a convolution's weight: the part for a map's own channels, and the part for its code."""
    return weight[:, :own], weight[:, own:]


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of a 3x3 convolution with padding 1 for its input, weight and bias."""
    result: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
    )
    return result


# ---------------------------------------------------------------- elementwise


def permute_channels(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Reorder the channels of (B, C, H, W) by ``order`` (C,), given its inverse; the result has them innermost."""
    permuted: Tensor = _Permute.apply(x, order, inverse)  # type: ignore[no-untyped-call]
    return permuted


def _order_and_inverse(matrix: Tensor) -> Tensor:
    """Order (C,) and inverse order (C,) of a permutation matrix (C, C, 1, 1)."""
    order = matrix.flatten(1).argmax(dim=1)
    return torch.stack((order, order.argsort()))


class _Permute(Function):
    """A permutation that gathers in both directions; autograd would scatter in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return _gather(x, order)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return _gather(gradient, inverse), None, None


def _gather(x: Tensor, order: Tensor) -> Tensor:
    rows = x.movedim(1, -1)  # (B, H, W, C)
    return rows.reshape(-1, len(order)).index_select(1, order).view(rows.shape).movedim(-1, 1)


def _empty_like(x: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """Allocate as many positions with another number of channels, innermost in memory."""
    shape = (len(x), *x.shape[2:], channels)
    return torch.empty(shape, dtype=dtype, device=x.device).movedim(-1, 1)


class _Fork(Function):
    """Returns a map's first ``passive`` channels in another precision, for a subnet, and the map itself.

    The backward pass adds their gradient to the map's in place; autograd would cast, add and join copies.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, passive: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ctx.passive = passive
        return x[:, :passive].to(dtype), x.view_as(x)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, of_passive: Tensor, of_map: Tensor) -> tuple[Tensor, None, None]:
        of_map[:, : ctx.passive].add_(of_passive)  # safe in place: _Affine has just made it
        return of_map, None, None


class _Affine(Function):
    """The elementwise part of a block.

    From x = (x1, x2), a subnet's coefficients a = (r, t) and scale = softplus(bare / 2) / 5 it computes
    s = clamp * tanh(r / 10), u = (x1, x2 * exp(s) + t / 10), y = u * scale + offset; the log-Jacobian is the sum of s
    and log scale.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, bare: Tensor, offset: Tensor, clamp: float) -> tuple[Tensor, Tensor]:
        active = a.shape[1] // 2
        bend = bent(a[:, :active].to(x.dtype))
        s = exponents(bend, clamp)
        scale = F.softplus(bare, SHARPNESS).mul_(0.1)
        log_jac = s.sum((1, 2, 3)).add_(scale.log().sum(), alpha=x[0, 0].numel())
        growth = s.exp_()
        u = x.clone()
        u[:, -active:].mul_(growth).add_(a[:, active:], alpha=0.1)
        ctx.save_for_backward(x, bend, growth, u, bare, scale)
        ctx.clamp, ctx.dtype = clamp, a.dtype
        return torch.addcmul(offset, u, scale), log_jac

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor, for_log: Tensor) -> tuple[Tensor | None, ...]:
        x, bend, growth, u, bare, scale = ctx.saved_tensors
        active = bend.shape[1]
        others = [dimension for dimension in range(u.dim()) if dimension != 1]
        for_offset = gradient.sum(others, keepdim=True)
        for_scale = (gradient * u).sum(others, keepdim=True)
        for_scale.addcdiv_(for_log.sum(), scale, value=x[0, 0].numel())
        for_bare = torch.ops.aten.softplus_backward(for_scale.mul_(0.1), bare, SHARPNESS, 20)
        for_x = gradient * scale
        for_x2 = for_x[:, -active:]
        # before the multiplication by the growth, for_x2 is the gradient for u2
        for_a = _empty_like(u, 2 * active, ctx.dtype)
        torch.mul(for_x2, 0.1, out=for_a[:, active:])
        for_x2.mul_(growth)
        for_s = (for_x2 * x[:, -active:]).add_(for_log.view(-1, *[1] * (x.dim() - 1)))
        through_bend(for_s, bend, ctx.clamp, out=for_a[:, :active])
        return for_x, for_a, for_bare, for_offset, None


def bent(r: Tensor) -> Tensor:
    """Sigmoid(r / 5): tanh(r / 10) is twice that minus 1, and takes several times as long."""
    return (r * 0.2).sigmoid_()


def exponents(bend: Tensor, clamp: float) -> Tensor:
    """The exponents s = clamp * tanh(r / 10) of scales, from ``bent`` r."""
    return (bend * (2 * clamp)).sub_(clamp)


def through_bend(for_s: Tensor, bend: Tensor, clamp: float, out: Tensor) -> None:
    """Write the gradient for r into ``out`` (of any precision), from the gradient for the exponents."""
    torch.mul(torch.ops.aten.sigmoid_backward(for_s, bend), 0.4 * clamp, out=out)
