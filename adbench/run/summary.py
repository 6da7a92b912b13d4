"""What a finished run says of itself: the ``Result`` that is stored."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from ..api import options as options_module
from ..api.data import EvalSize, relative_path
from ..api.detector import Detector
from ..api.options import BackboneOptions, Options
from ..api.scores import Threshold
from ..data.ground_truth import RESAMPLING
from ..data.image_store import Store
from ..results import store
from ..results.records import Environment, Protocol, Result, Timing
from ..util import devices
from ..util.memory import MicroBatches
from .evaluate import TestScores
from .session import Session

if TYPE_CHECKING:
    from .job import ResolvedJob


def summarize(
    resolved: ResolvedJob,
    package: str,
    detector: Detector,
    session: Session,
    *,
    train: Store,
    held_out: Store | None,
    test: Store,
    scores: TestScores,
    threshold: Threshold | None,
    micro_batches: Sequence[MicroBatches],
    timing: Timing,
) -> Result:
    """Put together everything needed to trust and to redo a run's numbers.

    Args:
        resolved: what was asked for, as this machine resolved it.
        package: what the method came with.
        detector: what came of it.
        session: evaluated at least once; its last metrics are the result's.
        train: the training images, without those held out.
        held_out: those, if there are any.
        test: the test images.
        scores: those of the last epoch.
        threshold: what was suggested, judged on the test set.
        micro_batches: how training and scoring split their batches where memory was short.
        timing: the seconds of all sessions.
    """
    job, options, task = resolved.job, resolved.options, resolved.task
    assert session.metrics is not None
    return Result(
        schema=store.SCHEMA,
        run=resolved.folder.run,
        method=job.method,
        preset=job.preset,
        overrides=dict(job.overrides),
        options=options_module.to_json(options),
        dataset=job.dataset,
        class_name=job.class_name,
        synthetic=task.synthetic,
        fingerprint=resolved.whole.fingerprint,
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
        peak_memory_bytes=devices.peak_memory(resolved.device),
        parameters=_parameters(detector),
        environment=environment(resolved.device, session.threads.most_used if session.threads else None),
        method_package=package,
        command=job.command,
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        passes={part.what: part.count for part in micro_batches if part.count > 1},
        threshold=threshold,
        held_out_images=len(held_out.samples) if held_out else 0,
        tied_images=scores.tied,
        identity=resolved.identity,
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
        map_resampling=RESAMPLING if eval_size else None,
        holdout=holdout,
    )


def _parameters(detector: Detector) -> int:
    """Trainable parameters; the frozen backbone does not count."""
    modules = torch.nn.ModuleList(value for value in vars(detector).values() if isinstance(value, torch.nn.Module))
    return sum(parameter.numel() for parameter in modules.parameters() if parameter.requires_grad)


_OTHERS = ("torch", "torchvision", "FrEIA", "numpy", "scikit-image", "pillow", "timm")

PACKAGES = {"adbench": "adbench-suite", **{name: name for name in _OTHERS}}
"""What a result says the version of, with the name of its distribution."""


def environment(device: torch.device, threads: int | None = None) -> Environment:
    """What a result says of the machine and the packages; ``threads`` is None for the number that torch has now."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return Environment(
        device=str(device),
        device_name=name,
        platform=platform.platform(),
        python=platform.python_version(),
        threads=threads or torch.get_num_threads(),
        packages={name: found for name, package in PACKAGES.items() if (found := _version(package))},
        cuda=torch.version.cuda if device.type == "cuda" else None,
    )


def _cpu_name() -> str:
    name = _cpu_info("model name") or platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _cpu_info(key: str) -> str | None:
    """What Linux says of the first core."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
