"""The ground truth of a test set, and maps resized to the size at which they are compared with masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..api.data import EvalSize, Problem, RegionRules, Size
from ..api.scores import Region
from ..util.errors import TaskError
from . import image_files, masks
from .arrays import Integers, Values, check_finite, check_maps, to_numpy
from .framing import Box, Framing
from .ignored import Ignored, of_file, shown, small_regions
from .image_store import Store, problem_error
from .numbered import Numbers
from .numbered import numbered as number_regions
from .regions import saturated_regions
from .saturated import Regions

if TYPE_CHECKING:
    import torch


def open_ground_truth(
    store: Store,
    framing: Framing,
    *,
    eval_size: EvalSize | None = None,
    rules: RegionRules | None = None,
    least_area: int = 0,
    ignored: Path | None = None,
) -> GroundTruth:
    """Prepare the ground truth of the test images in ``store``.

    Of images that are cropped, only the part that the method saw is evaluated. "native" compares in the image's own
    pixels, and rounds a crop's borders to whole pixels. It reads the masks from their files again, one at a time.

    Args:
        store: the decoded test images, with masks of the input's size.
        framing: how images got to that size.
        eval_size: size at which masks and maps are compared; None for the input's.
        rules: the rules of regions with saturations, for AU-sPRO, where the data set has them.
        least_area: regions of fewer pixels, in the mask's own, count in no metric of pixels.
        ignored: an image that marks pixels that count in no metric of pixels.

    Raises:
        DataError: a mask has changed since the images were decoded, and can't be used now; or the ignore mask can't.
    """
    labels = np.array([sample.label for sample in store.samples])
    eval_size = framing.compared(eval_size)
    wanted = None if eval_size == "native" else eval_size or framing.size
    with image_files.quiet():
        small = small_regions(store, least_area, by_file=rules is not None) if least_area else {}
        if (eval_size is None and not small) or not store.has_masks:
            truth = GroundTruth.of(labels, store.masks, store.regions)
        else:
            truth = GroundTruth.of_sizes(labels, _masks(store, framing, wanted, small), numbered=True)
    if rules is not None:
        truth = truth.with_regions(saturated_regions(store, framing, eval_size, rules, least_area))
    sizes = truth.map_sizes
    if sizes is None or not (small or ignored):
        return truth
    native = eval_size == "native"
    common = {} if ignored is None else of_file(ignored, store, framing, sizes, whole=native).common
    own = {
        number: np.flatnonzero(shown(mask, framing, None if native else sizes[number]))
        for number, mask in small.items()
    }
    return truth.without(Ignored(sizes, common, own, lost=tuple(small)))


def sizes_of_maps(store: Store, framing: Framing, eval_size: EvalSize | None) -> tuple[Size, ...] | None:
    """(H, W) at which the map of each image in ``store`` is compared with a mask; None for the input's."""
    eval_size = framing.compared(eval_size)
    if eval_size is None:
        return None
    if eval_size != "native":
        return (eval_size,) * len(store.samples)
    return tuple(own_size(framing.shown_part(own)) for own in store.sizes)


def own_size(part: Box) -> Size:
    """(H, W) in whole pixels of a part of an image."""
    left, top, right, bottom = map(round, part)
    return bottom - top, right - left


