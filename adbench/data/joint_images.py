"""The training images of several classes as one set, for a model of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.backbone import Backbone
from ..backbones.feature_cache import Place, Table
from .image_files import Bytes
from .image_store import Store
from .images import Images

if TYPE_CHECKING:
    from .transforms import Augmentation


class JointImages(Images):
    """Several sets of images, shuffled together; each keeps its own store and feature tables.

    So features are shared with runs of single classes, except those of augmented copies.

    Args:
        parts: sets of images of one size, on one device, in batches of one size; at least one set.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        """Create the joint view; nothing is read yet."""
        first = parts[0]
        super().__init__(
            joined([part.store for part in parts]),
            first.device,
            first.batch_size,
            shuffle=first.shuffle,
            cache=first.cache,
            watch=first.watch,
            code=first.code,
        )
        self.parts = tuple(parts)

    def _make_table(self, backbone: Backbone, augmentation: Augmentation | None) -> bool:
        if augmentation is not None:
            return super()._make_table(backbone, augmentation)
        filled = [part for part in self.parts if len(part)]
        computed = [part._make_table(backbone, None) for part in filled]
        key = self._key(backbone, None)
        self._tables[key] = _JointTable([part._tables[part._key(backbone, None)] for part in filled], self.device)
        return any(computed)


def joined(stores: Sequence[Store]) -> Store:
    """Join several stores; their pixels are not copied."""
    masks = [store.masks for store in stores if store.masks is not None]
    grids = [store.grids for store in stores if store.grids is not None]
    return Store(
        key=" ".join(store.key for store in stores),
        samples=tuple(sample for store in stores for sample in store.samples),
        images=cast(Bytes, _Rows([store.images for store in stores])),  # only indexed by rows
        masks=cast(Bytes, _Rows(masks)) if len(masks) == len(stores) else None,
        sizes=tuple(size for store in stores for size in store.sizes),
        content=" ".join(store.content for store in stores),
        skipped=tuple(problem for store in stores for problem in store.skipped),
        grids=tuple(grid for each in grids for grid in each) if len(grids) == len(stores) else None,
    )


class _Rows:
    """Arrays joined along their first axis without a copy; most are on disk."""

    def __init__(self, arrays: Sequence[Bytes]) -> None:
        self._arrays = arrays
        self._stops = np.cumsum([len(array) for array in arrays])

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self._stops[-1]), *self._arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[Any]) -> Bytes:
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        owners = np.searchsorted(self._stops, rows, side="right")
        for number in np.unique(owners):
            own = owners == number
            first = self._stops[number - 1] if number else 0
            found[own] = self._arrays[number][rows[own] - first]
        return found


class _JointTable(Table):
    """The joined feature tables of several sets of images."""

    def __init__(self, tables: Sequence[Table], device: torch.device) -> None:
        self._tables = tables
        self._stops = torch.tensor([len(table) for table in tables]).cumsum(0)
        self.count, self.device = int(self._stops[-1]), device

    @property
    def place(self) -> Place:
        """Where the first table is; "none" if any is computed anew each time."""
        places = [table.place for table in self._tables]
        return "none" if "none" in places else places[0]

    @property
    def bytes(self) -> int:
        """Bytes kept."""
        return sum(table.bytes for table in self._tables)

    def gather(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return features on the device, each row from its own table; see ``Table.gather``."""
        rows = rows.to("cpu", torch.int64)
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= self.count):
            raise IndexError(f"rows {int(rows.min())} to {int(rows.max())} of a table of {self.count}")
        owners = torch.searchsorted(self._stops, rows, right=True)
        if not len(rows):
            return self._tables[0].gather(rows)
        found: list[torch.Tensor] = []
        for number in sorted(set(owners.tolist())):
            own = owners == number
            first = int(self._stops[number - 1]) if number else 0
            features: list[torch.Tensor] = self._tables[number].gather(rows[own] - first)
            if bool(own.all()):
                return features
            found = found or [level.new_empty((len(rows), *level.shape[1:])) for level in features]
            where = own.nonzero()[:, 0]
            for level, part in zip(found, features, strict=True):
                level[where.to(level.device)] = part
        return found
