"""PaDiM: the distance of each position's feature vector from the good ones at the same position.

A single pass gathers the mean and the covariance of each position, and keeps no features. From the paper, arXiv
2011.08785, section III.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, TaskError, maps

from . import PaDiMOptions
from .packing import Packed, pack, packed_bytes, round_rows, unpack

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

CHUNK_BYTES = 2**27
"""Of covariances that are factored at once, in float64."""

_HIGH, _LOW, _EXPONENT = "whitening_high", "whitening_low", "whitening_exponent"


class PaDiM(Detector):
    """The detector: D chosen channels of a frozen backbone, and a Gaussian at each of its P = h * w positions.

    ``chosen`` (D,) numbers the channels over all layers in ascending order. After ``fit``, ``mean``
    (h, w, D) holds the centres, and ``whitening`` (P, D, D) the matrices W for which |W (x - mean)| is the
    Mahalanobis distance: W = L^-1, where L L^T is the covariance. Both are float32. A checkpoint holds the matrices
    packed (see ``packing``), without loss, since ``fit`` rounds them to what fits.
    """

    def __init__(self, options: PaDiMOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: PaDiMOptions = options
        self.backbone = backbone
        drawn = torch.randperm(sum(backbone.channels))[: options.dimensions]
        self.chosen = drawn.sort().values.to(self.device)
        self._split: tuple[torch.Tensor | None, list[torch.Tensor]] = (None, [])
        self.mean: torch.Tensor | None = None
        self.whitening: torch.Tensor | None = None

    @torch.no_grad()
    def fit(self, images: Images) -> Iterator[Epoch]:
        """Estimate the Gaussians in one pass."""
        if self.epoch:
            return
        yield Epoch(0, 1)
        gaussians: Gaussians | None = None
        for features in images.features(self.backbone):
            vectors = self.embed(features)
            gaussians = gaussians or Gaussians(vectors)
            gaussians.add(vectors.flatten(1, 2).transpose(0, 1))
        if gaussians is None:
            raise TaskError("padim", found="no training image")
        self.mean, self.whitening = gaussians.finish(self.options.epsilon)
        yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the smoothed distances, and images by their most anomalous pixel."""
        vectors = self.embed(batch.features(self.backbone))
        smoothed = maps.gaussian(maps.upsample(self.distances(vectors), batch.size), self.options.sigma)
        return Scores(image=maps.highest(smoothed), map=smoothed)

    def embed(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Concatenate the chosen channels of all layers: L x (B, C_i, h_i, w_i) -> float32 (B, h, w, D).

        A position of a coarser layer counts for all positions of the finest layer that it covers.
        """
        grid = max((feature.shape[2:] for feature in features), key=lambda shape: shape[0] * shape[1])
        parts = [
            F.interpolate(feature.index_select(1, own).float(), grid, mode="nearest")
            for feature, own in zip(features, self._own_channels(), strict=True)
            if len(own)
        ]
        return torch.cat(parts, dim=1).permute(0, 2, 3, 1)

    def _own_channels(self) -> Sequence[torch.Tensor]:
        """The numbers of the chosen channels within each layer; kept, since a file has no steps that depend on values.

        The backbone says the channels of the layers.
        """
        if self._split[0] is not self.chosen:
            found, first = [], 0
            for count in self.backbone.channels:
                found.append(self.chosen[(self.chosen >= first) & (self.chosen < first + count)] - first)
                first += count
            self._split = (self.chosen, found)
        return self._split[1]

    def distances(self, vectors: torch.Tensor) -> torch.Tensor:
        """Mahalanobis distance at each position: (B, h, w, D) -> (B, h, w)."""
        if self.mean is None or self.whitening is None:
            raise CheckpointError("padim", found="no Gaussians", wanted="a fitted detector", hint="Call fit first")
        if vectors.shape[1:] != self.mean.shape:
            found, wanted = ("{}x{} positions of {} channels".format(*x.shape[-3:]) for x in (vectors, self.mean))
            hint = "Use the size, backbone and layers that padim was fitted with"
            raise CheckpointError("padim's features", found=found, wanted=wanted, hint=hint)
        away = (vectors - self.mean).flatten(1, 2).permute(1, 2, 0)  # (P, D, B)
        distances: torch.Tensor = torch.linalg.vector_norm(self.whitening @ away, dim=1)  # (P, B)
        return distances.T.reshape(vectors.shape[:3])

    def checkpoint_bytes(self) -> int:
        """What the means and the packed matrices will take, in bytes."""
        height, width = self.options.size
        stride = min(self.backbone.strides)
        positions, dimensions = -(-height // stride) * -(-width // stride), len(self.chosen)
        return positions * (packed_bytes(dimensions) + 4 * dimensions)

    def state_dict(self) -> dict[str, Any]:
        """What scoring needs: ``chosen``, ``mean`` and the three tensors of the packed matrices."""
        state = super().state_dict()
        if self.whitening is not None:
            packed = pack(state.pop("whitening"))
            state |= {_HIGH: packed.high, _LOW: packed.low, _EXPONENT: packed.exponent}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned; it must be whole and fit this backbone's channels.

        Checkpoints of adbench 0.1 have the unpacked matrices, as ``whitening``.
        """
        state = _unpacked(state)
        names = ("chosen", "mean", "whitening")
        missing = [name for name in names if not isinstance(state.get(name), torch.Tensor)]
        if missing:
            found = ", ".join(map(str, state)) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted=f"{', '.join(missing)} of a fitted padim")
        if state["chosen"].shape != self.chosen.shape or state["chosen"].max() >= sum(self.backbone.channels):
            raise CheckpointError(
                "checkpoint, 'chosen'",
                found=f"{len(state['chosen'])} channels up to number {int(state['chosen'].max())}",
                wanted=f"{len(self.chosen)} of {sum(self.backbone.channels)}",
                hint="Use the backbone, layers and dimensions that the checkpoint was made with",
            )
        super().load_state_dict({name: state[name] for name in names})


