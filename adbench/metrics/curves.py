"""Counts what every threshold finds, exactly, and computes the areas under the resulting curves.

An item is a pixel or an image. Every metric changes only where a threshold passes the score of a *defect*. So only the
defects' scores are sorted. For each distinct one, the good items above it and level with it are counted, chunk by
chunk. Counts add up, so chunks are never merged and memory stays bounded. Counts are integers, areas are float64; no
score is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..api.data import Size
from ..util import threads

if TYPE_CHECKING:
    import torch
from ..data.arrays import Integers, Scores

_CHUNKS = 6
"""Parts in which the pixels are sorted. Fewer take more memory at once; more look up every key more often."""

_WORKERS = 3
"""Chunks sorted at once, at most: they take half the maps' own memory."""

_SMALLEST_CHUNK = 1 << 18

_GROUP = 1 << 24
"""Pixels of images of several sizes that are in memory at once, unless a single image has more."""

_KEY_BLOCK = 1 << 16
_SAMPLE = 1 << 16


@dataclass(frozen=True, eq=False)
class Curve:
    """Items that a threshold finds at each of the K distinct scores of defects, highest first.

    Attributes:
        hits: (K,) defects scored this high or higher.
        above: (K,) good items scored higher.
        alarms: (K,) good items scored this high or higher.
        overlap: (K,) mean share of the regions scored this high or higher; empty for images.
        good: number of good items.
        kept: (K,) items scored this high or higher that are good, but belong to a region; None if there are none.
        kept_count: number of such items.
    """

    hits: Integers
    above: Integers
    alarms: Integers
    overlap: NDArray[np.float64]
    good: int
    kept: Integers | None = None
    kept_count: int = 0

    def auroc(self) -> float:
        """Area under the receiver operating characteristic, ties joined by straight lines."""
        beaten = self.good - 0.5 * (self.above + self.alarms)  # a tie counts half
        return float(np.diff(self.hits, prepend=0) @ beaten / self.hits[-1] / self.good)

    def average_precision(self) -> float:
        """Precision at each threshold, weighted by the recall that it gains."""
        precision = self.hits / (self.hits + self.alarms)
        return float(np.diff(self.hits, prepend=0) @ precision / self.hits[-1])

    def f1_max(self) -> float:
        """The highest harmonic mean of precision and recall."""
        return float((2 * self.hits / (self.hits + self.alarms + self.hits[-1])).max())

    def overlap_area(self, limit: float) -> float:
        """Area under the overlap up to a false-positive rate of ``limit``, divided by ``limit``."""
        above, alarms, good = self._outside()
        end = limit * good
        used = int(np.searchsorted(above, end))  # the next score lies past the end
        # From one score to the next only good pixels are added, so the curve runs flat; then come
        # the pixels tied at that score, good and defective together, along a straight line.
        x = np.full(2 * used + 2, end)
        x[0], x[1:-1:2], x[2:-1:2] = 0, above[:used], alarms[:used]
        y = np.zeros(2 * used + 2)
        y[2::2] = y[3::2] = self.overlap[:used]
        if x[-2] > end:  # cut the last line where it passes the end
            y[-2:] = y[-3] + (y[-2] - y[-3]) * (end - x[-3]) / (x[-2] - x[-3])
            x[-2] = end
        widths = np.diff(x)
        return float((widths @ y[1:] + widths @ y[:-1]) / (2 * end))

    def _outside(self) -> tuple[Integers, Integers, int]:
        """``above``, ``alarms`` and ``good`` without the items that belong to a region."""
        if self.kept is None:
            return self.above, self.alarms, self.good
        before = np.append(0, self.kept[:-1])
        return self.above - before, self.alarms - self.kept, self.good - self.kept_count


Look = Callable[[NDArray[Any]], None]
"""Called with the scores of the defects (P,), in their order, while they are at hand."""


