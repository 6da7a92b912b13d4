"""A job: one task to run, small and picklable; and the name of its run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..api.data import EvalSize, size_text
from ..api.options import Options
from ..results import serialization
from ..results.records import Identity

if TYPE_CHECKING:
    import torch


import torch

from ..api.data import Sample, Task
from ..data.splits import split
from ..results import store
from ..results.store import _digest, safe_name
from ..util import capacity, devices


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How tasks are run, whatever they are of.

    ``eval_size`` is where maps and masks are compared, None for the input's size; ``holdout`` the part of
    the training images that is kept from training, for the threshold. ``threads`` is how many torch computes
    with: a number, "auto" to find the fastest, or None for what torch has. ``keep`` says which checkpoints are
    kept: that of the last epoch, or those of the best epochs on the test set as well.
    """

    device: str = "auto"
    threads: int | Literal["auto"] | None = None
    eval_every: int | None = None
    eval_size: EvalSize | None = None
    holdout: float = 0.0
    keep: Literal["last", "oracle"] = "last"
    skip_bad: bool = False
    force: bool = False
    results: Path = Path("results")
    plugin_files: tuple[Path, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Job(RunSettings):
    """One task to run, small and picklable: names and numbers, nothing opened yet.

    ``options`` are final but for ``amp``, which the engine resolves on the machine that runs it.
    """

    method: str
    preset: str
    overrides: tuple[tuple[str, Any], ...]
    options: Options
    dataset: str
    class_name: str
    data_root: Path
    seed: int = 0


def run_name(job: Job, identity: Identity, *, amp: str) -> str:
    """Name a configuration, readable and with a digest: "cpu-seed0-1a2b3c4d".

    What can move a number counts, the oracle's by ``eval_every`` among them, and what the variant is called;
    where it ran (device, folders) does not. The name is the same in every process and on every platform.

    Args:
        job: the task to run.
        identity: the contents of the data, and of files that options name, wherever they lie; and the code.
        amp: the precision that ``job.options.amp`` was resolved to.
    """
    facts = {
        "method": job.method,
        "preset": job.preset,
        "changed": sorted(key for key, _ in job.overrides),
        "options": {**asdict(job.options), "amp": amp, **identity.files},
        "dataset": job.dataset,
        "class": job.class_name,
        "data": identity.data,
        "code": identity.code,
        "numerics": identity.numerics,
        "seed": job.seed,
    }
    if job.eval_every is not None:
        facts["eval_every"] = job.eval_every
    words = [safe_name(job.preset), f"seed{job.seed}"]
    if job.eval_size is not None:
        facts["eval_size"] = job.eval_size
        words.append(size_text(job.eval_size))
    if job.holdout:
        facts["holdout"] = job.holdout
        words.append(f"holdout{job.holdout:g}")
    return "-".join([*words, _digest(serialization.canonical(facts))])


@dataclass(frozen=True, eq=False)
class ResolvedJob:
    """A job with everything resolved on this machine, and where its result goes.

    ``task`` trains on what is left of the training images of the ``whole`` task without ``held_out``; ``identity`` is
    that of the whole.
    """

    job: Job
    task: Task
    options: Options
    device: torch.device
    folder: store.RunFolder
    whole: Task
    identity: Identity
    held_out: tuple[Sample, ...] = ()


def prepare(job: Job, task: Task, identity: Identity) -> ResolvedJob:
    """Resolve device and precision and name the run; nothing is opened or trained.

    Raises:
        UsageError: the device or the precision can't be had here, or sizes that need more memory than there is.
    """
    capacity.require_input(job.options.size, len(task.test))
    capacity.require_eval_size(job.eval_size)
    device = devices.resolve_device(job.device)
    options = replace(job.options, amp=devices.resolve_amp(job.options.amp, device))
    run = run_name(job, identity, amp=options.amp)
    folder = store.RunFolder(job.results, job.dataset, job.class_name, job.method, run)
    kept, held_out = split(task.train, job.holdout)
    return ResolvedJob(job, replace(task, train=kept), options, device, folder, task, identity, held_out)
