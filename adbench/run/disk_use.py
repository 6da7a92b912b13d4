"""Says before training how much a run will leave on the disk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ..api.scores import MAIN_METRICS
from ..util import cache, files
from ..util.sizes import bytes_text
from .job import Job

Configuration = tuple[str, tuple[tuple[str, object], ...]]
"""The differences between the variants of one command: the method and the user's changes."""


class DiskUse:
    """Reports once for each variant the size of its checkpoints, and once the limit of the cache.

    Args:
        jobs: all jobs to compute.
        say: called with each report.
    """

    def __init__(self, jobs: Sequence[Job], say: Callable[[str], None]) -> None:
        self._left = Counter(map(_configuration, jobs))
        self._say = say
        self._said: set[Configuration] = set()

    def announce(self, job: Job, variant: str, checkpoint: int) -> None:
        """Note the name of this job's variant, and the size of its checkpoint in bytes."""
        configuration = _configuration(job)
        if configuration in self._said:
            return
        kept = 1 + len(MAIN_METRICS) if job.keep == "oracle" else 1
        count = self._left[configuration]
        each = f"{'up to' if kept > 1 else 'about'} {bytes_text(kept * checkpoint)}"
        whole = f" for each of {count} tasks, {bytes_text(kept * checkpoint * count)} in all" if count > 1 else ""
        text = f"{variant}: leaves {each}{whole} in {job.results}"
        if not self._said:
            text += (
                f", beside at most {bytes_text(cache.limit())} of cached images and features in {files.cache_folder()}"
            )
        free = _free(job.results)
        short = f" Only {bytes_text(free)} are free there." if free < kept * checkpoint * count else ""
        self._said.add(configuration)
        self._say(f"{text}.{short}")


def _configuration(job: Job) -> Configuration:
    return job.method, job.overrides


def _free(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may not exist yet."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
