"""What a detector is given: batches of images and their features, as protocols that ``adbench.data.images`` fulfils."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from .data import Size

if TYPE_CHECKING:
    import torch


class Backbone(Protocol):
    """A network that turns images into features; ``adbench.backbones.Backbone`` is one.

    ``key`` names everything that moves its outputs: features are cached under it.
    """

    key: str

    def __call__(self, images: torch.Tensor, /) -> list[torch.Tensor]:
        """Map float RGB in [0, 1], (B, 3, H, W), to one (B, C, h, w) tensor per layer."""
        ...


class Batch(Protocol):
    """A few images of one size."""

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        ...

    @property
    def images(self) -> torch.Tensor:
        """Float RGB in [0, 1], (B, 3, H, W), on the device, not normalised. They must not be changed in place."""
        ...

    def __len__(self) -> int: ...

    def features(self, backbone: Backbone) -> list[torch.Tensor]:
        """What ``backbone`` makes of these images: a (B, C, h, w) tensor per layer, cached where possible.

        They must not be changed in place.
        """
        ...


class Images(Protocol):
    """The training images, or another part of a task; each iteration goes through all of them once.

    Training images come in a new random order each time, drawn from torch's global generator.
    """

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in a batch; the last one may have fewer."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def features(self, backbone: Backbone, batch_size: int | None = None) -> Iterator[list[torch.Tensor]]:
        """Go through all images once as features: per batch a (B, C, h, w) tensor for each layer."""
        ...

    def augmented(self, *, rotation: float, copies: int, start: int = 0) -> Images:
        """The same images, turned by up to ``rotation`` degrees.

        Each iteration uses the next of ``copies`` fixed versions, beginning with number ``start``, whose features are
        cached like others; with ``copies`` 0 every angle is drawn anew and nothing is cached.
        """
        ...
