"""PatchCore: how far each patch is from the nearest good one that the bank keeps.

The bank is a coreset of the patches of all training images. From the paper, arXiv 2106.08265, section 3, and from what
is known of the authors' program where they differ: docs/methods/patchcore.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adbench import Detector, Epoch, Scores, Step
from adbench.api import CheckpointError, TaskError, maps

from ..patches import averaged, flat_pooled
from . import PatchCoreOptions
from .coreset import KCentre
from .neighbours import Found, Neighbours

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

STARTS = 10
"""Random patches to which the approximate choice takes mean distances at its start."""


class PatchCore(Detector):
    """The detector: a frozen backbone and a bank of M good patches, float32 (M, D), in the order of their choice.

    Vectors of all training patches are never in memory at once. The first pass over the images keeps their projections
    (N, 128) alone, from which the coreset is chosen. The second pass, in the same order, picks up its vectors.
    """

    def __init__(self, options: PatchCoreOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: PatchCoreOptions = options
        self.backbone = backbone
        self.neighbours: Neighbours | None = None
        is_averaged = options.embedding == "averaged"
        self.width = sum(backbone.channels) if is_averaged else options.target
        """Dimensions of a vector."""

    @torch.no_grad()
    def fit(self, images: Images) -> Iterator[Epoch | Step]:
        """Choose the bank, in one epoch."""
        if self.epoch:
            return
        yield Epoch(0, 1)
        projection = self._projection()
        order = torch.get_rng_state()  # it shuffles the images
        reduced = self._reduced(images, projection)  # (N, P)
        count = max(1, int(self.options.share * len(reduced)))
        picks: list[Tensor] = []
        for some in self._coreset(reduced).picks(count):
            picks.append(some.rows)
            yield Step(sum(map(len, picks)), count)
        chosen = torch.cat(picks).to(reduced.device)
        with torch.random.fork_rng(devices=()):
            torch.set_rng_state(order)
            bank = self._collected(images, chosen)
        if not torch.allclose(_projected(bank, projection), reduced[chosen], rtol=0.01, atol=0.01 * _size(reduced)):
            raise TaskError("patchcore", found="other patches in the second pass", wanted="those of the first one")
        self.neighbours = Neighbours(bank)
        yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Score patches by their distance from the bank, and images by their most anomalous patch."""
        vectors = self.embed(batch.features(self.backbone))
        found = self._bank().find(vectors.flatten(0, 2), self.options.neighbours)
        distances = found.squares if self.options.squared else found.squares.sqrt()
        patches = distances.mean(1).view(vectors.shape[:3])  # (B, h, w)
        image = maps.highest(patches)
        if self.options.reweighting > 1:
            image = image * self._weights(vectors, found, patches)
        return Scores(image=image, map=maps.gaussian(maps.upsample(patches, batch.size), self.options.sigma))

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The vectors of all patches: L x (B, C_i, h_i, w_i) -> float32 (B, h, w, D)."""
        if self.options.embedding == "averaged":
            return averaged(features, self.options.patch)
        return flat_pooled(features, self.options.dimensions, self.options.target, self.options.patch)

    # -- the bank

    def _projection(self) -> Tensor | None:
        """A random linear map (P, D), as torch initialises a linear layer; None where vectors are short enough."""
        wanted = self.options.projection
        if not 0 < wanted < self.width:
            return None
        bound = self.width**-0.5
        return torch.empty(wanted, self.width).uniform_(-bound, bound).to(self.device)

    def _vectors(self, images: Images) -> Iterator[Tensor]:
        """The vectors of each batch, (B, h * w, D)."""
        for features in images.features(self.backbone):
            yield self.embed(features).flatten(1, 2)

    def _reduced(self, images: Images, projection: Tensor | None) -> Tensor:
        """The projected vectors of all patches, (N, P)."""
        found, done = torch.empty(0), 0
        for vectors in self._vectors(images):
            rows = _projected(vectors, projection).flatten(0, 1)
            if not done:  # at once, since joining parts at the end would take twice the memory
                found = rows.new_empty(len(images) * vectors.shape[1], rows.shape[1])
            found[done : done + len(rows)] = rows
            done += len(rows)
        if not done:
            raise TaskError("patchcore", found="no training image")
        return found if self.device.type != "mps" else found.cpu()  # MPS has no float64

    def _coreset(self, reduced: Tensor) -> KCentre:
        """The greedy choice with its start."""
        found = KCentre(reduced)
        if self.options.coreset == "exact":
            found.from_all()
        else:
            found.from_means(torch.randperm(len(reduced))[:STARTS])
        return found

    def _collected(self, images: Images, chosen: Tensor) -> Tensor:
        """The vectors of the chosen patches, (M, D), in their order."""
        chosen = chosen.to(self.device)
        ascending, places = chosen.sort()
        bank = torch.empty(len(chosen), self.width, device=self.device)
        done = 0
        for vectors in (each.flatten(0, 1) for each in self._vectors(images)):
            first, last = torch.searchsorted(ascending, torch.tensor([done, done + len(vectors)], device=self.device))
            bank[places[first:last]] = vectors[ascending[first:last] - done]
            done += len(vectors)
        return bank

    def _bank(self) -> Neighbours:
        if self.neighbours is None:
            raise CheckpointError("patchcore", found="no bank", wanted="a fitted detector", hint="Call fit first")
        return self.neighbours

    # -- equation 7

    def _weights(self, vectors: Tensor, found: Found, patches: Tensor) -> Tensor:
        """The weight of each image's score, (B,): small if the nearest row is no nearer than those around it.

        It is 1 - exp(s) / sum_j exp(d_j) for the most anomalous patch, with its distance s from the nearest row m and
        its distances d_j from the rows nearest to m, among them m itself.
        """
        batch, positions = patches.shape[0], patches.shape[1] * patches.shape[2]
        worst = patches.flatten(1).argmax(1) + positions * torch.arange(batch, device=patches.device)
        neighbours = self._bank()
        nearest = found.rows[worst, 0]
        around = neighbours.find(neighbours.bank[nearest], self.options.reweighting).rows  # (B, b)
        if around.shape[1] == 1:  # a bank of one row
            return patches.new_ones(batch)
        patch = vectors.flatten(0, 2)[worst]  # (B, D)
        distances = torch.linalg.vector_norm(patch[:, None] - neighbours.bank[around], dim=2)  # (B, b)
        own = torch.linalg.vector_norm(patch - neighbours.bank[nearest], dim=1)
        return 1 - torch.exp(own - torch.logsumexp(distances, dim=1))

    # -- state

    def checkpoint_bytes(self) -> int:
        """What the bank will take, in bytes."""
        height, width = self.options.size
        stride = self.backbone.strides[0]
        patches = self.context.train_images * -(-height // stride) * -(-width // stride)
        return 4 * self.width * max(1, int(self.options.share * patches))

    def state_dict(self) -> dict[str, Any]:
        """The ``bank``, (M, D)."""
        return {} if self.neighbours is None else {"bank": self.neighbours.bank}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned; its vectors must be as long as this detector's."""
        bank = state.get("bank")
        if not isinstance(bank, Tensor) or bank.ndim != 2 or bank.shape[1] != self.width or not len(bank):
            found = f"a bank of shape {tuple(bank.shape)}" if isinstance(bank, Tensor) else "no bank"
            raise CheckpointError(
                "checkpoint",
                found=found,
                wanted=f"rows of {self.width} numbers",
                hint="Use the backbone, layers and embedding that the checkpoint was made with",
            )
        self.neighbours = Neighbours(bank.to(self.device, torch.float32))


def _projected(vectors: Tensor, projection: Tensor | None) -> Tensor:
    """(..., D) -> (..., P)."""
    return vectors if projection is None else vectors @ projection.T


def _size(rows: Tensor) -> float:
    """The typical size of a row's numbers."""
    return float(rows[:1024].square().mean().sqrt())
