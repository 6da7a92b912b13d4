"""Counts the bytes of live tensors, and gives backbones weights of the right shapes without a download."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adbench.backbones import torchvision, weights

IMAGES = 250
"""Training images of a class that the counts are for; those of MVTec AD have 60 to 391."""


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is on, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor):
                self._add(each.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        known = self._seen.get(key)
        if known is not None and known() is storage:
            return

        def forget(_: object) -> None:
            self.now -= size
            del self._seen[key]

        self._seen[key] = weakref.ref(storage, forget)
        self.now += size
        self.peak = max(self.peak, self.now)


@dataclass(frozen=True)
class Counted:
    """Bytes at the peak of one small training and scoring, and whether the detector's batches can be split."""

    bytes: int
    splits: bool


@contextmanager
def made_weights(*, filled: bool = True) -> Iterator[None]:
    """Give backbones constant weights in place of published ones; they take as much memory.

    With ``filled`` false, the values of timm's networks are not set, so that a large one takes no memory until it runs.
    """
    import timm

    create = timm.create_model

    def unpublished(name: str, **words: Any) -> Any:
        """Create a model without drawing its values, which takes long for large ones."""
        with torch.device("meta"):
            net = create(name, **{**words, "pretrained": False})
        net = net.to_empty(device="cpu")
        for value in (*net.parameters(), *net.buffers()) if filled else ():
            value.data.fill_(0.01 if value.is_floating_point() else 0)
        return net

    def state(name: str) -> Any:
        return {
            key: torch.full(value.shape, 0.01) for key, value in torchvision.whole(name, meta=True).state_dict().items()
        }

    with (
        mock.patch.object(timm, "create_model", unpublished),
        mock.patch.object(weights, "from_torchvision", state),
        mock.patch.object(weights, "state_digest", return_value="0" * 12),
    ):
        yield
