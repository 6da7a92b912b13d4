"""Gives a trained model the threshold of ``--target-false-alarms``, with a cross-validation where it needs one.

A threshold promises nothing if it comes from images that the model was trained on. So if no good image is held out,
the model is trained again for each of a few folds, by the engine, on the images of the other folds. Each good image is
scored by the model that was not trained on it. The model of the run itself, and its metrics, stay as they are.

Each fold is a run in the folder of its run, so that a stopped cross-validation goes on with the same command. The
folder goes when the threshold is stored. The images of each fold are decoded and looked at once for all folds.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ..api.registry import Registry
from ..backbones.feature_cache import FeatureCache
from ..data import splits
from ..results.image_scores import THRESHOLD_SCORES, ThresholdScore
from ..results.records import Result
from ..results.run_files import read_good_scores
from ..results.store import RunFolder
from ..util.errors import DataError
from ..util.text import duration, plural
from . import engine, retarget
from .job import FOLDS
from .resolved import ResolvedClass, ResolvedJob
from .retarget import Change, Model
from .watch import Watch

PLACE = "folds"
"""Folder of the folds' runs in that of their run."""

FEWEST = 2
"""Fewest good images of a class for a cross-validation."""


def crosses(resolved: ResolvedJob) -> bool:
    """Whether a job's threshold is to be cross-validated: if the user says so, or no good image is held out."""
    if resolved.job.target_false_alarms is None:
        return False
    return resolved.job.folds is not None or any(each.good[0] == "training" for each in resolved.classes)


def folds_of(resolved: ResolvedJob) -> int:
    """The number of folds: no more than the class with the fewest training images has.

    Raises:
        DataError: a class has too few.
    """
    few = min(resolved.classes, key=lambda each: len(each.task.train))
    if len(few.task.train) < FEWEST:
        raise DataError(
            f"threshold of {resolved.job.dataset}/{few.name}",
            found=plural(len(few.task.train), "training image"), wanted=f"at least {FEWEST} for a cross-validation",
        )  # fmt: skip
    return min(resolved.job.folds or FOLDS, len(few.task.train))


def require(resolved: ResolvedJob) -> None:
    """Raise ``DataError`` if a job's threshold needs more good images than there are; before anything is trained."""
    if crosses(resolved):
        folds_of(resolved)


def cost_text(jobs: Sequence[ResolvedJob]) -> str:
    """What cross-validations will cost, before anything is trained; empty if none is needed.

    Args:
        jobs: what will run; ``require`` has accepted each.
    """
    counts = sorted({folds_of(job) for job in jobs if crosses(job)})
    if not counts:
        return ""
    models = plural(counts[0], "more model") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} more models"
    return (
        f"The threshold is cross-validated, since no good image is held out: {models} for each task, about "
        f"{max(counts) - 1} times its training time on top. --holdout 0.1 needs none, and guarantees more."
    )


def is_promised(resolved: ResolvedJob) -> bool:
    """Whether the stored results of a finished run have the threshold that its job asks for; nothing is changed.

    Raises:
        ResultError: a result can't be read.
    """
    target = resolved.job.target_false_alarms
    if target is None:
        return True
    folds = folds_of(resolved) if crosses(resolved) else None
    return all(_promises(each.folder.read_result(), target, folds) for each in resolved.classes)


def from_stored(resolved: ResolvedJob) -> tuple[Result, ...] | None:
    """The results of a finished run with the threshold that its job asks for, if no model must be trained for it.

    The threshold is stored where it is another one.

    Returns:
        The result of each class; None if a cross-validation is missing.

    Raises:
        ResultError: a stored file can't be used.
    """
    target = resolved.job.target_false_alarms
    results = tuple(each.folder.read_result() for each in resolved.classes)
    if target is None:
        return results
    folds = folds_of(resolved) if crosses(resolved) else None
    if all(_promises(result, target, folds) for result in results):
        return results
    good = [
        read_good_scores(each.folder.path, result) if folds is None or THRESHOLD_SCORES in result.files else ()
        for each, result in zip(resolved.classes, results, strict=True)
    ]
    if folds is not None and any(not scores or scores[0].folds != folds for scores in good):
        return None
    with resolved.folder.lock():
        results = tuple(each.folder.read_result() for each in resolved.classes)  # another process may have changed it
        return _apply(resolved, results, good, target)


