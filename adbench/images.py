"""Pictures as a detector meets them: batches on the device, shuffled for training, in order for tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from .memory import free
from .pictures import Store
from .types import Size

if TYPE_CHECKING:
    from .backbones import Backbone
    from .features import FeatureCache, Table

ROTATION_SEED = 2107
"""Of the rotated copies; the same for all runs, so that methods and seeds share their features."""

Watch = Callable[[str, int, int], None]
Step = Callable[[int, int], None]


class Batch:
    """A few pictures. What costs something, such as their pixels, is made when it is asked for."""

    def __init__(
        self,
        count: int,
        size: Size,
        pictures: Callable[[], torch.Tensor],
        features: Callable[[Backbone], list[torch.Tensor]] | None = None,
    ) -> None:
        """Stand for ``count`` pictures of ``size``; ``features`` finds what is cached, None computes it."""
        self._count, self._pictures, self._features = count, pictures, features
        self.size = size

    @classmethod
    def of(cls, pictures: torch.Tensor) -> Batch:
        """Make a batch of loose pictures, float RGB in [0, 1], (B, 3, H, W)."""
        size = (int(pictures.shape[2]), int(pictures.shape[3]))
        return cls(len(pictures), size, lambda: pictures)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def pictures(self) -> torch.Tensor:
        """Float RGB in [0, 1], (B, 3, H, W), on the device. They must not be changed in place."""
        return self._pictures()

    def features(self, backbone: Backbone) -> list[torch.Tensor]:
        """What ``backbone`` sees in these pictures: a (B, C, H, W) tensor per layer, cached where possible.

        They must not be changed in place.
        """
        if self._features is not None:
            return self._features(backbone)
        with torch.no_grad():
            features: list[torch.Tensor] = backbone(self.pictures)
        return features


@dataclass(frozen=True)
class Rotation:
    """Pictures turned by up to ``degrees``: in ``copies`` fixed versions, or anew each time for 0."""

    degrees: float
    copies: int
    number: int = 0

    @property
    def key(self) -> str:
        """Tells the fixed versions apart."""
        return f"rotated {self.degrees:g} #{self.number}"

    def next(self) -> Rotation:
        """The version after this one; the first after the last."""
        return replace(self, number=(self.number + 1) % self.copies) if self.copies else self

    def angles(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        """Degrees (B,) for ``rows`` of ``count`` pictures, uniform in +-``degrees``, counter-clockwise."""
        if self.copies:
            generator = torch.Generator().manual_seed(ROTATION_SEED + self.number)
            unit = torch.rand(count, generator=generator)[rows]
        else:
            unit = torch.rand(len(rows))
        return (2 * unit - 1) * self.degrees


class Images:
    """One part of a task on a device; iterating over it goes through all pictures once.

    Args:
        store: the decoded pictures.
        device: where batches are made.
        batch_size: pictures per batch; the last one may have fewer.
        shuffle: draw the order from torch's global generator, anew for each iteration.
        cache: keeps features; without one they are computed each time.
        watch: hears ("features", done, total) while features are computed.
        step: hears (done, total) pictures after each batch of an iteration.
    """

    def __init__(
        self,
        store: Store,
        device: torch.device,
        batch_size: int,
        *,
        shuffle: bool,
        cache: FeatureCache | None = None,
        watch: Watch | None = None,
        step: Step | None = None,
    ) -> None:
        """Stand for the pictures of ``store``; nothing is read yet."""
        self.store, self.device, self.batch_size, self.shuffle = store, device, batch_size, shuffle
        self.cache, self.watch, self.step = cache, watch, step
        height, width = store.pictures.shape[1:3]
        self.size: Size = (int(height), int(width))
        self._companions: Sequence[Images] = ()
        self._rotation: Rotation | None = None
        self._tables: dict[str, Table] = {}

    def __len__(self) -> int:
        return len(self.store.samples)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Go through all pictures once, in batches of another size if one is given."""
        count = len(self)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        rotation = self._rotation
        if rotation is not None:  # here and not at the end, which an iteration that breaks off never sees
            self._rotation = rotation.next()
        done = 0
        for rows in torch.split(order, batch_size or self.batch_size):
            yield self._batch(rows, rotation)
            done += len(rows)
            if self.step:
                self.step(done, count)

    def part(self, start: int, stop: int) -> Batch:
        """Pictures number ``start`` to ``stop`` in the order of the store, whatever the shuffling."""
        return self._batch(torch.arange(start, stop), self._rotation)

    def features(self, backbone: Backbone, batch_size: int | None = None) -> Iterator[list[torch.Tensor]]:
        """Go through all pictures once as features: per batch a (B, C, H, W) tensor for each layer."""
        for batch in self.batches(batch_size):
            yield batch.features(backbone)

    def augmented(self, *, rotation: float, copies: int, start: int = 0) -> Images:
        """The same pictures, turned by up to ``rotation`` degrees.

        Each iteration uses the next of ``copies`` fixed versions, beginning with number ``start``, whose
        features are cached like others; with ``copies`` 0 every angle is drawn anew and nothing is cached.
        """
        turned = copy.copy(self)
        turned._rotation = Rotation(rotation, copies, start % copies if copies else 0)
        turned._tables = {}
        return turned

    def make_along(self, *others: Images) -> None:
        """Have the features of ``others`` made in the same go as these, so that a backbone is loaded once for all.

        Whoever iterates here never sees the others, nor theirs.
        """
        self._companions = others

    def without_cache(self) -> Images:
        """The same pictures with all features computed each time, for measuring."""
        plain = copy.copy(self)
        plain.cache, plain.watch, plain.step, plain._tables = None, None, None, {}
        return plain

    def _batch(self, rows: torch.Tensor, rotation: Rotation | None) -> Batch:
        angles = rotation.angles(rows, len(self)) if rotation else None  # once, so that all uses agree

        def look_up(backbone: Backbone) -> list[torch.Tensor]:
            return self._table(backbone, rotation).gather(rows)

        cached = self.cache is not None and (rotation is None or rotation.copies > 0)
        return Batch(len(rows), self.size, lambda: self._pictures(rows, angles), look_up if cached else None)

    def _pictures(self, rows: torch.Tensor, angles: torch.Tensor | None) -> torch.Tensor:
        """Bring uint8 pictures to the device, and only there make floats of them."""
        chosen = torch.from_numpy(np.ascontiguousarray(self.store.pictures[rows.numpy()]))  # (B, H, W, 3)
        if self.device.type == "cuda":
            chosen = chosen.pin_memory().to(self.device, non_blocking=True)
        pictures = chosen.permute(0, 3, 1, 2).float().div_(255)  # channels last in memory
        return pictures if angles is None else rotate(pictures, angles.to(self.device))

    def _table(self, backbone: Backbone, rotation: Rotation | None) -> Table:
        """Features of all pictures; held here, since the cache lets go of what nobody holds."""
        key = self._key(backbone, rotation)
        if key not in self._tables:
            computed = self._make_table(backbone, rotation)
            if self._tables[key].place != "none" and hasattr(backbone, "release_weights"):  # a plugin's own may not
                if rotation is None:  # turned copies go first, since each epoch wants one
                    computed = any([computed, *(other._make_table(backbone, None) for other in self._companions)])
                if computed:
                    backbone.release_weights()
                    free()
        return self._tables[key]

    def _make_table(self, backbone: Backbone, rotation: Rotation | None) -> bool:
        """Find a table or make it, and say whether the backbone ran for it."""
        assert self.cache is not None
        computed = False

        def compute(rows: torch.Tensor) -> list[torch.Tensor]:
            nonlocal computed
            computed = True
            angles = rotation.angles(rows, len(self)) if rotation else None
            features: list[torch.Tensor] = backbone(self._pictures(rows, angles))
            return features

        key = self._key(backbone, rotation)
        if key not in self._tables:
            self._tables[key] = self.cache.table(key, len(self), compute, self.device, watch=self.watch)
        return computed

    def _key(self, backbone: Backbone, rotation: Rotation | None) -> str:
        parts = [self.store.key, self.store.content, backbone.key]
        return " ".join(parts if rotation is None else [*parts, rotation.key])


def rotate(pictures: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Turn each picture (B, 3, H, W) by its own angle (B,), counter-clockwise about its centre.

    Nearest pixel, black outside, as torchvision's ``RandomRotation`` does by default.
    """
    height, width = pictures.shape[2:]
    angle = torch.deg2rad(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # grid_sample counts in half pictures, so an oblong one needs its aspect ratio here
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], dim=1),
            torch.stack([sine * width / height, cosine, zero], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="nearest", padding_mode="zeros", align_corners=False)
