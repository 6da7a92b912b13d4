"""Runs of a machine that doesn't see the command's folder of results: packed there, and stored by the command."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..results.records import Result
from ..results.result_file import RESULT
from ..results.store import LOCK, RunFolder
from ..util import files
from ..util.errors import ResultError, TaskError
from .job import Job

DEPTH = 5
"""Parts of a file's path below the results: DATASET/CLASS/METHOD/RUN/FILE."""


def pack(folders: Sequence[Path], results: Path) -> bytes:
    """Pack the files of some runs; a file that several have is in it once.

    Raises:
        OSError: a file can't be read.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in folders:
            for path in sorted(folder.iterdir(), key=lambda path: (path.name == RESULT, path.name)):
                if path.is_file() and path.name != LOCK:
                    archive.add(path, path.relative_to(results).as_posix(), recursive=False)
    return packed.getvalue()


def unpack(packed: bytes, results: Path) -> None:
    """Store packed runs below a folder of results, each file as a whole and the result of each run last.

    Raises:
        OSError: a file can't be written.
        TaskError: another process computes one of the runs, or a packed file belongs nowhere.
    """
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            place = _place(member.name, results)
            place.parent.mkdir(parents=True, exist_ok=True)
            if member.islnk():
                files.link_or_copy(_place(member.linkname, results), place)
                continue
            stream = archive.extractfile(member)
            if stream is None:
                raise TaskError(f"packed file {member.name}", found="no plain file")
            with stream, files.NewFile(place) as target:
                while part := stream.read(1 << 20):
                    target.write(part)


def _place(name: str, results: Path) -> Path:
    parts = PurePosixPath(name).parts
    if len(parts) != DEPTH or ".." in parts or parts[0] == "/":
        raise TaskError(f"packed file {name}", found="no file of a run")
    return results.joinpath(*parts)


def finished_runs(job: Job) -> tuple[str, ...]:
    """Names of stored runs of a job's method and classes that may be the job's, and that hold all that it asks for."""
    first = RunFolder(job.results, job.dataset, job.classes[0], job.method, "run").path.parent
    found = []
    for path in sorted(first.glob(f"*/{RESULT}")):
        with suppress(ResultError):
            results = results_of(job, path.parent.name)
            promises = [result.threshold.promise if result.threshold else None for result in results]
            target = job.target_false_alarms
            if target is None or all(each is not None and each.target == target for each in promises):
                found.append(path.parent.name)
    return tuple(found)


def results_of(job: Job, run: str) -> tuple[Result, ...]:
    """The stored results of a run, one for each class of a job.

    Raises:
        ResultError: one is missing or broken.
    """
    folders = [RunFolder(job.results, job.dataset, name, job.method, run) for name in job.classes]
    if not all(folder.is_finished() for folder in folders):
        raise ResultError(f"run {run} in {job.results}", found="no result of a class")
    return tuple(folder.read_result() for folder in folders)
