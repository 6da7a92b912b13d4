"""Random transforms of training images, in fixed versions or anew each time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..api.images import Transform
from ..util.errors import TaskError, type_text

ROTATION_SEED = 2107
"""Seed of the rotated copies; the same for all runs, so that methods and seeds share their features."""

TRANSFORM_SEED = 4181
"""Seed of the fixed versions of other transforms."""


class Augmentation(Protocol):
    """A transform with its fixed versions, for ``Images``.

    ``copies`` is the number of versions, 0 for new random numbers each time; ``key`` names the present version.
    """

    @property
    def copies(self) -> int:
        """Number of fixed versions of each image; 0 for none."""
        ...

    @property
    def key(self) -> str:
        """Names the transform and the version."""
        ...

    def next(self) -> Augmentation:
        """The version after this one; the first after the last."""
        ...

    def draw(self, rows: Tensor, count: int) -> Callable[[Tensor], Tensor]:
        """Return the function that changes the images (B, 3, H, W) of ``rows`` (B,) of ``count``."""
        ...


@dataclass(frozen=True)
class Rotation:
    """Rotates images by up to ``degrees``: in ``copies`` fixed versions, or anew each time where ``copies`` is 0."""

    degrees: float
    copies: int
    number: int = 0

    @property
    def key(self) -> str:
        """Identifies the fixed version."""
        return f"rotated {self.degrees:g} #{self.number}"

    def next(self) -> Rotation:
        """The version after this one; the first after the last."""
        return replace(self, number=(self.number + 1) % self.copies) if self.copies else self

    def draw(self, rows: Tensor, count: int) -> Callable[[Tensor], Tensor]:
        """Draw an angle for each image now."""
        angles = self.angles(rows, count)
        return lambda images: rotate(images, angles.to(images.device))

    def angles(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        """Degrees (B,) for ``rows`` of ``count`` images, uniform in +-``degrees``, counter-clockwise."""
        if self.copies:
            generator = torch.Generator().manual_seed(ROTATION_SEED + self.number)
            unit = torch.rand(count, generator=generator)[rows]
        else:
            unit = torch.rand(len(rows))
        return (2 * unit - 1) * self.degrees


@dataclass(frozen=True)
class Transformed:
    """Images changed by a method's ``transform``: in ``copies`` fixed versions, or anew each time for 0."""

    transform: Transform
    name: str
    copies: int
    number: int = 0

    @property
    def key(self) -> str:
        """Identifies the fixed version."""
        return f"{self.name} #{self.number}"

    def next(self) -> Transformed:
        """The version after this one; the first after the last."""
        return replace(self, number=(self.number + 1) % self.copies) if self.copies else self

    def draw(self, rows: Tensor, count: int) -> Callable[[Tensor], Tensor]:
        """Draw random numbers when images are made: for fixed versions from each row's own generator."""
        if self.copies == 0:
            return lambda images: self._checked(images, torch.default_generator)

        def one_by_one(images: Tensor) -> Tensor:
            generators = map(self.generator, rows.tolist())
            parts = [self._checked(image[None], each) for image, each in zip(images, generators, strict=True)]
            return torch.cat(parts)

        return one_by_one

    def generator(self, row: int) -> torch.Generator:
        """The generator of one image's present version."""
        digest = hashlib.blake2b(f"{TRANSFORM_SEED} {self.number} {row}".encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)

    def _checked(self, images: Tensor, generator: torch.Generator) -> Tensor:
        made = self.transform(images, generator)
        if not isinstance(made, Tensor) or made.shape != images.shape:
            found = f"shape {tuple(made.shape)}" if isinstance(made, Tensor) else type_text(made)
            raise TaskError("the transform of augmented(...) returned", found=found, wanted=f"{tuple(images.shape)}")
        return made


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate each image (B, 3, H, W) by its own angle (B,), counter-clockwise about its centre.

    Nearest pixel, black outside, as torchvision's ``RandomRotation`` does by default.
    """
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # grid_sample measures in half images, so an oblong one needs its aspect ratio here
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], dim=1),
            torch.stack([sine * width / height, cosine, zero], dim=1),
        ],
        dim=1,
    )  # (B, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)
