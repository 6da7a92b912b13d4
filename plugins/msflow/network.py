"""MSFlow's invertible network: one flow per scale, then a fusion flow over all scales at once.

Qiang Zhou et al., "MSFlow: Multi-Scale Flow-based Framework for Unsupervised Anomaly Detection",
arXiv 2308.15300, TNNLS 2024. Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..coupling import ChannelNorm, CodedConv, Conv, FastPermute, MapBlock, Precision
from ..flows import at_least_float32, position_code
from ..freia import GraphINN, InputNode, InvertibleModule, Node, OutputNode, SequenceINN

# FrEIA wants the height and width of a map, but uses only the number of dimensions.
ANY_SIZE = (1, 1)


class ConvSubnet(nn.Module):
    """Predicts scale and shift of one coupling from the other half of the channels and the position code."""

    def __init__(self, channels_in: int, channels_out: int, precision: Precision) -> None:
        super().__init__()
        self.precision = precision
        self.conv1 = CodedConv(channels_in, channels_in, precision)
        self.ln = ChannelNorm(channels_in)
        self.conv2 = Conv(channels_in, channels_out, precision)

    def forward(self, x: torch.Tensor, code: torch.Tensor | None = None) -> torch.Tensor:
        """Map (B, C, H, W) and a code (1, D, H, W), or both as (B, C_in, H, W), to (B, C_out, H, W)."""
        result: torch.Tensor = self.conv2(F.relu(self.ln(self.conv1(x, code))))
        return result if code is not None else at_least_float32(result)


class CrossScaleSubnet(nn.Module):
    """Predicts scales and shifts for one half of every map from the other halves of all maps together."""

    def __init__(self, channels_in: Sequence[int], channels_out: Sequence[int], precision: Precision) -> None:
        super().__init__()
        self.channels = list(channels_in)
        self.precision = precision
        self.cross_convs = CrossConvs(sum(channels_in), precision)
        pairs = list(zip(channels_in, channels_out, strict=True))
        self.conv_s = nn.ModuleList(Conv(c_in, c_out, precision) for c_in, c_out in pairs)
        self.conv_t = nn.ModuleList(Conv(c_in, c_out, precision) for c_in, c_out in pairs)

    def forward(self, halves: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Map L halves (B, C_i, H_i, W_i) to L pairs (s, t), each (B, C_i, H_i, W_i) in float32."""
        smallest = min((half.shape[2], half.shape[3]) for half in halves)
        pooled = torch.cat([F.adaptive_avg_pool2d(half, smallest) for half in halves], dim=1)  # (B, S, h, w)
        shared = self.cross_convs(pooled).split(self.channels, dim=1)  # L x (B, C_i, h, w)
        mixed = [half + _resize_to(part, half) for half, part in zip(halves, shared, strict=True)]
        if self.precision is not None:  # once, not for s and for t
            mixed = [each.to(self.precision) for each in mixed]
        scales = [conv(x) for conv, x in zip(self.conv_s, mixed, strict=True)]
        shifts = [conv(x) for conv, x in zip(self.conv_t, mixed, strict=True)]
        return [(at_least_float32(s), at_least_float32(t)) for s, t in zip(scales, shifts, strict=True)]


