"""Many tasks: which are done, which are left, and their execution.

A ``Job`` is small and picklable, and its result comes back through the store. So ``dispatch`` can send jobs to other
processes, in which ``run_here`` runs them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import requirements
from ..api.data import Dataset
from ..api.data_options import changes
from ..api.method import Method, real_overrides, require_setting, resolve
from ..data.framing import Framing
from ..results.records import Result
from ..results.writable import require_writable
from ..util.cache import prune
from ..util.errors import (
    PLUGIN_ERRORS,
    AdbenchError,
    AuxiliaryError,
    DataError,
    UnknownNameError,
    UsageError,
)
from ..util.text import spelled
from .builds import Builds
from .disk_use import DiskUse, MapKind
from .failures import foreseen, free_frames
from .job import Job, RunSettings
from .resolved import ResolvedJob, prepare
from .tasks import Place, Tasks, look_up, places_of, tasks_of
from .watch import Watch

if TYPE_CHECKING:
    from ..api.registry import Registry
    from ..api.tracker import TrackerEntry
    from .identity import Identifier
    from .notices import Notices


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job: a result for each class (``reused`` if it existed already) or an error."""

    job: Job
    results: tuple[Result, ...] = ()
    error: AdbenchError | None = None
    reused: bool = False

    @property
    def result(self) -> Result | None:
        """The result of the first class; None if the job failed."""
        return self.results[0] if self.results else None


@dataclass(frozen=True)
class Plan(RunSettings):
    """The request of a run: methods with the user's changes and auxiliary data, classes and seeds.

    ``trains`` is False if a checkpoint is scored, which needs no auxiliary data. ``grid`` has the changes of each run
    of a method; a method that is not in it has one run, with its ``overrides``.
    """

    methods: Sequence[Method]
    overrides: Mapping[str, Mapping[str, Any]]
    dataset: Dataset
    classes: Sequence[str]
    data_root: Path
    preset: str = "paper"
    seeds: Sequence[int] = (0,)
    auxiliary: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    trains: bool = True
    grid: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def jobs(self) -> list[Job]:
        """All jobs, class by class, so that methods and seeds share a class's images and features.

        In the setting "multi-class" a job has all classes.

        Raises:
            UsageError: a preset, an option or auxiliary data that a method does not have, an unsupported setting, an
                unmet requirement, or classes or shots that don't fit the setting.
        """
        require_setting(self.methods, self.setting, self.preset if self.trains else None)
        together = self.setting == "multi-class"
        return [
            self._job(method, classes, seed, point)
            for classes in ([tuple(self.classes)] if together else [(name,) for name in self.classes])
            for seed in self.seeds
            for method in self.methods
            for point in self._points(method)
        ]

    def _points(self, method: Method) -> Sequence[Mapping[str, Any]]:
        """The changes of each run of a method."""
        return self.grid.get(method.name) or [self.overrides[method.name]]

    def _varied(self, method: Method) -> tuple[str, ...]:
        """The options whose values differ among the runs of a method."""
        first, *others = self._points(method)
        keys = dict.fromkeys(key for point in (first, *others) for key in point)
        return tuple(
            key
            for key in keys
            if any((key in point, point.get(key)) != (key in first, first.get(key)) for point in others)
        )

    def _job(self, method: Method, classes: tuple[str, ...], seed: int, point: Mapping[str, Any]) -> Job:
        class_name = classes[0] if len(classes) == 1 else ""  # presets have values for single classes only
        overrides = real_overrides(method, self.preset, point)
        options = resolve(method, self.preset, overrides, self.dataset.name, class_name)
        auxiliary = self.auxiliary.get(method.name, {})
        requirements.require(method.name, method.requirements, options, auxiliary, training=self.trains)
        settings = {each.name: getattr(self, each.name) for each in fields(RunSettings)}
        if self.eval_size == (Framing.of(options).compared(None) or options.size):
            settings["eval_size"] = None
        return Job(
            method=method.name,
            preset=self.preset,
            overrides=tuple(overrides.items()),
            options=options,
            dataset=self.dataset.name,
            class_name=class_name,
            classes=classes,
            data_root=self.data_root,
            seed=seed,
            auxiliary=tuple(sorted(auxiliary.items())),
            data_options=tuple({**changes(self.dataset.options), **changes(self.dataset.marking)}.items()),
            varied=self._varied(method),
            **settings,
        )


