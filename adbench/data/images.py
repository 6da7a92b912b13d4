"""Images as a detector meets them: batches on the device, shuffled for training, in order for tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..api.data import Size
from ..api.images import Backbone
from ..util.memory import free
from .image_store import Store

if TYPE_CHECKING:
    from ..backbones.feature_cache import FeatureCache, Table
from .transforms import Rotation, rotate

Watch = Callable[[str, int, int], None]
Step = Callable[[int, int], None]


class Batch:
    """A few images. What costs something, such as their pixels, is made when it is asked for."""

    def __init__(
        self,
        count: int,
        size: Size,
        images: Callable[[], torch.Tensor],
        features: Callable[[Backbone], list[torch.Tensor]] | None = None,
    ) -> None:
        """Stand for ``count`` images of ``size``; ``features`` finds what is cached, None computes it."""
        self._count, self._images, self._features = count, images, features
        self.size = size

    @classmethod
    def of(cls, images: torch.Tensor) -> Batch:
        """Make a batch of loose images, float RGB in [0, 1], (B, 3, H, W)."""
        size = (int(images.shape[2]), int(images.shape[3]))
        return cls(len(images), size, lambda: images)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def images(self) -> torch.Tensor:
        """Float RGB in [0, 1], (B, 3, H, W), on the device. They must not be changed in place."""
        return self._images()

    @property
    def pictures(self) -> torch.Tensor:
        """The name of ``images`` in adbench 0.1, for its plugins."""
        return self.images

    def features(self, backbone: Backbone) -> list[torch.Tensor]:
        """What ``backbone`` sees in these images: a (B, C, H, W) tensor per layer, cached where possible.

        They must not be changed in place.
        """
        if self._features is not None:
            return self._features(backbone)
        with torch.no_grad():
            features: list[torch.Tensor] = backbone(self.images)
        return features


class Images:
    """One part of a task on a device; iterating over it goes through all images once.

    Args:
        store: the decoded images.
        device: where batches are made.
        batch_size: images per batch; the last one may have fewer.
        shuffle: draw the order from torch's global generator, anew for each iteration.
        cache: keeps features; without one they are computed each time.
        watch: hears ("features", done, total) while features are computed.
        step: hears (done, total) images after each batch of an iteration.
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
        """Stand for the images of ``store``; nothing is read yet."""
        self.store, self.device, self.batch_size, self.shuffle = store, device, batch_size, shuffle
        self.cache, self.watch, self.step = cache, watch, step
        height, width = store.images.shape[1:3]
        self.size: Size = (int(height), int(width))
        self._companions: Sequence[Images] = ()
        self._rotation: Rotation | None = None
        self._tables: dict[str, Table] = {}

    def __len__(self) -> int:
        return len(self.store.samples)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Go through all images once, in batches of another size if one is given."""
        count = len(self)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        rotation = self._rotation
        if rotation is not None:  # here and not at the end, which an iteration that breaks off never sees
            self._rotation = rotation.next()
        done = 0
        for rows in torch.split(order, batch_size or self.batch_size) if count else ():
            yield self._batch(rows, rotation)
            done += len(rows)
            if self.step:
                self.step(done, count)

    def part(self, start: int, stop: int) -> Batch:
        """Images number ``start`` to ``stop`` in the order of the store, whatever the shuffling."""
        return self._batch(torch.arange(start, stop), self._rotation)

    def features(self, backbone: Backbone, batch_size: int | None = None) -> Iterator[list[torch.Tensor]]:
        """Go through all images once as features: per batch a (B, C, H, W) tensor for each layer."""
        for batch in self.batches(batch_size):
            yield batch.features(backbone)

    def augmented(self, *, rotation: float, copies: int, start: int = 0) -> Images:
        """The same images, turned by up to ``rotation`` degrees.

        Each iteration uses the next of ``copies`` fixed versions, beginning with number ``start``, whose
        features are cached like others; with ``copies`` 0 every angle is drawn anew and nothing is cached.
        """
        turned = copy.copy(self)
        turned._rotation = Rotation(rotation, copies, start % copies if copies else 0)
        turned._tables = {}
        return turned

    def prefetch_with(self, *others: Images) -> None:
        """Have the features of ``others`` made in the same go as these, so that a backbone is loaded once for all.

        Whoever iterates here never sees the others, nor theirs.
        """
        self._companions = others

    def without_cache(self) -> Images:
        """The same images with all features computed each time, for measuring."""
        plain = copy.copy(self)
        plain.cache, plain.watch, plain.step, plain._tables = None, None, None, {}
        return plain

    def _batch(self, rows: torch.Tensor, rotation: Rotation | None) -> Batch:
        angles = rotation.angles(rows, len(self)) if rotation else None  # once, so that all uses agree

        def look_up(backbone: Backbone) -> list[torch.Tensor]:
            return self._table(backbone, rotation).gather(rows)

        cached = self.cache is not None and (rotation is None or rotation.copies > 0)
        return Batch(len(rows), self.size, lambda: self._images(rows, angles), look_up if cached else None)

    def _images(self, rows: torch.Tensor, angles: torch.Tensor | None) -> torch.Tensor:
        """Bring uint8 images to the device, and only there make floats of them."""
        chosen = torch.from_numpy(np.ascontiguousarray(self.store.images[rows.numpy()]))  # (B, H, W, 3)
        if self.device.type == "cuda":
            chosen = chosen.pin_memory()
        chosen = chosen.to(self.device, non_blocking=True)
        images = chosen.permute(0, 3, 1, 2).float().div_(255)  # channels last in memory
        return images if angles is None else rotate(images, angles.to(self.device))

    def _table(self, backbone: Backbone, rotation: Rotation | None) -> Table:
        """Features of all images; held here, since the cache lets go of what nobody holds."""
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
            features: list[torch.Tensor] = backbone(self._images(rows, angles))
            return features

        key = self._key(backbone, rotation)
        if key not in self._tables:
            self._tables[key] = self.cache.table(key, len(self), compute, self.device, watch=self.watch)
        return computed

    def _key(self, backbone: Backbone, rotation: Rotation | None) -> str:
        parts = [self.store.key, self.store.content, backbone.key]
        return " ".join(parts if rotation is None else [*parts, rotation.key])
