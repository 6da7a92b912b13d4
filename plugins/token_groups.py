"""A backbone's layers as groups of maps on one grid of positions, which Dinomaly and INP-Former restore.

The papers' transformers have layers of one width and grid: a group is the mean of some neighbours. Caching groups takes
a quarter of what eight layers take. Levels of a convolutional network differ in width and grid: they make one group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Backbone
from adbench.api import OptionError

GROUPS = 2
"""Of a transformer's layers: the shallow half and the deep half."""


class TokenGroups(nn.Module):
    """A frozen backbone that gives out means of its layers, or its levels side by side.

    Attributes:
        key: names all that changes the features.
        groups: number of groups.
        channels: of a position; the same in all groups.
        stride: pixels of the image per position.
        weights_hash: of the backbone.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Wrap a backbone. Raises ``OptionError`` for an odd number of layers above 1 that have one width and grid."""
        super().__init__()
        self.backbone = backbone
        layers = len(backbone.channels)
        self.is_even = len(set(backbone.channels)) == len(set(backbone.strides)) == 1
        if self.is_even and layers > 1 and layers % GROUPS:
            found = ",".join(map(str, backbone.layers))
            raise OptionError("-o layers", found=found, wanted="an even number of blocks, which make two groups")
        self.groups = GROUPS if self.is_even and layers > 1 else 1
        self.channels = backbone.channels[0] if self.is_even else sum(backbone.channels)
        self.stride = max(backbone.strides)
        self.weights_hash = backbone.weights_hash
        self.key = f"{backbone.key}/{f'means of {self.groups} groups' if self.is_even else 'levels side by side'}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the groups of images (B, 3, H, W).

        Returns:
            For each group a map (B, C, h, w), and after all maps for each group its tokens (B, C, 1, P), if the
            backbone gives out class token or registers.
        """
        found = self.backbone(images)
        if not self.is_even:
            return [side_by_side(found)]
        layers = len(self.backbone.channels)
        kinds = [found[:layers], *([found[layers:]] if found[layers:] else [])]  # maps, tokens
        return [group for kind in kinds for group in group_means(kind, self.groups)]

    def release_weights(self) -> None:
        """Free the backbone's memory until the next images."""
        self.backbone.release_weights()


def group_means(layers: Sequence[Tensor], groups: int) -> list[Tensor]:
    """The mean of each of ``groups`` equal parts of L tensors of one shape, in their precision."""
    size = len(layers) // groups
    parts = [layers[start : start + size] for start in range(0, size * groups, size)]
    return [torch.stack([each.float() for each in part]).mean(0).to(part[0].dtype) for part in parts]


def side_by_side(levels: Sequence[Tensor]) -> Tensor:
    """Levels (B, C_i, h_i, w_i) on the coarsest one's grid, as one map (B, sum of C_i, h, w).

    Finer levels are averaged over the pixels of a position. At each position every level is scaled to the same length,
    so that none outweighs the others, and the mean square of all channels is 1.
    """
    grid = min((level.shape[2:] for level in levels), key=tuple)
    parts = [F.normalize(F.adaptive_avg_pool2d(level.float(), grid), dim=1) for level in levels]
    both = torch.cat(parts, dim=1)
    return (both * (both.shape[1] / len(levels)) ** 0.5).to(levels[0].dtype)