def _unpacked(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Unpack a state's matrices. Raises ``CheckpointError`` if the packed parts don't fit together."""
    parts = [state.get(name) for name in (_HIGH, _LOW, _EXPONENT)]
    if "whitening" in state or not all(isinstance(part, torch.Tensor) for part in parts):
        return state
    packed = Packed(*parts)
    if not packed.is_whole():
        shapes = ", ".join(str(tuple(part.shape)) for part in (packed.high, packed.low, packed.exponent))
        raise CheckpointError("checkpoint, packed matrices", found=shapes, wanted="shapes of the same matrices")
    return {"chosen": state.get("chosen"), "mean": state.get("mean"), "whitening": unpack(packed)}


class Gaussians:
    """Estimates the mean and the covariance of the vectors at each of P positions, batch by batch.

    Sums of squares are taken about the running mean (Chan, Golub and LeVeque 1983). Those about zero would cancel out
    where the spread is small against the mean.
    """

    def __init__(self, like: torch.Tensor) -> None:
        """Start for vectors such as ``like`` (B, h, w, D)."""
        self.grid = like.shape[1:3]
        positions, dimensions = like.shape[1] * like.shape[2], like.shape[3]
        self.count = 0
        self.mean = like.new_zeros(positions, dimensions)
        self.squares = like.new_zeros(positions, dimensions, dimensions)

    def add(self, vectors: torch.Tensor) -> None:
        """Add B vectors at each position, (P, B, D)."""
        new = vectors.shape[1]
        total = self.count + new
        centre = vectors.mean(dim=1)
        shift = centre - self.mean
        # the move from the old mean to the new one counts as one more vector
        between = shift * (self.count * new / total) ** 0.5
        spread = torch.cat((vectors - centre[:, None], between[:, None]), dim=1)  # (P, B + 1, D)
        self.squares.baddbmm_(spread.mT, spread)
        self.mean += shift * (new / total)
        self.count = total

    def finish(self, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means (h, w, D) and the whitening matrices (P, D, D), rounded to what a checkpoint holds.

        ``epsilon`` on the diagonal makes a covariance invertible that comes from fewer vectors than it has dimensions.
        The matrices overwrite the sums, chunk by chunk: both at once might not fit.
        """
        dimensions = self.mean.shape[1]
        where = "cpu" if self.mean.device.type == "mps" else self.mean.device  # MPS has no float64
        unit = torch.eye(dimensions, dtype=torch.float64, device=where)
        for chunk in torch.split(self.squares, max(1, CHUNK_BYTES // (8 * dimensions**2))):
            covariance = chunk.to(where).double() / max(self.count - 1, 1) + epsilon * unit
            factor = torch.linalg.cholesky(covariance)
            chunk.copy_(torch.linalg.solve_triangular(factor, unit, upper=False))
            chunk.copy_(round_rows(chunk))
        return self.mean.view(*self.grid, dimensions), self.squares
