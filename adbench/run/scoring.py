"""Drives ``Detector.score``: scores every image of a set, checks what comes back, and measures the speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.data import Size
from ..api.detector import Detector
from ..api.scores import Scores
from ..data.arrays import tensor_to_numpy
from ..data.ground_truth import Resized
from ..data.ignored import Ignored
from ..data.images import Batch, Images
from ..stats.pixel_threshold import PixelMoments
from ..util.devices import synchronize
from ..util.errors import TaskError, WeightsError, type_text
from ..util.memory import MicroBatches, free, is_out_of_memory
from .evaluate import TestScores, highest_of
from .joined_tiles import image_by_image, seconds_to_blend
from .map_file import MapFile
from .session import kept_random_state

_KEPT_AS = {"image": torch.float64, "map": torch.float32, "region_map": torch.float32}
"""The fields of ``Scores``: one number for an image costs nothing, maps are large."""

MEASURED_BATCHES = 4
"""Batches whose times give the speed, after one that warms up."""


def score_all(
    detector: Detector,
    images: Images,
    *,
    name: str,
    watch: Callable[[str, int, int], None] | None = None,
    micro_batches: MicroBatches | None = None,
    sizes: Sequence[Size] | None = None,
) -> TestScores:
    """Score every image in the order of the store, without changing the random state of training.

    Args:
        detector: the detector.
        images: the test images.
        name: the method's name, for messages.
        watch: called with ("score", done, total).
        micro_batches: remembers between calls how many images fit into memory at once.
        sizes: (H, W) of each image at which maps that are joined from tiles are kept; None for the whole image's.

    Raises:
        TaskError: scores of a wrong shape, or not finite; or too little memory for a single image.
        DataError: too little disk space for maps that are joined from tiles.
    """
    filled: dict[str, torch.Tensor] = {}
    files: dict[str, MapFile] = {}
    grids = images.store.grids
    for done, scores in _Pass(detector, images, name, watch, micro_batches or MicroBatches("scoring")):
        for part in _KEPT_AS:
            values = getattr(scores, part)
            if done and (values is None) == (part in filled or part in files):
                raise TaskError(f"{name}: Scores.{part}", found="None for some images", wanted="all or none")
            if values is None:
                continue
            if grids is not None and part != "image":
                if done == 0:
                    files[part] = MapFile(sizes or [grid.size for grid in grids])
                files[part].put(done, values[0])
                continue
            if part not in filled:
                shape = (len(images if grids is None else grids), *values.shape[1:])
                where = values.device if values.is_cuda and part != "image" else torch.device("cpu")
                filled[part] = _allocate(shape, _KEPT_AS[part], where)
            filled[part][done : done + len(values)] = values
    found: dict[str, torch.Tensor | MapFile] = {**filled, **files}
    return TestScores(filled["image"], found.get("map"), found.get("region_map"))


def _allocate(shape: Sequence[int], dtype: torch.dtype, where: torch.device) -> torch.Tensor:
    """Allocate a tensor; on the CPU if the maps of a whole test set don't fit on the GPU."""
    try:
        return torch.empty(shape, dtype=dtype, device=where)
    except RuntimeError as error:
        if not is_out_of_memory(error) or where.type == "cpu":
            raise
    free()
    return torch.empty(shape, dtype=dtype)


@dataclass(frozen=True, eq=False)
class GoodImageScores:
    """Scores of good images: image (N,), and the highest value of each image's map (N,), or None without maps.

    ``pixel_threshold`` is the mean plus three standard deviations of the pixels of their maps, at the size at which
    they are compared with masks; None where it was not asked for, and without maps.
    """

    image: NDArray[np.float64]
    highest: NDArray[np.float64] | None
    pixel_threshold: float | None = None


def score_good(
    detector: Detector,
    images: Images,
    *,
    name: str,
    watch: Callable[[str, int, int], None] | None = None,
    micro_batches: MicroBatches | None = None,
    with_pixels: bool = False,
    sizes: Sequence[Size] | None = None,
    ignored: Ignored | None = None,
) -> GoodImageScores:
    """Score good images for a threshold: like ``score_all``, but of each map only the highest value is kept.

    Args:
        detector: the detector.
        images: the good images.
        name: the method's name, for messages.
        watch: called with ("score", done, total).
        micro_batches: remembers between calls how many images fit into memory at once.
        with_pixels: find a threshold of pixels, too.
        sizes: (H, W) at which each map is compared; None for the input's.
        ignored: pixels that don't count for the threshold of pixels.

    Raises:
        TaskError: as ``score_all``.
    """
    image, highest, moments = [np.empty(0)], [np.empty(0)], PixelMoments()
    for done, scores in _Pass(detector, images, name, watch, micro_batches or MicroBatches("scoring")):
        image.append(scores.image.cpu().double().numpy())
        if scores.map is not None:
            highest.append(highest_of(scores.map.float()))
            if with_pixels:
                part = None if sizes is None else sizes[done : done + len(scores.map)]
                _add_pixels(moments, scores.map, part, ignored, done)
    found, values = np.concatenate(image), np.concatenate(highest)
    return GoodImageScores(found, values if 0 < len(values) == len(found) else None, moments.threshold)