def _masks(
    store: Store, framing: Framing, wanted: Size | None, small: Mapping[int, NDArray[np.bool_]]
) -> Iterator[Numbers]:
    """Read the masks again; ``small`` are parts that are no defects, by the number of the image."""
    for number, (sample, own) in enumerate(zip(store.samples, store.sizes, strict=True)):
        mask = masks.decode_mask(sample, own, framing.shown_part(own), wanted, small.get(number))
        if isinstance(mask, Problem):
            raise problem_error([mask])
        yield mask


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Labels and defect regions, prepared once so that repeated evaluations don't look for regions again.

    Attributes:
        labels: (N,) bool, True for a defective image.
        shape: (N, H, W) of the masks; None where they have several sizes, and without masks (the fields below are
            then empty).
        positions: (P,) int64, the pixels in regions as ascending positions in the flattened masks: the defect pixels,
            and those ``kept``.
        regions: (P,) int32, the region that each defect pixel belongs to, counted from 0 over all images.
        region_sizes: (R,) int64, the pixels of each region.
        sizes: (H, W) of each of N masks where they have several sizes; else None.
        kept: (P,) bool, pixels of regions that shrinking would have lost; in the masks they are good.
        saturated: the regions of AU-sPRO, where a data set has them.
        ignored: the pixels that count in no metric of pixels. All of the above is then about the others alone: each
            mask is a row (1, n) of them, so ``sizes`` are no sizes of maps.
        spoiled: numbers of the images with a defect pixel that is ignored; they are no normal images.
    """

    labels: NDArray[np.bool_]
    shape: tuple[int, int, int] | None
    positions: NDArray[np.int64]
    regions: NDArray[np.int32]
    region_sizes: NDArray[np.int64]
    sizes: tuple[Size, ...] | None = None
    kept: NDArray[np.bool_] | None = None
    saturated: Regions | None = None
    ignored: Ignored | None = None
    spoiled: tuple[int, ...] = ()

    @classmethod
    def of(cls, labels: Values, masks: Values | None = None, regions: Sequence[Numbers] | None = None) -> GroundTruth:
        """Prepare the ground truth of a test set.

        Only the masks decide about pixels: a defective image may have an empty mask.

        Args:
            labels: (N,) 0 or False for a good image, 1 or True for a defective one.
            masks: (N, H, W), not zero where defective; None for images without masks.
            regions: of each image the pixels in regions and their numbers (``numbered.pairs``); None to look for
                regions in ``masks``.

        Raises:
            TaskError: NaN or infinity, labels other than 0 and 1, no images, or wrong shapes.
        """
        flags = _labels(labels)
        if masks is None:
            return cls._with_regions(flags, None, _regions(np.zeros((0, 1, 1), dtype=bool)))
        pixels = to_numpy("masks", masks)
        check_maps("masks", pixels, len(flags), None)
        check_finite("masks", pixels)
        count, height, width = pixels.shape
        return cls._with_regions(flags, (count, height, width), _regions(pixels, regions))

    @classmethod
    def _with_regions(
        cls, labels: NDArray[np.bool_], shape: tuple[int, int, int] | None, found: _Found,
        sizes: tuple[Size, ...] | None = None,
    ) -> GroundTruth:  # fmt: skip
        positions, regions, region_sizes, kept = found
        return cls(labels, shape, positions, regions, region_sizes, sizes, kept if kept.any() else None)

    @classmethod
    def of_sizes(cls, labels: Values, masks: Iterable[NDArray[Any]], *, numbered: bool = False) -> GroundTruth:
        """Prepare the ground truth of images of several sizes.

        Args:
            labels: (N,) as in ``of``.
            masks: N arrays (H_i, W_i), not zero where defective; read one by one, and not kept.
            numbered: whether the values of the masks are the numbers of their regions.

        Raises:
            TaskError: labels other than 0 and 1, no images, or not one mask for each label.
        """
        flags = _labels(labels)
        sizes: list[Size] = []

        def noted() -> Iterator[NDArray[Any]]:
            for mask in masks:
                if mask.ndim != 2 or 0 in mask.shape:
                    raise TaskError(f"mask {len(sizes)}", found=f"shape {mask.shape}", wanted="(H, W)")
                sizes.append((mask.shape[0], mask.shape[1]))
                yield mask

        regions = _regions(noted(), numbered=numbered)
        if len(sizes) != len(flags):
            raise TaskError("masks", found=str(len(sizes)), wanted=f"{len(flags)}, one for each label")
        return cls._with_regions(flags, None, regions, tuple(sizes))

    @property
    def defects(self) -> Integers:
        """The positions of the defect pixels of the masks."""
        return self.positions if self.kept is None else self.positions[~self.kept]

    def with_regions(self, regions: Iterable[Region]) -> GroundTruth:
        """The same with regions for AU-sPRO, which are read one by one.

        Raises:
            TaskError: a region that is not valid, or not of the size of its image's mask.
        """
        found = Regions.of(regions, len(self.labels))
        for number, (image, size) in enumerate(zip(found.images, found.sizes, strict=True)):
            wanted = self.shape[1:] if self.shape else self.sizes[image] if self.sizes else size
            if size != wanted:
                raise TaskError(f"the mask of region {number}", found=f"shape {size}", wanted=f"{wanted} as its image")
        return replace(self, saturated=found)

    def without(self, ignored: Ignored) -> GroundTruth:
        """The same without the ignored pixels, as if the images had none. A region whose pixels all go goes, too.

        Raises:
            TaskError: there are no masks, they have other sizes, or all pixels of an image are ignored.
        """
        if self.map_sizes != ignored.sizes:
            found = "no masks" if self.map_sizes is None else "masks of other sizes"
            raise TaskError("ignored pixels", found=found, wanted="the size of the masks")
        positions, stay, sizes, spoiled = ignored.compact(self.positions)
        _, regions, region_sizes = np.unique(self.regions[stay], return_inverse=True, return_counts=True)
        return replace(
            self, shape=None, positions=positions, regions=regions.astype(np.int32), region_sizes=region_sizes,
            sizes=sizes, kept=None if self.kept is None else self.kept[stay],
            saturated=None if self.saturated is None else self.saturated.counted(ignored.counted),
            ignored=ignored, spoiled=spoiled,
        )  # fmt: skip

    @property
    def map_sizes(self) -> tuple[Size, ...] | None:
        """(H, W) of each image's mask; None without masks."""
        if self.ignored is not None:
            return self.ignored.sizes
        return self.sizes if self.shape is None else (self.shape[1:],) * self.shape[0]

    @property
    def counted_sizes(self) -> tuple[Size, ...] | None:
        """The same of the pixels that count: rows (1, n) where others are ignored."""
        return self.map_sizes if self.ignored is None else self.sizes

    @property
    def pixel_weights(self) -> NDArray[np.float64]:
        """(P,) what each defect pixel adds to the per-region overlap; they sum to 1."""
        return (1.0 / (len(self.region_sizes) * self.region_sizes))[self.regions]


