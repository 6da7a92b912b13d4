"""How many jobs run at once on one machine, and each one's share of it."""

from __future__ import annotations

from adbench.api import ExecutorRequest, OptionError

CORES_EACH = 4
"""Cores of a job on the CPU where the user doesn't say how many jobs run at once."""


def workers(request: ExecutorRequest) -> int:
    """How many jobs run at once: ``--workers``; else as many as find a GPU; else one for 4 cores, but at least two.

    Raises:
        OptionError: ``--gpus-per-job`` without a GPU.
    """
    if request.gpus_per_job is not None and not request.gpus:
        raise OptionError("--gpus-per-job", found="no GPU", wanted="--workers N on the CPU")
    most = max(2, request.cores // CORES_EACH)
    if request.gpus:
        most = request.gpus * jobs_of_a_gpu(request)
    return max(1, min(request.tasks, request.workers or most))


def jobs_of_a_gpu(request: ExecutorRequest) -> int:
    """How many jobs share a GPU."""
    return int(1 / (request.gpus_per_job or 1) + 1e-9)


def threads(request: ExecutorRequest, number: int) -> int:
    """Threads of each of so many jobs that run at once."""
    return max(1, request.cores // number)
