"""``adbench test``: scores the test images with a checkpoint; nothing is trained or stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..api import data_options
from ..api.data import Dataset, Sample, Task, relative_path
from ..api.detector import Detector
from ..api.registry import Registry
from ..api.scores import Metrics, Threshold
from ..backbones.feature_cache import FeatureCache
from ..data import depths
from ..data.framing import Framing
from ..data.image_store import problem_error, rows_of
from ..results.records import Protocol, Reading
from ..stats import thresholds
from ..stats.thresholds import Stored
from ..util import capacity, devices
from ..util.digests import Digests
from ..util.errors import UsageError
from ..util.text import stored_text
from . import checkpoint
from .checkpoint import AnyCheckpoint, Checkpoint
from .class_run import open_images, truth_of
from .evaluate import TestScores
from .identity import Identifier, ignored_digest
from .job import IGNORE, Job
from .resolved import build_context
from .scoring import score_all
from .summary import protocol
from .trained import scoring
from .watch import Watch


@dataclass(frozen=True)
class Verdict:
    """One image that was scored.

    ``path`` is below the data set's root. ``label`` is "good", "defective", or None where nobody has given it. The
    ``verdict`` is what the threshold calls the image, None without one.
    """

    path: str
    label: str | None
    defect: str | None
    score: float
    verdict: str | None


@dataclass(frozen=True)
class Trial:
    """Scores of a checkpoint on one class; ``epoch`` and ``threshold`` are None if it lacks them.

    Of the ``test_images``, ``tied_images`` share their score with another one. There is also no threshold if the user
    changed something on which scores depend. Where an image has no label (``labelled``), there are no metrics.
    """

    method: str
    dataset: str
    class_name: str
    synthetic: bool
    checkpoint: str
    epoch: int | None
    metrics: Metrics
    protocol: Protocol
    threshold: Threshold | None = None
    test_images: int = 0
    tied_images: int = 0
    images: tuple[Verdict, ...] = ()
    labelled: bool = True


def run(
    job: Job,
    registry: Registry,
    saved: AnyCheckpoint,
    *,
    changes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Trial:
    """Score the test images of one class with a checkpoint of adbench or of the method's authors.

    adbench's own checkpoints contain their options and the size at which maps are compared. For the authors'
    checkpoints those of ``job`` count; ``Detector.calibrate`` computes what they lack from the training images.

    Args:
        job: the class to score, and the method.
        registry: finds the method and the data set.
        saved: the checkpoint.
        changes: the user's options, which override those in the checkpoint.
        watch: called with the progress.

    Raises:
        CheckpointError: it does not fit the method.
    """
    watch = watch or Watch()
    method = registry.method(job.method)
    device = devices.resolve_device(job.device)
    ours = saved if isinstance(saved, Checkpoint) else None
    options = ours.options_for(method, changes) if ours else job.options
    options = replace(options, amp=devices.resolve_amp(options.amp, device))
    task = _read(job, registry, saved, watch)
    if ours:
        job = replace(job, eval_size=ours.eval_size, holdout=ours.holdout)  # as in its training
    framing = Framing.of(options)
    capacity.require_input(options.size, 0 if framing.is_tiled else len(task.test))
    capacity.require_eval_size(job.eval_size)
    if task.problems and not job.skip_bad:
        raise problem_error(task.problems)
    given = dict(job.auxiliary)
    count = 0 if ours else rows_of(task.train, framing)
    context = ours.context(device, given) if ours else build_context(job, device, train_images=count)
    # before images are decoded: it may not fit
    detector = checkpoint.build(saved, method, options, registry.offering(context, options))
    cache = FeatureCache(say=watch.note)
    code = Identifier(registry).code(method.name)
    test = open_images(task, "test", options, device, skip_bad=job.skip_bad, cache=cache, watch=watch, code=code)
    if not ours:
        train = open_images(task, "train", options, device, skip_bad=job.skip_bad, cache=cache, watch=watch, code=code)
        train.prefetch_with(test)
        with torch.no_grad():
            detector.calibrate(train)
    ground_truth, ignored = truth_of(task, test.store, framing, job.eval_size), ignored_digest(task.marking, Digests())
    with scoring(saved.path, method.name):
        scores = score_all(detector, test, name=method.name, watch=watch.stage, sizes=ground_truth.map_sizes)
    stored = _threshold(ours, job, detector, changes or {}, watch) if ours else None
    samples, image_scores = test.store.samples, scores.image.numpy()
    labelled = all(sample.is_labelled for sample in samples)
    return Trial(
        method=method.name,
        dataset=job.dataset,
        class_name=job.class_name,
        synthetic=task.synthetic,
        checkpoint=str(saved.path),
        epoch=ours.epoch if ours else None,
        metrics=scores.evaluate(ground_truth) if labelled else Metrics(),
        protocol=_protocol(saved, protocol(options, detector, job, task, scores.aupro_map, ignore_mask=ignored)),
        threshold=_judged(stored, scores, ground_truth.labels if labelled else ground_truth.labels[:0]),
        test_images=len(samples),
        tied_images=scores.tied,
        images=tuple(
            _verdict(sample, task, score, stored.value if stored else None)
            for sample, score in zip(samples, image_scores.tolist(), strict=True)
        ),
        labelled=labelled,
    )


def _read(job: Job, registry: Registry, saved: AnyCheckpoint, watch: Watch) -> Task:
    """Find the images, read with the levels of the training, and note what is to be known of them."""
    reader = registry.reader(job.dataset, dict(job.data_options))
    task = reader.load(job.data_root, job.class_name).with_test(job.test)
    if isinstance(saved, Checkpoint):
        levels_by = job.levels_by if job.levels else "the checkpoint's training"
        task = depths.decided(task, job.levels or saved.levels, levels_by)
        if saved.dataset != job.dataset or job.class_name not in saved.classes:
            made_for = f"{saved.dataset}/{'+'.join(saved.classes)}"
            watch.note(f"Note: {saved.path} was trained on {made_for} and is scored on {job.dataset}/{job.class_name}.")
    else:
        (task,) = depths.decide([task], job.levels, source=job.levels_by)
    for line in (*task.remarks, *_other_reading(saved, task)):
        watch.note(line)
    return task


def _threshold(
    saved: Checkpoint, job: Job, detector: Detector, changes: Mapping[str, Any], watch: Watch
) -> Stored | None:
    """The threshold of the checkpoint for the class; None without one, or where it was suggested for other scores."""
    stored = saved.threshold_of(job.class_name)
    if stored and stored.score_scale != detector.score_scale:
        watch.note(
            f"Note: the threshold in {saved.path} is not used: it was suggested for scores of an older scale of "
            f"{job.method}. Train again for a new one."
        )
        return None
    return None if set(changes) - {"amp", "batch_size"} else stored


def _judged(stored: Stored | None, scores: TestScores, labels: NDArray[np.bool_]) -> Threshold | None:
    """What a threshold does on the images with ``labels``, the first ones of all; None without a threshold."""
    if stored is None:
        return None
    count, highest = len(labels), scores.highest_pixels()
    own = None if highest is None else highest[:count]
    return thresholds.judge_all(stored, labels, scores.image.numpy()[:count], own)


def _other_reading(saved: AnyCheckpoint, task: Task) -> list[str]:
    """A line where the images are read with other options than those that the checkpoint was trained on."""
    reading = Reading.of(task.options)
    if not isinstance(saved, Checkpoint) or reading is None or saved.dataset != task.dataset:
        return []
    trained = data_options.split(saved.data_options)[1]
    if not trained or reading.options == trained:
        return []
    return [
        f"Note: {saved.path} was trained on images read with {Reading(trained).text}. Read with other "
        "options, its training images may be among those that are scored."
    ]


def _verdict(sample: Sample, task: Task, score: float, threshold: float | None) -> Verdict:
    known = sample.is_labelled
    return Verdict(
        path=stored_text(relative_path(sample.path, task.root)),
        label=("defective" if sample.label else "good") if known else None,
        defect=sample.defect if known else None,
        score=score,
        verdict=None if threshold is None else "defective" if score > threshold else "good",
    )


def _protocol(saved: AnyCheckpoint, scored: Protocol) -> Protocol:
    """The protocol: how a checkpoint was trained and is scored now."""
    if not isinstance(saved, Checkpoint):
        return replace(scored, epoch_policy="the checkpoint's")
    scored = replace(scored, epoch_policy="the checkpoint's", validation=saved.validation)
    if saved.setting == "one-class":
        return scored
    classes = saved.classes if saved.setting == "multi-class" else ()
    return replace(scored, setting=saved.setting, shots=saved.shots, classes=classes)


def trained_on(saved: AnyCheckpoint, dataset: str, known: Sequence[str] = ()) -> str | None:
    """The classes of ``dataset`` in a checkpoint of adbench, as "a,b"; None for any other.

    It is also None where there is a single class now, and another one: the images are new.
    """
    if not isinstance(saved, Checkpoint) or saved.dataset != dataset:
        return None
    if len(known) == 1 and known[0] not in saved.classes:
        return None
    return ",".join(saved.classes)


def read_as(saved: AnyCheckpoint, dataset: Dataset) -> Dataset:
    """The data set, read as in a checkpoint's training, so that its training images are not among those to score.

    Options that the user changed count more. Another data set, and one whose reader has no such options now, is read
    as it is.

    Raises:
        UsageError: the ignore mask of the training is not on this machine, and the user gave none.
    """
    if not isinstance(saved, Checkpoint) or saved.dataset != dataset.name:
        return dataset
    changed = {**data_options.changes(dataset.options), **data_options.changes(dataset.marking)}
    ignored = None if IGNORE in changed else saved.data_options.get(IGNORE)
    if isinstance(ignored, str) and not Path(ignored).exists():
        raise UsageError(
            f"the ignore mask of the training of {saved.path}", found=f"nothing at {ignored}",
            hint="Say where it is now with --ignore-mask PATH",
        )  # fmt: skip
    try:
        return data_options.with_options(dataset, {**saved.data_options, **changed})
    except UsageError:
        return dataset
