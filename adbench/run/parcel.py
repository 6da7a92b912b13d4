"""A job on its way to a worker process and back: what travels, what the worker says meanwhile, and what returns.

What returns holds the outcome. Where a worker doesn't see the command's folder of results, it also holds the files of
its runs. Options and errors of a plugin's own types can be unpickled only after the plugin is loaded, so what travels
is pickled twice.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from ..api import registry as plugins
from ..api import requirements
from ..results.run_files import folder_of
from ..util import threads
from ..util.errors import AuxiliaryError, DataError, PluginError, TaskError, UsageError, described, first_line
from . import bundle, plan
from .identity import Identifier, file_code_digest
from .job import Job
from .resolved import prepare
from .tasks import load_tasks, tasks_of
from .watch import Watch

if TYPE_CHECKING:
    from ..api.executor import Send
    from ..api.registry import Registry
    from ..results.records import EpochRecord

Said = Literal["began", "stage", "announce", "step", "epoch", "note", "disk"]

TOLD_EVERY = 0.25
"""Seconds between two messages about the progress within an epoch or a stage."""


@dataclass(frozen=True)
class Event:
    """What a worker says: the name of a method of ``Watch`` with its arguments, or one of two more.

    ("began", host, process number) is the first of a job. ("disk", variant, bytes of a checkpoint) precedes training.
    """

    name: Said
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class Ended:
    """What comes back: the outcome, the traceback of an error, and the files of the runs if the command can't see them.

    ``known`` is the name of a run that the command has already; then nothing was computed.
    """

    outcome: plan.Outcome
    trace: str = ""
    files: bytes = b""
    known: str = ""


@dataclass(frozen=True)
class Place:
    """The machine of a worker: its name, whether it sees the command's results, and what is wrong there."""

    host: str
    is_shared: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parcel:
    """Work that travels: the plugins that must be loaded first, and what they are needed for.

    Attributes:
        folder: in which the command runs, from which relative paths count.
        plugin_files: those of ``--plugin``.
        digests: of the code of each file.
        body: a pickled ``Work`` or ``Inspection``.
    """

    folder: Path
    plugin_files: tuple[Path, ...]
    digests: tuple[str, ...]
    body: bytes

    def __call__(self, send: Send) -> bytes:
        """Do the work in this process, and return a pickled ``Ended`` or ``Place``."""
        if self.folder.is_dir():
            os.chdir(self.folder)
        problems = self._problems()
        if problems:
            return pickle.dumps(Place(socket.gethostname(), False, tuple(problems)))
        registry = _registry(self.plugin_files)
        work: Work | Inspection = pickle.loads(self.body)
        return pickle.dumps(work(registry, send))

    def _problems(self) -> list[str]:
        """What is wrong with the plugin files on this machine."""
        found = []
        for path, digest in zip(self.plugin_files, self.digests, strict=True):
            if not path.is_file():
                found.append(f"no plugin file {path}")
            elif file_code_digest(path) != digest:
                found.append(f"another plugin file {path} than that of the command")
        return found


_registries: dict[tuple[Path, ...], Registry] = {}
"""The plugins of this process: loading a file again would make other classes of the same names."""


def _registry(plugin_files: tuple[Path, ...]) -> Registry:
    if plugin_files not in _registries:
        _registries[plugin_files] = plugins.load(plugin_files)
    return _registries[plugin_files]


def wrap(body: Work | Inspection, plugin_files: Sequence[Path], registry: Registry) -> Parcel:
    """Pack work for a worker; ``registry`` has the plugins of this process, in case that it is the worker."""
    _registries[tuple(plugin_files)] = registry
    digests = tuple(file_code_digest(path) for path in plugin_files)
    return Parcel(Path.cwd(), tuple(plugin_files), digests, pickle.dumps(body))


# ---------------------------------------------------------------- the checks of a machine


@dataclass(frozen=True)
class Inspection:
    """Looks for what jobs need on a machine: the classes of their data sets, and auxiliary data."""

    jobs: tuple[Job, ...]
    token: Path

    def __call__(self, registry: Registry, send: Send) -> Place:
        """Return what was found."""
        places = {(job.dataset, job.data_root, job.classes, job.data_options) for job in self.jobs}
        problems = [text for place in sorted(places, key=repr) if (text := _data_problem(registry, *place))]
        for path in dict.fromkeys(path for job in self.jobs for _, path in job.auxiliary):
            if not path.exists():
                problems.append(f"no auxiliary data at {path}")
        problems += [] if problems else _auxiliary_problems(registry, self.jobs)
        return Place(socket.gethostname(), self.token.is_dir(), tuple(dict.fromkeys(problems)))


def _auxiliary_problems(registry: Registry, jobs: Sequence[Job]) -> Iterator[str]:
    for job in jobs:
        try:
            requirements.examine(registry.method(job.method).requirements, job.options, dict(job.auxiliary))
        except AuxiliaryError as error:
            yield str(error)


