"""Scores every test image with a fitted detector, and computes metrics from the scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.data import Size
from ..api.detector import Detector
from ..api.scores import Metrics, Scores
from ..data.ground_truth import GroundTruth, Resized, tensor_to_numpy
from ..data.ignored import Ignored
from ..data.images import Batch, Images
from ..metrics.histograms import ScoreHistograms
from ..metrics.metrics import evaluate_ground_truth
from ..stats.pixel_threshold import PixelMoments
from ..util.devices import synchronize
from ..util.errors import TaskError, WeightsError, type_text
from ..util.memory import MicroBatches, free, is_out_of_memory
from .joined_tiles import image_by_image, seconds_to_blend
from .map_file import MapFile
from .session import kept_random_state

_KEPT_AS = {"image": torch.float64, "map": torch.float32, "region_map": torch.float32}
"""The fields of ``Scores``: one number for an image costs nothing, maps are large."""

MEASURED_BATCHES = 4

T = TypeVar("T")
Maps = np.ndarray | torch.Tensor | Resized | None
AnyMaps = torch.Tensor | MapFile | None


@dataclass(frozen=True, eq=False)
class TestScores:
    """Scores of a whole test set: image (N,) float64 on the CPU, maps (N, H, W) or None.

    Maps are on the detector's CUDA device; they are on the CPU if they don't fit there or if there is none. Those of
    images that are cut into tiles are in a file, each of its own size.
    """

    image: torch.Tensor
    maps: AnyMaps
    region_maps: AnyMaps
    had_region_maps: bool = False

    @property
    def aupro_map(self) -> str:
        """The map from which AUPRO is taken."""
        return "region map" if self.had_region_maps or self.region_maps is not None else "anomaly map"

    def highest_pixels(self) -> NDArray[np.float64] | None:
        """(N,), the highest value of each image's map; None without maps."""
        if isinstance(self.maps, MapFile):
            return self.maps.highest
        return None if self.maps is None else _highest(self.maps)

    def every_map(self) -> NDArray[np.float32] | MapFile | None:
        """The maps by number, on the CPU."""
        return self.maps if self.maps is None or isinstance(self.maps, MapFile) else self.maps.float().cpu().numpy()

    def reversed(self) -> TestScores:
        """The same scores in the opposite order of images."""
        maps, regions = (
            None if each is None or isinstance(each, MapFile) else each.flip(0)
            for each in (self.maps, self.region_maps)
        )
        return TestScores(self.image.flip(0), maps, regions, self.had_region_maps)

    def without_maps(self) -> TestScores:
        """The image scores only, with the name of the map for AUPRO."""
        return TestScores(self.image, None, None, self.region_maps is not None)

    def evaluate(self, ground_truth: GroundTruth, pixel_threshold: float | None = None) -> Metrics:
        """Compare with the ground truth; AUPRO uses ``region_maps`` if the method has them."""
        image = self.image.numpy()
        return self._on_maps_that_fit(
            ground_truth,
            lambda maps, region_maps: evaluate_ground_truth(
                ground_truth, image_scores=image, maps=maps, region_maps=region_maps, pixel_threshold=pixel_threshold
            ),
        )

    def histograms(
        self, ground_truth: GroundTruth, paths: Sequence[str], pixel_threshold: float | None = None
    ) -> ScoreHistograms:
        """Build score histograms of what ``evaluate`` compares; ``paths`` name the images."""
        image = self.image.numpy()
        return self._on_maps_that_fit(
            ground_truth,
            lambda maps, regions: ScoreHistograms.of(ground_truth, paths, image, maps, regions, pixel_threshold),
        )

    def _on_maps_that_fit(self, ground_truth: GroundTruth, work: Callable[[Maps, Maps], T]) -> T:
        """Do ``work`` on both maps at the sizes of the ground truth; on the CPU if a GPU has too little memory."""
        try:
            return work(_at_size_of(ground_truth, self.maps), _at_size_of(ground_truth, self.region_maps))
        except Exception as error:
            if not is_out_of_memory(error) or self.maps is None or self.maps.device.type == "cpu":
                raise
        free()  # outside the handler, since the error keeps everything that was computed
        parts = (self.maps, self.region_maps)
        both = [maps if maps is None or isinstance(maps, MapFile) else maps.cpu() for maps in parts]
        return work(*(_at_size_of(ground_truth, maps) for maps in both))

    @property
    def tied(self) -> int:
        """Number of images that share their score with another one."""
        _, counts = np.unique(self.image.numpy(), return_counts=True)
        return int(counts[counts > 1].sum())


