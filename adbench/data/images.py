"""Images as a detector sees them: batches on the device, shuffled for training, in order for tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..api.backbone import AnyBackbone, Backbone
from ..api.data import Size
from ..api.images import Batch, Transform
from ..api.module_backbone import ModuleBackbone, as_backbone
from ..util.errors import TaskError
from ..util.memory import free
from . import splits
from .image_store import Store, place_of
from .transforms import Augmentation, Rotation, Transformed

if TYPE_CHECKING:
    from ..backbones.feature_cache import FeatureCache, Table

__all__ = ["Batch", "Images"]

Watch = Callable[[str, int, int], None]
Step = Callable[[int, int], None]


class Images:
    """One part of a task on a device; iterating over it goes through all images once.

    Args:
        store: the decoded images.
        device: where batches are made.
        batch_size: images per batch; the last one may have fewer.
        shuffle: draw the order from torch's global generator, anew for each iteration.
        cache: keeps features; without one they are computed each time.
        watch: called with ("features", done, total) while features are computed.
        step: called with (done, total) images after each batch of an iteration.
        code: a digest of the method's code, a part of the names of features that its transforms or its own modules
            change.
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
        code: str = "",
    ) -> None:
        """Create the view of ``store``; nothing is read yet."""
        self.store, self.device, self.batch_size, self.shuffle = store, device, batch_size, shuffle
        self.cache, self.watch, self.step, self.code = cache, watch, step, code
        height, width = store.images.shape[1:3]
        self.size: Size = (int(height), int(width))
        self._rows = torch.arange(store.rows)
        self._companions: Sequence[Images] = ()
        self._augmentation: Augmentation | None = None
        self._tables: dict[str, Table] = {}
        self._shares: set[float] = set()  # that were split off; copies of these images share it

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def validation(self) -> float:
        """The largest share of these images that was split off for a validation of the method's own."""
        return max(self._shares, default=0.0)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Go through all images once, in batches of another size if one is given."""
        count = len(self)
        order = self._rows[torch.randperm(count)] if self.shuffle else self._rows
        augmentation = self._augmentation
        if augmentation is not None:  # here and not at the end, which an iteration that stops early never reaches
            self._augmentation = augmentation.next()
        done = 0
        for rows in torch.split(order, batch_size or self.batch_size) if count else ():
            yield self._batch(rows, augmentation)
            done += len(rows)
            if self.step:
                self.step(done, count)

    def part(self, start: int, stop: int) -> Batch:
        """Images number ``start`` to ``stop`` in the order of the store, whatever the shuffling."""
        return self._batch(self._rows[start:stop], self._augmentation)

    def features(self, backbone: AnyBackbone, batch_size: int | None = None) -> Iterator[list[torch.Tensor]]:
        """Features of all images, batch by batch; see ``adbench.api.images.Images.features``."""
        for batch in self.batches(batch_size):
            yield batch.features(backbone)

    def augmented(
        self,
        transform: Transform | None = None,
        *,
        key: str = "",
        rotation: float | None = None,
        copies: int = 0,
        start: int = 0,
    ) -> Images:
        """The same images changed at random; see ``adbench.api.images.Images.augmented``.

        Raises:
            TaskError: not one of ``transform`` and ``rotation``, or fixed versions without a key.
        """
        if (transform is None) == (rotation is None):
            raise TaskError("augmented(...)", found="both or none", wanted="a transform, or rotation=DEGREES")
        if transform is not None and copies and not key:
            raise TaskError("augmented(transform, copies=...)", found="no key", wanted="key=NAME for the transform")
        number = start % copies if copies else 0
        made = copy.copy(self)
        if rotation is not None:
            made._augmentation = Rotation(rotation, copies, number)
        elif transform is not None:
            made._augmentation = Transformed(transform, key, copies, number)
        made._tables = {}
        return made

    def split(self, share: float, seed: int = 0) -> tuple[Images, Images]:
        """Keep a part of these images from training; see ``adbench.api.images.Images.split``."""
        grids = self.store.grids
        if grids is None:
            kept, held_out = splits.validation(len(self), share, seed)
        else:  # whole images: the tiles of one look alike
            owners = np.repeat(np.arange(len(grids)), [len(grid) for grid in grids])[self._rows.numpy()]
            images, place = np.unique(owners, return_inverse=True)
            is_held_out = np.isin(place, splits.validation(len(images), share, seed)[1])
            kept, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
        self._shares.add(share)
        training, validation = copy.copy(self), copy.copy(self)
        training._rows, validation._rows = self._rows[torch.from_numpy(kept)], self._rows[torch.from_numpy(held_out)]
        validation.shuffle, validation.step, validation._augmentation = False, None, None
        return training, validation

    def prefetch_with(self, *others: Images) -> None:
        """Compute the features of ``others`` together with these, so that a backbone is loaded once for all.

        Iterating over these images never yields the others.
        """
        self._companions = others

    def without_cache(self) -> Images:
        """The same images without cached features, for measuring."""
        plain = copy.copy(self)
        plain.cache, plain.watch, plain.step, plain._tables = None, None, None, {}
        return plain

    def _batch(self, rows: torch.Tensor, augmentation: Augmentation | None) -> Batch:
        # drawn once, so that all uses agree
        change = augmentation.draw(rows, self.store.rows) if augmentation else None

        def look_up(backbone: AnyBackbone) -> list[torch.Tensor]:
            return self._table(as_backbone(backbone), augmentation).gather(rows)

        cached = self.cache is not None and (augmentation is None or augmentation.copies > 0)
        return Batch(len(rows), self.size, lambda: self._images(rows, change), look_up if cached else None)

    def _images(self, rows: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor] | None) -> torch.Tensor:
        """Copy uint8 images to the device, and convert them to float only there."""
        chosen = torch.from_numpy(np.ascontiguousarray(self.store.images[rows.numpy()]))  # (B, H, W, 3)
        if self.device.type == "cuda":
            chosen = chosen.pin_memory()
        chosen = chosen.to(self.device, non_blocking=True)
        images = chosen.permute(0, 3, 1, 2).float().div_(255)  # channels last in memory
        return images if change is None else change(images)

    def _table(self, backbone: Backbone, augmentation: Augmentation | None) -> Table:
        """Features of all images. This object keeps them, since the cache drops tables that are not in use."""
        key = self._key(backbone, augmentation)
        if key not in self._tables:
            computed = self._make_table(backbone, augmentation)
            if self._tables[key].place != "none" and hasattr(backbone, "release_weights"):  # a plugin's may not
                if augmentation is None:  # changed copies take the cache first, since each epoch needs one
                    computed = any([computed, *(other._make_table(backbone, None) for other in self._companions)])
                if computed:
                    backbone.release_weights()
                    free()
        return self._tables[key]

    def _make_table(self, backbone: Backbone, augmentation: Augmentation | None) -> bool:
        """Find or make a table; return whether the backbone ran for it."""
        assert self.cache is not None
        computed, count = False, self.store.rows

        def compute(rows: torch.Tensor) -> list[torch.Tensor]:
            nonlocal computed
            computed = True
            change = augmentation.draw(rows, count) if augmentation else None
            features: list[torch.Tensor] = backbone(self._images(rows, change))
            return features

        key = self._key(backbone, augmentation)
        if key not in self._tables:
            changed = "" if augmentation is None else f", {augmentation.key}"
            about = f"{count} images of {place_of(self.store.samples)} through {backbone.key}{changed}"
            self._tables[key] = self.cache.table(key, count, compute, self.device, watch=self.watch, about=about)
        return computed

    def _key(self, backbone: Backbone, augmentation: Augmentation | None) -> str:
        parts = [self.store.key, self.store.content, backbone.key]
        if augmentation is not None:
            parts.append(augmentation.key)
        if isinstance(backbone, ModuleBackbone) or isinstance(augmentation, Transformed):
            parts.append(self.code)
        return " ".join(parts)
