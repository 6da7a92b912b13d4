"""Histograms of a test set's scores, image by image, small enough to be stored beside a result.

They give the metrics of *any weighting* of the images: counts add up, and no score is sorted again. Thousands of
bootstrap resamples take about a second. Metrics over images are exact. Metrics over pixels come from bins (see
``binning``) and are within about 1e-4 of ``metrics.evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..api.scores import METRIC_NAMES
from ..data.ground_truth import GroundTruth
from ..data.ignored import Counted
from ..util.errors import TaskError
from . import weighted
from .binning import Bins, Maps, bin_maps, overlap_unit, regions_per_image
from .image_rates import SHARE
from .saturated import LOGICAL, SPRO_03_LIMIT, SPRO_LIMIT, STRUCTURAL
from .saturated_bins import bins_of_kinds
from .segmentation import seg_counts
from .sweeps import (
    IMAGE_MEASURES,
    OVERLAP_MEASURES,
    PIXEL_MEASURES,
    BinTable,
    ImageTable,
    Rows,
    Sweep,
    Table,
    overlap_area,
)
from .weighted import Weightings

Point = tuple[float, float]

FORMAT = 1
"""Version of the stored arrays. A higher one comes from a newer adbench."""

SEGF1, AUPIMO = "segf1", "aupimo"

QUANTILE_OF = {"pg2": True, "pb2": False}
"""The kind of images, defective or not, whose quantile a metric takes."""

FEWEST = round(1 / SHARE)
"""Images of that kind with which one lies beyond the quantile."""

SPRO = {
    "au_spro": (SPRO_LIMIT, ""), "au_spro_03": (SPRO_03_LIMIT, ""),
    "au_spro_logical": (SPRO_LIMIT, LOGICAL), "au_spro_structural": (SPRO_LIMIT, STRUCTURAL),
}  # fmt: skip
"""The limit of each AU-sPRO, and its kind of regions; without one it is of all kinds."""

MEASURED = (*IMAGE_MEASURES, *PIXEL_MEASURES, *OVERLAP_MEASURES, SEGF1, AUPIMO, *SPRO)
"""The metrics that histograms give; the others are NaN."""


@dataclass(frozen=True, eq=False)
class ScoreHistograms:
    """What each of N images adds to the counts of every threshold.

    Attributes:
        paths: of the images, as in ``scores.csv``.
        labels: (N,) bool, True for a defective image.
        image_scores: (N,) one score for each image.
        regions: (N,) number of regions in each image.
        pixels: bins of defect pixels, each counting 1; None without maps or masks.
        overlap: bins of overlap, summed over each image's regions, from the map that AUPRO is taken from; None
            without maps or masks.
        found: (N, 3) what SegF1 is made of (``segmentation.seg_counts``); None without a threshold, maps or masks.
        saturated: bins of saturated overlap by kind of regions, for AU-sPRO; empty without saturations.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.bool_]
    image_scores: NDArray[np.floating]
    regions: NDArray[np.integer]
    pixels: Bins | None
    overlap: Bins | None
    found: NDArray[np.integer] | None = None
    saturated: Mapping[str, Bins] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        ground_truth: GroundTruth,
        paths: Sequence[str],
        image_scores: ArrayLike,
        maps: Maps | None = None,
        region_maps: Maps | None = None,
        pixel_threshold: float | None = None,
    ) -> ScoreHistograms:
        """Build the histograms of a test set; arguments as in ``metrics.evaluate_ground_truth``.

        Maps are read one after the other. Those of several sizes may be made when they are read.
        """
        scores = np.asarray(image_scores)
        scores = scores if scores.dtype in (np.float32, np.float64) else scores.astype(np.float64)
        if maps is None or (ground_truth.shape is None and ground_truth.sizes is None):
            return cls(tuple(paths), ground_truth.labels, scores, np.zeros(len(scores), np.uint16), None, None)
        if ground_truth.ignored is not None:
            maps = Counted(maps, ground_truth.ignored)
            region_maps = None if region_maps is None else Counted(region_maps, ground_truth.ignored)
        pixels, overlap = bin_maps(ground_truth, maps, regions=region_maps is None)
        if region_maps is not None:
            _, overlap = bin_maps(ground_truth, region_maps, pixels=False)
        regions, found = regions_per_image(ground_truth), None
        spoiled = list(ground_truth.spoiled)
        regions[spoiled] = np.maximum(regions[spoiled], 1)  # so that they are no normal images
        if pixel_threshold is not None and ground_truth.counted_sizes is not None:
            found = seg_counts(maps, ground_truth.counted_sizes, ground_truth.defects, pixel_threshold)
        saturated: Mapping[str, Bins] = {}
        if ground_truth.saturated is not None and ground_truth.counted_sizes is not None:
            areas = maps if region_maps is None else region_maps
            labels, sizes = ground_truth.labels, ground_truth.counted_sizes
            saturated = bins_of_kinds(areas, sizes, labels, ground_truth.saturated)
        return cls(tuple(paths), ground_truth.labels, scores, regions, pixels, overlap, found, saturated)

    # -- metrics

    def metrics(self, weights: ArrayLike, names: Collection[str] = METRIC_NAMES) -> dict[str, Rows]:
        """Compute metrics of the test set with each image counted any number of times.

        Args:
            weights: (B, N) how often each image counts, 0 or more.
            names: the metrics wanted.

        Returns:
            (B,) fractions for each name; NaN where not defined.

        Raises:
            TaskError: weights of another shape.
        """
        counts = np.asarray(weights)
        if counts.ndim != 2 or counts.shape[1] != len(self.labels):
            raise TaskError("weights", found=f"shape {counts.shape}", wanted=f"(B, {len(self.labels)})")
        return self._measured(names, Weightings.of(counts), lambda table: table.weighted(counts))

    def without_each(self, names: Collection[str]) -> dict[str, Rows]:
        """Compute metrics of the test set without each image in turn: (N,) for each name, as in ``metrics``.

        Equals weights of 1 with 0 on the diagonal, but needs no (N, N) array.
        """
        return self._measured(names, Weightings.without_each(len(self.labels)), lambda table: table.without_each())

    def why_not(self, metric: str) -> str:
        """The reason why draws of these images say too little of a metric for an interval; empty if there is none.

        The 2 % quantile of fewer than 50 images is the most extreme one, and no draw has one beyond it.
        """
        if metric in QUANTILE_OF:
            kind = QUANTILE_OF[metric]
            count = int((self.labels == kind).sum())
            return f"{count} {'defective' if kind else 'good'} images, but it takes {FEWEST}" if count < FEWEST else ""
        if metric == SEGF1 and self.found is None:
            return "counts at its threshold are not stored; adbench run --force computes them"
        if metric in SPRO and not self.saturated:
            return "its overlaps are not stored; adbench run --force computes them"
        if metric == AUPIMO and self.pixels is not None:
            there = weighted.normal_images(self.pixels, self.regions)
            few = there < weighted.FEWEST_NORMAL
            return f"the highest scores of normal pixels are those of about {there:.0f} images" if few else ""
        return ""

    def _measured(
        self, names: Collection[str], weightings: Weightings, sweeps: Callable[[Table], Iterator[tuple[slice, Sweep]]]
    ) -> dict[str, Rows]:
        values = {name: np.full(weightings.count, np.nan) for name in names}
        if SEGF1 in values and self.found is not None:
            values[SEGF1] = weighted.seg_f1(self.found, weightings)
        if AUPIMO in values and self.pixels is not None:
            values[AUPIMO] = weighted.aupimo(self.pixels, self.regions, weightings)
        for name in values.keys() & SPRO.keys():
            values[name] = self._saturated(name, weightings.count, sweeps)
        tables: list[tuple[Table, Mapping[str, Callable[[Sweep], Rows]]]]
        tables = [(ImageTable(self.labels, self.image_scores), IMAGE_MEASURES)]
        tables += [(BinTable(self.pixels), PIXEL_MEASURES)] if self.pixels else []
        tables += [(BinTable(self.overlap), OVERLAP_MEASURES)] if self.overlap else []
        for table, measures in tables:
            wanted = [name for name in measures if name in values]
            if not wanted:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                for rows, swept in sweeps(table):
                    for name in wanted:
                        values[name][rows] = np.where(swept.defined, measures[name](swept), np.nan)
        return values

    def _saturated(self, metric: str, count: int, sweeps: Callable[[Table], Iterator[tuple[slice, Sweep]]]) -> Rows:
        """AU-sPRO (B,): of one kind of regions, or the mean of both."""
        limit, kind = SPRO[metric]
        kinds = [kind] if kind else list(self.saturated)
        areas = np.full((max(len(kinds), 1), count), np.nan)
        for row, name in enumerate(kinds):
            if name in self.saturated:
                with np.errstate(divide="ignore", invalid="ignore"):
                    for rows, swept in sweeps(BinTable(self.saturated[name])):
                        areas[row, rows] = np.where(swept.defined, overlap_area(limit)(swept), np.nan)
        mean: Rows = areas.mean(axis=0)
        return mean

    # -- curves over pixels, each image counted once

    def roc(self) -> list[Point]:
        """False-positive rate and true-positive rate of pixels, left to right; empty where not defined."""
        return _rates(_once(self.pixels))

    def pro(self) -> list[Point]:
        """False-positive rate and mean overlap of regions, left to right; empty where not defined."""
        return _rates(_once(self.overlap))

    def precision_recall(self) -> list[Point]:
        """Recall and precision of pixels, left to right; empty where not defined."""
        swept = _once(self.pixels)
        if swept is None:
            return []
        points = _points(swept.hits / swept.all_hits, swept.hits / (swept.hits + swept.alarms))[1:]
        return [(0.0, points[0][1]), *points]

    # -- on disk

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as small arrays of numbers and texts, for ``np.savez_compressed``."""
        own_good = self.overlap is not None and (self.pixels is None or self.overlap.good is not self.pixels.good)
        return {
            "format": np.uint16(FORMAT)[None],
            "paths": np.array([path.encode("utf-8", "backslashreplace").decode() for path in self.paths]),
            "labels": self.labels,
            "image_scores": self.image_scores,
            "regions": self.regions.astype(np.uint32),
            **(_stored("pixel", self.pixels) if self.pixels else {}),
            **(_stored("region", self.overlap, own_good=own_good) if self.overlap else {}),
            **{
                key: value
                for kind, bins in self.saturated.items()
                for key, value in {**_stored(f"spro_{kind}", bins), f"spro_{kind}_unit": bins.unit}.items()
            },
            **({} if self.found is None else {"segmented": self.found.astype(np.uint64)}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ScoreHistograms:
        """Build histograms from what ``arrays`` returned.

        Raises:
            KeyError: an array is missing.
            ValueError: a newer adbench wrote them, or they do not fit together.
        """
        written = int(arrays["format"][0])
        if written > FORMAT:
            raise ValueError(f"format {written}, written by a newer adbench")
        paths, labels, scores = tuple(arrays["paths"].tolist()), arrays["labels"].astype(bool), arrays["image_scores"]
        regions = arrays["regions"]
        if not len(paths) == len(labels) == len(scores) == len(regions):
            raise ValueError("arrays of different length")
        pixels = _loaded("pixel", arrays, "pixel", np.ones(len(labels))) if "pixel_found" in arrays else None
        good = "region" if "region_good" in arrays else "pixel"
        overlap = _loaded("region", arrays, good, overlap_unit(regions)) if "region_found" in arrays else None
        found = arrays["segmented"].astype(np.int64) if "segmented" in arrays else None
        if found is not None and found.shape != (len(labels), 3):
            raise ValueError(f"segmented counts of shape {found.shape}")
        saturated = {
            kind: _loaded(f"spro_{kind}", arrays, f"spro_{kind}", arrays[f"spro_{kind}_unit"])
            for kind in ("", LOGICAL, STRUCTURAL) if f"spro_{kind}_unit" in arrays
        }  # fmt: skip
        return cls(paths, labels, scores, regions, pixels, overlap, found, saturated)


def _stored(name: str, bins: Bins, *, own_good: bool = True) -> dict[str, NDArray[Any]]:
    good = {"thresholds": bins.thresholds, "tied": bins.tied, "good": bins.good} if own_good else {}
    return {f"{name}_{key}": value for key, value in {**good, "found": bins.found}.items()}


def _loaded(name: str, arrays: Mapping[str, NDArray[Any]], good: str, unit: Rows) -> Bins:
    thresholds, tied, counts = (arrays[f"{good}_{key}"] for key in ("thresholds", "tied", "good"))
    bins = Bins(thresholds, tied, counts, arrays[f"{name}_found"], unit)
    shape = (len(unit), len(bins.thresholds))
    if not (bins.good.shape == bins.found.shape == shape and bins.tied.shape == shape[1:]):
        raise ValueError(f"{name} counts of shapes {bins.good.shape} and {bins.found.shape}, not {shape}")
    return bins


def _once(bins: Bins | None) -> Sweep | None:
    if bins is None:
        return None
    with np.errstate(invalid="ignore"):
        _, swept = next(BinTable(bins).weighted(np.ones((1, len(bins.unit)))))
    return swept if swept.defined[0] else None


def _rates(swept: Sweep | None) -> list[Point]:
    return [] if swept is None else _points(swept.alarms / swept.all_good, swept.hits / swept.all_hits)


def _points(across: Rows, up: Rows) -> list[Point]:
    return [(0.0, 0.0), *zip(across[0].tolist(), up[0].tolist(), strict=True)]
