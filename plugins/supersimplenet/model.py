"""SuperSimpleNet: tells features of good images from the same features with noise on them.

Features of a frozen backbone are enlarged and adapted to the images. In training, noise is added to them within random
blobs. One head learns where the noise is; a second one sees the features and that map, and learns whether there is any.
Facts from the paper, arXiv 2408.03143, and its published set-up for good images only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, maps

from .. import perlin
from ..flows import require_finite, require_fit
from . import SuperSimpleNetOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

EVALUATIONS = 10
"""Evaluations in the course of a training, about."""

SIGMA, RADIUS = 4.0, 12
"""Of the Gaussian that smooths maps, in pixels of the input."""


class SuperSimpleNet(Detector):
    """The detector: a frozen backbone, an adaptor of its features, and two heads.

    ``feature_adaptor`` and ``discriminator`` have the names of the authors' checkpoints.
    """

    def __init__(
        self, options: SuperSimpleNetOptions, context: BuildContext | torch.device, backbone: Backbone
    ) -> None:
        super().__init__(options, context)
        self.options: SuperSimpleNetOptions = options
        self.backbone = backbone
        channels = sum(backbone.channels)
        self.feature_adaptor = Adaptor(channels)
        self.discriminator = Discriminator(channels, options.hidden, options.head_channels)
        for module in (self.feature_adaptor, self.discriminator):
            module.apply(initialise).to(self.device, memory_format=torch.channels_last).eval()
        adaptor = {"lr": options.adaptor_lr, "weight_decay": options.adaptor_weight_decay}
        heads = {"lr": options.lr, "weight_decay": options.weight_decay}
        self.optimizer = torch.optim.AdamW(
            [
                {"params": self.feature_adaptor.parameters(), **adaptor},
                {"params": self.discriminator.parameters(), **heads},
            ],
            fused=True,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train for a fixed number of epochs."""
        options, total = self.options, self.options.epochs
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            factor = decay(epoch, options)
            for group, rate in zip(self.optimizer.param_groups, (options.adaptor_lr, options.lr), strict=True):
                group["lr"] = rate * factor
            self._train(True)
            losses = [self.step(features) for features in images.features(self.backbone)]
            self._train(False)
            loss = torch.stack(losses).mean().item()
            require_finite("supersimplenet", epoch + 1, loss, options.lr)
            due = (epoch + 1) % max(1, total // EVALUATIONS) == 0
            yield Epoch(epoch + 1, total, loss, options.lr * factor, milestone=due)

    def _train(self, mode: bool) -> None:
        """Use the statistics of a batch, or the running ones."""
        self.feature_adaptor.train(mode)
        self.discriminator.train(mode)

    def step(self, features: Sequence[Tensor]) -> Tensor:
        """One step of the optimiser on the features L x (B, C_i, h_i, w_i) of a batch; returns its loss ()."""
        enlarged = enlarge(features, self.options.upscale)
        masks = draw_masks(2 * len(enlarged), enlarged.shape[2:], self.options.threshold)
        pairs = masks.unflatten(0, (2, len(enlarged))).transpose(0, 1)  # (B, 2, h, w): two for each image
        loss = self.micro_batches.backward(self._losses, [enlarged, pairs], self.optimizer, scale=self.scaler.scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _losses(self, features: Tensor, pairs: Tensor) -> Tensor:
        """The batch's loss, once for each image (B,): batch norm makes it one that no image has alone."""
        masks = pairs.transpose(0, 1).flatten(0, 1)  # (2B, h, w)
        noise = self.options.noise * torch.randn(int(masks.sum()), features.shape[1], device=self.device)
        anomaly_maps, logits = self.scores_of_noisy(features, masks, noise)
        return sum_losses(anomaly_maps, logits, masks.to(self.device), self.options.margin).expand(len(features))

    def scores_of_noisy(self, features: Tensor, masks: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Add noise to two copies of each image's features, and score them.

        Args:
            features: enlarged features (B, C, h, w).
            masks: where noise is added, on the CPU (2B, h, w): those of the first copies, then of the second ones.
            noise: for each place of the masks, in their order (M, C).

        Returns:
            The maps (2B, h, w) and the images' logits (2B,).
        """
        spread = scatter(noise, masks)  # (2B, C, h, w)
        with self.autocast():
            adapted = torch.cat([self.feature_adaptor(features)] * 2).float() + spread
            seen = adapted if self.options.head_input == "adapted" else torch.cat([features] * 2) + spread
            anomaly_maps, logits = self.discriminator(adapted, seen)
        return anomaly_maps, logits

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the smoothed map, and images by their own head: logits, which a sigmoid would saturate."""
        features = enlarge(batch.features(self.backbone), self.options.upscale)
        with self.autocast():
            adapted = self.feature_adaptor(features)
            seen = adapted if self.options.head_input == "adapted" else features
            anomaly_maps, logits = self.discriminator(adapted, seen)
        smooth = smoothed(anomaly_maps, batch.size)
        return Scores(image=logits if self.options.image_score == "head" else maps.highest(smooth), map=smooth)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state or an authors' checkpoint, a flat state dict with the names of both parts."""
        state = _nested(state)
        for part in ("feature_adaptor", "discriminator"):
            if part not in state:
                found = ", ".join(map(str, state)) or "nothing"
                raise CheckpointError("checkpoint", found=found, wanted=f"'{part}' of a SuperSimpleNet")
            require_fit(part, getattr(self, part), state[part])
        super().load_state_dict(state)


def _nested(state: Mapping[str, Any]) -> dict[str, Any]:
    """Group "discriminator.seg.0.weight" and its like by their first words."""
    found: dict[str, Any] = {}
    for name, value in state.items():
        part, dot, rest = str(name).partition(".")
        if dot:
            found.setdefault(part, {})[rest] = value
        else:
            found[part] = value
    return found


# ---------------------------------------------------------------- features


def enlarge(features: Sequence[Tensor], factor: int) -> Tensor:
    """Join features L x (B, C_i, h_i, w_i) at ``factor`` times the finest size, each averaged with its neighbours.

    Returns:
        (B, sum of C_i, factor * h, factor * w), float32.
    """
    height, width = max((feature.shape[2:] for feature in features), key=lambda shape: shape[0] * shape[1])
    size = (factor * height, factor * width)
    parts = [F.interpolate(feature.float(), size, mode="bilinear", align_corners=True) for feature in features]
    joined = torch.cat(parts, dim=1).contiguous(memory_format=torch.channels_last)
    return F.avg_pool2d(joined, kernel_size=3, stride=1, padding=1)  # zeros beyond the border count


class Adaptor(nn.Module):
    """Moves features from those of ImageNet to those of the images at hand."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        adapted: Tensor = self.projection(features)
        return adapted


# ---------------------------------------------------------------- synthetic anomalies


def draw_masks(count: int, size: Sequence[int], threshold: float) -> Tensor:
    """Draw masks of blobs (count, h, w), of 0 and 1, on the CPU; about half of them are empty."""
    sides = tuple(2 ** math.ceil(math.log2(side)) for side in size)
    return masks_of(perlin.fields(count, (sides[0], sides[1])), torch.rand(count), size, threshold)


def masks_of(fields: Tensor, chances: Tensor, size: Sequence[int], threshold: float) -> Tensor:
    """Resize Perlin noise (N, H, W) to ``size`` and cut it at ``threshold``; a chance (N,) above 0.5 empties a mask."""
    height, width = size
    blobs = maps.upsample(fields, (height, width)) > threshold
    return (blobs & (chances <= 0.5)[:, None, None]).float()


def scatter(noise: Tensor, masks: Tensor) -> Tensor:
    """Place each row of ``noise`` (M, C) where ``masks`` (N, h, w) on the CPU are 1: (N, C, h, w), 0 elsewhere."""
    where = masks.flatten().nonzero()[:, 0].to(noise.device)
    rows = noise.new_zeros(masks.numel(), noise.shape[1])
    rows[where] = noise
    return rows.unflatten(0, masks.shape).permute(0, 3, 1, 2)


# ---------------------------------------------------------------- heads and loss


class Discriminator(nn.Module):
    """A head that makes an anomaly map of features, and one that scores the image by features and map."""

    def __init__(self, channels: int, hidden: int, head_channels: int) -> None:
        super().__init__()
        self.seg = nn.Sequential(
            nn.Conv2d(channels, hidden, kernel_size=1),
            nn.BatchNorm2d(hidden),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(hidden, 1, kernel_size=1, bias=False),
        )
        self.dec_head = nn.Sequential(
            nn.Conv2d(channels + 1, head_channels, kernel_size=5, padding=2),
            nn.BatchNorm2d(head_channels),
            nn.ReLU(inplace=True),
        )
        self.fc_score = nn.Linear(2 * head_channels + 2, 1)

    def forward(self, adapted: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, w) for the map and for the image's head -> maps (B, h, w) and logits (B,), float32.

        The large convolutions run in the caller's precision. What ends in scores doesn't, since bf16 would round
        different scores to the same.
        """
        hidden = self.seg[0](adapted).float()  # (B, hidden, h, w)
        with torch.autocast(adapted.device.type, enabled=False):
            anomaly_map = self.seg[1:](hidden)  # (B, 1, h, w)
        fixed = anomaly_map.detach()  # the image's head doesn't train the map
        found = self.dec_head[0](torch.cat((seen.float(), fixed), dim=1)).float()  # (B, D, h, w)
        with torch.autocast(adapted.device.type, enabled=False):
            found = self.dec_head[1:](found)
            pooled = [found.amax((2, 3)), found.mean((2, 3)), fixed.amax((2, 3)), fixed.mean((2, 3))]
            logits = self.fc_score(torch.cat(pooled, dim=1))  # (B, 1)
        return anomaly_map[:, 0], logits[:, 0]


def initialise(module: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers as Xavier and Glorot do, from a normal distribution."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight)


def sum_losses(anomaly_maps: Tensor, logits: Tensor, masks: Tensor, margin: float) -> Tensor:
    """The loss (): hinges and focal loss of the maps (N, h, w) against ``masks``, and focal loss of the ``logits``."""
    good, anomalous = hinges(anomaly_maps, masks, margin)
    return good + anomalous + focal(anomaly_maps, masks) + focal(logits, masks.amax((1, 2)))


def hinges(anomaly_maps: Tensor, masks: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """How far maps are above -margin on good places, and below margin on anomalous ones: the mean of each kind."""
    good = (anomaly_maps + margin).relu() * (1 - masks)
    anomalous = (margin - anomaly_maps).relu() * masks
    count = masks.sum()
    return good.sum() / (masks.numel() - count).clamp_min(1), anomalous.sum() / count.clamp_min(1)


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean focal loss (arXiv 1708.02002), gamma 4: what is certain already hardly counts."""
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    wrong = torch.sigmoid(torch.where(targets > 0, -logits, logits))  # 1 - p of the right answer
    return (entropy * wrong**4).mean()


# ---------------------------------------------------------------- schedule and score


def decay(epoch: int, options: SuperSimpleNetOptions) -> float:
    """The factor of the learning rates in ``epoch`` (from 0)."""
    return options.decay ** sum(epoch / options.epochs >= share for share in options.decay_at)


def smoothed(anomaly_maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (B, h, w) to ``size`` and smooth them: (B, H, W)."""
    return maps.gaussian(maps.upsample(anomaly_maps, size), SIGMA, radius=RADIUS, border="mirror")
