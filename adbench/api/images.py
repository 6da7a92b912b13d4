"""Images as a detector gets them: batches of images and their features.

``Images`` is a protocol; ``adbench.data.images`` implements it.
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
"""Changes images (B, 3, H, W) and keeps their shape; random numbers come only from the generator, on the CPU."""


class Batch:
    """A few images of one size. Their pixels and features are made when they are asked for."""

    def __init__(
        self,
        count: int,
        size: Size,
        images: Callable[[], torch.Tensor],
        features: Callable[[AnyBackbone], list[torch.Tensor]] | None = None,
    ) -> None:
        """Create a batch of ``count`` images of ``size``; ``features`` finds cached features, None computes them."""
        self._count, self._images, self._features = count, images, features
        self.size = size

    @classmethod
    def of(cls, images: torch.Tensor) -> Batch:
        """Make a batch of given images, float RGB in [0, 1], (B, 3, H, W)."""
        size = (int(images.shape[2]), int(images.shape[3]))
        return cls(images.shape[0], size, lambda: images)  # len() would fix the number in an exported file

    def __len__(self) -> int:
        return self._count

    @cached_property
    def images(self) -> torch.Tensor:
        """Float RGB in [0, 1], (B, 3, H, W), on the device, not normalised. Don't change them in place."""
        return self._images()

    @property
    def pictures(self) -> torch.Tensor:
        """The name of ``images`` in adbench 0.1, kept for its plugins."""
        return self.images

    def features(self, backbone: AnyBackbone) -> list[torch.Tensor]:
        """Features that ``backbone`` computes: a (B, C, h, w) tensor per layer, cached where possible.

        Don't change them in place.

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
    """The training images, or another part of a task; each iteration yields all of them once.

    Training images come in a new random order each time, by torch's global generator.
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
        """Go through all images once as features: for each batch a (B, C, h, w) tensor per layer."""
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
        """The same images, changed at random by ``transform``, or rotated by up to ``rotation`` degrees.

        With ``copies`` above 0 each image has that number of fixed versions. Each iteration uses the next version,
        beginning with number ``start``, and features are cached like others. ``transform`` then gets one image at a
        time, and a generator that depends only on the image's row and the version. With ``copies`` 0 it gets a batch
        and torch's global generator, and nothing is cached.

        Args:
            transform: images (B, 3, H, W) in [0, 1] on the device and a generator on the CPU -> images of that shape.
            key: names the transform and its numbers; features are cached under it.
            rotation: degrees, instead of a transform.
            copies: versions of each image.
            start: number of the first version, such as the finished epochs.
        """
        ...

    def split(self, share: float, seed: int = 0) -> tuple[Images, Images]:
        """Hold out a part of these images for the method's own validation.

        The result's protocol contains ``share``.

        Args:
            share: held-out part of the images, above 0 and below 1; each side has at least one image.
            seed: of the choice. The same seed holds out the same images.

        Returns:
            The images to train on, and the held-out ones in a fixed order.

        Raises:
            TaskError: there is only one image.
        """
        ...