def choose_classes(dataset: Dataset, root: Path, text: str) -> list[str]:
    """Turn "all" or "bottle,screw" into class names.

    Raises:
        DataError: the root is missing, or holds no class, or not one that the data set is known to have.
        UnknownNameError: no such class, with the nearest one.
        UsageError: the text names no class.
    """
    if text.strip() == "all":
        return choose_named(dataset, root, ["all"])
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    if not chosen:
        known = ", ".join(dataset.classes(root))
        raise UsageError(f"--class '{text}'", found="no class", wanted=f"all, or some of {known}")
    return choose_named(dataset, root, chosen)


def choose_named(dataset: Dataset, root: Path, names: Sequence[str]) -> list[str]:
    """Check names of classes, and spell them as the data set does; "all" alone means every class.

    Raises:
        DataError: the root is missing, or holds no class.
        UnknownNameError: no such class, with the nearest one.
    """
    known = list(dataset.classes(root))
    if not known:
        raise DataError(f"data set {dataset.name} at {root}", found="no class", wanted="at least one")
    if {*names} == {"all"}:
        return known
    if "all" in names and "all" not in known:
        raise UsageError(f"--class '{','.join(names)}'", found="all, beside others", wanted="all, or names of classes")
    names = [spelled(name, known) for name in names]
    for name in names:
        if name not in known and dataset.facts is not None and name in dataset.facts.classes:
            raise DataError(
                f"class {name} of {dataset.name}", found=f"nothing of it in {root}",
                wanted=f"one of {', '.join(known)}", hint=f"Get it from {dataset.source}",
            )  # fmt: skip
        if name not in known:
            raise UnknownNameError(f"class of {dataset.name}", name, known)
    return list(dict.fromkeys(names))


def trackers_of(jobs: Sequence[Job], registry: Registry) -> list[TrackerEntry]:
    """The trackers that jobs name. Raises ``UnknownNameError``."""
    return [registry.tracker(name) for name in dict.fromkeys(name for job in jobs for name in job.track)]


class Preparation:
    """Looks over the jobs of a command before anything is trained.

    Args:
        jobs: those of the command.
        registry: finds methods and data sets.
        watch: called with the progress.

    Raises:
        UsageError: what no job can do.
    """

    def __init__(self, jobs: Sequence[Job], registry: Registry, watch: Watch) -> None:
        from .identity import Identifier

        self._jobs, self._watch = jobs, watch
        self.tasks = look_up(jobs, registry)
        self.identifier = Identifier(registry)
        self.ready: list[ResolvedJob] = []
        """Jobs to run, with decoded images; filled by ``outcomes``."""

    def outcomes(self) -> Iterator[Outcome]:
        """Prepare each job; yield those that are done already or can't run.

        Raises:
            AuxiliaryError: auxiliary data that a method can't train with.
        """
        from . import calibrate
        from .notices import Notices

        notices = Notices(self.identifier.digests, self._watch.note)
        builds = Builds(self.identifier, self._jobs, notices.say)
        for job in self._jobs:
            found = _prepare(job, self.tasks, self.identifier, builds, notices, self._watch)
            if isinstance(found, Outcome):
                yield found
            else:
                self.ready.append(found)
        if cost := calibrate.cost_text(self.ready):
            self._watch.note(cost)


