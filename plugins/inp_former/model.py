"""INP-Former: a transformer's layers restored from a few prototypes of what is normal in the image itself.

A defect is rarely a prototype, so a decoder that sees the image through prototypes alone can't restore it. From the
paper, arXiv 2503.02424, and from what is known of the authors' program: docs/methods/inp-former.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..token_decoder import (
    RestoringDetector,
    Training,
    fused,
    heads_of,
    position_distances,
    restored_groups,
    scale_gradient,
    whole_distances,
)
from ..token_groups import TokenGroups
from . import INPFormerOptions
from .network import PrototypeDecoder

if TYPE_CHECKING:
    from adbench import BuildContext

EVALUATED = 5000
"""Steps from one evaluation to the next; the authors' program has one, at the end."""


class INPFormer(RestoringDetector):
    """The detector: groups of a frozen transformer's layers; trained prototypes, bottleneck and decoder."""

    def __init__(
        self,
        options: INPFormerOptions,
        context: BuildContext | torch.device,
        backbone: TokenGroups,
        heads: int | None = None,
    ) -> None:
        """``heads`` replaces the number that belongs to the backbone's width."""
        self.options: INPFormerOptions
        width = backbone.channels
        network = PrototypeDecoder(width, options.blocks, heads or heads_of(width), options.prototypes)
        training = Training(options.lr, options.final_lr, options.warmup, options.weight_decay, EVALUATED)
        super().__init__(
            options, context, name="inp-former", backbone=backbone, network=network, training=training,
            map_size=options.map_size,
        )  # fmt: skip

    def steps(self, batches: int) -> int:
        """Those of all epochs."""
        return self.options.epochs * batches

    def losses(self, *features: Tensor) -> Tensor:
        """The loss of each image, (B,): restoring, with gradients by the positions' distances, and coherence."""
        sequence, (outputs, prototypes) = self._run(features)
        restored = self.restored_maps(outputs, features)
        for target, each in zip(features, restored, strict=True):
            scale_gradient(each, mining_factors(position_distances(target, each.detach()), self.options.mining))
        coherence = nearest_distances(sequence, prototypes).mean(1)  # (B,)
        return whole_distances(features, restored) + self.options.coherence * coherence

    def restore(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the groups (B, C, h, w) -> restored maps of the same shapes."""
        _, (outputs, _) = self._run(features)
        return self.restored_maps(outputs, features)

    def _run(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
        """The positions' mean over the groups (B, N, C), and what the network makes of it."""
        sequence = fused(features)
        with self.autocast():
            return sequence, self.network(sequence)

    def restored_maps(self, outputs: Sequence[Tensor], features: Sequence[Tensor]) -> list[Tensor]:
        """The blocks' outputs (B, N, C) as one map (B, C, h, w) for each group."""
        return restored_groups(outputs, len(features), (features[0].shape[2], features[0].shape[3]))


def mining_factors(distances: Tensor, exponent: float) -> Tensor:
    """Each distance over the mean of the batch, raised to a power: (B, h, w) -> the same shape.

    Rounding makes some distances negative, which have no real power of 2.5.
    """
    distances = distances.clamp_min(0)
    return (distances / distances.mean()) ** exponent


def nearest_distances(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """1 minus the cosine of each token (B, N, C) and the nearest of its image's prototypes (B, M, C): (B, N)."""
    cosines = F.normalize(tokens.float(), dim=2) @ F.normalize(prototypes.float(), dim=2).mT  # (B, N, M)
    return 1 - cosines.amax(2)
