"""Makes the archive of a submission from stored runs: scores the private images, writes the maps, and checks them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...api.data import Sample, Size, Task
from ...api.facts import Submission
from ...results.records import Result
from ...results.run_files import folder_of, read_threshold_scores
from ...util import threads
from ...util.errors import CheckpointError, DataError, ResultError, TaskError, reason
from ...util.files import NewFile
from ...util.packed_tar import PackedTar
from ...util.text import duration, plural
from ..reopen import Reopener, scores_differ
from ..trained import TrainedModel
from .check import check
from .layout import MAPS, THRESHOLDED, Private, name_of, private_images
from .maps import Scale, Scored, as_png, as_tiff, in_half, scored

WORKERS = 8
"""Most threads that compress maps."""


@dataclass(frozen=True)
class ClassPlan:
    """One class: its run, its images, and where its model is."""

    run: Result
    task: Task
    private: Mapping[Private, Sample]
    validation: tuple[Sample, ...]

    @property
    def images(self) -> int:
        """Number of images to score."""
        return len(self.private) + len(self.validation)


@dataclass(frozen=True)
class Written:
    """What was written of one class.

    Attributes:
        run: its run.
        images: number of private images.
        scale: the threshold, and what the maps' values are.
        found: share of the private images' pixels above the threshold.
        clipped: pixels beyond what float16 holds; they have its highest or lowest value.
    """

    run: Result
    images: int
    scale: Scale
    found: float
    clipped: int


def plan(
    runs: Sequence[Result], submission: Submission, reopener: Reopener, results: Path, show: Callable[[str], None]
) -> list[ClassPlan]:
    """Find the images and checkpoints of all classes, before anything is scored.

    Args:
        runs: one of each class.
        submission: the private test splits.
        reopener: finds images.
        results: the folder of all results.
        show: called with what is being done.

    Raises:
        DataError: images are missing, or are others than those of the run.
        CheckpointError: a run has no checkpoint.
    """
    made = []
    for run in runs:
        show(f"looking for the images of {run.class_name}")
        path = folder_of(results, run).checkpoint("last")
        if not path.is_file():
            raise CheckpointError(
                f"run {run.run}, class {run.class_name}", found=f"no {path.name}", wanted="the run's checkpoint",
                hint="Train it again with --force, without --keep none",
            )  # fmt: skip
        task = reopener.task(run)
        good = tuple(sample for sample in task.validation if not sample.label)
        if not good:
            raise DataError(
                f"{run.dataset}/{run.class_name}", found="no validation image", wanted="good ones for the threshold",
                hint="Unpack the data set again, or give --data-root DIR",
            )  # fmt: skip
        made.append(ClassPlan(run, task, private_images(task, submission), good))
    return made


class _Progress:
    """Says how far it is, with an estimate from the images so far."""

    def __init__(self, total: int, show: Callable[[str], None]) -> None:
        self.total, self.show = total, show
        self.done, self.began = 0, time.monotonic()

    def scored(self, maps: Iterator[Scored], what: str, count: int) -> Iterator[Scored]:
        """The same maps, counted."""
        for number, each in enumerate(maps, start=1):
            yield each
            self.done += 1
            left = (time.monotonic() - self.began) / self.done * (self.total - self.done)
            self.show(f"{what} {number}/{count}, {self.done} of {self.total} images, {duration(left)} left")


def make(
    plans: Sequence[ClassPlan],
    output: Path,
    *,
    reopener: Reopener,
    results: Path,
    show: Callable[[str], None],
    warn: Callable[[str], None],
) -> list[Written]:
    """Score the private images of all classes, write the archive, check it, and only then give it its name.

    Args:
        plans: the classes.
        output: the archive; its name without .tar.gz is that of the submission.
        reopener: opens models.
        results: the folder of all results.
        show: called with the progress.
        warn: called with what the user should know.

    Raises:
        ResultError: the file can't be written, or the method makes no maps.
        TaskError: scoring failed, or the archive didn't pass the check.
        AdbenchError: a model or an image can't be read.
    """
    name = name_of(output)
    progress = _Progress(sum(each.images for each in plans), show)
    written: list[Written] = []
    sizes: dict[Private, Size | None] = {}
    new = None
    try:
        new = NewFile(output)
        with PackedTar(new.stream, threads.workers(WORKERS)) as archive:
            for each in plans:
                model = reopener.model(folder_of(results, each.run))
                written.append(_write(archive, name, each, model, results, progress, sizes, warn))
        new.stream.seek(0)
        faults = check(new.stream, name, sizes, lambda done, total: show(f"checking {done}/{total}"))
        if faults:
            first = faults[0]
            raise TaskError(
                f"{output} is not written: its check", found=f"{first.found} in {first.place or 'it'}",
                wanted=first.wanted,
            )  # fmt: skip
        new.finish()
    except OSError as error:
        hint = "Free some space or permit writing there, or choose another file with -o"
        raise ResultError(f"{output} can't be written", found=reason(error), hint=hint) from error
    finally:
        if new is not None:
            new.discard()
    return written


def _write(
    archive: PackedTar, name: str, each: ClassPlan, model: TrainedModel, results: Path, progress: _Progress,
    sizes: dict[Private, Size | None], warn: Callable[[str], None],
) -> Written:  # fmt: skip
    """Score one class, and add its maps; ``sizes`` gets those of its images."""
    run = each.run
    good = scored(model, run.class_name, each.validation)
    scale = Scale.of(progress.scored(good, f"{run.class_name}: validation", len(each.validation)))
    if remark := _differing(each, scale, results):
        warn(f"{run.dataset}/{run.class_name}: {remark}")
    found = pixels = clipped = cut = 0
    maps = scored(model, run.class_name, list(each.private.values()))
    maps = progress.scored(maps, run.class_name, len(each.private))
    for private, one in zip(each.private, maps, strict=True):
        halves, above = in_half(one.values(scale.threshold), scale)
        archive.add(f"{name}/{private.path(MAPS)}", as_tiff(halves))
        archive.add(f"{name}/{private.path(THRESHOLDED)}", as_png(above))
        sizes[private] = one.size
        found, pixels, cut = found + int(above.sum()), pixels + above.size, cut + (not one.is_whole)
        clipped += int((np.abs(halves) == np.finfo(np.float16).max).sum())
    if cut:
        warn(f"{run.class_name}: the model sees only the centre of {plural(cut, 'image')}; the rest counts as good")
    if clipped:
        warn(f"{run.class_name}: {plural(clipped, 'pixel')} beyond float16, cut to its highest or lowest value")
    return Written(run, len(each.private), scale, found / pixels, clipped)


def _differing(each: ClassPlan, scale: Scale, results: Path) -> str:
    """Whether validation images get other scores than the run stored; empty where it stored none of them."""
    run = each.run
    stored = read_threshold_scores(folder_of(results, run).path, run)
    known = np.array([score.score for score in stored if score.source == "validation"])
    if len(known) != len(scale.scores):
        return ""
    return scores_differ(known, scale.scores, float(known.std()))
