"""Restoring a transformer's layers by a decoder of few blocks: what Dinomaly and INP-Former have in common.

From the papers, arXiv 2405.14325 and arXiv 2503.02424. A method adds its network and its loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Backbone, BackboneOptions, Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, Size, maps

from .flows import require_finite, require_fit, set_learning_rate
from .stable_adamw import StableAdamW, WarmCosine
from .token_groups import TokenGroups

if TYPE_CHECKING:
    from adbench import BuildContext
    from adbench.api import Batch, Images

NORM_EPS = 1e-8
"""Of the layer norms."""

CLIP = 0.1
"""Norm to which the gradient of all parameters is clipped."""

SIGMA, RADIUS, SHARE = 4.0, 2, 0.01
"""The kernel of 5 x 5 that smooths maps, and the share of pixels whose mean scores an image."""


def positions_of(backbone: str) -> str:
    """How position embeddings of a backbone are interpolated: DINOv2's as in its program."""
    return "dinov2" if "dinov2" in backbone else "timm"


class MLP(nn.Module):
    """Two linear layers and a GELU, with dropout before the first and after both."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        hidden = self.dropout(F.gelu(self.fc1(self.dropout(x))))
        return self.dropout(self.fc2(hidden))


def heads_of(width: int) -> int:
    """Heads of an attention: one for 64 channels, as in all ViTs, or the next lower number that divides the width."""
    return next(heads for heads in range(max(1, width // 64), 0, -1) if width % heads == 0)


def initialise(network: nn.Module) -> None:
    """Draw linear layers from a normal distribution of deviation 0.01, cut at three of them; biases are 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
            nn.init.zeros_(module.bias)


def fused(groups: Sequence[Tensor]) -> Tensor:
    """The mean of groups, each map (B, C, h, w) or tokens (B, C, 1, P), as a sequence (B, N, C)."""
    return torch.stack([group.float() for group in groups]).mean(0).flatten(2).mT


def restored_groups(outputs: Sequence[Tensor], groups: int, grid: tuple[int, int]) -> list[Tensor]:
    """The means of the blocks' outputs (B, P + h * w, C) as maps (B, C, h, w), the last blocks first.

    So the shallowest layers are restored by the last blocks. Tokens before the positions are left out.
    """
    size, count = len(outputs) // groups, grid[0] * grid[1]
    parts = [list(outputs[::-1][start : start + size]) for start in range(0, size * groups, size)]
    return [torch.stack(part).mean(0)[:, -count:].mT.unflatten(2, grid) for part in parts]


def position_distances(target: Tensor, restored: Tensor) -> Tensor:
    """1 minus the cosine at each position: 2 x (B, C, h, w) -> (B, h, w), float32."""
    return 1 - F.cosine_similarity(target.float(), restored.float(), dim=1)


def whole_distances(targets: Sequence[Tensor], restored: Sequence[Tensor]) -> Tensor:
    """1 minus the cosine of whole maps as vectors of C * h * w numbers, the mean over the groups: (B,)."""
    pairs = zip(targets, restored, strict=True)
    cosines = [F.cosine_similarity(t.float().flatten(1), r.float().flatten(1), dim=1) for t, r in pairs]
    return 1 - torch.stack(cosines).mean(0)


def scale_gradient(restored: Tensor, factors: Tensor) -> None:
    """Multiply the gradient that arrives at a map (B, C, h, w) by factors (B, h, w); values stay."""
    if restored.requires_grad:
        restored.register_hook(lambda gradient: gradient * factors[:, None].to(gradient.dtype))


@dataclass(frozen=True)
class Training:
    """How a decoder is trained; the fields are those of ``WarmCosine``, of the optimiser, and of the schedule.

    Attributes:
        evaluated: steps from one evaluation to the next.
    """

    lr: float
    final: float
    warmup: int
    weight_decay: float
    evaluated: int


