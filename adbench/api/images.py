"""What a detector is given: batches of images and their features.

``Images`` is a protocol, which ``adbench.data.images`` fulfils.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .backbone import AnyBackbone
from .data import Size

if TYPE_CHECKING:
    import torch


Transform: TypeAlias = "Callable[[torch.Tensor, torch.Generator], torch.Tensor]"
"""Turns images (B, 3, H, W) into others of the same shape, with random numbers of a generator on the CPU alone."""


class Batch:
    """A few images of one size. What costs something, such as their pixels, is made when it is asked for."""

    def __init__(
        self,
        count: int,
        size: Size,
        images: Callable[[], torch.Tensor],
        features: Callable[[AnyBackbone], list[torch.Tensor]] | None = None,
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
        """Float RGB in [0, 1], (B, 3, H, W), on the device, not normalised. They must not be changed in place."""
        return self._images()

    @property
    def pictures(self) -> torch.Tensor:
        """The name of ``images`` in adbench 0.1, for its plugins."""
        return self.images

    def features(self, backbone: AnyBackbone) -> list[torch.Tensor]:
        """What ``backbone`` makes of these images: a (B, C, h, w) tensor per layer, cached where possible.

        They must not be changed in place.

        Args:
            backbone: one of ``adbench.backbones``, or a frozen ``nn.Module`` of your own.
        """
        import torch

        from .module_backbone import as_backbone

        if self._features is not None:
            return self._features(backbone)
        with torch.no_grad():
            return as_backbone(backbone)(self.images)


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

    def features(self, backbone: AnyBackbone, batch_size: int | None = None) -> Iterator[list[torch.Tensor]]:
        """Go through all images once as features: per batch a (B, C, h, w) tensor for each layer."""
        ...

    def augmented(
        self,
        transform: Transform | None = None,
        *,
        key: str = "",
        rotation: float | None = None,
        copies: int = 0,
        start: int = 0,
    ) -> Images:
        """The same images, changed at random by ``transform``, or turned by up to ``rotation`` degrees.

        With ``copies`` above 0 there are so many fixed versions of each image. Each iteration uses the next one,
        beginning with number ``start``, and features are cached like others. Then ``transform`` gets one image at a
        time, with a generator whose numbers depend on the image's row and the version alone. With ``copies`` 0 it gets
        a batch and torch's global generator, and nothing is cached.

        Args:
            transform: images (B, 3, H, W) in [0, 1] on the device and a generator on the CPU -> images of that shape.
            key: names the transform and its numbers; features are cached under it.
            rotation: degrees, in place of a transform.
            copies: versions of each image.
            start: number of the first version, such as the finished epochs.
        """
        ...

    def split(self, share: float, seed: int = 0) -> tuple[Images, Images]:
        """Keep a part of these images from training, for a validation of the method's own.

        The result's protocol tells ``share``.

        Args:
            share: part of the images that is held out, above 0 and below 1; at least one image is on each side.
            seed: of the choice. The same seed holds out the same images.

        Returns:
            The images to train on, and those held out, which come in a fixed order.

        Raises:
            TaskError: there is only one image.
        """
        ...
