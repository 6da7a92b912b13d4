"""Maps of one trained model as a submission has them: at the size of the image, in float16, and thresholded.

Every map of a class goes through the same straight line, which moves no order of scores: the threshold becomes 0, and
the unit is a standard deviation of the pixels of good images. So float16, with its eleven bits and its end at 65504,
is finest where the decision is, and no score is lost to infinity.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...api.data import Problem, Sample
from ...data.ground_truth import Resized, own_size
from ...data.sources import Source
from ...metrics.segmentation import rounded_down
from ...stats.pixel_threshold import PixelMoments
from ...util.errors import DataError, ResultError
from ..predict import Prediction, Predictor
from ..trained import TrainedModel

Floats = NDArray[np.float32]

HALF = np.finfo(np.float16)

AT_ONCE = 1 << 25
"""Pixels of inputs that are scored at once, at most: 128 MB of maps."""


@dataclass(frozen=True)
class Scale:
    """The straight line from a class's scores to the values in the archive.

    Attributes:
        threshold: of pixels: mean plus three standard deviations of those of good images (AD 2's rule).
        unit: their standard deviation; 1 where all are equal.
        images: the number of good images.
        scores: (images,) their image scores.
    """

    threshold: float
    unit: float
    images: int
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, maps: Iterable[Scored]) -> Scale:
        """Find it from the maps of good images.

        Raises:
            DataError: there are no images.
        """
        moments, scores = PixelMoments(), []
        for each in maps:
            moments.add(each.shown)
            scores.append(each.score)
        if moments.threshold is None:
            raise DataError("validation images", found="none", wanted="good images for the threshold")
        return cls(moments.threshold, moments.deviation or 1.0, len(scores), np.array(scores))


@dataclass(frozen=True, eq=False)
class Scored:
    """One image: its score, and its map.

    Attributes:
        score: of the image.
        shown: (h, w) scores of the part that the model sees, in the image's own pixels.
        corner: row and column of that part's first pixel.
        size: height and width of the image.
    """

    score: float
    shown: Floats
    corner: tuple[int, int]
    size: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether the model sees all of the image."""
        return self.shown.shape == self.size

    def values(self, threshold: float) -> Floats:
        """(H, W) the whole map; pixels that the model doesn't see have its lowest score, or the threshold if less."""
        if self.is_whole:
            return self.shown
        lowest = min(self.shown.min(), rounded_down(threshold, np.dtype(np.float32)))
        whole = np.full(self.size, lowest, np.float32)
        (top, left), (height, width) = self.corner, self.shown.shape
        whole[top : top + height, left : left + width] = self.shown
        return whole


def scored(model: TrainedModel, class_name: str, samples: Sequence[Sample]) -> Iterator[Scored]:
    """Score images one after the other; few are in memory at a time.

    Raises:
        DataError: an image that can't be read.
        ResultError: the method makes no maps.
        TaskError: scoring failed.
    """
    height, width = model.size
    few = max(1, min(model.options.batch_size, AT_ONCE // (height * width)))
    predictor = Predictor(replace(model, options=replace(model.options, batch_size=few)), class_name=class_name)
    for each in predictor.stream(Source(sample.path, sample.path.name) for sample in samples):
        if isinstance(each, Problem):
            raise DataError(f"{each.path}", found=each.found, hint=each.hint)
        yield _at_own_size(each, model.method.name)


def _at_own_size(prediction: Prediction, method: str) -> Scored:
    """Resize a map as it is for metrics in the image's own pixels (``--eval-size native``)."""
    if prediction.map is None:
        raise ResultError(f"maps of {method}", found="a method that makes none", wanted="one with maps")
    part = prediction.framing.shown_part(prediction.size)
    resized = Resized(torch.from_numpy(prediction.map)[None], (own_size(part),))[0]
    return Scored(prediction.score, np.asarray(resized), (round(part[1]), round(part[0])), prediction.size)


def in_half(values: Floats, scale: Scale) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """A map (H, W) in float16, and where it is above the threshold: exactly where its value is above 0."""
    limit = rounded_down(scale.threshold, np.dtype(np.float32))
    above = values > limit
    line = np.clip((values.astype(np.float64) - float(limit)) / scale.unit, HALF.min, HALF.max)
    halves = line.astype(np.float16)
    halves[above & (halves <= 0)] = HALF.smallest_subnormal  # rounded to 0
    return halves, above


def as_tiff(values: NDArray[np.float16]) -> Callable[[], bytes]:
    """Write a map (H, W) as TIFF when it is called: one channel, not compressed, without a time."""

    def made() -> bytes:
        import tifffile

        stream = io.BytesIO()
        tifffile.imwrite(stream, values, photometric="minisblack", metadata=None, software=False)
        return stream.getvalue()

    return made


def as_png(above: NDArray[np.bool_]) -> Callable[[], bytes]:
    """Write what is above the threshold (H, W) as PNG when it is called: 255 there, else 0."""

    def made() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(above.astype(np.uint8) * np.uint8(255)).save(stream, "PNG")
        return stream.getvalue()

    return made