def _promises(result: Result, target: float, folds: int | None) -> bool:
    promise = result.threshold.promise if result.threshold else None
    return promise is not None and (promise.target, promise.folds) == (target, folds)


def _apply(
    resolved: ResolvedJob, results: Sequence[Result], good: Sequence[Sequence[ThresholdScore]], target: float
) -> tuple[Result, ...]:
    model = Model({each.name: each.folder for each in resolved.classes})
    found = [retarget.for_target(scores, target) for scores in good]
    return tuple(retarget.apply(model, [Change(*each) for each in zip(results, found, good, strict=True)]))


def calibrate(resolved: ResolvedJob, registry: Registry, *, cache: FeatureCache, watch: Watch) -> tuple[Result, ...]:
    """Store the threshold that a finished run's job asks for; train the models of a cross-validation if need be.

    Args:
        resolved: a job whose classes all have results.
        registry: finds its method.
        cache: keeps features.
        watch: called with the progress.

    Returns:
        The result of each class, with its threshold.

    Raises:
        AdbenchError: training or scoring a fold failed, or a stored file can't be used.
    """
    results = from_stored(resolved)
    target = resolved.job.target_false_alarms
    if results is not None or target is None:
        return results or ()
    with resolved.folder.lock():
        results = tuple(each.folder.read_result() for each in resolved.classes)
        good = _cross_validate(resolved, registry, results, cache, watch)
        stored = _apply(resolved, results, good, target)
        shutil.rmtree(_place(resolved), ignore_errors=True)
    return stored


def _place(resolved: ResolvedJob) -> Path:
    return resolved.folder.path / PLACE


def _cross_validate(
    resolved: ResolvedJob, registry: Registry, results: Sequence[Result], cache: FeatureCache, watch: Watch
) -> list[list[ThresholdScore]]:
    """Train the model of each fold; return the scores of the good images of each class."""
    job, count, began = resolved.job, folds_of(resolved), time.monotonic()
    seconds = sum(result.timing.fit for result in results) * (count - 1)
    watch.note(
        f"{job.title}: {count} models for the threshold, about {duration(max(1, seconds))} of training, "
        "and the features of their images besides"
    )
    found: list[list[ThresholdScore]] = [[] for _ in resolved.classes]
    for number in range(count):
        fold = _fold(resolved, number, count)
        made = engine.run(fold, registry, cache=cache, watch=_FoldWatch(watch, number + 1, count))
        for scores, each, result in zip(found, fold.classes, made, strict=True):
            own = read_good_scores(each.folder.path, result)
            scores += [replace(score, source="cross-validated", fold=number + 1, folds=count) for score in own]
    watch.note(f"{job.title}: cross-validated in {duration(time.monotonic() - began)}")
    return found


def _fold(resolved: ResolvedJob, number: int, count: int) -> ResolvedJob:
    """The job of a fold: trained on the other folds, and scored on its own images."""
    job = replace(resolved.job, eval_every=0, keep="none", force=False, target_false_alarms=None, folds=None)
    place = _place(resolved)

    def of_class(each: ResolvedClass) -> ResolvedClass:
        parts = splits.folds(each.task.train, count)
        own, others = parts[number], (*parts[:number], *parts[number + 1 :])
        folder = RunFolder(place, job.dataset, each.name, job.method, f"fold{number + 1}of{count}")
        task = replace(each.task, train=tuple(chain(*others)), test=own)
        return replace(each, task=task, folder=folder, held_out=own, shots=(), parts=others)

    return replace(resolved, job=job, classes=tuple(map(of_class, resolved.classes)))


class _FoldWatch(Watch):
    """Shows the training of a fold as a stage of its run; its epochs are not those of the run."""

    def __init__(self, watch: Watch, number: int, count: int) -> None:
        self._watch, self._name = watch, f"fold {number} of {count}"

    def stage(self, what: str, done: int, total: int) -> None:
        """Pass on the images that have passed a stage."""
        self._watch.stage(f"{self._name}: {what}", done, total)

    def step(self, done: int, total: int) -> None:
        """Pass on the images of an epoch."""
        self._watch.stage(f"{self._name}: fit", done, total)

    def note(self, message: str) -> None:
        """Pass on a message."""
        self._watch.note(f"{self._name}: {message}")
