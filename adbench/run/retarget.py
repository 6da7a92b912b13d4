"""Gives a stored run another threshold: in its checkpoint and in its result, without scoring an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..api.registry import Registry
from ..api.scores import BY_HAND, Threshold
from ..results.image_scores import TEST, ThresholdScore
from ..results.records import Result
from ..results.run_files import read_good_scores, read_scores, read_threshold_scores
from ..results.store import ORACLE, RunFolder
from ..stats import thresholds
from ..stats.thresholds import Source, Stored
from ..util.errors import AdbenchError, CheckpointError, ResultError
from .trained import open_model

LAST = "last"


@dataclass(frozen=True)
class Model:
    """The folders of a stored model's classes, by class, there or not; the first one has its lock.

    A model of one class has one folder. One of several classes has the same checkpoint in each of its folders.
    """

    folders: Mapping[str, RunFolder]

    @classmethod
    def of(cls, results: Path, result: Result) -> Model:
        """The model of a stored result below ``results``."""
        names = result.protocol.classes or (result.class_name,)
        return cls({name: RunFolder(results, result.dataset, name, result.method, result.run) for name in names})

    @property
    def first(self) -> RunFolder:
        """The folder with the lock."""
        return next(iter(self.folders.values()))

    @property
    def holders(self) -> list[RunFolder]:
        """The folders that have the checkpoint of the last epoch; all have the same one."""
        return [folder for folder in self.folders.values() if folder.checkpoint(LAST).is_file()]


@dataclass(frozen=True)
class Change:
    """What a result gets: a threshold, and the good scores that it comes from, if they are new."""

    result: Result
    found: Stored
    good: Sequence[ThresholdScore] = ()


def for_target(good: Sequence[ThresholdScore], target: float) -> Stored:
    """The threshold that keeps a share of false alarms.

    Args:
        good: stored scores of good images, at least one.
        target: share of new good images that may be called defective.

    Raises:
        ResultError: they are scores of training images, which promise nothing.
    """
    source = cast(Source, good[0].source)
    if source == "training":
        raise ResultError(
            "the stored scores of good images", found="those of training images, which promise nothing",
            wanted="held-out or cross-validated ones",
            hint="Give the run's own command again with --target-false-alarms, which cross-validates them, or with "
            "--holdout 0.1",
        )  # fmt: skip
    scores = np.array([each.score for each in good])
    return thresholds.with_promise(
        scores, target, source=source, highest=_highest([each.highest_pixel for each in good]), folds=good[0].folds
    )


def stored_target(folder: RunFolder, result: Result, target: float) -> Change:
    """The change of a stored run to another share of false alarms, from its stored good scores.

    Raises:
        ResultError: it has none that promise anything, or they can't be read.
    """
    good = read_good_scores(folder.path, result)
    try:
        return Change(result, for_target(good, target))
    except ResultError as error:
        raise ResultError(**{**error.parts, "thing": f"run {result.run}, class {result.class_name}"}) from error


def by_hand(result: Result, value: float) -> Change:
    """The change of a stored run to a threshold that a user chose; that of its maps stays."""
    old = result.threshold.pixel if result.threshold else None
    pixel = None if old is None else Stored(old.value, old.rule, promise=old.promise)
    return Change(result, Stored(value, BY_HAND, pixel=pixel))


def require_present_scale(model: Model, result: Result, registry: Registry) -> None:
    """Refuse a run whose scores have an older scale than those of its method now, which would leave a threshold unused.

    Only building the model tells its method's scale. So this is done where the method may have changed, and nothing is
    refused where it can't be built here.

    Args:
        model: the folders of the model.
        result: of one of its classes.
        registry: finds its method.

    Raises:
        ResultError: the scale is another one.
        CheckpointError: the checkpoint can't be read.
    """
    folder = model.holders[0] if model.holders else None
    if folder is None or result.method not in registry.methods:
        return
    payload = folder.load_checkpoint(LAST) or {}
    own = payload.get("class_thresholds", {}).get(result.class_name, {}) if len(model.folders) > 1 else payload
    if "score_scale" in own and result.method_package == registry.package_of(result.method):
        return
    try:
        detector = open_model(folder.checkpoint(LAST), registry, device="cpu").detector
    except AdbenchError:
        return
    if own.get("score_scale", 1) != detector.score_scale:
        raise ResultError(
            f"run {result.run}", found=f"scores of an older scale of {result.method}, for which no threshold is used",
            wanted="a run of the present scale", hint="Compute the run again with --force",
        )  # fmt: skip


def apply(model: Model, changes: Sequence[Change]) -> list[Result]:
    """Store the thresholds: first in the checkpoint, then in each result, with what they do to its test set.

    Each file is replaced as a whole. If the process is killed between two of them, the same command again makes them
    agree. The caller holds the lock of ``model.first``.

    Args:
        model: the folders of the model.
        changes: one for each class to change.

    Returns:
        The results as stored now, in the order of the changes.

    Raises:
        ResultError: a stored file is missing or broken, or can't be written.
        CheckpointError: the checkpoint can't be read.
    """
    judged = {}
    test = {}
    for each in changes:
        name = each.result.class_name
        test[name] = _test_scores(model.folders[name], each.result)
        judged[name] = _judge(model.folders[name], each, test[name])
    _rewrite_checkpoint(model, judged)
    stored = []
    for each in changes:
        name = each.result.class_name
        changed = replace(each.result, threshold=judged[name])
        used = (*each.good, *test[name]) if each.good else ()
        stored.append(model.folders[name].rewrite_threshold(changed, used))
    return stored


def _test_scores(folder: RunFolder, result: Result) -> list[ThresholdScore]:
    """The stored scores of the test images with their highest pixels; empty in older runs, and without maps."""
    return [each for each in read_threshold_scores(folder.path, result) if each.source == TEST]


def _judge(folder: RunFolder, change: Change, test: Sequence[ThresholdScore]) -> Threshold:
    """Measure a threshold on the stored scores of the test images."""
    scores = read_scores(folder, change.result)
    labels = np.array([each.label != 0 for each in scores], dtype=np.bool_)
    values = np.array([each.score for each in scores], dtype=np.float64)
    highest = _highest([each.highest_pixel for each in test]) if len(test) == len(scores) else None
    return thresholds.judge_all(change.found, labels, values, highest)


def _highest(values: Sequence[float | None]) -> NDArray[np.float64] | None:
    """The values as an array; None if one is missing."""
    found = [value for value in values if value is not None]
    return np.array(found) if found and len(found) == len(values) else None


def _rewrite_checkpoint(model: Model, judged: Mapping[str, Threshold]) -> None:
    """Put thresholds into each ``last.pt`` that is there, and into the best epochs' where they are the same file."""
    if not model.holders:  # only results were brought here
        return
    first, *others = model.holders
    payload = first.load_checkpoint(LAST)
    assert payload is not None
    same = [path.stem for path in first.path.glob(f"{ORACLE}*.pt") if path.samefile(first.checkpoint(LAST))]
    for name, threshold in judged.items():
        _put(payload, name, threshold, first.checkpoint(LAST), several=len(model.folders) > 1)
    first.save_checkpoint(LAST, payload)
    for name in same:
        first.copy_checkpoint(LAST, name)
    for folder in others:
        folder.take_checkpoints(first)


def _put(payload: dict[str, Any], class_name: str, threshold: Threshold, path: Path, *, several: bool) -> None:
    own = payload
    if several:
        own = payload.get("class_thresholds", {}).get(class_name)
        if not isinstance(own, dict):
            raise CheckpointError(f"checkpoint {path}", found=f"no threshold of class {class_name}")
    scale = own.get("score_scale", 1)
    for name in thresholds.CHECKPOINT_FIELDS:
        own.pop(name, None)
    own.update(thresholds.to_checkpoint(threshold, scale))
