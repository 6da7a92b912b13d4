"""Executors: what runs the jobs of a command elsewhere, such as in other processes or on other machines.

An executor knows nothing of jobs. It gets tasks, which it takes to a process with adbench, runs there, and whose bytes
it brings back. All that is said in these bytes is adbench's own.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from .requirements import Package

LOCAL = "local"
"""The executor that adbench is itself: one job after the other, in the process of the command."""

Send: TypeAlias = "Callable[[bytes], None]"
"""Takes a message of a worker to the command; messages of one task must come in their order."""

Hear: TypeAlias = "Callable[[int, bytes], None]"
"""Takes the number of a task and a message of its worker."""


@dataclass(frozen=True)
class ExecutorTask:
    """A job to run in another process. It can be pickled, and unpickled in a process that has loaded no plugin.

    Attributes:
        number: from 0. Tasks with low numbers should start first: neighbours share decoded images and features.
        title: names it for people: "padim · demo/brick · seed 0".
        payload: a pickled callable of adbench.
        environment: variables of the command, which count where the worker has none of the name.
    """

    number: int
    title: str
    payload: bytes
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, send: Send) -> bytes:
        """Do the job, in the main thread of a worker process; errors of the job are a part of what comes back.

        Args:
            send: takes messages to the command while the job runs; any thread may call it.

        Returns:
            What ``ExecutorEnd.value`` brings back to the command.

        Raises:
            KeyboardInterrupt: the worker was stopped, and all that is done is stored.
        """
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)  # before the first import of torch, which reads some of them
        returned: bytes = pickle.loads(self.payload)(send)
        return returned


@dataclass(frozen=True)
class ExecutorEnd:
    """What became of a task.

    Attributes:
        number: that of the task.
        value: what ``ExecutorTask.run`` returned; None if it did not come to its end.
        lost: why not, naming the worker: "worker 2 (process 4711) was killed by SIGKILL".
    """

    number: int
    value: bytes | None = None
    lost: str = ""


@dataclass(frozen=True)
class ExecutorRequest:
    """What the user asked for, and the machine of the command.

    Attributes:
        tasks: number of tasks at most.
        cores: processors that the command may use.
        gpus: GPUs that the command sees and jobs may use; 0 with ``--device cpu``.
        wants_gpu: whether jobs take a GPU where there is one: False with ``--device cpu``.
        workers: ``--workers``; None without it.
        address: ``--address``; empty without it.
        gpus_per_job: ``--gpus-per-job``: 1, or a fraction if several jobs share a GPU; None without it.
        options: ``--executor-option KEY=VALUE``.
        store: an absolute path of a folder for the executor's own files, below the results; it may not exist yet.
        say: shows a line to the user.
    """

    tasks: int
    cores: int
    gpus: int
    wants_gpu: bool = True
    workers: int | None = None
    address: str = ""
    gpus_per_job: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    store: Path = Path("results/executor")
    say: Callable[[str], None] = print


class Executor:
    """Runs the tasks of one command.

    Attributes:
        same_machine: whether all tasks run on the command's machine. Then the command finds what is done and decodes
            images before the first task starts; else the first job on each machine decodes them.
        threads: of a job on the CPU, where the user leaves it open; None if each job is to choose by itself.
    """

    same_machine: bool = True
    threads: int | None = None

    def check(self, task: ExecutorTask) -> Iterator[tuple[str, bytes]]:
        """Run a short task once on each other machine, before all others; yield its name and what ``run`` returned.

        Raises:
            UsageError: a machine can't run it, such as one without adbench.
        """
        return iter(())

    def run(self, tasks: Sequence[ExecutorTask], hear: Hear) -> Generator[ExecutorEnd, None, None]:
        """Run tasks, and yield the end of each as it comes. A task whose worker died may be run again.

        If the generator is closed, or Ctrl-C raises ``KeyboardInterrupt`` in it, the workers are to be stopped: by
        ``KeyboardInterrupt`` in their main thread, after which they store what is done; and killed if they don't end.

        Args:
            tasks: the tasks, in their order.
            hear: to be called with the messages of the workers, in the thread that iterates.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what ``make`` opened; called once, after ``run``."""


@dataclass(frozen=True)
class ExecutorEntry:
    """An executor that a plugin offers.

    Attributes:
        name: as in ``--executor NAME``.
        summary: one line for people.
        make: makes the executor of a command; import its library there.
        packages: what it imports.
        takes: the options of ``adbench run`` that it can do something with, of ``--workers``, ``--address`` and
            ``--gpus-per-job``; others are refused.
        options: the keys of ``--executor-option``, each with a line for people.
    """

    name: str
    summary: str
    make: Callable[[ExecutorRequest], Executor]
    packages: Sequence[Package] = ()
    takes: Sequence[str] = ("--workers",)
    options: Mapping[str, str] = field(default_factory=dict)
