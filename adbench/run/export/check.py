"""Runs a model and its exported file on the same images, and says whether they are the same to a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...api.data import EvalSize, Problem, Sample, Size
from ...api.scores import Metrics
from ...data import image_files, memory_store, sources
from ...data.ground_truth import open_ground_truth
from ...util.errors import DataError, UsageError, absent
from ..evaluate import TestScores
from ..map_file import MapFile
from ..trained import TrainedModel
from .runners import Runner

SCORES = 1e-3
"""Share of the spread of the scores by which a score may differ. The spread is the highest minus the lowest."""

AUROC = 2e-4
"""Fraction by which an AUROC may differ: 0.02 points."""

GUARDED = ("image_auroc", "pixel_auroc")
"""The metrics that ``AUROC`` is about."""

TOGETHER = 4
"""Images of the same size that the file gets at once."""


@dataclass(frozen=True)
class Difference:
    """The largest difference of a number, and the spread of the model's own numbers."""

    largest: float
    spread: float

    @property
    def share(self) -> float:
        """The difference as a share of the spread."""
        return self.largest / self.spread if self.spread else (0.0 if self.largest == 0 else float("inf"))

    @classmethod
    def between(cls, model: NDArray[np.floating], file: NDArray[np.floating]) -> Difference:
        """Compare two arrays of one shape."""
        away = np.abs(model.astype(np.float64) - file.astype(np.float64))
        return cls(float(away.max()), float(model.max()) - float(model.min()))


@dataclass(frozen=True)
class Check:
    """What a model and its file said of the same images.

    Attributes:
        images: their number.
        left_out: those of another size than the file takes.
        score: of image scores.
        map: of maps; None without maps.
        verdicts: images that the two call differently; None without a threshold.
        model: metrics of the model, with AUPRO from its anomaly maps.
        file: those of the file.
    """

    images: int
    left_out: int
    score: Difference
    map: Difference | None
    verdicts: int | None
    model: Metrics
    file: Metrics

    @property
    def problem(self) -> str:
        """Why the file isn't the same to a user; empty if it is."""
        if not self.score.share <= SCORES:  # NaN is no less
            return f"scores that differ by {self.score.share:.2g} of their spread, wanted at most {SCORES:g}"
        for name in GUARDED:
            one, other = getattr(self.model, name), getattr(self.file, name)
            if one is not None and not abs(one - other) <= AUROC:
                words = name.replace("_auroc", " AUROC")
                return f"{words} {100 * other:.3f}, wanted {100 * one:.3f} to {100 * AUROC:g} points"
        return ""


def compare(
    model: TrainedModel,
    runner: Runner,
    samples: Sequence[Sample],
    *,
    eval_size: EvalSize | None = None,
    watch: Callable[[str, int, int], None] | None = None,
) -> Check:
    """Score images with a model and with its file.

    Args:
        model: the model, in the precision of the file.
        runner: the file.
        samples: the images; labels and masks give metrics where they are there.
        eval_size: size at which maps are compared with masks; None for the input's.
        watch: called with the progress.

    Raises:
        DataError: no image, or one that can't be read.
        UsageError: no image has the size that the file takes.
    """
    usable = [replace(sample, levels=model.levels) for sample in of_size(samples, runner.facts.image_size)]
    store = memory_store.read(usable, model.framing)
    scores = model.score(store, watch=watch)
    file_scores, file_maps, verdicts = _run(runner, usable, store.sizes, watch)
    maps = scores.every_map()
    assert not isinstance(maps, MapFile)  # tiles are not exported
    ground_truth = open_ground_truth(store, model.framing, eval_size=eval_size)
    own = TestScores(scores.image, scores.maps, None)
    other = TestScores(
        torch.from_numpy(file_scores.astype(np.float64)), None if file_maps is None else torch.from_numpy(file_maps),
        None,
    )  # fmt: skip
    differing = None
    if verdicts is not None and runner.facts.threshold is not None:
        differing = int((verdicts != (scores.image.numpy() > runner.facts.threshold)).sum())
    return Check(
        images=len(usable),
        left_out=len(samples) - len(usable),
        score=Difference.between(scores.image.numpy(), file_scores),
        map=None if maps is None or file_maps is None else Difference.between(maps, file_maps),
        verdicts=differing,
        model=own.evaluate(ground_truth),
        file=other.evaluate(ground_truth),
    )


def images_in(folder: Path) -> list[Sample]:
    """The images in a folder and the folders below it, as good ones.

    Raises:
        DataError: there is none.
    """
    if not folder.is_dir():
        raise DataError(f"--images {folder}", found=absent(folder, "folder"), wanted="a folder of images")
    found = sources.find([str(folder)]).images
    if not found:
        raise DataError(f"--images {folder}", found="no image", wanted="a folder of images")
    return [Sample(each.path) for each in found]


def of_size(samples: Sequence[Sample], size: Size | None) -> Sequence[Sample]:
    """The images of one size, or all; only the heads of files are read.

    Raises:
        DataError: there are no images.
        UsageError: none of them has the size.
    """
    if not samples:
        raise DataError("test images", found="none", hint="Give a folder with --images DIR")
    if size is None:
        return samples
    found = [sample for sample in samples if image_files.size_of(sample.path) == size]
    if not found:
        own = image_files.size_of(samples[0].path)
        hint = f"Give --image-size {own[0]}x{own[1]}, or other --images" if own else "Give other --images"
        raise UsageError(f"--image-size {size[0]}x{size[1]}", found="no test image of this size", hint=hint)
    return found


def _run(
    runner: Runner, samples: Sequence[Sample], sizes: Sequence[Size], watch: Callable[[str, int, int], None] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.bool_] | None]:
    """Scores (N,), maps (N, h, w) and verdicts (N,) of a file."""
    scores, maps, verdicts, done = [], [], [], 0
    for count in _runs(sizes):
        outputs = runner(np.stack([_decoded(sample) for sample in samples[done : done + count]]))
        scores.append(outputs.score)
        if outputs.map is not None:
            maps.append(outputs.map)
        if outputs.verdict is not None:
            verdicts.append(outputs.verdict)
        done += count
        if watch:
            watch("run the file", done, len(samples))
    return (
        np.concatenate(scores),
        np.concatenate(maps) if maps else None,
        np.concatenate(verdicts) if verdicts else None,
    )


def _runs(sizes: Sequence[Size]) -> Iterator[int]:
    """Numbers of neighbours with the same size, at most ``TOGETHER``, which sum up to all."""
    start = 0
    while start < len(sizes):
        stop = start
        while stop < len(sizes) and sizes[stop] == sizes[start] and stop - start < TOGETHER:
            stop += 1
        yield stop - start
        start = stop


def _decoded(sample: Sample) -> image_files.Bytes:
    with image_files.quiet():
        found = image_files.read_rgb(sample.path, sample.levels)
    if isinstance(found, Problem):
        raise DataError(f"{found.path}", found=found.found, hint=found.hint)
    return np.asarray(found)