def run_here(
    jobs: Sequence[Job],
    registry: Registry,
    *,
    watch: Watch | None = None,
    maps: MapKind | None = None,
    announce: Callable[[Job, str, int], None] | None = None,
) -> Iterator[Outcome]:
    """Run jobs in order in this process; a failing one doesn't stop the others.

    Jobs that can't be built or whose data are unusable come first, so that this is known before hours of training, and
    with them jobs that are done already.

    Args:
        jobs: what to run.
        registry: finds methods and data sets.
        watch: called with the progress.
        maps: which maps the caller will keep beside each result, if any: their size is announced.
        announce: called before training with a job, its variant's name and the bytes of a checkpoint; by default the
            use of the disk is announced.

    Raises:
        UsageError: what no job can do, useless auxiliary data, or a tracker that is not known or not installed.
    """
    from ..backbones.feature_cache import FeatureCache
    from . import calibrate, engine
    from .tracking import Trackers

    watch = watch or Watch()
    trackers = Trackers(trackers_of(jobs, registry), watch)
    preparation = Preparation(jobs, registry, watch)
    identifier = preparation.identifier
    yield from preparation.outcomes()
    resolved_jobs = preparation.ready
    cache = FeatureCache(say=watch.note)
    announce = announce or DiskUse([(each.job, each.whole) for each in resolved_jobs], watch.note, maps=maps).announce
    watch.expect(len(resolved_jobs))
    current: list[Place] = []
    for resolved in resolved_jobs:
        if places_of(resolved.job) != current:  # jobs come class by class
            cache.forget_idle()
            current = places_of(resolved.job)
        watch.start(resolved.job)
        try:
            # Files may have been edited while other tasks ran, but the run's name is that of their present content.
            identity = identifier.of(resolved.job, resolved.whole, watch.stage, again=True)
            now = prepare(resolved.job, identifier.decided(resolved.job, resolved.whole), identity)
            identifier.about_to_import(resolved.job.method)
            say_size = partial(announce, resolved.job)
            results = engine.run(now, registry, cache=cache, watch=watch, announce=say_size, trackers=trackers)
            try:
                if resolved.job.target_false_alarms is not None:
                    results = calibrate.calibrate(now, registry, cache=cache, watch=watch)
            finally:
                trackers.conclude(results)
            outcome = Outcome(resolved.job, results)
        except PLUGIN_ERRORS as error:
            outcome = Outcome(resolved.job, error=foreseen(error, resolved.job.method))
            free_frames(error)
        finally:
            watch.stop()
        yield outcome
    prune()  # images of a task may have grown the cache over its limit


def _prepare(
    job: Job, tasks: Tasks, identifier: Identifier, builds: Builds, notices: Notices, watch: Watch
) -> Outcome | ResolvedJob:
    """Do everything before training; return the stored results, an error, or a resolved job with decoded images."""
    from . import calibrate, reuse
    from .class_run import check_images
    from .standing import predecessor

    watch.look_at(job)
    try:
        require_setting([identifier.registry.method(job.method)], job.setting)
        found = identifier.decided(job, tasks_of(job, tasks), watch.stage)
        identity = identifier.of(job, found, watch.stage)
        notices.tell(found, identifier.contents)
        resolved = prepare(job, found, identity)
        for each in resolved.classes:
            each.folder.sweep()
        calibrate.require(resolved)
        there = resolved.is_finished() and not job.force
        stored = reuse.results_or_job(resolved, watch)
        if not isinstance(stored, ResolvedJob):
            return Outcome(job, stored, reused=True)
        resolved = stored
        require_writable(job.results)
        builds.require(resolved)
        check_images(resolved, watch, notices.say)
        stale = None if there else predecessor(job, resolved.identity)
        if stale is not None:
            run, standing = stale
            watch.note(f"{job.title}: computed again, since run {run.run} is stale ({standing.reason})")
        return resolved
    except AuxiliaryError:  # ends the command, as missing data do
        raise
    except PLUGIN_ERRORS as error:
        outcome = Outcome(job, error=foreseen(error, job.method))
        free_frames(error)
        return outcome
    finally:
        watch.stop()
