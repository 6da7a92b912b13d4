"""Executors made for tests: one that runs tasks in this process, and payloads that need no part of adbench."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field

from adbench.api import Executor, ExecutorEnd, ExecutorEntry, ExecutorRequest, ExecutorTask, Package


@dataclass
class Here(Executor):
    """Runs tasks in this process, and counts.

    ``loses`` are the numbers of tasks that it loses, ``twice`` makes it start each task again, and ``apart`` hides the
    command's folder of results from the tasks.
    """

    same_machine: bool = True
    threads: int | None = None
    loses: Sequence[int] = ()
    twice: bool = False
    apart: bool = False
    requests: list[ExecutorRequest] = field(default_factory=list)
    tasks: list[ExecutorTask] = field(default_factory=list)
    messages: int = 0
    closed: int = 0

    def check(self, task):
        if self.apart:  # as on a machine that sees no file of the command's results
            for token in self.requests[-1].store.glob(".token-*"):
                token.rmdir()
        if not self.same_machine:
            yield "node7", pickle.loads(pickle.dumps(task)).run(lambda message: None)

    def run(self, tasks, hear):
        self.tasks = list(tasks)
        for task in tasks:
            sent = pickle.loads(pickle.dumps(task))

            def send(message, number=task.number):
                self.messages += 1
                hear(number, message)

            if self.twice:
                sent.run(send)
            if task.number in self.loses:
                yield ExecutorEnd(task.number, lost="worker 3 (process 77) was killed by SIGKILL")
            else:
                yield ExecutorEnd(task.number, sent.run(send))

    def close(self):
        self.closed += 1


def entry(executor: Here, name: str = "here", packages: Sequence[Package] = ()) -> ExecutorEntry:
    """Offer an executor under a name."""

    def make(request: ExecutorRequest) -> Executor:
        executor.requests.append(request)
        return executor

    takes = ("--workers", "--gpus-per-job")
    return ExecutorEntry(name, "made for a test", make, packages, takes, {"colour": "a colour"})


class _Source:
    """Is pickled as its text, and unpickled as what the text evaluates to."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[object, ...]:
        return eval, (self.text,)


def task(number: int, code: str) -> ExecutorTask:
    """A task that evaluates an expression with ``send``, and returns its bytes."""
    return ExecutorTask(number, f"task {number}", pickle.dumps(_Source(f"lambda send: {code}")))