class RestoringDetector(Detector, ABC):
    """A frozen backbone's groups, and a trained ``network`` that restores them; a method adds ``losses`` and others.

    Losses compare the positions of all images of a batch, so a batch is never split. Incomplete batches are left out.

    Args:
        options: the method's options.
        context: the context from ``build``.
        name: of the method, for messages.
        backbone: the groups.
        network: has the names of the authors' checkpoints.
        training: optimiser and schedule.
        map_size: height and width of the map that is smoothed.
    """

    def __init__(
        self,
        options: BackboneOptions,
        context: BuildContext | torch.device,
        *,
        name: str,
        backbone: TokenGroups,
        network: nn.Module,
        training: Training,
        map_size: Size,
    ) -> None:
        super().__init__(options, context)
        self.name, self.backbone, self.training, self.map_size = name, backbone, training, tuple(map_size)
        self.network = network.to(self.device).eval()
        self.optimizer = StableAdamW(self.network.parameters(), training.lr, weight_decay=training.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    @abstractmethod
    def steps(self, batches: int) -> int:
        """Optimiser steps of the whole training, of which an epoch has ``batches``."""

    @abstractmethod
    def restore(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The groups as the network restores them: for each a map (B, C, h, w)."""

    @abstractmethod
    def losses(self, *features: Tensor) -> Tensor:
        """The loss of each image, (B,)."""

    def begin_step(self, step: int) -> None:
        """Prepare the losses of a step, counted from 0."""

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train for a fixed number of steps; the last epoch may be shorter than the others."""
        batches = max(1, len(images) // images.batch_size)
        steps = self.steps(batches)
        total, training = ceil(steps / batches), self.training
        schedule = WarmCosine(training.lr, training.final, training.warmup, steps)
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            self.network.train()
            first, losses = epoch * batches, []
            for features in whole_batches(images, self.backbone):
                step = first + len(losses)
                if step == steps:
                    break
                set_learning_rate(self.optimizer, schedule.rate(step))
                self.begin_step(step)
                # losses stay on the device until the epoch ends: reading one waits for the GPU
                losses.append(self.step(features))
            self.network.eval()
            loss, after = torch.stack(losses).mean().item(), first + len(losses)
            require_finite(self.name, epoch + 1, loss, training.lr)
            milestone = first // training.evaluated < after // training.evaluated
            yield Epoch(epoch + 1, total, loss, schedule.rate(after - 1), milestone=milestone)

    def step(self, features: Sequence[Tensor]) -> Tensor:
        """One optimiser step on the features of a batch; returns its mean loss, ()."""
        loss = self.micro_batches.backward(self.losses, features, self.optimizer, scale=self.scaler.scale)
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the smoothed mean of the groups' distances, images by their most anomalous hundredth."""
        features = batch.features(self.backbone)
        pairs = zip(features, self.restore(features), strict=False)  # the features of tokens come last
        levels = [position_distances(target, restored) for target, restored in pairs]
        found = smoothed(joined(levels, batch.size), self.map_size)
        image = maps.top_mean(found, SHARE)
        return Scores(image=image, map=found if self.map_size == batch.size else maps.upsample(found, batch.size))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state, or an authors' checkpoint, whose frozen encoder is left out."""
        if "network" not in state:
            network = {key: value for key, value in state.items() if not str(key).startswith("encoder.")}
            if not any(str(key).startswith("decoder.") for key in network):
                found = ", ".join(map(str, list(state)[:5])) or "nothing"
                raise CheckpointError("checkpoint", found=found, wanted=f"'network' of a {self.name} model")
            state = {"network": network}
        require_fit("network", self.network, state["network"])
        super().load_state_dict(state)


def whole_batches(images: Images, backbone: TokenGroups) -> Iterator[list[Tensor]]:
    """One epoch of features without an incomplete last batch, unless that is the only one."""
    wanted = min(images.batch_size, len(images))
    return (features for features in images.features(backbone) if len(features[0]) == wanted)


def joined(levels: Sequence[Tensor], size: Size) -> Tensor:
    """The mean of the groups' distances (B, h, w), each enlarged to ``size``: (B, H, W)."""
    return torch.stack([maps.upsample(level, size, align_corners=True) for level in levels]).mean(0)


def smoothed(whole: Tensor, map_size: Size) -> Tensor:
    """Maps (B, H, W) resized and then smoothed, with zeros beyond the border."""
    resized = maps.upsample(whole, map_size) if tuple(whole.shape[1:]) != tuple(map_size) else whole
    return maps.gaussian(resized, SIGMA, radius=RADIUS, border="zero")


def grouped(backbone: Backbone, blocks: int) -> TokenGroups:
    """The groups of a backbone. Raises ``OptionError`` if blocks can't be shared out among them."""
    groups = TokenGroups(backbone)
    if blocks % groups.groups:
        raise OptionError("-o blocks", found=str(blocks), wanted=f"a multiple of {groups.groups}, one part for a group")
    return groups
