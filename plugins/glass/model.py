"""GLASS: tells vectors of good images from those of painted ones, and from noisy ones that it would take for good.

Each position of an image has a vector from the patches around it in a frozen backbone's layers, moved by a linear
adaptor (as in SimpleNet). A discriminator learns from anomalies of two kinds. Local ones are textures painted over
the image. Global ones are good vectors with noise, which climb along the discriminator's gradient towards what it takes
for good, and are kept at a distance from it. Facts from the paper, arXiv 2407.09359, and from what is known of the
authors' program where the two differ: docs/methods/glass.md lists the differences.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Detector, Epoch, Scores
from adbench.api import OptionError, maps

from ..draem.model import focal
from ..flows import require_finite
from ..patches import flat_pooled
from ..simplenet.model import PATCH, Adaptor, initialise
from ..textures import TEXTURES, Textures
from . import GLASSOptions
from .synthesis import synthesise

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

EVALUATIONS = 10
"""Evaluations in the course of a training, about."""

PROJECTED = 5
"""Steps of the ascent from one projection to the next."""

RADIUS_SHARE = 0.75
"""Share of the good vectors within the radius of the hypersphere."""

TINY = 1e-10
"""Keeps directions of vectors without length finite."""


class GLASS(Detector):
    """The detector: a frozen backbone, an adaptor of its patch vectors, and a discriminator.

    ``pre_projection`` (the adaptor) and ``discriminator`` have the names of the authors' checkpoints, which are files
    of these two. ``usual`` is the mean vector of each position, once training has begun.
    """

    def __init__(self, options: GLASSOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: GLASSOptions = options
        self.backbone = backbone
        shortest = min(backbone.channels) * PATCH**2
        if options.width > shortest:
            found = f"{options.width}, more than the {shortest} numbers of a patch in the narrowest layer"
            raise OptionError("-o width", found=found, wanted=f"at most {shortest}")
        self.pre_projection = Adaptor(options.width)
        self.discriminator = Discriminator(options.width, options.hidden)
        for module in (self.pre_projection, self.discriminator):
            module.apply(initialise).to(self.device).eval()
        # one decays weights through gradients, the other one by themselves; so does the authors' program
        self.adaptor_optimizer = torch.optim.Adam(
            self.pre_projection.parameters(),
            lr=options.adaptor_lr,
            weight_decay=options.adaptor_weight_decay,
            fused=True,
        )
        self.optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train for a fixed number of epochs."""
        options, total = self.options, self.options.epochs
        textures = Textures(images.size, self.context.auxiliary.get(TEXTURES.name))
        yield Epoch(self.epoch, total)
        if self.epoch == 0:
            self.usual = mean_vectors(self.embed(features) for features in images.features(self.backbone))
        for epoch in range(self.epoch, total):
            self._train(True)
            losses, seen = [], 0
            for batch in images:
                losses.append(self.step(batch, textures))
                seen += len(batch)
                if seen > options.epoch_images:
                    break
            self._train(False)
            loss = torch.stack(losses).mean().item()
            require_finite("glass", epoch + 1, loss, options.lr)
            due = (epoch + 1) % max(1, total // EVALUATIONS) == 0
            yield Epoch(epoch + 1, total, loss, options.lr, milestone=due)

    def _train(self, mode: bool) -> None:
        """Use the statistics of a batch, or the running ones."""
        self.pre_projection.train(mode)
        self.discriminator.train(mode)

    def step(self, batch: Batch, textures: Textures) -> Tensor:
        """Paint over a batch, and take one step of both optimisers; returns the loss ()."""
        good = self.embed(batch.features(self.backbone))  # (B, h, w, D)
        painted, masks = synthesise(batch.images, textures.draw, (good.shape[1], good.shape[2]))
        local = self.embed(self.backbone(painted))
        noise = self.options.noise * torch.randn_like(good)
        loss = self.micro_batches.backward(
            self._losses, [good, local, masks, noise], self.optimizer, scale=self.scaler.scale
        )
        for optimizer in (self.adaptor_optimizer, self.optimizer):
            self.scaler.step(optimizer)
        self.scaler.update()
        return loss

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The patch vector of each position, without a gradient: float32 (B, h, w, width)."""
        return flat_pooled(features, self.options.width, self.options.width, PATCH)

    def _losses(self, good: Tensor, local: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
        """The batch's loss, once for each image (B,): batch norm makes it one that no image has alone."""
        self.adaptor_optimizer.zero_grad()
        usual = self.adapt(self.usual).detach().repeat(len(good), 1)  # the mean of adapted vectors: it is linear
        rows, painted, spread = (each.flatten(0, 2) for each in (good, local, noise))  # (B * h * w, D)
        return self.loss(self.adapt(rows), self.adapt(painted), usual, masks.flatten(), spread).expand(len(good))

    def adapt(self, vectors: Tensor) -> Tensor:
        """Vectors (..., D) through the adaptor, as rows (N, D) in float32."""
        with self.autocast():
            adapted: Tensor = self.pre_projection(vectors.reshape(-1, vectors.shape[-1])).float()
        return adapted

    def judge(self, vectors: Tensor) -> Tensor:
        """The discriminator's logits (N,) of adapted vectors (N, D): higher is more anomalous."""
        with self.autocast():
            logits: Tensor = self.discriminator(vectors)
        return logits

    def loss(self, good: Tensor, local: Tensor, usual: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
        """The loss () of all rows of a batch.

        Args:
            good: adapted vectors of the images (N, D).
            local: those of the painted images.
            usual: the mean at each one's position.
            masks: 1 where a position has paint, (N,).
            noise: (N, D).
        """
        radius = self.radius(good, local, usual, masks)
        hidden = self.ascend(good, good + noise, usual, radius)
        real, fake = self.judge(torch.cat((good, hidden))).chunk(2)
        entropy = F.softplus(real).mean() + F.softplus(-fake).mean()
        if self.options.distribution == "hypersphere":
            moved = at_distance(local, usual, 2 * radius, 4 * radius)
            local = torch.where(masks[:, None] > 0, moved, local)
        return entropy + hard_focal(self.judge(local), masks, self.options.hard)

    @torch.no_grad()
    def radius(self, good: Tensor, local: Tensor, usual: Tensor, masks: Tensor) -> Tensor:
        """The distance () from the mean within which most vectors without paint are; arguments as in ``loss``."""
        own, others = ((each - usual).norm(dim=1) for each in (good, local))
        return torch.cat((others[masks == 0], own)).quantile(RADIUS_SHARE)

    def ascend(self, good: Tensor, noisy: Tensor, usual: Tensor, radius: Tensor) -> Tensor:
        """Move noisy vectors (N, D) towards what the discriminator takes for good, at a distance from it.

        The steps carry no gradient; ``noisy`` and the projections do.
        """
        options = self.options
        for step in range(1, options.ascent_steps + 1):
            leaf = noisy.detach().requires_grad_()
            fake = self.judge(torch.cat((good.detach(), leaf))).chunk(2)[1]
            (uphill,) = torch.autograd.grad(F.softplus(-fake).sum(), leaf)  # its length doesn't matter
            noisy = noisy + options.ascent_rate * uphill / (uphill.norm(dim=1, keepdim=True) + TINY)
            if step % PROJECTED == 0 and options.distribution == "manifold":
                noisy = at_distance(noisy, good, options.nearest, options.farthest)
            elif step % PROJECTED == 0:
                noisy = at_distance(noisy, usual, radius, 2 * radius)
        return noisy

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the smoothed map of probabilities, and images by the highest logit of any position."""
        vectors = self.embed(batch.features(self.backbone))
        grid = self.judge(self.adapt(vectors)).view(vectors.shape[:3])  # (B, h, w)
        smooth = maps.gaussian(maps.upsample(grid.sigmoid(), batch.size), self.options.sigma)
        return Scores(image=maps.highest(grid), map=smooth)


class Discriminator(nn.Module):
    """Two layers whose sigmoid is the probability of an anomaly."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        block = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2))
        self.body = nn.Sequential(OrderedDict([("block1", block)]))
        self.tail = nn.Sequential(nn.Linear(hidden, 1, bias=False))

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (N, D) -> logits (N,), float32.

        Only the large product runs in the caller's precision: bf16 would round different values to the same.
        """
        linear, *rest = self.body.block1
        hidden = linear(vectors).float()
        with torch.autocast(vectors.device.type, enabled=False):
            for layer in rest:
                hidden = layer(hidden)
            logits: Tensor = self.tail(hidden)
        return logits[:, 0]


def mean_vectors(batches: Iterator[Tensor]) -> Tensor:
    """The mean over all images of the vectors (B, h, w, D) of each position: (h, w, D)."""
    total, count = torch.zeros(()), 0
    for vectors in batches:
        total, count = total.to(vectors) + vectors.sum(0), count + len(vectors)
    return total / count


def at_distance(vectors: Tensor, centres: Tensor, least: float | Tensor, most: float | Tensor) -> Tensor:
    """Move vectors (N, D) along the lines to their centres to a distance from ``least`` to ``most``."""
    away = vectors - centres
    length = away.norm(dim=1, keepdim=True)
    return centres + away * (length.clamp(least, most) / length.clamp_min(TINY))


def hard_focal(logits: Tensor, masks: Tensor, share: float) -> Tensor:
    """The focal loss () of those logits (N,) whose squared errors against ``masks`` (N,) are the largest ``share``."""
    probabilities = logits.sigmoid()
    chosen = hardest(probabilities.detach(), masks, share)
    found, wanted = probabilities[chosen], masks[chosen]
    return focal(torch.stack((1 - found, found), dim=1), wanted[:, None])


def hardest(probabilities: Tensor, masks: Tensor, share: float) -> Tensor:
    """Which probabilities (N,) are among the ``share`` that is farthest from ``masks`` (N,): bool (N,)."""
    errors = (probabilities - masks).square()
    return errors >= errors.quantile(1 - share)
