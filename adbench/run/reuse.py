"""Stored results of a job, where they are what it would compute now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..api.data import relative_path
from ..results import labels
from ..results.records import Result
from . import calibrate
from .class_run import Part, check_images, open_store
from .resolved import ResolvedJob
from .watch import Watch


def results_or_job(resolved: ResolvedJob, watch: Watch) -> tuple[Result, ...] | ResolvedJob:
    """The stored results of a job with its threshold and label, or the job as it is to run.

    Raises:
        ResultError: a stored file can't be used.
        DataError: images were left out, and may not be now.
    """
    job = resolved.job
    if job.force or not resolved.is_finished() or (results := calibrate.from_stored(resolved)) is None:
        return resolved
    if any(result.skipped for result in results):
        if not job.skip_bad:
            check_images(resolved, watch)
        if reads_others(resolved, results, watch):
            watch.note(f"{job.title}: computed again, since other images can be read now than in run {results[0].run}")
            return replace(resolved, job=replace(job, force=True))
    if job.label and any(result.label != job.label for result in results):
        folders = [each.folder for each in resolved.classes]
        return tuple(labels.store(folder, job.label, lock=resolved.folder) for folder in folders)
    return results


def reads_others(resolved: ResolvedJob, results: Sequence[Result], watch: Watch) -> bool:
    """Whether other images can't be read now than those that the results of a job left out.

    That depends on more than the images: on Pillow, say, and what it was built with.
    """
    parts: tuple[Part, ...] = ("train", "test")
    for each, result in zip(resolved.classes, results, strict=True):
        stores = [open_store(each.task, part, resolved.options, skip_bad=True, watch=watch) for part in parts]
        found = [relative_path(problem.path, each.task.root) for store in stores for problem in store.skipped]
        pairs = zip(found, result.skipped, strict=False)
        if len(found) != len(result.skipped) or not all(text.startswith(f"{path}: ") for path, text in pairs):
            return True
    return False
