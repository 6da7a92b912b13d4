"""Runs the jobs of a command by an executor: prepares them, hears what the workers say, and collects the outcomes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.data import Task
from ..api.executor import LOCAL, Executor, ExecutorEnd, ExecutorEntry, ExecutorRequest, ExecutorTask
from ..api.requirements import importing, require_packages
from ..util import files, threads
from ..util.cache import prune
from ..util.errors import (
    PLUGIN_ERRORS,
    AdbenchError,
    OptionError,
    TaskError,
    UnknownNameError,
    UsageError,
    described,
)
from . import bundle, parcel
from .disk_use import DiskUse, MapKind
from .failures import foreseen
from .job import Job
from .plan import Outcome, Preparation, trackers_of
from .tasks import look_up, tasks_of
from .watch import Board, Watch

if TYPE_CHECKING:
    from ..api.registry import Registry

STORE = "executor"
"""Folder in that of the results for files of executors, which goes when a command ends."""

INHERITED = ("ADBENCH_", "OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "THP_MEM_", "PYTORCH_", "CUBLAS_")
"""Beginnings of the names of variables that workers get from the command: they may move a number or name a folder."""


@dataclass(frozen=True)
class Where:
    """Where a command's jobs are to run, as the user says it.

    Attributes:
        executor: name of the executor.
        workers: how many jobs run at once.
        address: of a cluster.
        gpus_per_job: 1, or a fraction.
        options: of the executor.
    """

    executor: str = LOCAL
    workers: int | None = None
    address: str = ""
    gpus_per_job: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether the jobs run in the process of the command."""
        return self.executor == LOCAL

    def check(self, registry: Registry) -> None:
        """Refuse what the executor has no use for.

        Raises:
            UsageError: an executor that is not known, a package that is missing, or an option that doesn't fit.
        """
        given = {
            "--workers": self.workers is not None,
            "--address": bool(self.address),
            "--gpus-per-job": self.gpus_per_job is not None,
        }
        entry = None if self.is_local else registry.executor(self.executor)
        for flag in (flag for flag, is_given in given.items() if is_given):
            if entry is None or flag not in entry.takes:
                takers = [f"--executor {each.name}" for each in registry.executors.values() if flag in each.takes]
                raise OptionError(flag, found=f"--executor {self.executor}", wanted=" or ".join(takers))
        known = {} if entry is None else entry.options
        for key in self.options:
            if key not in known:
                raise UnknownNameError(f"option of the executor {self.executor}", key, known)
        if self.gpus_per_job is not None and not 0 < self.gpus_per_job <= 1:
            hint = "A job has one GPU: training over several is not supported"
            raise OptionError("--gpus-per-job", found=f"{self.gpus_per_job:g}", wanted="1, or a share", hint=hint)
        if entry is not None:
            require_packages(f"--executor {entry.name}", entry.packages)


def run_on(
    where: Where,
    jobs: Sequence[Job],
    registry: Registry,
    *,
    board: Board | None = None,
    maps: MapKind | None = None,
) -> Generator[Outcome, None, None]:
    """Run jobs by an executor; a failing one doesn't stop the others. The outcomes come as the jobs end.

    If the generator is closed or Ctrl-C comes, the workers are stopped, and keep what is done.

    Args:
        where: the executor and its settings; it is not the local one.
        jobs: what to run.
        registry: finds methods, data sets and the executor.
        board: called with the progress.
        maps: which maps the caller will keep beside each result, if any: their size is announced.

    Raises:
        UsageError: what no job can do, what the executor can't do, or a machine that lacks plugins or data.
    """
    where.check(registry)
    entry = registry.executor(where.executor)
    for tracker in trackers_of(jobs, registry):
        require_packages(f"--track {tracker.name}", tracker.packages)
    for job in jobs:
        if ":" in job.device:
            hint = "Set CUDA_VISIBLE_DEVICES to choose among GPUs"
            found = f"--executor {where.executor}"
            raise OptionError(f"--device {job.device}", found=found, wanted="auto, cuda or cpu", hint=hint)
    board = board or Board()
    with _made(entry, _request(where, jobs, board)) as executor:
        work = _Dispatch(executor, board, registry, maps)
        yield from work.prepare(jobs)
        yield from work.run()
    prune()


def _request(where: Where, jobs: Sequence[Job], watch: Watch) -> ExecutorRequest:
    """What the executor must know."""
    wants_gpu = any(job.device != "cpu" for job in jobs)
    return ExecutorRequest(
        tasks=len(jobs),
        cores=threads.this_machine().cores,
        gpus=gpus_here() if wants_gpu else 0,
        wants_gpu=wants_gpu,
        workers=where.workers,
        address=where.address,
        gpus_per_job=where.gpus_per_job,
        options=where.options,
        store=(jobs[0].results / STORE).absolute(),
        say=watch.note,
    )


def gpus_here() -> int:
    """Number of CUDA devices that this process sees; it opens none."""
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


@contextmanager
def _made(entry: ExecutorEntry, request: ExecutorRequest) -> Iterator[Executor]:
    """Make an executor, and close it.

    Raises:
        UsageError: its library can't be used, or it refuses the request.
    """
    name = f"--executor {entry.name}"
    try:
        with importing(name, entry.packages):
            executor = entry.make(request)
    except AdbenchError:
        raise
    except PLUGIN_ERRORS as error:
        raise UsageError(f"{name} can't start", found=described(error)) from error
    try:
        yield executor
    finally:
        executor.close()
        with suppress(OSError):  # files that an executor leaves for the user
            request.store.rmdir()


