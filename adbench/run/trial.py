"""``adbench test``: score the test images with a checkpoint; nothing is trained or stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..api import options as options_module
from ..api.method import Method
from ..api.options import Options
from ..api.registry import Registry
from ..api.scores import Metrics, Threshold
from ..backbones.feature_cache import FeatureCache
from ..data.ground_truth import open_ground_truth
from ..data.image_store import problem_error
from ..results.records import Protocol
from ..stats import thresholds
from ..util import capacity, devices, torch_files
from ..util.errors import CheckpointError
from .class_run import open_images
from .evaluate import score_all
from .job import Job, build_context, saved_context
from .summary import protocol
from .watch import Watch


@dataclass(frozen=True)
class Trial:
    """What a checkpoint scored on one class; ``epoch`` and ``threshold`` are None where it doesn't say.

    Of the ``test_images``, ``tied_images`` share their score with another one.
    There is no threshold either where the user changed what scores depend on.
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


def run(
    job: Job,
    registry: Registry,
    checkpoint: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Trial:
    """Score the test images of one class with a checkpoint of adbench or of the method's authors.

    adbench's own checkpoints carry their options and the size at which maps are compared; for the authors'
    those of ``job`` count, and what such a checkpoint lacks (``Detector.calibrate``) is found on the training images.

    Args:
        job: the class to score, and the method.
        registry: where the method and the data set are found.
        checkpoint: the file.
        changes: options that the user gave; they count more than those in the checkpoint.
        watch: hears of the progress.

    Raises:
        CheckpointError: the file is missing, unreadable, or does not fit the method.
    """
    watch = watch or Watch()
    method = registry.method(job.method)
    device = devices.resolve_device(job.device)
    saved = torch_files.load(checkpoint, device)
    ours = "adbench_checkpoint" in saved
    options = _saved_options(saved, method, changes or {}, checkpoint) if ours else job.options
    options = replace(options, amp=devices.resolve_amp(options.amp, device))
    task = registry.dataset(job.dataset).load(job.data_root, job.class_name).with_test(job.test)
    if ours and (saved["dataset"] != job.dataset or job.class_name not in _classes(saved)):
        made_for = f"{saved['dataset']}/{'+'.join(_classes(saved))}"
        watch.note(f"Note: {checkpoint} was trained on {made_for} and is scored on {job.dataset}/{job.class_name}.")

    if ours:
        job = _as_saved(job, saved)
    eval_size = job.eval_size
    capacity.require_input(options.size, len(task.test))
    capacity.require_eval_size(eval_size)
    if task.problems and not job.skip_bad:
        raise problem_error(task.problems)
    cache = FeatureCache(say=watch.note)
    test = open_images(task, "test", options, device, skip_bad=job.skip_bad, cache=cache, watch=watch)
    devices.seed_everything(job.seed)
    given = dict(job.auxiliary)
    context = saved_context(saved, device, given) if ours else build_context(job, device, train_images=len(task.train))
    detector = method.make(options, context)
    detector.load_state_dict(saved["state"] if ours else saved)
    if not ours:
        train = open_images(task, "train", options, device, skip_bad=job.skip_bad, cache=cache, watch=watch)
        train.prefetch_with(test)
        with torch.no_grad():
            detector.calibrate(train)
    scores = score_all(detector, test, name=method.name, watch=watch.stage)
    ground_truth = open_ground_truth(test.store, size=options.size, resize=options.resize, eval_size=eval_size)
    same_scores = ours and not set(changes or ()) - {"amp", "batch_size"}
    own = saved.get("class_thresholds", {}).get(job.class_name, saved)
    stored = thresholds.from_checkpoint(own, detector.score_scale) if same_scores else None
    verdict = thresholds.judge(stored.value, stored.rule, ground_truth.labels, scores.image.numpy()) if stored else None
    if ours and thresholds.has_old_scale(own, detector.score_scale):
        watch.note(
            f"Note: the threshold in {checkpoint} is not used: it was suggested for scores of an older scale of "
            f"{method.name}. Train again for a new one."
        )
    epoch = saved.get("epoch")
    return Trial(
        method=method.name,
        dataset=job.dataset,
        class_name=job.class_name,
        synthetic=task.synthetic,
        checkpoint=str(checkpoint),
        epoch=epoch if isinstance(epoch, int) else None,
        metrics=scores.evaluate(ground_truth),
        protocol=_protocol(saved, ours, protocol(options, detector, scores, job)),
        threshold=verdict,
        test_images=len(ground_truth.labels),
        tied_images=scores.tied,
    )


def _as_saved(job: Job, saved: Mapping[str, Any]) -> Job:
    """The job with what a checkpoint of adbench says of its training and of how its maps are compared.

    Lists, as other writers may leave them, become sizes.
    """
    found = saved.get("eval_size")
    return replace(job, eval_size=tuple(found) if isinstance(found, list) else found, holdout=saved.get("holdout", 0.0))


def _protocol(saved: Mapping[str, Any], ours: bool, scored: Protocol) -> Protocol:
    """How a checkpoint was trained and is scored now."""
    scored = replace(scored, epoch_policy="the checkpoint's", validation=saved.get("validation", 0.0) if ours else 0.0)
    if not ours or saved.get("setting", "one-class") == "one-class":
        return scored
    classes = tuple(_classes(saved)) if saved["setting"] == "multi-class" else ()
    return replace(scored, setting=saved["setting"], shots=saved.get("shots"), classes=classes)


def _classes(saved: Mapping[str, Any]) -> list[str]:
    """The classes that a checkpoint of adbench was trained on."""
    return list(saved.get("classes") or [saved["class"]])


def trained_on(checkpoint: Path, dataset: str) -> str | None:
    """The classes of ``dataset`` that one of adbench's own checkpoints is of, as "a,b"; None for any other.

    Raises:
        CheckpointError: the file is missing or unreadable.
    """
    saved = torch_files.load(checkpoint, "meta")
    return ",".join(_classes(saved)) if "adbench_checkpoint" in saved and saved["dataset"] == dataset else None


def _saved_options(saved: dict[str, Any], method: Method, changes: Mapping[str, Any], checkpoint: Path) -> Options:
    """The options that the checkpoint was trained with, but for what the user changed now."""
    if saved["method"] != method.name:
        raise CheckpointError(
            f"checkpoint {checkpoint}", found=f"method '{saved['method']}'", wanted=f"'{method.name}'",
            hint=f"Use --method {saved['method']}",
        )  # fmt: skip
    trained = options_module.from_json(method.options, saved["options"], owner=method.name)
    options = replace(trained, **changes)
    options_module.check(options, owner=method.name)
    return options
