"""The scores of a test set, and their comparison with the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.scores import Metrics
from ..data.ground_truth import GroundTruth, Resized
from ..metrics.histograms import ScoreHistograms
from ..metrics.metrics import evaluate_ground_truth
from ..util.memory import free, is_out_of_memory
from .map_file import MapFile

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
        return None if self.maps is None else highest_of(self.maps)

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


def highest_of(maps: torch.Tensor) -> NDArray[np.float64]:
    """(N,), the highest value of each of N maps (N, H, W)."""
    return maps.flatten(1).amax(1).double().cpu().numpy()
