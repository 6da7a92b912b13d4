"""Evaluates a stored run at another size, without training: its checkpoint scores the test images again.

The result is stored as a run of its own, under the name and with the numbers that training with that size would give.
Of earlier epochs there is no checkpoint. So metrics of pixels are known of the last epoch alone, in the epoch curve as
for the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..api.data import EvalSize, Task, size_text
from ..api.detector import Detector
from ..api.marking import Marking
from ..api.options import from_json
from ..api.scores import METRIC_NAMES, PIXEL_METRICS, Metrics, Threshold
from ..backbones.feature_cache import FeatureCache
from ..data.framing import Framing
from ..results.records import GIVEN, Best, EpochRecord, Protocol, Result
from ..results.run_files import folder_of, read_epochs, read_scores, read_threshold_scores
from ..results.store import RunFolder
from ..stats import thresholds
from ..stats.thresholds import Stored
from ..util import torch_files
from ..util.digests import Digests
from ..util.errors import CheckpointError, ResultError
from ..util.memory import MicroBatches
from . import summary
from .class_run import ClassRun
from .identity import ignored_digest, joint_digest
from .job import IGNORE, Job, run_name
from .places import named_in
from .reopen import Reopener, scores_differ
from .resolved import ResolvedClass, ResolvedJob, prepare
from .reuse import reads_others
from .session import Session
from .standing import Inspector, marking_of
from .watch import Watch


@dataclass(frozen=True)
class Evaluated:
    """The results of a model at another size, a class each; ``reused`` if they were stored already."""

    results: tuple[Result, ...]
    reused: bool = False


class _Through(Watch):
    """Hands notes and progress on."""

    def __init__(self, say: Callable[[str], None], show: Callable[[str, int, int], None]) -> None:
        self._say, self._show = say, show

    def note(self, message: str) -> None:
        """Hand a message on."""
        self._say(message)

    def stage(self, what: str, done: int, total: int) -> None:
        """Hand the progress on."""
        self._show(what, done, total)


def at_size(
    model: Sequence[Result],
    eval_size: EvalSize,
    *,
    results: Path,
    reopener: Reopener,
    inspector: Inspector,
    say: Callable[[str], None],
    show: Callable[[str, int, int], None],
    ignore_mask: str | None = None,
) -> Evaluated:
    """Score the test images of a run with its checkpoint, compare at another size, and store the result.

    Args:
        model: the results of one run: one, or those of the classes of a model of several.
        eval_size: the size at which maps and masks are compared; the input's size is as good as none.
        results: the folder of all results.
        reopener: finds the images and the detector.
        inspector: tells whether the run is stale.
        say: called with what the user should know.
        show: called with the progress, such as ("score", done, total).
        ignore_mask: where the run's ignore mask lies now; results have its content's digest alone.

    Raises:
        ResultError: the run is not one of the present images and code, its name can't be made from its record, or no
            metric of it depends on the size.
        AdbenchError: its images or its checkpoint are not at hand, or scoring failed.
    """
    first = model[0]
    _require_pixels(model)
    _require_ignored(first, ignore_mask)
    for each in model:
        standing = inspector.standing(each)
        if standing.state != "current":
            raise ResultError(
                f"run {first.run}", found=f"one that is {standing.state} ({standing.reason})",
                wanted="one of the present images and code", hint="Train it again, with --eval-size",
            )  # fmt: skip
    tasks = [reopener.task(each) for each in model]
    job = _job(first, results, reopener)
    if ignore_mask is not None:
        tasks = [task.marked(replace(task.marking, ignore_mask=ignore_mask)) for task in tasks]
        job = replace(job, data_options=(*job.data_options, (IGNORE, ignore_mask)))
    resolved = _resolved(first, job, tasks, eval_size)
    if resolved.is_finished():
        return Evaluated(tuple(each.folder.read_result() for each in resolved.classes), reused=True)
    watch = _Through(say, show)
    _require_readable(model, resolved, watch)
    detector = reopener.model(folder_of(results, first)).detector
    if detector.epoch != first.last_epoch:
        raise CheckpointError(
            f"checkpoint of run {first.run}", found=f"epoch {detector.epoch}", wanted=f"epoch {first.last_epoch}",
            hint="Compute the run again with --force",
        )  # fmt: skip
    detector.micro_batches.say = watch.note
    with resolved.folder.lock():
        _save_checkpoint(folder_of(results, first), resolved)
        for own, old in reversed(list(zip(resolved.classes, model, strict=True))):  # as after training
            _store(own, old, resolved, detector, results, watch)
    return Evaluated(tuple(each.folder.read_result() for each in resolved.classes))


def _require_pixels(model: Sequence[Result]) -> None:
    """Refuse a run of which no metric depends on the size. Raises ``ResultError``."""
    if all(getattr(each.metrics, name) is None for each in model for name in PIXEL_METRICS):
        raise ResultError(
            f"run {model[0].run}", found="no metric of pixels: the images have no masks, or the method makes no maps",
            wanted="one, as the size moves no other metric",
        )  # fmt: skip


def _require_ignored(result: Result, given: str | None) -> None:
    """Refuse another ignore mask than the run's, by its content. Raises ``ResultError``."""
    stored = result.protocol.ignore_mask
    found = ignored_digest(Marking(ignore_mask=given), Digests())
    if stored == found:
        return
    if given is None:
        raise ResultError(
            f"run {result.run}",
            found=f"an ignore mask ({stored}), whose place is not stored",
            hint="Give --ignore-mask",
        )
    raise ResultError(
        f"--ignore-mask {given}", found=f"content {found}",
        wanted=f"that of run {result.run}: {stored or 'no ignore mask'}",
        hint="Train it with another one" if stored else "Leave the option out, or train it with one",
    )  # fmt: skip


