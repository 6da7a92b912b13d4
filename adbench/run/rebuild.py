"""Rebuilds the results of single classes of a multi-class model from its checkpoint, where they were removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..api.detector import Detector
from ..api.registry import Registry
from ..backbones.feature_cache import FeatureCache
from ..results.records import Best, EpochRecord, Result
from ..results.run_files import read_epochs
from ..results.store import RunFolder
from ..util.errors import CheckpointError, ResultError
from ..util.memory import MicroBatches
from . import checkpoint, summary
from .checkpoint import Checkpoint
from .class_run import ClassRun
from .resolved import ResolvedClass, ResolvedJob
from .session import Session
from .watch import Watch


@dataclass(frozen=True, eq=False)
class _Model:
    """A trained model, and what the classes that kept their results say of its training.

    ``epochs`` is the epoch curve without metrics, which are those of single classes.
    """

    detector: Detector
    validation: float
    folder: RunFolder
    results: Sequence[Result]
    epochs: Sequence[EpochRecord]


def lost_results(resolved: ResolvedJob, registry: Registry, cache: FeatureCache, watch: Watch) -> bool:
    """Score the classes without a result with the model of the others, and store their results.

    Metrics, scores and thresholds are those of the trained model, as before. Of the class's epoch curve and oracle only
    the last epoch is known; all else about the training is taken from another class's result.

    Args:
        resolved: a job without a result of some of its classes.
        registry: finds its method.
        cache: keeps features.
        watch: called with the progress.

    Returns:
        Whether all results are there now. If not, no class has a result, the run can go on from a saved state, or the
        checkpoint can't be used.

    Raises:
        AdbenchError: images that can't be used, or scoring failed.
    """
    finished = [each for each in resolved.classes if each.folder.is_finished()]
    lost = [each for each in resolved.classes if not each.folder.is_finished()]
    if not finished or resolved.folder.checkpoint("state").exists():
        return False
    names = ", ".join(each.name for each in lost)
    gone = f"{resolved.job.method} {resolved.job.class_names}: the result of {names} is gone."
    try:
        model = _read_model(finished, resolved, registry)
    except (CheckpointError, ResultError) as error:
        watch.note(f"{gone} It can't be made again from the model of {finished[0].name}: {error}")
        return False
    watch.note(
        f"{gone} It is made again from the model of {finished[0].name}; its epoch curve and oracle have the last epoch "
        "alone."
    )
    model.detector.micro_batches.say = watch.note
    for each in reversed(lost):  # as after training: the first class's result is the last one
        _score(each, model, resolved, cache, watch)
    return True


def _read_model(finished: Sequence[ResolvedClass], resolved: ResolvedJob, registry: Registry) -> _Model:
    """Read the model from the first class that is there.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or not that of the results.
        ResultError: a result can't be read.
    """
    folder = finished[0].folder
    results = [each.folder.read_result() for each in finished]
    saved = checkpoint.read(folder.checkpoint("last"))
    if not isinstance(saved, Checkpoint) or saved.epoch != results[0].last_epoch:
        raise CheckpointError(f"checkpoint {saved.path}", found="another one than that of its result")
    epochs = [replace(record, metrics=None) for record in read_epochs(folder, results[0])]
    method = registry.method(resolved.job.method)
    context = registry.offering(resolved.context, resolved.options)
    detector = checkpoint.build(saved, method, resolved.options, context)
    return _Model(detector, saved.validation, folder, results, epochs)


def _score(own: ResolvedClass, model: _Model, resolved: ResolvedJob, cache: FeatureCache, watch: Watch) -> None:
    """Score one class, and store its result."""
    detector = model.detector
    session, scoring = Session(list(model.epochs), validation=model.validation), MicroBatches("scoring", watch.note)
    run = ClassRun(own, resolved, cache=cache, watch=watch)
    metrics = run.evaluate(detector, session, scoring=scoring, last=True)
    session.evaluated[detector.epoch] = {own.name: metrics}
    run.suggest(detector, session, scoring=scoring)
    made = summary.summarize(
        resolved, run, model.results[0].method_package, detector, session,
        micro_batches=(detector.micro_batches, scoring), timing=model.results[0].timing,
    )  # fmt: skip
    own.folder.take_checkpoints(model.folder)
    result = _with_training_of(made, model.results)
    own.folder.write_result(result, run.image_scores(), session.records_of(own.name), run.histograms, run.used_scores)


def _with_training_of(made: Result, kept: Sequence[Result]) -> Result:
    """A result scored now with what others of the same model say of its training.

    The epoch of an oracle is one for all classes. The value there is only known if that is the last epoch.
    """
    epochs = {best.metric: best.epoch for each in kept for best in each.oracle}
    values = {name: getattr(made.metrics, name) for name, epoch in epochs.items() if epoch == made.last_epoch}
    return replace(
        made,
        oracle=tuple(Best(name, value, made.last_epoch) for name, value in values.items() if value is not None),
        evaluations=kept[0].evaluations,
        environment=kept[0].environment,
        peak_memory_bytes=kept[0].peak_memory_bytes,
        passes=kept[0].passes,
        finished=kept[0].finished,
    )