class _Dispatch:
    """The jobs of one command on their way to an executor and back."""

    def __init__(self, executor: Executor, board: Board, registry: Registry, maps: MapKind | None) -> None:
        self._executor, self._board, self._registry, self._maps = executor, board, registry, maps
        self._jobs: list[Job] = []
        self._sizes: DiskUse | None = None
        self._watches: dict[int, Watch] = {}

    # -- before

    def prepare(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield the jobs that are done or can't run; remember the others, with the number of threads for each."""
        ready: list[tuple[Job, Sequence[Task]]] = []
        if self._executor.same_machine:
            preparation = Preparation(jobs, self._registry, self._board)
            yield from preparation.outcomes()
            ready = [(each.job, each.whole) for each in preparation.ready]
        else:
            found = look_up(jobs, self._registry)
            for job in jobs:
                try:
                    ready.append((job, tasks_of(job, found)))
                except AdbenchError as error:
                    yield Outcome(job, error=foreseen(error, job.method))
        self._sizes = DiskUse(ready, self._board.note, maps=self._maps)
        self._jobs = [job for job, _ in ready]

    def _with_threads(self, job: Job) -> Job:
        """The job with the number of threads that it has here, or its share of the cores."""
        if job.threads == "auto":
            return replace(job, threads=self._executor.threads or "auto")
        if job.threads is None:  # torch's own number, which another process may not have
            import torch

            return replace(job, threads=torch.get_num_threads())
        return job

    # -- the work

    def run(self) -> Iterator[Outcome]:
        """Send the remembered jobs to the workers, and yield what becomes of each."""
        self._board.expect(len(self._jobs))
        if not self._jobs:
            return
        with _token(self._jobs[0].results) as token:
            shared = self._inspect(token)
            tasks = [self._task(number, job, token, shared) for number, job in enumerate(self._jobs)]
            left = set(range(len(tasks)))
            with closing(self._executor.run(tasks, self._hear)) as ends:
                for end in ends:
                    left.discard(end.number)
                    yield self._outcome(end)
            for number in sorted(left):
                yield self._outcome(ExecutorEnd(number, lost="the executor ended without it"))

    def _task(self, number: int, job: Job, token: Path, shared: bool) -> ExecutorTask:
        known = () if shared else bundle.finished_runs(job)
        return self._packed(number, job.title, parcel.Work(self._with_threads(job), token, known))

    def _packed(self, number: int, title: str, work: parcel.Work | parcel.Inspection) -> ExecutorTask:
        payload = pickle.dumps(parcel.wrap(work, self._jobs[0].plugin_files, self._registry))
        environment = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
        return ExecutorTask(number, title, payload, environment)

    def _inspect(self, token: Path) -> bool:
        """Check each other machine; return whether all of them see the command's folder of results.

        Raises:
            UsageError: plugins or data are missing on a machine, or results can't be shared as trackers need it.
        """
        task = self._packed(-1, "the check of a machine", parcel.Inspection(tuple(self._jobs), token))
        problems: dict[str, list[str]] = {}
        apart = []
        for name, value in self._executor.check(task):
            place = pickle.loads(value)
            for problem in place.problems:
                problems.setdefault(problem, []).append(name)
            apart += [] if place.is_shared else [name]
        if problems:
            text = "; ".join(f"{problem} (on {', '.join(names)})" for problem, names in problems.items())
            hint = "Copy it there, or use folders that all machines share"
            raise UsageError("machines that can't run these jobs", found=text, hint=hint)
        if apart and any(job.track for job in self._jobs):
            raise UsageError(
                "--track", found=f"machines that don't see {self._jobs[0].results}: {', '.join(apart)}",
                wanted="results in a folder that all machines share",
            )  # fmt: skip
        if apart:
            self._board.note(f"{', '.join(apart)}: no shared {self._jobs[0].results}; results are sent back.")
        return not apart

    # -- what comes back

    def _hear(self, number: int, message: bytes) -> None:
        """Show what a worker says."""
        event = pickle.loads(message)
        assert isinstance(event, parcel.Event)
        job, watch = self._jobs[number], self._watches.get(number)
        if event.name == "began":
            if watch is not None:
                host, process = event.arguments
                self._board.note(f"{job.title}: its worker is gone; started again in process {process} on {host}")
                watch.stop()
            self._watches[number] = self._board.of(job)
        elif event.name == "note":
            self._board.note(str(event.arguments[0]))
        elif event.name == "disk":
            variant, checkpoint = event.arguments
            if self._sizes is not None and isinstance(checkpoint, int):
                self._sizes.announce(job, str(variant), checkpoint)
        elif watch is not None:
            getattr(watch, event.name)(*event.arguments)

    def _outcome(self, end: ExecutorEnd) -> Outcome:
        """What became of a job."""
        job, watch = self._jobs[end.number], self._watches.pop(end.number, None)
        if watch is not None:
            watch.stop()
        self._board.ended()
        if end.value is not None:
            try:
                return parcel.outcome_of(end.value, job)
            except PLUGIN_ERRORS as error:
                return Outcome(job, error=foreseen(error, job.method))
        hint = "Often memory ran out: use fewer --workers. The same command goes on from here"
        return Outcome(job, error=TaskError(f"{job.title} was lost", found=end.lost, hint=hint))


@contextmanager
def _token(results: Path) -> Iterator[Path]:
    """A folder in that of the results, by which workers know whether they see it. Those of killed commands go."""
    store = (results / STORE).absolute()
    files.sweep(store)
    with files.new_folder(store / "token") as token:
        yield token