def _require_readable(model: Sequence[Result], resolved: ResolvedJob, watch: Watch) -> None:
    """Refuse a run that left out other images than would be left out now. Raises ``ResultError``."""
    if any(each.skipped for each in model) and reads_others(resolved, model, watch):
        raise ResultError(
            f"run {model[0].run}", found="other images that can be read now than then", wanted="the same",
            hint="Give the run's --max-megapixels, or train it again, with --eval-size",
        )  # fmt: skip


# ---------------------------------------------------------------- its name


def _job(result: Result, results: Path, reopener: Reopener) -> Job:
    """The job that a stored result came from, with its present images."""
    how = result.protocol
    method = reopener.registry.method(result.method)
    return Job(
        method=result.method,
        preset=result.preset,
        overrides=tuple(result.overrides.items()),
        options=from_json(method.options, result.options, owner=result.method),
        dataset=result.dataset,
        class_name="" if how.classes else result.class_name,
        classes=how.classes,
        data_root=reopener.root(result),
        seed=result.seed,
        device=str(reopener.device),
        eval_every=_eval_every(result),
        eval_size=how.mask_size if how.map_resampling else None,
        holdout=how.holdout,
        skip_bad=bool(result.skipped),
        results=results,
        command=result.command,
        setting=how.setting,
        shots=how.shots,
        test=how.test,
        levels=how.levels_given,
        levels_by=how.levels_by or GIVEN,
        segf1="rule" if how.segf1_target is None else "own",
        target_false_alarms=how.segf1_target,
        label=result.label,
        data_options=tuple(_marking(how).items()),
    )


def _marking(how: Protocol) -> dict[str, Any]:
    """What the run's masks count as defect, as its user gave it."""
    usual = {"mask_rule": "auto", "min_defect_area": 0}
    return {key: value for key, value in marking_of(how).items() if value != usual[key]}


def _eval_every(result: Result) -> int | None:
    """The user's ``--eval-every``; results of an older adbench have it in their command alone."""
    typed = named_in(result.command, "--eval-every")
    old = int(typed[-1]) if typed and typed[-1].isdigit() and result.data_root is None else None
    return old if result.eval_every is None else result.eval_every


def _resolved(result: Result, job: Job, tasks: Sequence[Task], eval_size: EvalSize) -> ResolvedJob:
    """Name the run at the new size. Raises ``ResultError`` where its present name can't be made in the same way."""
    assert result.identity is not None  # without one it is not current
    identity = result.identity
    if identity.classes:
        identity = replace(identity, data=joint_digest(identity.classes))
    name = run_name(job, identity, amp=result.protocol.precision, reading=result.protocol.reading)
    if name != result.run:
        raise ResultError(
            f"run {result.run}", found=f"a record that would give the name {name}",
            wanted="all that names it in its result.json", hint="Train it again, with --eval-size",
        )  # fmt: skip
    usual = Framing.of(job.options).compared(None) or job.options.size
    wanted = None if eval_size == usual else eval_size
    command = f"{job.command} --eval-size {size_text(eval_size)}"
    return prepare(replace(job, eval_size=wanted, command=command), tasks, identity)


