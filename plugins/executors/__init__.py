"""Executors: processes of this machine, Ray and SLURM, each of which is imported only where it is asked for."""

from collections.abc import Sequence

from adbench import hookimpl
from adbench.api import Executor, ExecutorEntry, ExecutorRequest


def make_processes(request: ExecutorRequest) -> Executor:
    """Make the executor of this machine's processes."""
    from .processes import Processes

    return Processes(request)


@hookimpl
def adbench_executors() -> Sequence[ExecutorEntry]:
    """Offer the executors."""
    return [
        ExecutorEntry(
            "processes",
            "Processes of this machine: one for each GPU, or --workers N on the CPU",
            make_processes,
            takes=("--workers", "--gpus-per-job"),
        ),
    ]
