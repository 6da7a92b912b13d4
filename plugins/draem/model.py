"""DRAEM: restores good images from painted ones, and learns to see where image and restoration differ in kind.

A reconstructive network paints synthetic anomalies away. A discriminative one sees its output beside the image, and
segments the anomaly. Nothing is pretrained. Facts from the paper, arXiv 2108.07610, and from what is known of the
authors' program where the two differ: docs/methods/draem.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, SizeError, maps

from ..batch_norm import require_positions
from ..flows import require_finite, require_fit, set_learning_rate
from ..textures import TEXTURES, Textures
from . import DRAEMOptions
from .network import HALVINGS, Discriminative, Reconstructive, initialise
from .synthesis import synthesise

if TYPE_CHECKING:
    from adbench import BuildContext
    from adbench.api import Batch, Images

EVALUATIONS = 10
"""Evaluations in the course of a training, about."""

POOL = 21
"""Pixels on a side of the square whose mean anomaly scores an image."""

SIGMA, RADIUS = 1.5, 5
"""Of the Gaussian windows of the structural similarity, in pixels."""

SMOOTH = 1e-5
"""Keeps the logarithm of the focal loss finite."""

NETWORKS = {"reconstructive": ("encoder", "decoder"), "discriminative": ("encoder_segment", "decoder_segment")}
"""The parts of both networks by their names in the authors' checkpoints."""


