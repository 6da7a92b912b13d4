"""The images of a command's jobs: found for all of them before anything is trained, so that mistakes show at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.data import Task
from ..results.writable import has_results, require_writable
from ..util.errors import PLUGIN_ERRORS, AdbenchError, DataError, OptionError, UnknownNameError, UsageError
from ..util.text import plural
from .failures import foreseen
from .job import Job

if TYPE_CHECKING:
    from ..api.registry import Registry

Place = tuple[str, str, Path, str | None, tuple[tuple[str, Any], ...], bool]
"""A task's place: data set, class, root, test split, changed options of the reader, and whether faults are skipped."""

Tasks = Mapping[Place, Task | AdbenchError]


def places_of(job: Job) -> list[Place]:
    """The places of a job's tasks."""
    facts = (job.data_root, job.test, job.data_options, job.skip_bad)
    return [(job.dataset, class_name, *facts) for class_name in job.classes]


def look_up(jobs: Sequence[Job], registry: Registry) -> Tasks:
    """Find the images of a command's jobs, and refuse what no job can do.

    Raises:
        UsageError: no class has the test split or enough images for the shots, ``--folds`` doesn't fit, or nothing can
            be stored.
    """
    tasks = load_tasks(jobs, registry)
    _require_common(jobs, tasks)
    _require_folds_fit(jobs, [task for task in tasks.values() if isinstance(task, Task)])
    return tasks


def load_tasks(jobs: Iterable[Job], registry: Registry) -> Tasks:
    """Find the images of every data set and class before anything is trained, so that mistakes show at once."""
    from ..data.image_store import problem_error

    tasks: dict[Place, Task | AdbenchError] = {}
    for job in jobs:
        for place in places_of(job):
            if place in tasks:
                continue
            dataset, class_name, root, test, options, skips = place
            try:
                task = registry.reader(dataset, dict(options)).load(root, class_name).with_test(test)
                if task.problems and not skips:
                    raise problem_error(task.problems)
                tasks[place] = task
            except PLUGIN_ERRORS as error:
                tasks[place] = foreseen(error, f"reading {dataset}/{class_name}")
    return tasks


def _require_common(jobs: Sequence[Job], tasks: Tasks) -> None:
    """Refuse what no job of a command can do, so that one message says it and not one for each class and seed.

    Raises:
        UsageError: no class has the test split or enough images for the shots, or nothing can be stored.
    """
    if len({(job.dataset, job.test, job.shots, job.results, job.force) for job in jobs}) != 1:
        return
    job, found = jobs[0], list(tasks.values())
    whose = f"class {job.class_names} of {job.dataset}" if len(found) == 1 else f"the classes of {job.dataset}"
    unknown = [error for error in found if isinstance(error, UnknownNameError)]
    if job.test is not None and len(unknown) == len(found):
        parts = unknown[0].parts
        place = job.data_name if len(found) == 1 else job.dataset
        raise UsageError(f"unknown test split of {place} '{job.test}'", wanted=parts["wanted"], hint=parts["hint"])
    counts = [len(task.train) for task in found if isinstance(task, Task)]
    if job.shots is not None and counts and max(counts) < job.shots:
        most = f"{'at most ' if len(found) > 1 else ''}{max(counts)} training images"
        raise DataError(whose, found=most, wanted=f"at least the {job.shots} of --shots")
    if job.force or not has_results(job.results):  # stored results can be shown from a read-only folder
        require_writable(job.results)


def _require_folds_fit(jobs: Sequence[Job], tasks: Sequence[Task]) -> None:
    """Refuse ``--folds`` where a threshold comes from images that the data set separates from training.

    Their scores would be replaced by those of the folds, and could not be had back.

    Args:
        jobs: those of a command.
        tasks: the tasks of their classes.

    Raises:
        OptionError: a class has validation images, and is not trained on a few shots alone.
    """
    if all(job.folds is None or job.shots is not None for job in jobs):
        return
    apart = [task for task in tasks if task.train and task.validation]
    if apart:
        raise OptionError(
            f"--folds on {apart[0].dataset}/{apart[0].class_name}",
            found=plural(len(apart[0].validation), "validation image"), wanted="a class without any",
            hint="Leave --folds out: the threshold comes from these, and needs no cross-validation",
        )  # fmt: skip


def tasks_of(job: Job, tasks: Tasks) -> list[Task]:
    """The tasks of a job's classes. Raises the error of a class that can't be used."""
    found = []
    for task in (tasks[place] for place in places_of(job)):
        if isinstance(task, AdbenchError):
            raise task
        found.append(task)
    return found
