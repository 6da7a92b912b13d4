"""Pixels that count in no metric of pixels: regions of no interest, and defects that are too small.

They are as if the images had no such pixels. Each map is read without them, as a row of those that are left, so that
every metric leaves them out by the same few lines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..api.data import Problem, Sample, Size
from ..util.errors import DataError, TaskError
from ..util.text import plural
from . import image_files, masks
from .framing import Framing

if TYPE_CHECKING:
    from .image_store import Store

Bools = NDArray[np.bool_]

NOTHING, ALL = "no pixel that is ignored", "every pixel ignored"
"""What is wrong with an ignore mask that leaves out nothing, or everything."""


@dataclass(frozen=True, eq=False)
class Ignored:
    """The ignored pixels of N images.

    Attributes:
        sizes: (H, W) at which the map of each image is compared with its mask.
        common: (H, W) bool, True where every image of this size is ignored, by size.
        own: (A,) flat positions of further pixels, by the number of the image, as those of defects that are too small.
        lost: numbers of images whose masks have lost such a defect already.
    """

    sizes: tuple[Size, ...]
    common: Mapping[Size, Bools] = field(default_factory=dict)
    own: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    lost: Collection[int] = ()

    @classmethod
    def of(cls, ignored: NDArray[Any], images: int) -> Ignored:
        """Ignored pixels as an array: (H, W) of all images, or (N, H, W); not zero where ignored.

        Raises:
            TaskError: another shape.
        """
        size = (ignored.shape[-2], ignored.shape[-1]) if ignored.ndim > 1 else (0, 0)
        if ignored.shape not in (size, (images, *size)):
            raise TaskError("ignored", found=f"shape {ignored.shape}", wanted=f"(H, W), or ({images}, H, W)")
        if ignored.ndim == 2:
            return cls((size,) * images, {size: ignored != 0})
        return cls((size,) * images, own={number: np.flatnonzero(each) for number, each in enumerate(ignored)})

    def counted(self, number: int) -> Bools:
        """(H * W,), True for the pixels of an image that count."""
        height, width = size = self.sizes[number]
        counted = ~self.common[size].reshape(-1) if size in self.common else np.ones(height * width, bool)
        if number in self.own:
            counted[self.own[number]] = False
        return counted

    def compact(
        self, positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Bools, tuple[Size, ...], tuple[int, ...]]:
        """Find where pixels are among those that count.

        Args:
            positions: (P,) of pixels in the flattened images, one after the other; ascending.

        Returns:
            The positions of those that count; (P,) which do; the sizes (1, n) of the images without ignored pixels;
            and the numbers of the images of which one of these pixels is ignored, or a defect is ``lost``.

        Raises:
            TaskError: all pixels of an image are ignored.
        """
        places, stays, sizes, start, end = [np.empty(0, np.int64)], [np.empty(0, bool)], list[Size](), 0, 0
        spoiled = set(self.lost)
        for number, (height, width) in enumerate(self.sizes):
            counted = self.counted(number)
            count = int(np.count_nonzero(counted))
            if not count:
                raise TaskError(f"image {number}", found=ALL, wanted="some that count")
            first, last = np.searchsorted(positions, (start, start + height * width))
            own = positions[first:last] - start
            stay = counted[own]
            if not stay.all():
                spoiled.add(number)
            places.append((np.cumsum(counted) - 1)[own[stay]] + end)
            stays.append(stay)
            sizes.append((1, count))
            start, end = start + height * width, end + count
        return np.concatenate(places), np.concatenate(stays), tuple(sizes), tuple(sorted(spoiled))


class Counted:
    """Maps without their ignored pixels, each (1, n), made when they are read; on the maps' device.

    Args:
        maps: by number, each (H, W) of ``ignored.sizes``.
        ignored: the pixels to leave out.
    """

    def __init__(self, maps: Any, ignored: Ignored) -> None:
        self._maps, self._ignored = maps, ignored

    def __getitem__(self, number: int) -> Any:
        flat, counted = self._maps[number].reshape(-1), self._ignored.counted(number)
        if not hasattr(flat, "detach"):
            return np.asarray(flat)[counted].reshape(1, -1)
        import torch

        return flat[torch.from_numpy(counted).to(flat.device)].reshape(1, -1)


def read(path: Path) -> Bools:
    """The pixels (H, W) that an ignore mask marks, in its own size.

    Raises:
        DataError: it can't be read.
    """
    with image_files.quiet():
        image = image_files.read_image(path)
        if isinstance(image, Problem):
            raise DataError(f"ignore mask {path}", found=image.found, hint=image.hint)
        try:
            mask = masks.to_mask(image)
        except ValueError as error:
            raise DataError(
                f"ignore mask {path}", found=str(error), wanted="an image that is white where ignored"
            ) from error
    return mask


def of_file(path: Path, store: Store, framing: Framing, sizes: Sequence[Size], *, whole: bool) -> Ignored:
    """Read an ignore mask, and bring it to the sizes of the maps as masks are: the nearest pixel, of the part shown.

    Args:
        path: the mask; it has the size of the images.
        store: the decoded images.
        framing: how they got to the size of the input.
        sizes: (H, W) at which the map of each image is compared with its mask.
        whole: whether these are the images' own pixels (``--eval-size native``), as in ``shown``.

    Raises:
        DataError: it can't be read, marks nothing or all that is shown, or an image has another size.
    """
    mask = read(path)
    own = (mask.shape[0], mask.shape[1])
    for sample, size in zip(store.samples, store.sizes, strict=True):
        if size != own:
            raise DataError(
                f"ignore mask {path}", found=f"{own[1]}x{own[0]} pixels",
                wanted=f"{size[1]}x{size[0]} as {sample.path.name}",
            )  # fmt: skip
    common = {size: shown(mask, framing, None if whole else size) for size in set(sizes)}
    if not mask.any() or any(each.all() for each in common.values()):
        found = NOTHING if not mask.any() else f"{ALL} that the method sees"
        raise DataError(f"ignore mask {path}", found=found, wanted="white where ignored, and black elsewhere")
    return Ignored(tuple(sizes), common)


def shown(mask: Bools, framing: Framing, size: Size | None) -> Bools:
    """The shown part of a mask (H, W) at ``size`` by the nearest pixel, or its own whole pixels for None.

    So defects are brought there, too (``masks.decode_mask``): a part may begin in the middle of a pixel.
    """
    part = framing.shown_part((mask.shape[0], mask.shape[1]))
    if size is None:
        left, top, right, bottom = map(round, part)
        return mask[top:bottom, left:right]
    small = Image.fromarray(mask.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST, box=part)
    marked: Bools = np.asarray(small) != 0
    return marked


@dataclass(frozen=True)
class LeftOut:
    """How many regions of some masks have fewer than ``least`` pixels, and how many images have no others."""

    least: int
    small: int
    regions: int
    images: int

    @property
    def level(self) -> Literal["distorts", "note"]:
        """Whether it distorts numbers, since no region is left."""
        return "distorts" if self.small == self.regions else "note"

    @property
    def text(self) -> str:
        """For people."""
        images = f", in {plural(self.images, 'image')} all" if self.images else ""
        regions = f"{self.small} of {plural(self.regions, 'region')}"
        return f"{regions} under {plural(self.least, 'pixel')}{images}: they count in no metric of pixels"


def left_out(samples: Sequence[tuple[Sample, Size]], least: int, *, by_file: bool) -> LeftOut | None:
    """Count the regions that are too small; None without regions. Masks that can't be used are passed over.

    Args:
        samples: with the heights and widths of their images.
        least: pixels of the smallest region that counts, in the mask's own.
        by_file: as in ``masks.small_regions``.
    """
    with image_files.quiet():
        found = [masks.region_sizes(sample, own, by_file=by_file) for sample, own in samples if sample.masks]
    sizes = [each for each in found if not isinstance(each, Problem)]
    small = sum(size < least for each in sizes for size in each)
    lost = sum(max(each, default=0) < least for each in sizes)
    return LeftOut(least, small, sum(map(len, sizes)), lost) if any(sizes) else None


def small_regions(store: Store, least: int, *, by_file: bool) -> dict[int, Bools]:
    """The regions with fewer than ``least`` pixels, (H, W) in the mask's own, by the number of the image.

    ``by_file`` is as in ``masks.small_regions``.

    Raises:
        DataError: a mask can't be used now.
    """
    found = {}
    for number, (sample, own) in enumerate(zip(store.samples, store.sizes, strict=True)):
        if sample.masks:
            small = masks.small_regions(sample, own, least, by_file=by_file)
            if isinstance(small, Problem):
                raise DataError(f"{small.path}", found=small.found, hint=small.hint)
            if small.any():
                found[number] = small
    return found
