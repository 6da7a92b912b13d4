"""The regions of data sets that draw each of them into a file of its own: MVTec LOCO AD and AutoVI.

A file of a mask is one region, also where it has several blobs. The value of its pixels says which kind of defect it
is, and the kind says how many of its pixels must be found. Masks that were merged into one file have lost this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..api.data import EvalSize, RegionRules, Sample
from ..api.scores import Region
from ..util.errors import DataError
from .framing import Framing
from .image_files import BadError, bytes_of, load, size_of
from .masks import upright
from .numbered import resized

if TYPE_CHECKING:
    from .image_store import Store

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MaskRegion:
    """One region of the ground truth.

    Attributes:
        image: place of its image among the samples.
        mask: (H, W) in the mask's own pixels as it lies on its image, True where defective.
        saturation: pixels that must be found, so that the region counts as found wholly; 1 at least.
        group: the group that it is evaluated in, such as "logical"; empty if the data set has no groups.
        defect: the kind of defect.
        path: the file.
    """

    image: int
    mask: Bools
    saturation: int
    group: str
    defect: str
    path: Path


def mask_regions(samples: Sequence[Sample], rules: RegionRules) -> Iterator[MaskRegion]:
    """Read the regions of images one by one, since all of them take gigabytes.

    Args:
        samples: for ``Task.test``, its images, or those of them that are used.
        rules: ``Task.region_rules``.

    Raises:
        DataError: a file can't be read, has several values beside black, or one that the rules don't name.
    """
    known = {each.pixel_value: each for each in rules.saturations}
    for number, sample in enumerate(samples):
        for path in sample.masks:
            values = _grey(path, sample.path)
            found = [int(value) for value in np.unique(values) if value]
            if len(found) != 1 or found[0] not in known:
                raise _refused(path, f"values {', '.join(map(str, found)) or 'none'} beside 0", known)
            kind, mask = known[found[0]], np.asarray(values != 0)
            saturation = kind.pixels(int(np.count_nonzero(mask)))
            yield MaskRegion(number, mask, saturation, rules.groups.get(sample.defect, ""), kind.defect, path)


def saturated_regions(
    store: Store, framing: Framing, eval_size: EvalSize | None, rules: RegionRules, least_area: int = 0
) -> Iterator[Region]:
    """The regions with saturations, brought to the size of the maps as masks are.

    A saturation becomes the same share of the region's pixels there. A region of fewer pixels than ``least_area`` is
    left out, also where it lies in a larger one, for which its pixels go on counting.
    """
    for each in mask_regions(store.samples, rules):
        if np.count_nonzero(each.mask) < least_area:
            continue
        part = framing.shown_part(each.mask.shape)
        if eval_size == "native":
            left, top, right, bottom = map(round, part)
            mask = each.mask[top:bottom, left:right]
        else:
            mask = resized(each.mask.astype(np.int32), part, eval_size or framing.size) != 0
        pixels = int(np.count_nonzero(mask))
        if pixels:  # else it lies outside of the crop
            share = pixels / int(np.count_nonzero(each.mask))
            yield Region(each.image, mask, each.saturation * share, each.group)


def _grey(path: Path, image_path: Path) -> NDArray[np.uint8]:
    """The values of a mask (H, W) as it lies on its image; those of the three colours must be the same."""
    try:
        image = load(path, bytes_of(path, "the mask"))
    except BadError as error:
        found = error.problem.found
        raise DataError(f"mask {path}", found=found, wanted="an image", hint="Replace the file") from error
    own = size_of(image_path)  # None where it can't be read, which decoding it says
    image = upright(image, image.size if own is None else own[::-1], image_path)
    values = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    if values.ndim == 3:
        if np.ptp(values, axis=2).any():
            raise _refused(path, "other values in other colours")
        values = values[:, :, 0]
    return values


def _refused(path: Path, found: str, known: Iterable[int] = ()) -> DataError:
    named = ", ".join(map(str, known))
    wanted = "one value of a kind of defect" + (f": {named}" if named else "")
    return DataError(f"mask {path}", found=found, wanted=wanted, hint="Get the masks and defects_config.json again")