def _labels(labels: Values) -> NDArray[np.bool_]:
    flags = to_numpy("labels", labels)
    if flags.ndim != 1 or len(flags) == 0:
        raise TaskError("labels", found=f"shape {flags.shape}", wanted="(N,), one label for each image")
    odd = flags[(flags != 0) & (flags != 1)]
    if len(odd):
        raise TaskError("labels", found=str(odd[0]), wanted="0 for a good image and 1 for a defective one")
    return flags.astype(bool)


_Found = tuple[Integers, NDArray[np.int32], Integers, NDArray[np.bool_]]


def _regions(
    masks: Iterable[NDArray[Any]], known: Sequence[Numbers] | None = None, *, numbered: bool = False
) -> _Found:
    """Find the positions of pixels in regions (P,), the region of each, the sizes of regions (R,), and what is kept.

    The regions are ``known``, or the values of the masks where they are ``numbered``; else they are looked for.
    """
    positions, regions, kept, found = [np.empty(0, np.int64)], [np.empty(0, np.int32)], [np.empty(0, bool)], 0
    end = 0
    for number, mask in enumerate(masks):
        start, end = end, end + mask.size
        if known is not None:
            flat, numbers = known[number].T
        else:
            found_here = mask if numbered else number_regions(mask != 0)
            flat = np.flatnonzero(found_here)
            numbers = found_here.reshape(-1)[flat]
        if len(flat) == 0:
            continue
        own = np.abs(numbers)
        if known is not None or numbered:  # there may be gaps
            own = np.unique(own, return_inverse=True)[1].reshape(-1) + 1
        positions.append(flat.astype(np.int64) + start)
        regions.append((own + (found - 1)).astype(np.int32))
        kept.append(numbers < 0)
        found += int(own.max())
    region_of_pixel = np.concatenate(regions)
    sizes = np.bincount(region_of_pixel, minlength=found)
    return np.concatenate(positions), region_of_pixel, sizes, np.concatenate(kept)


RESAMPLING = "bilinear"
"""How maps are resized: between the centres of four pixels, and without smoothing where a map shrinks."""


class MapsByNumber(Protocol):
    """Maps (H, W) by number, such as a tensor (N, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> torch.Tensor: ...


@dataclass(frozen=True, eq=False)
class Resized:
    """Maps (N, h, w) that are resized when they are read: map i to (H_i, W_i) of ``sizes``, on the maps' device."""

    maps: MapsByNumber
    sizes: tuple[Size, ...]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, number: int) -> torch.Tensor | NDArray[Any]:
        import torch.nn.functional as F

        values = self.maps[number][None, None].float()
        if tuple(values.shape[2:]) == self.sizes[number]:
            return values[0, 0] if values.is_cuda else values[0, 0].numpy()
        resized = F.interpolate(values, self.sizes[number], mode=RESAMPLING, align_corners=False)[0, 0]
        return resized if resized.is_cuda else resized.numpy()
