"""What a finished run says of itself: the ``Result`` that is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import torch

from . import devices, plugins, resized, store
from . import options as option_room
from .evaluation import TestScores
from .memory import Passes
from .pictures import Store
from .session import Session
from .types import (
    BackboneOptions,
    Detector,
    EvalSize,
    Method,
    Options,
    Protocol,
    Result,
    Threshold,
    Timing,
    relative_path,
)

if TYPE_CHECKING:
    from .engine import Bench


def summarize(
    bench: Bench,
    method: Method,
    detector: Detector,
    session: Session,
    *,
    train: Store,
    held_out: Store | None,
    test: Store,
    scores: TestScores,
    threshold: Threshold | None,
    passes: Sequence[Passes],
    timing: Timing,
) -> Result:
    """Put together everything needed to trust and to redo a run's numbers.

    Args:
        bench: what was asked for, as this machine resolved it.
        method: what was trained.
        detector: what came of it.
        session: evaluated at least once; its last metrics are the result's.
        train: the training images, without those held out.
        held_out: those, if there are any.
        test: the test pictures.
        scores: those of the last epoch.
        threshold: what was suggested, judged on the test set.
        passes: how training and scoring split their batches where memory was short.
        timing: the seconds of all sessions.
    """
    job, options, task = bench.job, bench.options, bench.task
    assert session.metrics is not None
    return Result(
        schema=store.SCHEMA,
        run=bench.folder.run,
        method=job.method,
        preset=job.preset,
        overrides=dict(job.overrides),
        options=option_room.to_json(options),
        dataset=job.dataset,
        class_name=job.class_name,
        synthetic=task.synthetic,
        fingerprint=bench.whole.fingerprint,
        content=hashlib.sha256((train.content + test.content).encode()).hexdigest(),
        train_images=len(train.samples),
        test_images=len(test.samples),
        skipped=tuple(
            f"{relative_path(problem.path, task.root)}: {problem.found}" for problem in (*train.skipped, *test.skipped)
        ),
        seed=job.seed,
        protocol=protocol(options, detector, scores, eval_size=job.eval_size, holdout=job.holdout),
        metrics=session.metrics,
        last_epoch=detector.epoch,
        oracle=tuple(session.best.values()),
        timing=timing,
        peak_memory_bytes=devices.peak_memory(bench.device),
        parameters=_parameters(detector),
        environment=devices.environment(bench.device, session.threads.most_used if session.threads else None),
        method_package=plugins.package_of(method),
        command=job.command,
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        passes={part.what: part.count for part in passes if part.count > 1},
        threshold=threshold,
        held_out_images=len(held_out.samples) if held_out else 0,
        tied_images=scores.tied,
        identity=bench.identity,
        evaluations=sum(record.metrics is not None for record in session.records),
    )


def protocol(
    options: Options,
    detector: Detector,
    scores: TestScores,
    *,
    eval_size: EvalSize | None,
    holdout: float = 0.0,
    epoch_policy: str = "last",
) -> Protocol:
    """Everything besides the method that moves a number; arguments as of ``Job`` and ``Protocol``."""
    return Protocol(
        size=options.size,
        resize=options.resize,
        picture_resampling="lanczos",
        mask_size=eval_size or options.size,
        mask_resampling="nearest",
        epoch_policy=epoch_policy,
        aupro_map="anomaly map" if scores.region_maps is None else "region map",
        backbone=options.backbone if isinstance(options, BackboneOptions) else None,
        backbone_weights=getattr(getattr(detector, "backbone", None), "weights_hash", None),
        precision=options.amp,
        map_resampling=resized.RESAMPLING if eval_size else None,
        holdout=holdout,
    )


def _parameters(detector: Detector) -> int:
    """Trainable parameters; the frozen backbone does not count."""
    modules = torch.nn.ModuleList(value for value in vars(detector).values() if isinstance(value, torch.nn.Module))
    return sum(parameter.numel() for parameter in modules.parameters() if parameter.requires_grad)
