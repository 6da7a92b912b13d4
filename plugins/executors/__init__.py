"""Executors: processes of this machine, Ray and SLURM, each of which is imported only where it is asked for."""

from collections.abc import Sequence

from adbench import hookimpl
from adbench.api import Executor, ExecutorEntry, ExecutorRequest, Package


def make_processes(request: ExecutorRequest) -> Executor:
    """Make the executor of this machine's processes."""
    from .processes import Processes

    return Processes(request)


def make_ray(request: ExecutorRequest) -> Executor:
    """Make the executor of a Ray cluster."""
    from .ray import Ray

    return Ray(request)


def make_slurm(request: ExecutorRequest) -> Executor:
    """Make the executor of SLURM."""
    from .slurm import Slurm

    return Slurm(request)


RAY = (Package("ray", "ray>=2.40", "runs jobs on one machine or many"),)
SUBMITIT = (Package("submitit", "submitit>=1.5", "hands jobs to SLURM"),)

RAY_OPTIONS = {"cpus": "processors that each job keeps free; on a cluster also its threads"}

SLURM_OPTIONS = {
    "cluster": "slurm, or local for processes of this machine; by default slurm where it is installed",
    "partition": "the partition",
    "time": "the longest time of a job in minutes; by default 24 hours",
    "mem": "the memory of a job in GB",
    "cpus": "processors and threads of a job; by default 4",
    "account": "the account",
    "qos": "the quality of service",
    "constraint": "features of the machines",
    "gres": "generic resources in place of one GPU, such as gpu:a100:1",
    "exclude": "machines to leave out",
    "setup": "a shell command to run before each job, such as module load cuda",
}


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
        ExecutorEntry(
            "ray",
            "A Ray cluster: this machine, or --address",
            make_ray,
            RAY,
            takes=("--workers", "--address", "--gpus-per-job"),
            options=RAY_OPTIONS,
        ),
        ExecutorEntry(
            "slurm", "Jobs of SLURM, by submitit", make_slurm, SUBMITIT, takes=("--workers",), options=SLURM_OPTIONS
        ),
    ]
