"""What jobs will do, without doing it: which are done, and about what the others take in time and on the disk.

Times and sizes come from stored runs of the same method, preset and options in the same setting on the same device:
of the same class, or else of other classes, by the number of images. Where there is none, they are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from ..api.data import Setting
from ..api.registry import Registry
from ..api.scores import MAIN_METRICS
from ..results import store
from ..results.records import Result
from ..results.run_files import folder_of
from ..util import torch_files
from ..util.errors import PLUGIN_ERRORS, AdbenchError, ResultError
from . import calibrate
from .class_run import Opened, still_to_decode
from .disk_use import MapKind, bytes_beside
from .failures import foreseen
from .identity import Identifier
from .job import Job
from .resolved import ResolvedJob, prepare
from .standing import predecessor
from .summary import environment
from .tasks import look_up, tasks_of

State = Literal["done", "stale", "unfinished", "left", "can't run"]

Kind = tuple[str, str, str, str, Setting, int | None, str, str]
"""What runs have in common that take alike: method, preset, changes, size, setting, shots, device and its name."""


@dataclass(frozen=True)
class Forecast:
    """What a job will do.

    Attributes:
        job: the job.
        state: "done" is used again; "stale" is computed again, since other images or other code made it; "unfinished"
            goes on from a saved state.
        detail: why it is stale or can't run, or after which epoch it goes on; may be empty.
        run: the name of its run; empty if it can't run.
        seconds: about how long it will take; None if that is unknown.
        basis: the runs that the time comes from; empty if there are none.
        bytes: about what it will leave in the results; None if that is unknown.
        decoding: bytes of decoded images that the cache lacks, by the name of their store; jobs share stores.
        error: why it can't run.
    """

    job: Job
    state: State
    detail: str = ""
    run: str = ""
    seconds: float | None = None
    basis: str = ""
    bytes: int | None = None
    decoding: Mapping[str, int] | None = None
    error: AdbenchError | None = None


@dataclass(frozen=True)
class _PastRun:
    """A stored run: its classes, the images that it trained on and scored, and what it took."""

    dataset: str
    classes: tuple[str, ...]
    images: int
    seconds: float
    checkpoint: int | None


def forecasts(
    jobs: Sequence[Job],
    registry: Registry,
    *,
    maps: MapKind | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> list[Forecast]:
    """Look up what each job will do, in the order of the jobs.

    The content of images is read where it is not known yet, but no image is decoded, and nothing is built, trained or
    stored.

    Args:
        jobs: what would run.
        registry: finds methods and data sets.
        maps: which maps would be kept beside each result, if any.
        show: called with the task that is looked at.

    Raises:
        UsageError: what no job can do.
    """
    tasks = look_up(jobs, registry)
    identifier = Identifier(registry)
    past: dict[Path, dict[Kind, list[_PastRun]]] = {}
    stores: dict[Opened, tuple[str, int]] = {}
    found = []
    for job in jobs:
        show(f"looking at {job.title}")
        try:
            now = identifier.decided(job, tasks_of(job, tasks))
            resolved = prepare(job, now, identifier.of(job, now))
            calibrate.require(resolved)
            if job.results not in past:
                past[job.results] = _past_runs(job.results)
            decoding = still_to_decode(resolved, stores)
            found.append(_forecast(resolved, past[job.results], maps, decoding))
        except PLUGIN_ERRORS as error:
            why = foreseen(error, job.method)
            found.append(Forecast(job, "can't run", str(why), error=why))
    return found


def _forecast(
    resolved: ResolvedJob,
    past: Mapping[Kind, Sequence[_PastRun]],
    maps: MapKind | None,
    decoding: Mapping[str, int],
) -> Forecast:
    state, detail, share = _state(resolved)
    job, run = resolved.job, resolved.folder.run
    if state == "done":
        return Forecast(job, state, run=run, seconds=0.0, bytes=0, decoding={})
    similar, basis = _similar(resolved, past.get(_kind_of_job(resolved), ()))
    images = _images(resolved)
    seconds = fmean(each.seconds / each.images for each in similar) * images if similar else None
    if seconds is not None:
        trainings = calibrate.folds_of(resolved) if calibrate.crosses(resolved) else 1  # see calibrate.cost_text
        seconds *= share + trainings - 1
    sizes = [each.checkpoint for each in similar if each.checkpoint is not None]
    kept = 1 + len(MAIN_METRICS) if job.keep == "oracle" else 1
    size = kept * max(sizes) + bytes_beside(job, [each.task for each in resolved.classes], maps) if sizes else None
    return Forecast(job, state, detail, run, seconds, basis, size, decoding)


def _state(resolved: ResolvedJob) -> tuple[State, str, float]:
    """The state of a job, what there is to say of it, and the part of the training that is left."""
    if resolved.job.force:
        return "left", "--force computes it again" if resolved.is_finished() else "", 1.0
    if resolved.is_finished():
        if calibrate.is_promised(resolved):
            return "done", "", 0.0
        return "unfinished", "trained, but without the threshold", 0.0
    saved = _epochs_of_state(resolved.folder.path / store.STATE)
    if saved is not None:
        number, total = saved
        return "unfinished", f"goes on after epoch {number} of {total}", 1 - number / max(total, number, 1)
    stale = predecessor(resolved.job, resolved.identity)
    if stale is not None:
        return "stale", stale[1].reason, 1.0
    return "left", "", 1.0


def _epochs_of_state(path: Path) -> tuple[int, int] | None:
    """The last epoch in a saved state, and how many there will be; None if there is no state to go on from."""
    if not path.is_file():
        return None
    try:
        last = torch_files.read(path, mmap=True)["records"][-1]
        return int(last["number"]), int(last["total"])
    except (OSError, torch_files.UnreadableError, LookupError, TypeError, ValueError):  # the run would start again
        return None


def _images(resolved: ResolvedJob) -> int:
    return sum(len(each.task.train) + len(each.task.test) for each in resolved.classes)


# ---------------------------------------------------------------- stored runs


def _kind_of_job(resolved: ResolvedJob) -> Kind:
    job, here = resolved.job, environment(resolved.device, threads=1)
    return (job.method, job.preset, _text(dict(job.overrides)), _text(job.options.size), job.setting, job.shots,
            here.device, here.device_name)  # fmt: skip


def _kind_of_result(result: Result) -> Kind:
    how, made = result.protocol, result.environment
    return (result.method, result.preset, _text(result.overrides), _text(how.size), how.setting, how.shots,
            made.device, made.device_name)  # fmt: skip


def _text(value: Any) -> str:
    """Facts as text; lists of JSON and tuples are the same."""
    if isinstance(value, Mapping):
        return repr(sorted((key, _text(each)) for key, each in value.items()))
    return repr(list(value) if isinstance(value, (tuple, list)) else value)


def _past_runs(results: Path) -> dict[Kind, list[_PastRun]]:
    """What the stored runs took, by what such runs have in common; none if there are no results."""
    try:
        stored = store.read_all(results).results
    except ResultError:
        return {}
    models: dict[tuple[str, ...], list[Result]] = {}
    for result in stored:
        classes = result.protocol.classes or (result.class_name,)
        if result.evaluated_from is None:  # no training
            models.setdefault((result.dataset, result.method, result.run, *classes), []).append(result)
    found: dict[Kind, list[_PastRun]] = {}
    for (dataset, _, _, *names), parts in models.items():
        if len(parts) == len(names):
            found.setdefault(_kind_of_result(parts[0]), []).append(_of_model(results, dataset, names, parts))
    return found


def _of_model(results: Path, dataset: str, classes: Iterable[str], parts: Sequence[Result]) -> _PastRun:
    checkpoint = folder_of(results, parts[0]).checkpoint("last")
    return _PastRun(
        dataset,
        tuple(classes),
        max(1, sum(part.train_images + part.test_images for part in parts)),
        sum(part.timing.total for part in parts),
        checkpoint.stat().st_size if checkpoint.is_file() else None,
    )


def _similar(resolved: ResolvedJob, past: Sequence[_PastRun]) -> tuple[list[_PastRun], str]:
    """The stored runs from which to estimate, and what they are."""
    job = resolved.job
    same = [each for each in past if (each.dataset, each.classes) == (job.dataset, job.classes)]
    if same:
        return same, "same class"
    return list(past), "other classes" if past else ""
