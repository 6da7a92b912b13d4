"""CFA: a linear map draws each feature vector to the nearest of memorised means of good ones.

From what is known of the paper, arXiv 2206.04325, and of the authors' program: docs/methods/cfa.md lists the
differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, TaskError, devices, maps

from ..flows import require_finite
from ..patches import averaged
from . import CFAOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

PATCH = 3
"""Positions on a side of the squares that are averaged."""

SCRATCH = {"cpu": 2**24, "cuda": 2**28}
"""Most bytes of distances that are computed at once."""


class Descriptor(nn.Module):
    """A linear map of the vectors of all positions with their coordinates: a convolution of 1 x 1.

    The radius is trained with it.
    """

    def __init__(self, channels: int, width: int, radius: float) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels + 2, width, 1)
        self.radius = nn.Parameter(torch.tensor(radius))

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, D)."""
        weight = self.layer.weight[:, :, 0, 0]
        return nn.functional.linear(with_coordinates(vectors), weight, self.layer.bias)


class CFA(Detector):
    """The detector: a frozen backbone, a descriptor, and the memory, float32 (h * w, D), which training leaves alone.

    The loss of a batch is the mean of its images' losses, so a batch may be split.
    """

    micro_batching = True

    def __init__(self, options: CFAOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: CFAOptions = options
        self.backbone = backbone
        channels = sum(backbone.channels)
        width = max(1, channels // options.reduction)
        self.descriptor = Descriptor(channels, width, options.radius).to(self.device)
        self.memory: Tensor | None = None
        self.optimizer = torch.optim.AdamW(
            self.descriptor.parameters(), lr=options.lr, weight_decay=options.weight_decay, amsgrad=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Memorise the mean descriptor of each position, then train for a fixed number of epochs."""
        options = self.options
        yield Epoch(self.epoch, options.epochs)
        if self.memory is None:
            self.memory = self.means(images)
        for epoch in range(self.epoch, options.epochs):
            losses = [self.step(self.embed(features)) for features in self._whole_batches(images)]
            loss = torch.stack(losses).mean().item()
            require_finite("cfa", epoch + 1, loss, options.lr)
            is_milestone = (epoch + 1) % options.evaluate_every == 0
            yield Epoch(epoch + 1, options.epochs, loss, options.lr, milestone=is_milestone)

    def score(self, batch: Batch) -> Scores:
        """Score positions by their distances from the nearest rows, and images by their highest pixel."""
        grid = self.distances(self.embed(batch.features(self.backbone)))
        smooth = maps.gaussian(maps.upsample(grid, batch.size), self.options.sigma)
        return Scores(image=maps.highest(smooth), map=smooth)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The vectors of all positions, of which the descriptor makes its own: float32 (B, h, w, C)."""
        return averaged(features, PATCH)

    # -- the memory

    @torch.no_grad()
    def means(self, images: Images) -> Tensor:
        """The mean descriptor of each position over the images, by the untrained map: (h * w, D)."""
        total, count = torch.zeros((), device=self.device), 0
        for features in images.features(self.backbone):
            found = self.descriptor(self.embed(features))
            total, count = total + found.sum(0), count + len(found)
        if not count:
            raise TaskError("cfa", found="no training image")
        memory, wanted = (total / count).flatten(0, 1), self.options.near + self.options.far
        if len(memory) < wanted:
            hint = "Use a larger --size, or a smaller -o near= or -o far="
            raise OptionError("near and far", found=f"{wanted}", wanted=f"at most {len(memory)} positions", hint=hint)
        return memory

    def squares(self, descriptors: Tensor, count: int) -> Tensor:
        """Squared distances of rows (N, D) from the ``count`` nearest rows of the memory, ascending, (N, count).

        A gradient goes through these distances alone. They are computed from differences: nothing cancels, and none is
        negative.
        """
        memory = self._memorised()
        nearest = nearest_rows(descriptors.detach(), memory, count)
        found = (descriptors[:, None] - memory[nearest]).square().sum(2)
        return found.sort(dim=1).values

    @torch.no_grad()
    def distances(self, vectors: Tensor) -> Tensor:
        """The score of each position, (B, h, w): its distance from the nearest row, times the share of that row.

        The share is the softmax of the negative distances over the nearest rows.
        """
        near = self.squares(self.descriptor(vectors).flatten(0, 2), self.options.near).sqrt()
        return (near[:, 0] * torch.softmax(-near, dim=1)[:, 0]).view(vectors.shape[:3])

    def _memorised(self) -> Tensor:
        if self.memory is None:
            raise CheckpointError("cfa", found="no memory", wanted="a fitted detector", hint="Call fit first")
        return self.memory

    # -- training

    def _whole_batches(self, images: Images) -> Iterator[Sequence[Tensor]]:
        """The features of all batches but an incomplete one, as in the authors' program, unless there is no other."""
        for features in images.features(self.backbone):
            if len(features[0]) == min(images.batch_size, len(images)):
                yield features

    def step(self, vectors: Tensor) -> Tensor:
        """One step on the vectors (B, h, w, C) of a batch; returns its loss ()."""
        loss = self.micro_batches.backward(self.losses, [vectors], self.optimizer, scale=self.scaler.scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def losses(self, vectors: Tensor) -> Tensor:
        """The loss of each image: (B, h, w, C) -> (B,).

        The nearest rows attract from beyond the radius, and the rows after them repel within it and a margin.
        """
        options = self.options
        with self.autocast():
            descriptors = self.descriptor(vectors)
        squares = self.squares(descriptors.float().flatten(0, 2), options.near + options.far)
        bound = self.descriptor.radius.square()
        attracted = (squares[:, : options.near] - bound).relu().view(len(vectors), -1).mean(1)
        repelled = (bound - squares[:, options.near :] - options.margin).relu().reshape(len(vectors), -1).mean(1)
        return options.weight * (attracted + repelled)


def with_coordinates(vectors: Tensor) -> Tensor:
    """Append each position's row and column, both from -1 to 1: (B, h, w, C) -> (B, h, w, C + 2)."""
    batch, height, width, _ = vectors.shape
    down, across = (torch.linspace(-1, 1, length, device=vectors.device) for length in (height, width))
    rows, columns = torch.meshgrid(down, across, indexing="ij")
    places = torch.stack([rows, columns], dim=2).to(vectors).expand(batch, -1, -1, -1)
    return torch.cat([vectors, places], dim=3)


@torch.no_grad()
def nearest_rows(queries: Tensor, bank: Tensor, count: int) -> Tensor:
    """Numbers of the ``count`` rows of a bank (M, D) that are nearest to each query (N, D), int64 (N, count).

    Products rank the rows, about the bank's mean as the origin, in float32: rows whose distances differ by less than
    its rounding may be taken for each other.
    """
    origin = bank.mean(0)
    rows = bank - origin
    halves = rows.square().sum(1) / 2
    step = max(16, SCRATCH.get(queries.device.type, 2**24) // (4 * len(bank)))
    parts = (queries,) if devices.is_exporting() else queries.split(step)
    found = [torch.addmm(halves, part - origin, rows.T, alpha=-1).topk(count, largest=False).indices for part in parts]
    return torch.cat(found)