class DRAEM(Detector):
    """The detector: two networks that train together, from random weights.

    They see images as BGR, as in the authors' checkpoints. Both have batch norm, so a batch is never split.
    """

    frozen = ()

    def __init__(self, options: DRAEMOptions, context: BuildContext | torch.device) -> None:
        super().__init__(options, context)
        if any(side % 2**HALVINGS for side in options.size):
            raise SizeError("draem", options.size, 2**HALVINGS)
        self.options: DRAEMOptions = options
        self.reconstructive = Reconstructive(options.width)
        self.discriminative = Discriminative(options.segmentation_width)
        for network in (self.reconstructive, self.discriminative):
            network.apply(initialise).to(self.device, memory_format=torch.channels_last).eval()
        parameters = [*self.reconstructive.parameters(), *self.discriminative.parameters()]
        self.optimizer = torch.optim.Adam(parameters, options.lr, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train both networks for a fixed number of epochs."""
        options, total = self.options, self.options.epochs
        textures = Textures(images.size, self.context.auxiliary.get(TEXTURES.name))
        networks = (self.reconstructive, self.discriminative)
        require_positions("draem", images, networks, _run_both, 2**HALVINGS)
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            rate = options.lr * decay(epoch, options)
            set_learning_rate(self.optimizer, rate)
            self._train(True)
            batches = batches_of(images, options.epoch_images)
            losses = [self.step(*synthesise(batch, textures.draw, options.rotated)) for batch in batches]
            self._train(False)
            loss = torch.stack(losses).mean().item()
            require_finite("draem", epoch + 1, loss, options.lr)
            due = (epoch + 1) % max(1, total // EVALUATIONS) == 0
            yield Epoch(epoch + 1, total, loss, rate, milestone=due)

    def _train(self, mode: bool) -> None:
        """Use the statistics of a batch, or the running ones."""
        self.reconstructive.train(mode)
        self.discriminative.train(mode)

    def step(self, painted: Tensor, clean: Tensor, masks: Tensor) -> Tensor:
        """One step of the optimiser on a batch of ``synthesise``; returns its loss ()."""
        tensors = [painted, clean, masks]
        loss = self.micro_batches.backward(self._losses, tensors, self.optimizer, scale=self.scaler.scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _losses(self, painted: Tensor, clean: Tensor, masks: Tensor) -> Tensor:
        """The batch's loss, once for each image (B,): batch norm makes it one that no image has alone."""
        restored, logits = self.restore(painted)
        loss = F.mse_loss(restored, clean) + 1 - similarity(restored, clean) + focal(logits.softmax(1), masks)
        return loss.expand(len(painted))

    def restore(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) -> their restoration (B, 3, H, W), and logits of good and anomalous (B, 2, H, W)."""
        seen = images.flip(1)
        with self.autocast():
            restored = self.reconstructive(seen)
            logits = self.discriminative(torch.cat((restored, seen), dim=1))
        return restored.flip(1), logits

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the discriminative network, and images by their most anomalous square, both as logits.

        The program's probabilities have the same order, but many would be exactly 1.
        """
        good, anomalous = self.restore(batch.images)[1].unbind(1)
        logits = anomalous - good  # (B, H, W)
        return Scores(image=square_logits(logits).amax((1, 2)), map=logits)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state, or one dict with all entries of both files of an authors' checkpoint."""
        state = _nested(state)
        for name in NETWORKS:
            if name not in state:
                found = ", ".join(map(str, state)) or "nothing"
                hint = "Join both files of an authors' checkpoint in one dict"
                raise CheckpointError("checkpoint", found=found, wanted=f"the {name} network of DRAEM", hint=hint)
            require_fit(name, getattr(self, name), state[name])
        super().load_state_dict(state)


def _run_both(reconstructive: torch.nn.Module, discriminative: torch.nn.Module, images: Tensor) -> None:
    """Images (B, 3, H, W) through both networks."""
    discriminative(torch.cat((reconstructive(images), images), dim=1))


def _nested(state: Mapping[str, Any]) -> dict[str, Any]:
    """Group "encoder.block1.0.weight" and its like by their network; the rest stays."""
    owners = {part: name for name, parts in NETWORKS.items() for part in parts}
    found: dict[str, Any] = {}
    for key, value in state.items():
        owner = owners.get(str(key).partition(".")[0])
        if owner is None:
            found[key] = value
        else:
            found.setdefault(owner, {})[key] = value
    return found


def batches_of(images: Images, wanted: int | None) -> Iterator[Tensor]:
    """Batches of images (B, 3, H, W) in as many passes as it takes to reach the wanted number; None for one pass."""
    seen, wanted = 0, wanted or len(images)
    while seen < wanted:
        for batch in images:
            yield batch.images
            seen += len(batch)
            if seen >= wanted:
                return


def decay(epoch: int, options: DRAEMOptions) -> float:
    """The factor of the learning rate in ``epoch`` (from 0)."""
    return options.decay ** sum(epoch / options.epochs >= share for share in options.decay_at)


# ---------------------------------------------------------------- losses


def similarity(restored: Tensor, clean: Tensor) -> Tensor:
    """The mean structural similarity of restored and clean images (B, 3, H, W): (), at most 1.

    As the authors' program does, it guesses the range of values from the restored images: 1, or more if they go beyond
    -0.5 or 128. Beyond the border all is 0.
    """
    top = torch.where(restored.amax() > 128, 255.0, 1.0)
    span = top - torch.where(restored.amin() < -0.5, -1.0, 0.0)
    luminance, contrast = (0.01 * span) ** 2, (0.03 * span) ** 2
    x, y = restored.flatten(0, 1), clean.flatten(0, 1)  # (3 B, H, W)
    means = maps.gaussian(torch.cat((x, y, x * x, y * y, x * y)), SIGMA, radius=RADIUS, border="zero")
    mean_x, mean_y, square_x, square_y, product = means.chunk(5)
    variances = square_x - mean_x**2 + square_y - mean_y**2
    covariance = product - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + luminance) * (2 * covariance + contrast)
    return (likeness / ((mean_x**2 + mean_y**2 + luminance) * (variances + contrast))).mean()


def focal(probabilities: Tensor, masks: Tensor) -> Tensor:
    """Mean focal loss (arXiv 1708.02002), gamma 2, of probabilities (B, 2, H, W) against masks (B, 1, H, W): ()."""
    wanted = torch.cat((1 - masks, masks), dim=1).clamp(SMOOTH, 1 - SMOOTH)
    right = (wanted * probabilities).sum(1) + SMOOTH
    return -((1 - right) ** 2 * right.log()).mean()


# ---------------------------------------------------------------- image score


def square_logits(logits: Tensor) -> Tensor:
    """The logit of the mean probability in the square around each pixel, (B, H, W); beyond the border it is 0.

    Args:
        logits: of an anomaly, (B, H, W).
    """
    reach = POOL // 2
    anomalous = F.avg_pool2d(torch.sigmoid(logits), POOL, stride=1, padding=reach)
    good = F.avg_pool2d(F.pad(torch.sigmoid(-logits), [reach] * 4, value=1.0), POOL, stride=1)
    tiny = torch.finfo(logits.dtype).tiny
    return anomalous.clamp_min(tiny).log() - good.clamp_min(tiny).log()
