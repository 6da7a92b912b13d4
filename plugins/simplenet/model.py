"""SimpleNet: tells feature vectors of good images from the same vectors with noise on them.

Each position of an image has a vector from the patches around it in a frozen backbone's layers (``patches.py``). A
linear adaptor moves the vectors from ImageNet to the images at hand. A discriminator of two layers learns to give them
high values, and low ones where Gaussian noise is added. Facts from the paper, arXiv 2303.15140, and from what is
published about the authors' program where the two differ.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adbench import Detector, Epoch, Scores
from adbench.api import OptionError, maps

from ..flows import require_finite
from ..patches import flat_pooled
from . import SimpleNetOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

PATCH = 3
"""Positions on a side of a patch."""


class SimpleNet(Detector):
    """The detector: a frozen backbone, an adaptor of its patch vectors, and a discriminator.

    ``pre_projection`` (the adaptor) and ``discriminator`` have the names of the authors' checkpoints, which are files
    of these two.
    """

    def __init__(self, options: SimpleNetOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: SimpleNetOptions = options
        self.backbone = backbone
        shortest = min(backbone.channels) * PATCH**2
        if options.width > shortest:
            found = f"{options.width}, more than the {shortest} numbers of a patch in the narrowest layer"
            raise OptionError("-o width", found=found, wanted=f"at most {shortest}")
        self.pre_projection = Adaptor(options.width)
        self.discriminator = Discriminator(options.width, options.hidden)
        for module in (self.pre_projection, self.discriminator):
            module.apply(initialise).to(self.device).eval()
        # one decays weights by themselves, the other one through gradients; so does the authors' program
        self.adaptor_optimizer = torch.optim.AdamW(
            self.pre_projection.parameters(),
            lr=options.adaptor_lr,
            weight_decay=options.adaptor_weight_decay,
            fused=True,
        )
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train for a fixed number of epochs; each meta-epoch ends with an evaluation."""
        options = self.options
        total = options.meta_epochs * options.sub_epochs
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            self._train(True)
            losses = [self.step(features) for features in images.features(self.backbone)]
            self._train(False)
            loss = torch.stack(losses).mean().item()
            require_finite("simplenet", epoch + 1, loss, options.lr)
            yield Epoch(epoch + 1, total, loss, options.lr, milestone=(epoch + 1) % options.sub_epochs == 0)

    def _train(self, mode: bool) -> None:
        """Use the statistics of a batch, or the running ones."""
        self.pre_projection.train(mode)
        self.discriminator.train(mode)

    def step(self, features: Sequence[Tensor]) -> Tensor:
        """One step of both optimisers on the features L x (B, C_i, h_i, w_i) of a batch; returns its loss ()."""
        vectors = self.embed(features)  # (B, h, w, D)
        loss = self.micro_batches.backward(self._losses, [vectors], self.optimizer, scale=self.scaler.scale)
        for optimizer in (self.adaptor_optimizer, self.optimizer):
            self.scaler.step(optimizer)
        self.scaler.update()
        return loss

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The patch vector of each position, without a gradient: float32 (B, h, w, width)."""
        return flat_pooled(features, self.options.width, self.options.width, PATCH)

    def _losses(self, vectors: Tensor) -> Tensor:
        """The batch's loss, once for each image (B,): batch norm makes it one that no image has alone."""
        self.adaptor_optimizer.zero_grad()
        rows = vectors.flatten(0, 2)  # (B * h * w, D): image, row, column
        noise = self.options.noise * torch.randn_like(rows)
        good, noisy = self.values(rows, noise)
        return hinge_loss(good, noisy, self.options.margin).expand(len(vectors))

    def values(self, vectors: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's values (N,) of vectors (N, D), and of the same with ``noise`` added after the adaptor.

        Both go through it together: in training, batch norm takes the statistics of all.
        """
        with self.autocast():
            adapted = self.pre_projection(vectors).float()
            good, noisy = self.discriminator(torch.cat((adapted, adapted + noise))).chunk(2)
        return good, noisy

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the smoothed map, and images by the highest value of the map before it is enlarged."""
        vectors = self.embed(batch.features(self.backbone))
        with self.autocast():
            values = self.discriminator(self.pre_projection(vectors.flatten(0, 2)).float())
        grid = -values.view(vectors.shape[:3])  # (B, h, w)
        smooth = maps.gaussian(maps.upsample(grid, batch.size), self.options.sigma)
        return Scores(image=maps.highest(grid), map=smooth)


class Adaptor(nn.Module):
    """A linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(OrderedDict([("0fc", nn.Linear(width, width))]))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        adapted: Tensor = self.layers(vectors)
        return adapted


class Discriminator(nn.Module):
    """Two layers that give good vectors high values."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        block = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2, inplace=True))
        self.body = nn.Sequential(OrderedDict([("block1", block)]))
        self.tail = nn.Linear(hidden, 1, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (N, D) -> values (N,), float32.

        Only the large product runs in the caller's precision: bf16 would round different values to the same.
        """
        linear, *rest = self.body.block1
        hidden = linear(vectors).float()
        with torch.autocast(vectors.device.type, enabled=False):
            for layer in rest:
                hidden = layer(hidden)
            values: Tensor = self.tail(hidden)
        return values[:, 0]


def initialise(module: nn.Module) -> None:
    """Draw the weights of linear layers as Xavier and Glorot do, from a normal distribution."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)


def hinge_loss(good: Tensor, noisy: Tensor, margin: float) -> Tensor:
    """How far good values (N,) are below ``margin``, and noisy ones above -``margin``: the sum of both means, ()."""
    return (margin - good).relu().mean() + (margin + noisy).relu().mean()