class CrossConvs(nn.Module):
    """Mixes the channels of all scales through a quarter of their number: (B, S, h, w) -> (B, S, h, w)."""

    def __init__(self, channels: int, precision: Precision) -> None:
        super().__init__()
        hidden = channels // 4
        self.conv1 = Conv(channels, hidden, precision)
        self.norm = ChannelNorm(hidden)
        self.conv2 = Conv(hidden, channels, precision)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, normalise, convolve."""
        return F.relu(self.conv2(F.relu(self.norm(self.conv1(x)))))


def _resize_to(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=True)


class FusionCoupling(InvertibleModule):  # type: ignore[misc]  # FrEIA has no types
    """A two-sided affine coupling over all scales at once.

    Each map's channels are split in two halves. The second halves of all maps scale and shift the
    first halves; the new first halves then scale and shift the second ones.
    """

    def __init__(
        self,
        dims_in: Sequence[tuple[int, ...]],
        dims_c: Sequence[tuple[int, ...]] | None = None,
        *,
        clamp: float,
        precision: Precision,
    ) -> None:
        super().__init__(dims_in, dims_c)
        self.clamp = clamp
        self.splits = [[dims[0] // 2, dims[0] - dims[0] // 2] for dims in dims_in]
        first, second = zip(*self.splits, strict=True)
        self.subnet_1 = CrossScaleSubnet(first, second, precision)
        self.subnet_2 = CrossScaleSubnet(second, first, precision)

    def forward(
        self, x: Sequence[torch.Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Map L tensors (B, C_i, H_i, W_i) to as many, with the log-Jacobian (B,); ``rev`` is the inverse."""
        pairs = [torch.split(tensor, split, dim=1) for tensor, split in zip(x, self.splits, strict=True)]
        first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if rev:
            second, jac_second = self._unscale(second, self.subnet_1(first))
            first, jac_first = self._unscale(first, self.subnet_2(second))
        else:
            first, jac_first = self._scale(first, self.subnet_2(second))
            second, jac_second = self._scale(second, self.subnet_1(first))
        joined = [torch.cat(pair, dim=1).clamp(-1e6, 1e6) for pair in zip(first, second, strict=True)]
        return joined, jac_first + jac_second

    def _scale(
        self, halves: list[torch.Tensor], coefficients: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        exponents = [self._exponent(s) for s, _ in coefficients]
        moved = [e.exp() * x + t for x, e, (_, t) in zip(halves, exponents, coefficients, strict=True)]
        return moved, _total(exponents)

    def _unscale(
        self, halves: list[torch.Tensor], coefficients: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        exponents = [self._exponent(s) for s, _ in coefficients]
        moved = [(-e).exp() * (y - t) for y, e, (_, t) in zip(halves, exponents, coefficients, strict=True)]
        return moved, -_total(exponents)

    def _exponent(self, s: torch.Tensor) -> torch.Tensor:
        return self.clamp * 0.636 * torch.atan(s / self.clamp)  # within +-clamp, 0.636 being nearly 2 / pi

    def output_dims(self, input_dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Shapes don't change."""
        return input_dims


def _total(exponents: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([e.sum(dim=(1, 2, 3)) for e in exponents]).sum(0)  # (B,)


def parallel_flow(channels: int, blocks: int, cond_channels: int, clamp: float, precision: Precision) -> SequenceINN:
    """Build the flow of one scale: affine couplings conditioned on the position, between hard permutations."""
    flow = SequenceINN(channels, *ANY_SIZE)
    for _ in range(blocks):
        flow.append(
            MapBlock,
            cond=0,
            cond_shape=(cond_channels, *ANY_SIZE),
            subnet_constructor=partial(ConvSubnet, precision=precision),
            affine_clamping=clamp,
            global_affine_type="SOFTPLUS",
        )
    return flow


def fusion_flow(channels: Sequence[int], clamp: float, precision: Precision) -> GraphINN:
    """Build the flow over all scales: each map's channels permuted once, then one coupling of all maps."""
    inputs = [InputNode(c, *ANY_SIZE) for c in channels]
    shuffled = [Node(node, FastPermute, {}) for node in inputs]
    arguments: dict[str, Any] = {"clamp": clamp, "precision": precision}
    coupling = Node([(node, 0) for node in shuffled], FusionCoupling, arguments)
    outputs = [OutputNode((coupling, index)) for index in range(len(channels))]
    graph = GraphINN([*inputs, *shuffled, coupling, *outputs], force_tuple_output=True)
    # FrEIA names modules in an order that differs between processes; a checkpoint needs a fixed order.
    graph.module_list = nn.ModuleList([node.module for node in (*shuffled, coupling)])
    return graph


def in_scale_order(state: Mapping[str, torch.Tensor], channels: Sequence[int]) -> dict[str, torch.Tensor]:
    """A fusion flow's state with its permutations in the order of the scales, recognised by their lengths.

    A checkpoint that was written with FrEIA's own order may have them in any order.
    """
    lengths = {key.split(".")[1]: len(value) for key, value in state.items() if key.endswith(".perm")}
    if sorted(lengths.values()) != sorted(channels) or len(set(channels)) < len(channels):
        return dict(state)
    place = {number: str(list(channels).index(length)) for number, length in lengths.items()}
    renamed = {}
    for key, value in state.items():
        head, number, tail = key.split(".", 2)
        renamed[f"{head}.{place.get(number, number)}.{tail}"] = value
    return renamed


class MultiScaleFlow(nn.Module):
    """Maps the features of all scales to noise, z, of the same shapes."""

    def __init__(
        self,
        channels: Sequence[int],
        blocks: Sequence[int],
        *,
        cond_channels: int,
        clamp: float,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.cond_channels = cond_channels
        self.parallel_flows = nn.ModuleList(
            parallel_flow(c, n, cond_channels, clamp, precision) for c, n in zip(channels, blocks, strict=True)
        )
        self.fusion_flow = fusion_flow(channels, clamp, precision)
        self.to(memory_format=torch.channels_last)

    def forward(self, features: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Map L features (B, C_i, H_i, W_i) to L z of the same shapes, and the log-Jacobian (B,)."""
        apart, jacobians = [], []
        for flow, x in zip(self.parallel_flows, features, strict=True):
            code = position_code(self.cond_channels, *x.shape[2:], x.device)[None]  # (1, D, H_i, W_i)
            x = at_least_float32(x).contiguous(memory_format=torch.channels_last)
            z, log_jac = flow(x, [code])  # (B, C_i, H_i, W_i), (B,)
            apart.append(z)
            jacobians.append(log_jac)
        # FrEIA's own forward makes a tensor on the CPU and copies it, which a CUDA graph can't capture
        *shuffles, coupling = self.fusion_flow.module_list
        shuffled = [shuffle([z])[0][0] for shuffle, z in zip(shuffles, apart, strict=True)]
        fused, log_jac = coupling(shuffled)
        return fused, torch.stack([*jacobians, log_jac]).sum(0)
