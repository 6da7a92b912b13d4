"""UniAD: a transformer restores an image's feature vectors, and fails on those of defects.

It could learn to copy whatever it sees. Three parts keep it from that: a vector is restored without itself and its
neighbours, each layer of the decoder starts from a learned query, and in training the vectors have noise on them. So
one model restores the good images of many classes. Facts from the paper, arXiv 2206.03687, and from what is known of
the authors' program: docs/methods/uniad.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, maps

from ..flows import require_finite, require_fit, set_learning_rate
from . import UniADOptions
from .extractor import Aligned
from .network import Reconstruction

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

EVALUATED = 10
"""Epochs from one evaluation to the next, as in the authors' program."""

POOLED = 16
"""Side in pixels of the square whose mean is an image's score, where it is highest."""

AUTHORS = "reconstruction."
"""Prefix of the transformer's parameters in the authors' checkpoints, behind one of a wrapping module perhaps."""


class UniAD(Detector):
    """The detector: a frozen ``backbone``, whose layers are aligned, and the transformer ``reconstruction``."""

    micro_batching = True

    def __init__(self, options: UniADOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: UniADOptions = options
        rows, columns = (max(1, round(side / options.stride)) for side in options.size)
        self.grid = (rows, columns)
        self.backbone = Aligned(backbone, self.grid, options.stride)
        self.reconstruction = Reconstruction(self.backbone.channels[0], self.grid, options).to(self.device).eval()
        self.optimizer = torch.optim.AdamW(
            self.reconstruction.parameters(), options.lr, weight_decay=options.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train for a fixed number of epochs."""
        total = self.options.epochs
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            rate = learning_rate(epoch, self.options)
            set_learning_rate(self.optimizer, rate)
            self.reconstruction.train()
            # losses stay on the device until the epoch ends: reading one waits for the GPU
            loss = torch.stack([self.step(features) for features in images.features(self.backbone)]).mean().item()
            self.reconstruction.eval()
            require_finite("uniad", epoch + 1, loss, self.options.lr)
            yield Epoch(epoch + 1, total, loss, rate, milestone=(epoch + 1) % EVALUATED == 0)

    def step(self, features: Sequence[Tensor]) -> Tensor:
        """One optimiser step on the aligned features [(B, C, h, w)] of a batch; returns its mean loss, ()."""
        tokens = as_tokens(features)
        noise = torch.randn_like(tokens)
        loss = self.micro_batches.backward(self.losses, [tokens, noise], self.optimizer, scale=self.scaler.scale)
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.reconstruction.parameters(), self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def losses(self, tokens: Tensor, noise: Tensor) -> Tensor:
        """The loss of each image, (B,): tokens (B, N, C) are restored from the same with noise (B, N, C) on them."""
        restored = self.restore(jittered(tokens, noise, self.options.jitter))
        return (restored - tokens).square().mean((1, 2))

    def restore(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C), float32."""
        with self.autocast():
            restored: Tensor = self.reconstruction(tokens)
        return restored.float()

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the length of the difference from the restored vector, and images by the highest region."""
        tokens = as_tokens(batch.features(self.backbone))
        distances = torch.linalg.vector_norm(self.restore(tokens) - tokens, dim=2)  # (B, N)
        found = maps.upsample(distances.unflatten(1, self.grid), batch.size, align_corners=True)
        return Scores(image=highest_region(found), map=found)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state, or an authors' checkpoint: the flat state dict of the whole model."""
        state = from_authors(state) or state
        if "reconstruction" not in state:
            found = ", ".join(map(str, list(state)[:5])) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted="'reconstruction' of a UniAD model")
        require_fit("reconstruction", self.reconstruction, state["reconstruction"])
        super().load_state_dict(state)


def as_tokens(features: Sequence[Tensor]) -> Tensor:
    """One map [(B, C, h, w)] as float32 tokens (B, h * w, C), row by row."""
    (aligned,) = features
    return aligned.float().flatten(2).mT


def jittered(tokens: Tensor, noise: Tensor, jitter: float) -> Tensor:
    """Add noise (B, N, C) to tokens (B, N, C), scaled by each token's length / C * ``jitter``."""
    lengths = torch.linalg.vector_norm(tokens, dim=2, keepdim=True)
    return tokens + noise * (lengths / tokens.shape[2] * jitter)


def highest_region(found: Tensor) -> Tensor:
    """The highest mean of a square of 16 x 16 pixels of each map: (B, H, W) -> (B,)."""
    return F.avg_pool2d(found[:, None], POOLED, stride=1).amax(dim=(1, 2, 3))


def learning_rate(epoch: int, options: UniADOptions) -> float:
    """The learning rate in an epoch, counted from 0: it drops once."""
    return options.lr * (options.decay if epoch >= round(options.decay_at * options.epochs) else 1.0)


def from_authors(state: Mapping[str, Any]) -> dict[str, dict[str, Tensor]] | None:
    """The transformer's state dict in an authors' checkpoint; None if ``state`` is none. The backbone is left out."""
    for found in (state, *state.values()):
        if isinstance(found, Mapping) and any(AUTHORS in str(key) for key in found):
            return {"reconstruction": {key.partition(AUTHORS)[2]: found[key] for key in found if AUTHORS in key}}
    return None