def curve_of(
    scores: Scores,
    positions: Integers,
    weights: NDArray[np.float64] | None = None,
    *,
    limit: float = 1.0,
    look: Look | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> Curve | None:
    """Count what the thresholds find; None unless there are both defects and good items.

    Args:
        scores: any shape, finite; higher = more anomalous.
        positions: (P,) of the defects in the flattened scores; all others are good.
        weights: (P,) what each defect adds to the overlap; None without overlap.
        limit: below 1, the curve serves only for ``overlap_area`` up to this false-positive rate, and low scores are
            not sorted.
        look: called with the defects' scores.
        kept: (P,) of the defects, those that count for their regions alone, and as good for all else.
    """
    good = math.prod(scores.shape) - len(positions)
    if not good or not len(positions):
        return None
    floor = _floor(scores, round(limit * good) + 1 + len(positions)) if limit < 1 else None
    defects = [take(scores, positions)]
    return _curve(defects, weights, good, floor, lambda keys: _count(scores, keys, floor), look, kept)


class Images(Protocol):
    """Scores of images of several sizes, each (H, W). They may be made when they are read."""

    def __getitem__(self, number: int, /) -> Scores: ...


def curve_of_images(
    images: Images,
    sizes: Sequence[Size],
    positions: Integers,
    weights: NDArray[np.float64] | None = None,
    *,
    look: Look | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> Curve | None:
    """Like ``curve_of``, for images of several sizes. Only a few of them are in memory at a time.

    Args:
        images: scores by number; each is read twice.
        sizes: (H, W) of each.
        positions: (P,) of the defects in the flattened images, one after the other; ascending.
        weights: (P,) what each defect adds to the overlap; None without overlap.
        look: called with the defects' scores.
        kept: as in ``curve_of``.
    """
    ends = np.cumsum([height * width for height, width in sizes])
    good = int(ends[-1]) - len(positions)
    if not good or not len(positions):
        return None
    parts = np.split(positions, np.searchsorted(positions, ends[:-1]))
    starts = [0, *ends[:-1].tolist()]
    taken = [
        take(images[number], part - start)
        for number, (part, start) in enumerate(zip(parts, starts, strict=True))
        if len(part)
    ]

    everything = range(len(sizes))
    return _curve(taken, weights, good, None, lambda keys: count_images(images, everything, sizes, keys), look, kept)


def count_images(
    images: Images, numbers: Sequence[int], sizes: Sequence[Size], keys: NDArray[Any]
) -> tuple[Integers, Integers]:
    """Count the scores of some images above each of the ascending keys, and those at or above it: (K,), (K,).

    Args:
        images: scores by number.
        numbers: of the images to count.
        sizes: (H, W) of each image, by number.
        keys: (K,) of a type that holds all scores.
    """
    higher, level_or_higher = np.zeros((2, len(keys)), np.int64)
    for group in _groups(numbers, sizes):
        counts = _count(_joined([images[number] for number in group]), keys, None)
        higher += counts[0]
        level_or_higher += counts[1]
    return higher, level_or_higher


def _groups(numbers: Sequence[int], sizes: Sequence[Size]) -> Iterator[list[int]]:
    """Group images that are counted at once, by number."""
    group: list[int] = []
    pixels = 0
    for number in numbers:
        height, width = sizes[number]
        if group and pixels + height * width > _GROUP:
            yield group
            group, pixels = [], 0
        group.append(number)
        pixels += height * width
    yield group


def _joined(images: Sequence[Scores]) -> Scores:
    flat = [image.reshape(-1) for image in images]
    if isinstance(flat[0], np.ndarray):
        return np.concatenate(flat)
    import torch

    return torch.cat(cast("list[torch.Tensor]", flat))


def _curve(
    taken: list[NDArray[Any]],
    weights: NDArray[np.float64] | None,
    good: int,
    floor: Any,
    count: Callable[[NDArray[Any]], tuple[Integers, Integers]],
    look: Look | None,
    kept: NDArray[np.bool_] | None,
) -> Curve:
    """Build the curve. ``taken`` holds the defects' scores and is emptied; ``count`` counts all scores at keys."""
    defects = taken[0] if len(taken) == 1 else np.concatenate(taken)  # (P,)
    taken.clear()
    if look is not None:
        look(defects)
    order = np.argsort(defects)[::-1]
    defects = defects[order]
    last = np.flatnonzero(np.append(defects[1:] != defects[:-1], True))  # (K,) ends of equal scores
    if floor is not None:
        last = last[defects[last] >= floor]
    keys = np.ascontiguousarray(defects[last][::-1])  # (K,) ascending
    del defects  # here and below: the sorted chunks need the memory
    overlap = np.empty(0) if weights is None else _shares(weights, order, last)
    spared = None if kept is None else np.cumsum(kept[order], dtype=np.int64)[last]
    del order, weights
    hits = last + 1
    del last
    above, alarms = (counts[::-1] for counts in count(keys))
    count_kept = 0 if kept is None else int(np.count_nonzero(kept))
    if spared is not None:
        hits, good = hits - spared, good + count_kept
    above[1:] -= hits[:-1]
    alarms -= hits
    return Curve(hits, above, alarms, overlap, good, spared, count_kept)


def _shares(weights: NDArray[np.float64], order: Integers, last: Integers) -> NDArray[np.float64]:
    """Sums of the ordered weights up to each ``last``, as shares of the whole: exactly 1 at the end."""
    covered = weights[order]
    np.cumsum(covered, out=covered)
    shares = covered[last]
    shares /= covered[-1]
    return shares


def _floor(scores: Scores, needed: int) -> Any:
    """A score that at least ``needed`` pixels reach, but not many more; None where a sample finds none."""
    if not isinstance(scores, np.ndarray):
        return None  # a GPU sorts everything faster than it would find this
    flat = scores.reshape(-1)
    sample = np.sort(flat[:: max(1, flat.size // _SAMPLE)])
    share = needed / flat.size + 0.02  # far more than the error of a sample of this size
    if share >= 1:
        return None
    floor = sample[int((1 - share) * len(sample))]
    reached = sum(np.count_nonzero(image >= floor) for image in scores)
    return floor if reached >= needed else None


def take(scores: Scores, positions: Integers) -> NDArray[Any]:
    """Read the scores at flat positions; half precision is widened, which changes no value."""
    flat = scores.reshape(-1)
    if isinstance(flat, np.ndarray):
        taken = flat[positions]
        return taken.astype(np.float32) if taken.dtype == np.float16 else taken
    import torch

    some = flat[torch.from_numpy(positions).to(flat.device)]
    return (some.float() if some.dtype in (torch.float16, torch.bfloat16) else some).cpu().numpy()


def _count(scores: Scores, keys: NDArray[Any], floor: Any) -> tuple[Integers, Integers]:
    """Count the scores above each of the ascending keys, and those at or above it: (K,), (K,).

    Scores below ``floor`` are left out; no key lies there.
    """
    if not isinstance(scores, np.ndarray):
        return _count_in_tensor(scores, keys)
    higher, level_or_higher = np.zeros((2, len(keys)), np.int64)
    lock = Lock()

    def add(chunk: NDArray[Any]) -> None:
        ordered = np.array(chunk if floor is None else chunk[chunk >= floor], dtype=keys.dtype)
        if len(ordered) == 0:
            return
        ordered.sort()  # NumPy releases the GIL meanwhile
        for start in range(0, len(keys), _KEY_BLOCK):
            block = slice(start, start + _KEY_BLOCK)
            below, up_to = _ranks(ordered, keys[block])
            with lock:
                higher[block] += len(ordered) - up_to
                level_or_higher[block] += len(ordered) - below

    chunks = np.array_split(scores.reshape(-1), _chunk_count(scores.size))
    if len(chunks) == 1:
        add(chunks[0])
    else:
        with ThreadPoolExecutor(workers()) as pool:
            list(pool.map(add, chunks))
    return higher, level_or_higher


def _ranks(ordered: NDArray[Any], keys: NDArray[Any]) -> tuple[Integers, Integers]:
    """Count the ascending scores below each key, and those at or below it."""
    below = np.searchsorted(ordered, keys)
    up_to = below.copy()
    tied = np.take(ordered, below, mode="clip") == keys  # mostly few: saves most of a second search
    up_to[tied] = np.searchsorted(ordered, keys[tied], side="right")
    return below, up_to


def _count_in_tensor(scores: torch.Tensor, keys: NDArray[Any]) -> tuple[Integers, Integers]:
    import torch

    table = torch.from_numpy(keys).to(scores.device)
    higher, level_or_higher = torch.zeros((2, len(keys)), dtype=torch.int64, device=scores.device)
    for chunk in scores.reshape(-1).tensor_split(_chunk_count(scores.numel())):
        ordered = chunk.to(table.dtype).sort().values
        higher += len(ordered) - torch.searchsorted(ordered, table, right=True)
        level_or_higher += len(ordered) - torch.searchsorted(ordered, table)
    return higher.cpu().numpy(), level_or_higher.cpu().numpy()


def _chunk_count(size: int) -> int:
    return min(_CHUNKS, -(-size // _SMALLEST_CHUNK))


def workers() -> int:
    """Number of threads that sort at once."""
    return threads.workers(_WORKERS)