def _at_size_of(ground_truth: GroundTruth, maps: AnyMaps) -> Maps:
    if ground_truth.sizes is not None and maps is not None:
        sizes = ground_truth.map_sizes
        assert sizes is not None
        return Resized(maps, sizes)
    return None if maps is None or isinstance(maps, MapFile) else _native(maps)  # a file's have masks to compare with


def _native(values: torch.Tensor) -> np.ndarray | torch.Tensor:
    return values if values.is_cuda else values.numpy()


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
    for done, scores in _batch_by_batch(detector, images, name, watch, micro_batches or MicroBatches("scoring")):
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


def _highest(maps: torch.Tensor) -> NDArray[np.float64]:
    return maps.flatten(1).amax(1).double().cpu().numpy()


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
    """
    image, highest, moments = [np.empty(0)], [np.empty(0)], PixelMoments()
    for done, scores in _batch_by_batch(detector, images, name, watch, micro_batches or MicroBatches("scoring")):
        image.append(scores.image.cpu().double().numpy())
        if scores.map is not None:
            highest.append(_highest(scores.map.float()))
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


def _batch_by_batch(
    detector: Detector,
    images: Images,
    name: str,
    watch: Callable[[str, int, int], None] | None,
    micro_batches: MicroBatches,
) -> Iterator[tuple[int, Scores]]:
    """Score and check batch by batch, with tiles image by image; yield scores with the number of images before them."""
    batches = _rows(detector, images, name, watch, micro_batches)
    if images.store.grids is None:
        yield from batches
    else:
        yield from enumerate(image_by_image((scores for _, scores in batches), images.store.grids))


def _rows(
    detector: Detector,
    images: Images,
    name: str,
    watch: Callable[[str, int, int], None] | None,
    micro_batches: MicroBatches,
) -> Iterator[tuple[int, Scores]]:
    """Score and check batch by batch; yield the scores with the number of images, or tiles, before them."""
    done, total = 0, len(images)
    with kept_random_state(detector.device), torch.no_grad():
        while done < total:
            batch = images.part(done, min(done + micro_batches.rows(images.batch_size), total))
            scores = _score(detector, batch, micro_batches, images.batch_size)
            if scores is None:
                free()
                continue
            _check(scores, len(batch), images.size, name)
            yield done, scores
            done += len(batch)
            if watch:
                watch("score", done, total)


def _score(detector: Detector, batch: Batch, micro_batches: MicroBatches, batch_size: int) -> Scores | None:
    """Score a batch; None if memory ran out, and the next batch has fewer images."""
    try:
        return detector.score(batch)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        micro_batches.more(batch_size, micro_batches.count, error)
        return None


def _check(scores: Scores, count: int, size: tuple[int, int], name: str) -> None:
    """Refuse scores that would spoil the metrics, in the method's name."""
    if not isinstance(scores, Scores):
        raise TaskError(f"{name}: score returned {type_text(scores)}", wanted="Scores")
    for part in _KEPT_AS:
        shape = (count,) if part == "image" else (count, *size)
        values = getattr(scores, part)
        if values is None:
            if part == "image":
                raise TaskError(f"{name}: Scores.image", found="None", wanted=f"a tensor of shape {shape}")
            continue
        if not isinstance(values, torch.Tensor):
            raise TaskError(f"{name}: Scores.{part}", found=type_text(values), wanted="a tensor")
        if tuple(values.shape) != shape:
            raise TaskError(f"{name}: Scores.{part}", found=f"shape {tuple(values.shape)}", wanted=f"shape {shape}")
        if not bool(torch.isfinite(values.to(_KEPT_AS[part]) if part != "image" else values).all()):
            raise TaskError(
                f"{name}: Scores.{part}", found="NaN or infinity", wanted="finite scores",
                hint="Try a lower learning rate, or --amp off",
            )  # fmt: skip


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
