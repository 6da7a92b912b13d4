"""Rebuilds the results of single classes of a multi-class model from its checkpoint, where they were removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..api.registry import Registry
from ..backbones.feature_cache import FeatureCache
from ..results.records import Best, Result
from ..results.run_files import read_epochs
from ..util.errors import CheckpointError, ResultError
from ..util.memory import MicroBatches
from . import checkpoint, summary
from .checkpoint import Checkpoint
from .class_run import ClassRun
from .job import ResolvedJob
from .session import Session
from .watch import Watch


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
    source, who = finished[0].folder, f"{resolved.job.method} {resolved.job.class_names}"
    gone = ", ".join(each.name for each in lost)
    try:
        kept = [each.folder.read_result() for each in finished]
        saved = checkpoint.read(source.checkpoint("last"))
        if not isinstance(saved, Checkpoint) or saved.epoch != kept[0].last_epoch:
            raise CheckpointError(f"checkpoint {saved.path}", found="another one than that of its result")
        epochs = read_epochs(source, kept[0])
        method = registry.method(resolved.job.method)
        detector = checkpoint.build(saved, method, resolved.options, resolved.context)
    except (CheckpointError, ResultError) as error:
        watch.note(f"{who}: the result of {gone} is gone. It can't be made again from the others' model: {error}")
        return False
    watch.note(
        f"{who}: the result of {gone} is gone. It is made again from the model of {finished[0].name}; its epoch curve "
        "and oracle have the last epoch alone."
    )
    detector.micro_batches.say = watch.note
    scoring = MicroBatches("scoring", watch.note)
    for each in reversed(lost):  # as after training: the first class's result is the last one
        session = Session([replace(record, metrics=None) for record in epochs], validation=saved.validation)
        run = ClassRun(
            each, resolved.options, resolved.device, eval_size=resolved.job.eval_size, skip_bad=resolved.job.skip_bad,
            cache=cache, watch=watch,
        )  # fmt: skip
        session.evaluated[saved.epoch] = {
            each.name: run.evaluate(detector, session, method=method.name, scoring=scoring, last=True)
        }
        run.suggest(detector, session, method=method.name, scoring=scoring)
        made = summary.summarize(
            resolved, run, kept[0].method_package, detector, session,
            micro_batches=(detector.micro_batches, scoring), timing=kept[0].timing,
        )  # fmt: skip
        each.folder.take_checkpoints(source)
        each.folder.write_result(
            _with_training_of(made, kept), run.image_scores(), session.records_of(each.name), run.histograms
        )
    return True


def _with_training_of(made: Result, kept: Sequence[Result]) -> Result:
    """A result scored now with what others of the same model say of its training.

    The epoch of an oracle is one for all classes. The value there is only known if that is the last epoch.
    """
    one = kept[0]
    epochs = {best.metric: best.epoch for each in kept for best in each.oracle}
    values = {name: getattr(made.metrics, name) for name, epoch in epochs.items() if epoch == made.last_epoch}
    oracle = tuple(Best(name, value, made.last_epoch) for name, value in values.items() if value is not None)
    return replace(
        made,
        oracle=oracle,
        evaluations=one.evaluations,
        environment=one.environment,
        peak_memory_bytes=one.peak_memory_bytes,
        passes=one.passes,
        finished=one.finished,
    )
