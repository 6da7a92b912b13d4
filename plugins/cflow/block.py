"""CFLOW-AD's coupling block over single feature vectors ("fibres"), in a few large operations.

A training step on 256 fibres is hundreds of operations on little data. Each is a call, a pass over memory and an
autograd node. Here a whole block is one node with a hand-written backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..coupling import SHARPNESS, FastBlock, Precision, bent, exponents, through_bend
from ..flows import at_least_float32


class Linear(nn.Linear):
    """A linear layer that computes in a given precision, whatever the precision of its input and parameters."""

    def __init__(self, channels_in: int, channels_out: int, precision: Precision) -> None:
        super().__init__(channels_in, channels_out)
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C) to (N, C_out)."""
        dtype = self.precision or x.dtype
        return F.linear(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


class Subnet(nn.Sequential):
    """Predicts scale and shift of one coupling from the other half of a fibre and its position code.

    FrEIA calls it for the inverse. In the forward direction a block takes only its weights and computes the same.
    """

    def __init__(self, channels_in: int, channels_out: int, precision: Precision) -> None:
        hidden = 2 * channels_in
        super().__init__(
            Linear(channels_in, hidden, precision), nn.ReLU(inplace=True), Linear(hidden, channels_out, precision)
        )
        self.precision = precision

    def forward(self, both: Tensor) -> Tensor:
        """Map half the channels with the code, (N, C_in), to (N, C_out)."""
        return at_least_float32(super().forward(both))


class VectorBlock(FastBlock):
    """A block over single vectors (N, C), with a ``Subnet`` and a rotation (C, C).

    The rotated output keeps the precision of that product.
    """

    def __init__(
        self, dims_in: Sequence[tuple[int]], dims_c: Sequence[tuple[int]], *, rotation: Tensor,
        subnet_constructor: Callable[[int, int], Subnet], affine_clamping: float,
    ) -> None:  # fmt: skip
        # FrEIA would write a permutation of all channels three times (64 MiB for 2048 channels), only to drop it:
        # so it makes the block for two channels
        super().__init__(
            [(2,)], dims_c, subnet_constructor=lambda *_: nn.Identity(), affine_clamping=affine_clamping,
            global_affine_type="SOFTPLUS",
        )  # fmt: skip
        self.dims_in, channels = list(dims_in), len(rotation)
        self.in_channels, self.splits = channels, [channels - channels // 2, channels // 2]
        for name in ("global_scale", "global_offset"):
            setattr(self, name, nn.Parameter(getattr(self, name).detach()[:, :1].repeat(1, channels)))
        self.w_perm = nn.Parameter(rotation, requires_grad=False)
        self.w_perm_inv = nn.Parameter(rotation.T, requires_grad=False)  # shares its memory
        self.subnet = subnet_constructor(self.splits[0] + self.condition_channels, 2 * self.splits[1])

    def forwards(self, x: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Map (k * N, C), with codes (N, D), to the same shape, with the log-Jacobian (k * N,)."""
        dtype = self.subnet.precision or x.dtype
        return self._couple(x, code, self._constant(lambda matrix: matrix.to(dtype)))

    def couple(self, x: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Couple in float32 without the rotation: (k * N, C) and codes (N, D) to the same and log-Jacobian (k * N,)."""
        return self._couple(x, code, None)

    def _couple(self, x: Tensor, code: Tensor, rotation: Tensor | None) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled() and len(code) < len(x):
            code = code.repeat_interleave(len(x) // len(code), dim=0)
        first, _, last = self.subnet
        result: tuple[Tensor, Tensor] = _CoupleAndRotate.apply(  # type: ignore[no-untyped-call]
            x, code, first.weight, first.bias, last.weight, last.bias, self.global_scale, self.global_offset, rotation,
            self.clamp, self.subnet.precision or x.dtype,
        )  # fmt: skip
        return result


class _CoupleAndRotate(Function):
    """A coupling with its scaling and rotation; without a rotation the output is float32.

    The subnet makes (r, t) of x1 and the code, where x = (x1, x2). Then s = clamp * tanh(r / 10),
    u = (x1, x2 * exp(s) + t / 10), scale = softplus(bare / 2) / 5, and y = rotation (u * scale + offset);
    log-Jacobian = sum of s and log scale.

    The gradients of weights have the memory layout of the weights. Autograd's own have the transposed layout, and
    transposing and casting them takes longer than the product.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, code: Tensor, first: Tensor, first_bias: Tensor, last: Tensor, last_bias: Tensor,
        bare: Tensor, offset: Tensor, rotation: Tensor | None, clamp: float, dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        active = len(last) // 2
        passive = x.shape[1] - active
        if code.shape[0] < x.shape[0]:  # no gradients are needed then; len() would fix the number in a file
            both = first_cast = None
            own, for_code = (part.to(dtype) for part in first.split((passive, code.shape[1]), dim=1))
            of_code = F.linear(code.to(dtype), for_code, first_bias.to(dtype))
            hidden = F.linear(x[:, :passive].to(dtype), own)
            hidden.unflatten(0, (code.shape[0], -1)).add_(of_code[:, None]).relu_()
        else:
            both = x.new_empty(x.shape[0], first.shape[1], dtype=dtype)
            both[:, :passive], both[:, passive:] = x[:, :passive], code
            first_cast = first.to(dtype)
            hidden = F.linear(both, first_cast, first_bias.to(dtype)).relu_()
        last_cast = last.to(dtype)  # as late as possible: it is then still in the cache
        rt = at_least_float32(F.linear(hidden, last_cast, last_bias.to(dtype)))

        bend = bent(rt[:, :active])
        s = exponents(bend, clamp)
        scale = F.softplus(bare, SHARPNESS).mul_(0.1)
        log_jac = s.sum(1).add_(scale.log().sum())
        growth = s.exp_()
        u = x.to(rt.dtype, copy=True)
        grown = u[:, passive:] * growth
        torch.add(grown, rt[:, active:], alpha=0.1, out=u[:, passive:])
        y = torch.addcmul(offset, u, scale)
        ctx.save_for_backward(both, first_cast, hidden, last_cast, bend, growth, grown, u, bare, scale, rotation)
        ctx.clamp, ctx.types = clamp, (x.dtype, first.dtype)
        return y if rotation is None else F.linear(y.to(dtype), rotation), log_jac

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor, for_log: Tensor) -> tuple[Tensor | None, ...]:
        both, first, hidden, last, bend, growth, grown, u, bare, scale, rotation = ctx.saved_tensors
        x_dtype, weight_dtype = ctx.types
        active, passive = bend.shape[1], u.shape[1] - bend.shape[1]
        for_y = gradient if rotation is None else F.linear(gradient, rotation.T).to(u.dtype)
        for_offset = for_y.sum(0, keepdim=True)
        for_scale = (for_y * u).sum(0, keepdim=True).add_(for_log.sum() / scale)
        for_bare = torch.ops.aten.softplus_backward(for_scale.mul_(0.1), bare, SHARPNESS, 20)
        for_u = for_y * scale
        for_u2 = for_u[:, passive:]

        for_rt = u.new_empty(len(u), 2 * active)
        torch.mul(for_u2, 0.1, out=for_rt[:, active:])
        for_s = (for_u2 * grown).add_(for_log[:, None])
        through_bend(for_s, bend, ctx.clamp, out=for_rt[:, :active])
        for_last_bias = for_rt.sum(0)
        for_rt = for_rt.to(hidden.dtype)
        for_hidden = torch.ops.aten.threshold_backward(F.linear(for_rt, last.T), hidden, 0)
        for_x = None
        if ctx.needs_input_grad[0]:
            for_u2.mul_(growth)
            for_u[:, :passive].add_(F.linear(for_hidden, first[:, :passive].T))
            for_x = for_u.to(x_dtype)
        return (
            for_x, None,
            F.linear(for_hidden.T, both.T).to(weight_dtype), for_hidden.sum(0, dtype=weight_dtype),
            F.linear(for_rt.T, hidden.T).to(weight_dtype), for_last_bias,
            for_bare, for_offset, None, None, None,
        )  # fmt: skip
