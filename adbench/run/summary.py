"""Makes the ``Result`` of a finished run."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from ..api import options as options_module
from ..api.data import Task, relative_path
from ..api.detector import Detector
from ..api.marking import AUTO
from ..api.options import BackboneOptions, Options
from ..data.framing import Framing
from ..data.ground_truth import RESAMPLING
from ..data.numbered import OWN_PIXELS
from ..results.records import (
    FOUND,
    Environment,
    Protocol,
    Reading,
    Result,
    Timing,
    changes_by_content,
    setting_words,
    variant_name,
)
from ..results.result_file import SCHEMA
from ..util import devices
from ..util.memory import MicroBatches
from . import places
from .identity import IGNORED
from .provenance import Provenance
from .session import Session

if TYPE_CHECKING:
    from .class_run import ClassRun
    from .job import Job
    from .resolved import ResolvedJob


def summarize(
    resolved: ResolvedJob,
    run: ClassRun,
    package: str,
    detector: Detector,
    session: Session,
    *,
    micro_batches: Sequence[MicroBatches],
    timing: Timing,
) -> Result:
    """Put together the result of one class: everything needed to trust and to reproduce its numbers.

    Args:
        resolved: the resolved job.
        run: the class, scored after the last epoch.
        package: distribution and version of the method.
        detector: the trained detector.
        session: evaluated at least once; its last metrics are the result's.
        micro_batches: the splits of batches in training and scoring where memory was short.
        timing: the seconds of all sessions; for several classes, the share of this one.
    """
    job, options, own = resolved.job, resolved.options, run.own
    task, train, test = own.task, run.train.store, run.test.store
    assert run.scores is not None
    how = protocol(options, detector, job, task, run.scores.aupro_map, ignore_mask=own.identity.files.get(IGNORED))
    return Result(
        schema=SCHEMA,
        run=own.folder.run,
        method=job.method,
        preset=job.preset,
        overrides=dict(job.overrides),
        options=options_module.to_json(options),
        dataset=job.dataset,
        class_name=own.name,
        synthetic=task.synthetic,
        fingerprint=own.whole.fingerprint,
        content=hashlib.sha256((train.content + test.content).encode()).hexdigest(),
        train_images=len(train.samples),
        test_images=len(test.samples),
        skipped=tuple(
            f"{relative_path(problem.path, task.root)}: {problem.found}" for problem in (*train.skipped, *test.skipped)
        ),
        seed=job.seed,
        protocol=replace(how, validation=session.validation, segf1=run.segf1_rule, segf1_target=job.segf1_target),
        metrics=session.last_of(own.name),
        last_epoch=detector.epoch,
        oracle=session.best_of(own.name),
        timing=timing,
        peak_memory_bytes=devices.peak_memory(resolved.device),
        parameters=_parameters(detector),
        environment=environment(resolved.device, session.threads.most_used if session.threads else None),
        method_package=package,
        command=job.command,
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        passes={part.what: part.count for part in micro_batches if part.count > 1},
        threshold=run.threshold,
        held_out_images=len(run.good.store.samples) if own.held_out else 0,
        tied_images=run.scores.tied,
        identity=own.identity,
        evaluations=len(session.evaluated),
        shots=tuple(relative_path(sample.path, task.root) for sample in own.shots),
        label=job.label,
        data_root=places.data_root(job.data_root, job.results),
        eval_every=job.eval_every,
        undefined=run.undefined,
        segf1_threshold=run.segf1_threshold,
    )


def protocol(
    options: Options, detector: Detector, job: Job, task: Task, aupro_map: str = "", *, ignore_mask: str | None = None
) -> Protocol:
    """Everything that moves a number, except the method, when ``job`` is done with the images of ``task``.

    ``aupro_map`` is known after scoring, and ``ignore_mask`` is the digest in the job's identity.
    """
    return Protocol(
        size=options.size,
        resize=options.resize,
        picture_resampling=options.interpolation,
        mask_size=Framing.of(options).compared(job.eval_size) or options.size,
        mask_resampling="nearest",
        epoch_policy="last",
        aupro_map=aupro_map,
        backbone=options.backbone if isinstance(options, BackboneOptions) else None,
        backbone_weights=_backbone_weights(detector),
        precision=options.amp,
        map_resampling=RESAMPLING if job.eval_size else None,
        holdout=job.holdout,
        setting=job.setting,
        shots=job.shots,
        classes=job.classes if job.setting == "multi-class" else (),
        test=job.test,
        resize_to=options.resize_to,
        reading=Reading.of(task.options),
        regions=OWN_PIXELS,
        levels=task.levels,
        levels_by=None if task.levels is None else job.levels_by if job.levels else FOUND,
        tile=options.tile,
        overlap=options.overlap,
        mask_rule=None if task.marking.mask_rule == AUTO else task.marking.mask_rule,
        min_defect_area=task.marking.min_defect_area,
        ignore_mask=ignore_mask,
    )


def provenance(resolved: ResolvedJob, detector: Detector) -> Provenance:
    """What a checkpoint says of the run that made it."""
    here = environment(resolved.device)
    return Provenance(
        run=resolved.folder.run,
        command=resolved.job.command,
        data=resolved.identity.data,
        code=resolved.identity.code,
        numerics=resolved.identity.numerics,
        backbone_weights=_backbone_weights(detector),
        device=here.device_name,
        packages=here.packages,
    )


def variant(resolved: ResolvedJob, detector: Detector) -> str:
    """The name of a job's variant before there is a result, as ``Result.variant`` gives it later."""
    job = resolved.job
    changes = changes_by_content(dict(job.overrides), resolved.identity.files, _backbone_weights(detector))
    setting = setting_words(job.setting, job.shots, job.test, resolved.reading, job.levels)
    return variant_name(job.method, job.preset, changes, setting)


def _backbone_weights(detector: Detector) -> str | None:
    weights_hash: str | None = getattr(getattr(detector, "backbone", None), "weights_hash", None)
    return weights_hash


def _parameters(detector: Detector) -> int:
    """Number of trainable parameters; the frozen backbone doesn't count."""
    modules = torch.nn.ModuleList(value for value in vars(detector).values() if isinstance(value, torch.nn.Module))
    return sum(parameter.numel() for parameter in modules.parameters() if parameter.requires_grad)


_OTHERS = ("torch", "torchvision", "FrEIA", "numpy", "scikit-image", "pillow", "timm")

PACKAGES = {"adbench": "adbench-suite", **{name: name for name in _OTHERS}}
"""Packages whose versions are in a result, by the name of their distribution."""


def environment(device: torch.device, threads: int | None = None) -> Environment:
    """The machine and the packages of a result; ``threads`` is None for torch's present number."""
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
    """A value of the first core in Linux's list."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return None


@cache
def _version(package: str) -> str | None:
    """Version of a package, which stays the one that is imported; each reading parses its whole metadata."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