def _add_pixels(
    moments: PixelMoments, maps: torch.Tensor, sizes: Sequence[Size] | None, ignored: Ignored | None, done: int
) -> None:
    """Add the pixels of a batch that count, at the sizes at which its maps are compared; ``done`` images precede it."""
    compared = maps.float() if sizes is None else Resized(maps, tuple(sizes))
    for number in range(len(maps)):
        values = tensor_to_numpy(torch.as_tensor(compared[number]))
        moments.add(values if ignored is None else values.reshape(-1)[ignored.counted(done + number)])


@dataclass(frozen=True, eq=False)
class _Pass:
    """One pass of a detector over images: scores, checked, batch by batch.

    Attributes:
        detector: the detector.
        images: those to score.
        name: the method's name, for messages.
        watch: called with ("score", done, total) images, or tiles.
        micro_batches: how many of them fit into memory at once.
    """

    detector: Detector
    images: Images
    name: str
    watch: Callable[[str, int, int], None] | None
    micro_batches: MicroBatches

    def __iter__(self) -> Iterator[tuple[int, Scores]]:
        """Scores with the number of images before them: of each batch, or of each image that is joined from tiles."""
        grids = self.images.store.grids
        if grids is None:
            yield from self._batches()
        else:
            yield from enumerate(image_by_image((scores for _, scores in self._batches()), grids))

    def _batches(self) -> Iterator[tuple[int, Scores]]:
        """The scores of each batch, with the number of images, or tiles, before them."""
        images, done, total = self.images, 0, len(self.images)
        with kept_random_state(self.detector.device), torch.no_grad():
            while done < total:
                batch = images.part(done, min(done + self.micro_batches.rows(images.batch_size), total))
                scores = self._score(batch)
                if scores is None:
                    free()
                    continue
                self._check(scores, len(batch))
                yield done, scores
                done += len(batch)
                if self.watch:
                    self.watch("score", done, total)

    def _score(self, batch: Batch) -> Scores | None:
        """Score a batch; None if memory ran out, and the next batch has fewer images."""
        try:
            return self.detector.score(batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.micro_batches.more(self.images.batch_size, self.micro_batches.count, error)
            return None

    def _check(self, scores: Scores, count: int) -> None:
        """Refuse scores that would spoil the metrics, in the method's name."""
        if not isinstance(scores, Scores):
            raise TaskError(f"{self.name}: score returned {type_text(scores)}", wanted="Scores")
        for part, dtype in _KEPT_AS.items():
            thing = f"{self.name}: Scores.{part}"
            shape = (count,) if part == "image" else (count, *self.images.size)
            values = getattr(scores, part)
            if values is None:
                if part == "image":
                    raise TaskError(thing, found="None", wanted=f"a tensor of shape {shape}")
                continue
            if not isinstance(values, torch.Tensor):
                raise TaskError(thing, found=type_text(values), wanted="a tensor")
            if tuple(values.shape) != shape:
                raise TaskError(thing, found=f"shape {tuple(values.shape)}", wanted=f"shape {shape}")
            if not bool(torch.isfinite(values if part == "image" else values.to(dtype)).all()):
                hint = "Try a lower learning rate, or --amp off"
                raise TaskError(thing, found="NaN or infinity", wanted="finite scores", hint=hint)


def images_per_second(detector: Detector, images: Images, count: int) -> float | None:
    """Measure the speed from decoded image to anomaly map, including the backbone and tiles, without caches.

    It is the median over a few full batches of ``images`` after a warm-up. It is None if the test set or the memory is
    too small, or if the backbone's weights are gone: that is no reason to lose the training.
    """
    try:
        return _images_per_second(detector, images.without_cache(), min(count, len(images)))
    except WeightsError:
        return None
    except Exception as error:
        if is_out_of_memory(error):
            return None
        raise


def _images_per_second(detector: Detector, images: Images, count: int) -> float | None:
    seconds: list[float] = []
    with kept_random_state(detector.device), torch.no_grad():
        detector.score(images.part(0, 1))  # loads released weights
        for number, batch in enumerate(images.batches(count)):
            if number > MEASURED_BATCHES or len(batch) < count:
                break
            started = time.perf_counter()
            detector.score(batch)
            synchronize(detector.device)
            seconds.append((time.perf_counter() - started) / len(batch))
    kept, grids = seconds[1:] or seconds, images.store.grids
    if kept and grids:
        tiles = len(images) / len(grids)
        return float(1 / (tiles * np.median(kept) + seconds_to_blend(grids[0], detector.device)))
    return float(1 / np.median(kept)) if kept else None
