"""Runs jobs under SLURM by submitit, or without a cluster in processes of this machine that submitit starts.

All machines must see the folder of the results: jobs, their results and what they say are files in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import submitit

from adbench.api import Executor, ExecutorEnd, ExecutorRequest, ExecutorTask, Hear, OptionError, UsageError, first_line

from . import share

LOOK_EVERY = 1.0
"""Seconds between two looks at the files of running jobs."""

GRACE = 30.0
"""Seconds that stopped jobs have to store what is done."""

LENGTH = struct.Struct("<I")
"""Precedes each message in a file."""

LONG = 60 * 24 * 365
"""Minutes of a job that submitit runs on this machine: it has no queue that others wait in."""

SLURMS = ("partition", "account", "qos", "constraint", "gres", "exclude")
"""Those that SLURM takes as they are."""

CPUS, MINUTES = 4, 24 * 60

AT_ONCE = 1000
"""Jobs in an array at most, which is SLURM's own limit by default."""


class Slurm(Executor):
    """Each job is a job of SLURM. One that is preempted, or whose time is over, is queued again and goes on."""

    def __init__(self, request: ExecutorRequest) -> None:
        options = request.options
        self._folder = request.store / f"slurm-{os.getpid()}-{time.time_ns():x}"
        cluster = options.get("cluster") or ("slurm" if shutil.which("srun") else "")
        if cluster not in ("slurm", "local"):
            found = f"cluster={cluster}" if cluster else "no SLURM (no program srun)"
            hint = "--executor-option cluster=local runs the jobs on this machine"
            raise UsageError("--executor slurm", found=found, wanted="cluster=slurm or cluster=local", hint=hint)
        self.same_machine = cluster == "local"
        self._most = share.workers(request) if self.same_machine else request.workers or request.tasks
        cpus = _whole(options, "cpus", CPUS)
        self.threads = share.threads(request, self._most) if self.same_machine else cpus
        try:
            self._executor = submitit.AutoExecutor(folder=self._folder / "%j", cluster=cluster)
            self._executor.update_parameters(**parameters(request, cluster, cpus))
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise UsageError("--executor slurm", found=first_line(error)) from error
        self._broken = False

    def run(self, tasks: Sequence[ExecutorTask], hear: Hear) -> Generator[ExecutorEnd, None, None]:
        """Keep as many jobs submitted as may run at once, and read their files now and then."""
        waiting = list(reversed(tasks))
        running: list[_Running] = []
        try:
            while waiting or running:
                free = min(len(waiting), self._most - len(running), AT_ONCE)
                running += self._submit([waiting.pop() for _ in range(free)])
                time.sleep(LOOK_EVERY if not self.same_machine else LOOK_EVERY / 5)
                for each in list(running):
                    done = each.job.done()
                    each.listen(hear)
                    if done:
                        running.remove(each)
                        yield self._end(each)
        finally:
            self._cancel(running)

    def _submit(self, tasks: Sequence[ExecutorTask]) -> list[_Running]:
        """Submit jobs: several as one array, which SLURM takes better."""
        works = [_Work(task, self._folder / f"task{task.number}.said") for task in tasks]
        if self.same_machine or len(works) < 2:
            return [_Running(work, self._executor.submit(work)) for work in works]
        with self._executor.batch():
            jobs = [self._executor.submit(work) for work in works]
        return [_Running(work, job) for work, job in zip(works, jobs, strict=True)]

    def _end(self, each: _Running) -> ExecutorEnd:
        number, job = each.work.task.number, each.job
        try:
            return ExecutorEnd(number, job.result())
        except Exception as error:  # submitit raises its own, or what reading the result raises
            self._broken = True
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            found = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
            lost = f"job {job.job_id} ended as {job.state} without a result ({found}); see {job.paths.stderr}"
            return ExecutorEnd(number, lost=lost)

    def _cancel(self, running: Sequence[_Running]) -> None:
        """Stop jobs, and wait until they have stored what is done."""
        with suppress(KeyboardInterrupt):  # a second Ctrl-C waits no longer
            for each in running:
                each.job.cancel(check=False)
            until = time.monotonic() + GRACE
            while time.monotonic() < until and not all(each.job.done(force_check=True) for each in running):
                time.sleep(0.2)

    def close(self) -> None:
        """Remove the files of the jobs, unless a job was lost: then their logs tell why."""
        if not self._broken:
            shutil.rmtree(self._folder, ignore_errors=True)


def parameters(request: ExecutorRequest, cluster: str, cpus: int) -> dict[str, Any]:
    """The parameters of submitit from the user's options."""
    options = request.options
    found: dict[str, Any] = {"name": "adbench", "timeout_min": _whole(options, "time", MINUTES)}
    if cluster == "local":
        return {**found, "timeout_min": LONG, **({"local_setup": [options["setup"]]} if "setup" in options else {})}
    found |= {"cpus_per_task": cpus, "tasks_per_node": 1, "nodes": 1}
    found |= {f"slurm_{key}": options[key] for key in SLURMS if key in options}
    if "gres" not in options and request.wants_gpu:
        found["gpus_per_node"] = 1
    if "mem" in options:
        found["mem_gb"] = _whole(options, "mem", 1)
    if "setup" in options:
        found["slurm_setup"] = [options["setup"]]
    if request.workers:
        found["slurm_array_parallelism"] = request.workers
    return found


def _whole(options: Mapping[str, str], key: str, default: int) -> int:
    text = options.get(key, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise OptionError(f"--executor-option {key}", found=f"'{text}'", wanted="a whole number from 1")
    return int(text)


class _Running:
    """A submitted job, and how far its messages were read."""

    def __init__(self, work: _Work, job: Any) -> None:
        self.work, self.job = work, job
        self._read = 0

    def listen(self, hear: Hear) -> None:
        """Read the messages that are there as a whole."""
        with suppress(FileNotFoundError), self.work.said.open("rb") as stream:
            stream.seek(self._read)
            data = stream.read()
            start = 0
            while len(data) - start >= LENGTH.size:
                (length,) = LENGTH.unpack_from(data, start)
                end = start + LENGTH.size + length
                if end > len(data):
                    break
                hear(self.work.task.number, data[start + LENGTH.size : end])
                start = end
            self._read += start


# ---------------------------------------------------------------- in the job


class _Work:
    """A task for submitit, which may queue it again: the task then goes on from its last epoch."""

    def __init__(self, task: ExecutorTask, said: Path) -> None:
        self.task, self.said = task, said

    def __call__(self) -> bytes:
        """Run the task. Submitit's signal first stops it as Ctrl-C does: its own handler would end in training."""
        stopped = threading.Event()

        def stop(number: int, frame: object) -> None:
            if not stopped.is_set():
                stopped.set()
                raise KeyboardInterrupt

        requeue = signal.signal(signal.SIGUSR2, stop)
        sending = threading.Lock()
        try:
            with self.said.open("ab", buffering=0) as stream:

                def send(message: bytes) -> None:
                    with sending:
                        stream.write(LENGTH.pack(len(message)) + message)

                return self.task.run(send)
        except KeyboardInterrupt:
            if stopped.is_set() and callable(requeue):
                requeue(signal.SIGUSR2, None)  # queues it again, and ends this process
            raise

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """What runs if the job is queued again."""
        return submitit.helpers.DelayedSubmission(self)