# ---------------------------------------------------------------- its numbers


def _save_checkpoint(old: RunFolder, resolved: ResolvedJob) -> None:
    """Store the model with the name of its run and with the new size, at which ``adbench test`` compares."""
    saved = torch_files.load(old.checkpoint("last"))
    changed: dict[str, Any] = {"eval_size": resolved.job.eval_size}
    if "provenance" in saved:  # adbench 0.1 wrote none
        own = {"run": resolved.folder.run, "command": resolved.job.command}
        changed["provenance"] = {**saved["provenance"], **own}
    resolved.folder.save_checkpoint("last", {**saved, **changed})
    for each in resolved.classes[1:]:
        each.folder.take_checkpoints(resolved.folder)


def _store(
    own: ResolvedClass, old: Result, resolved: ResolvedJob, detector: Detector, results: Path, watch: Watch
) -> None:
    """Score one class, and store its result."""
    folder, cache = folder_of(results, old), FeatureCache(say=watch.note)
    session, scoring = Session(validation=old.protocol.validation), MicroBatches("scoring", watch.note)
    run = ClassRun(own, resolved, cache=cache, watch=watch)
    metrics = run.evaluate(detector, session, scoring=scoring, last=True)
    session.evaluated[detector.epoch] = {own.name: metrics}
    assert run.scores is not None
    scores = run.scores.image.numpy()
    if old.threshold is not None:
        found = _as_stored(old.threshold)
        run.threshold = thresholds.judge_all(found, run.ground_truth.labels, scores, run.highest_pixels)
    stored = np.array([each.score for each in read_scores(folder, old)])
    if remark := scores_differ(stored, scores, float(stored.std())):
        watch.note(f"{old.dataset}/{old.class_name}: {remark} Numbers of a training here may differ, too.")
    made = summary.summarize(
        resolved, run, old.method_package, detector, session, micro_batches=(detector.micro_batches, scoring),
        timing=old.timing,
    )  # fmt: skip
    curve = [_at_new_size(record, old, metrics) for record in read_epochs(folder, old)]
    used = read_threshold_scores(folder.path, old)
    own.folder.write_result(_with_training_of(made, old), run.image_scores(), curve, run.histograms, used)


def _as_stored(judged: Threshold) -> Stored:
    """A threshold without what it did on the test set."""
    pixel = None if judged.pixel is None else _as_stored(judged.pixel)
    return Stored(judged.value, judged.rule, promise=judged.promise, pixel=pixel)


def _with_training_of(made: Result, old: Result) -> Result:
    """A result scored now with all that the old one says of its training."""
    kept = {best.metric: best for best in old.oracle if best.metric not in PIXEL_METRICS}
    if old.evaluations == 1:  # the last epoch is the best one
        values = {name: getattr(made.metrics, name) for name in PIXEL_METRICS}
        kept |= {name: Best(name, value, made.last_epoch) for name, value in values.items() if value is not None}
    return replace(
        made,
        oracle=tuple(kept[name] for name in METRIC_NAMES if name in kept),
        evaluations=old.evaluations,
        environment=old.environment,
        peak_memory_bytes=old.peak_memory_bytes,
        parameters=old.parameters,
        passes=old.passes,
        evaluated_from=old.run,
    )


def _at_new_size(record: EpochRecord, old: Result, last: Metrics) -> EpochRecord:
    """A line of the epoch curve: without metrics of pixels, except for the last epoch."""
    if record.number == old.last_epoch:
        return replace(record, metrics=last)
    if record.metrics is None:
        return record
    return replace(record, metrics=replace(record.metrics, **dict.fromkeys(PIXEL_METRICS)))


def models_of(chosen: Sequence[Result], stored: Sequence[Result]) -> list[list[Result]]:
    """The runs that results belong to, each with the results of all classes of its model."""
    keys = dict.fromkeys((each.dataset, each.method, each.run) for each in chosen)
    return [[each for each in stored if (each.dataset, each.method, each.run) == key] for key in keys]
