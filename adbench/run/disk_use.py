"""Says before training how much a run will leave on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ..api.data import Task
from ..api.scores import MAIN_METRICS
from ..api.tiles import asked_size
from ..util import cache, files
from ..util.sizes import bytes_text
from .job import Job

RESULT_BYTES = 8_000
"""About the bytes of a class's ``result.json`` and ``epochs.csv``, and of what ``last.pt`` holds besides tensors."""

SCORE_BYTES = 60
"""About the bytes of a test image in ``scores.csv``."""

HISTOGRAM_BYTES = 2_000
"""About the bytes of a test image in ``evidence.npz``, where there are masks: less where maps are smooth."""

MapKind = Literal["png", "raw"]
"""How anomaly maps are kept beside a result: as overlays for people, or the maps themselves."""

MAP_BYTES: dict[MapKind, float] = {"raw": 2.0, "png": 2.5}
"""About the bytes of a pixel of a kept map: in ``maps.npz``, or in an overlay."""

Configuration = tuple[str, tuple[tuple[str, object], ...]]
"""The differences between the variants of one command: the method and the user's changes."""


class DiskUse:
    """Reports once for each variant what its runs leave, and once the limit of the cache.

    Args:
        jobs: all jobs to compute, each with the tasks of its classes.
        say: called with each report.
        maps: which maps are kept beside each result, if any.
    """

    def __init__(
        self,
        jobs: Sequence[tuple[Job, Sequence[Task]]],
        say: Callable[[str], None],
        *,
        maps: MapKind | None = None,
    ) -> None:
        self._beside: dict[Configuration, list[int]] = {}
        for job, tasks in jobs:
            self._beside.setdefault(_configuration(job), []).append(bytes_beside(job, tasks, maps))
        self._say = say
        self._said: set[Configuration] = set()

    def announce(self, job: Job, variant: str, checkpoint: int) -> None:
        """Note the name of this job's variant, and the size of its checkpoint in bytes."""
        configuration = _configuration(job)
        if configuration in self._said:
            return
        kept = 1 + len(MAIN_METRICS) if job.keep == "oracle" else 1
        beside = self._beside[configuration]
        count = len(beside)
        total = kept * checkpoint * count + sum(beside)
        each = f"{'up to' if kept > 1 else 'about'} {bytes_text(total / count)}"
        whole = f" for each of {count} tasks, {bytes_text(total)} in all" if count > 1 else ""
        text = f"{variant}: leaves {each}{whole} in {job.results}"
        if not self._said:
            text += f"; the cache in {files.cache_folder()} is kept below {bytes_text(cache.limit())}"
        free = free_bytes(job.results)
        short = f" Only {bytes_text(free)} are free there." if free < total else ""
        self._said.add(configuration)
        self._say(f"{text}.{short}")


def bytes_beside(job: Job, tasks: Sequence[Task], maps: MapKind | None) -> int:
    """About the bytes that a job's results take without the tensors of checkpoints, which its classes share."""
    height, width = asked_size(job.options) or job.options.size  # the images' own size is not known here
    total = 0.0
    for task in tasks:
        has_masks = any(sample.mask is not None for sample in task.test)
        of_image = SCORE_BYTES + HISTOGRAM_BYTES * has_masks + (MAP_BYTES[maps] * height * width if maps else 0)
        total += RESULT_BYTES + len(task.test) * of_image
    return round(total)


def _configuration(job: Job) -> Configuration:
    return job.method, job.overrides


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may not exist yet."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