def _data_problem(
    registry: Registry, dataset: str, root: Path, classes: tuple[str, ...], options: tuple[tuple[str, object], ...]
) -> str:
    reader = registry.reader(dataset, dict(options))
    if reader.needs_root and not root.exists():
        return f"no data root {root}"
    try:
        missing = set(classes) - set(reader.classes(root))
    except UsageError as error:
        return str(error)
    return f"no class {min(missing)} of {dataset} at {root}" if missing else ""


# ---------------------------------------------------------------- the work


@dataclass(frozen=True)
class Work:
    """A job for a worker.

    Attributes:
        job: the job.
        token: a folder in that of the command's results, by which a worker knows that it sees this folder.
        known: names of the job's runs that the command has, in case that the worker doesn't see them.
    """

    job: Job
    token: Path
    known: tuple[str, ...] = ()

    def __call__(self, registry: Registry, send: Send) -> Ended:
        """Run the job, and tell the command of its progress."""
        telling = _Telling(send)
        telling.tell("began", socket.gethostname(), os.getpid())
        shared = self.token.is_dir()
        with threads.using(self.job.threads), _warnings_told(telling):
            if not shared and (name := self._known_run(registry, telling)):
                return Ended(plan.Outcome(self.job, reused=True), known=name)
            try:
                (outcome,) = plan.run_here([self.job], registry, watch=telling, announce=telling.disk)
            except UsageError as error:  # a whole command would end by it
                outcome = plan.Outcome(self.job, error=error)
        trace = "" if outcome.error is None else "".join(traceback.format_exception(outcome.error))
        folders = [folder_of(self.job.results, result).path for result in outcome.results]
        files = b"" if shared or not folders else bundle.pack(folders, self.job.results)
        return Ended(outcome, trace, files)

    def _known_run(self, registry: Registry, watch: Watch) -> str:
        """The name of the job's run if the command has it; empty if not, or if that can't be found out."""
        if not self.known or self.job.force:
            return ""
        try:
            identifier = Identifier(registry)
            tasks = identifier.decided(self.job, tasks_of(self.job, load_tasks([self.job], registry)))
            identity = identifier.of(self.job, tasks, watch.stage)
            name = prepare(self.job, tasks, identity).folder.path.name
        except UsageError:  # running it says the same
            return ""
        return name if name in self.known else ""


@contextmanager
def _warnings_told(watch: Watch) -> Iterator[None]:
    """Make notes of Python's warnings, which the command shows once, and not once for each worker."""

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        watch.note(f"Warning: {category.__name__}: {message}")

    before, warnings.showwarning = warnings.showwarning, tell
    try:
        yield
    finally:
        warnings.showwarning = before


class _Telling(Watch):
    """Sends the progress to the command; of what comes often, only some."""

    def __init__(self, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._send, self._clock = send, clock
        self._told = 0.0
        self._lock = threading.Lock()

    def tell(self, name: Said, *arguments: object) -> None:
        """Send an event."""
        with self._lock:
            self._send(pickle.dumps(Event(name, arguments)))

    def _now_and_then(self, name: Said, done: int, total: int, *arguments: object) -> None:
        now = self._clock()
        if done >= total or now - self._told >= TOLD_EVERY:
            self._told = now
            self.tell(name, *arguments, done, total)

    def stage(self, what: str, done: int, total: int) -> None:
        """Tell of work around training, now and then."""
        self._now_and_then("stage", done, total, what)

    def announce(self, epoch: int, total: int) -> None:
        """Tell that training starts."""
        self.tell("announce", epoch, total)

    def step(self, done: int, total: int) -> None:
        """Tell of progress within an epoch, now and then."""
        self._now_and_then("step", done, total)

    def epoch(self, record: EpochRecord) -> None:
        """Tell of a finished epoch."""
        self.tell("epoch", record)

    def note(self, message: str) -> None:
        """Pass a message on."""
        self.tell("note", message)

    def disk(self, job: Job, variant: str, checkpoint: int) -> None:
        """Tell of the size of a checkpoint."""
        self.tell("disk", variant, checkpoint)


class WorkerTracebackError(Exception):
    """The cause of an error from another process: its traceback as text, for ``--debug``."""


def outcome_of(value: bytes, job: Job) -> plan.Outcome:
    """Read what came back from a worker, and store the files that came with it.

    Args:
        value: what ``Parcel`` returned.
        job: as the command knows it.
    """
    ended = pickle.loads(value)
    if isinstance(ended, Place):
        return plan.Outcome(job, error=PluginError(f"machine {ended.host}", found="; ".join(ended.problems)))
    assert isinstance(ended, Ended)
    if ended.known:
        return _reused(job, ended.known)
    if ended.files:
        try:
            bundle.unpack(ended.files, job.results)
        except OSError as error:
            problem = f"the files of its runs can't be written: {first_line(error)}"
            return plan.Outcome(job, error=TaskError(job.title, found=problem))
    outcome = replace(ended.outcome, job=job)
    if outcome.error is not None and ended.trace:
        outcome.error.__cause__ = WorkerTracebackError(f"in the worker:\n{ended.trace}")
    return outcome


def _reused(job: Job, name: str) -> plan.Outcome:
    try:
        return plan.Outcome(job, bundle.results_of(job, name), reused=True)
    except UsageError as error:
        return plan.Outcome(job, error=DataError(f"run {name}", found=described(error)))
