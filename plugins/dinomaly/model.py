"""Dinomaly: a transformer's layers restored from their noisy mean, loosely enough that defects are not.

Three things keep the decoder from copying what it has never seen: dropout in the bottleneck, attention that can't focus
on single positions, and a loss of whole groups of layers in which positions that are restored well count little. From
the paper, arXiv 2405.14325, and from what is known of the authors' program: docs/methods/dinomaly.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..token_decoder import (
    MLP,
    NORM_EPS,
    RestoringDetector,
    Training,
    fused,
    heads_of,
    initialise,
    position_distances,
    restored_groups,
    scale_gradient,
    whole_distances,
)
from ..token_groups import TokenGroups
from . import DinomalyOptions

if TYPE_CHECKING:
    from adbench import BuildContext

EVALUATED = 5000
"""Steps from one evaluation to the next, as in the authors' program."""

SEVERAL, ONE = 10000, 5000
"""Steps for several classes, and for one."""

SMALLEST = 1e-6
"""Bound of the attention's denominator, which is 0 where all of exp underflows."""


class Dinomaly(RestoringDetector):
    """The detector: groups of a frozen transformer's layers, and the trained bottleneck and decoder."""

    def __init__(
        self,
        options: DinomalyOptions,
        context: BuildContext | torch.device,
        backbone: TokenGroups,
        heads: int | None = None,
    ) -> None:
        """``heads`` replaces the number that belongs to the backbone's width."""
        self.options: DinomalyOptions
        width = backbone.channels
        network = BottleneckDecoder(width, options.blocks, heads or heads_of(width), options.dropout)
        training = Training(options.lr, options.final_lr, options.warmup, options.weight_decay, EVALUATED)
        super().__init__(
            options, context, name="dinomaly", backbone=backbone, network=network, training=training,
            map_size=options.map_size,
        )  # fmt: skip
        self.share = 0.0

    def steps(self, batches: int) -> int:
        """Those of the options: ``epochs``, ``iterations``, or the program's."""
        if self.options.epochs is not None:
            return self.options.epochs * batches
        return self.options.iterations or (SEVERAL if self.context.setting == "multi-class" else ONE)

    def begin_step(self, step: int) -> None:
        """Set the share of positions that are damped: it rises in a straight line."""
        self.share = min(self.options.discarded * step / self.options.ramp, self.options.discarded)

    def losses(self, *features: Tensor) -> Tensor:
        """The loss of each image, (B,), of whose best restored positions the gradient is damped."""
        restored = self.restore(features)
        targets = features[: len(restored)]
        for target, each in zip(targets, restored, strict=True):
            distances = position_distances(target, each.detach())
            scale_gradient(each, damping_factors(distances, self.share, self.options.damping))
        return whole_distances(targets, restored)

    def restore(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the groups, and their tokens if there are any -> restored maps of the same shapes."""
        count = self.backbone.groups
        grid = (features[0].shape[2], features[0].shape[3])
        sequence = fused(features[:count])
        if len(features) > count:
            sequence = torch.cat([fused(features[count:]), sequence], dim=1)  # the class token comes first
        with self.autocast():
            outputs = self.network(sequence)
        return restored_groups(outputs, count, grid)


def damping_factors(distances: Tensor, share: float, damping: float) -> Tensor:
    """``damping`` at the ``share`` of positions of the whole batch with the lowest distances, 1 elsewhere: (B, h, w).

    The kept number is rounded down in floating-point arithmetic, as in the program: of 32 positions 0.9 leaves 3.
    """
    kept = max(1, floor(distances.numel() * (1 - share)))
    threshold = distances.flatten().topk(kept).values[-1]
    return torch.where(distances < threshold, damping, 1.0)


class BottleneckDecoder(nn.Module):
    """The trained part, named as in the authors' checkpoints.

    Args:
        width: channels of a token.
        blocks: of the decoder.
        heads: of each attention.
        dropout: of the bottleneck.
    """

    def __init__(self, width: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.bottleneck = nn.ModuleList([MLP(width, 4 * width, dropout)])
        self.decoder = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        initialise(self)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(B, N, width) -> the outputs of all blocks, each of that shape."""
        outputs = []
        for layer in (*self.bottleneck, *self.decoder):
            tokens = layer(tokens)
            outputs.append(tokens)
        return outputs[len(self.bottleneck) :]


class Block(nn.Module):
    """A transformer's block that normalises first, with linear attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=NORM_EPS), nn.LayerNorm(width, eps=NORM_EPS)
        self.attn, self.mlp = LinearAttention(width, heads), MLP(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LinearAttention(nn.Module):
    """Attention whose weights are products of elu + 1, without a softmax (arXiv 2006.16236)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> the same shape. Sums over positions are float32 in any precision."""
        q, k, v = self.qkv(x).float().unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, D)
        with torch.autocast(x.device.type, enabled=False):
            q, k = F.elu(q) + 1, F.elu(k) + 1
            weights = q @ k.sum(2)[..., None]  # (B, heads, N, 1)
            attended = q @ (k.mT @ v) / weights.clamp_min(SMALLEST)
        return self.proj(attended.movedim(1, 2).flatten(2))
