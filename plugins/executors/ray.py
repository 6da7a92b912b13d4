"""Runs jobs on a Ray cluster: one that is there, or one of this machine for the time of the command."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import: a benchmark reports to nobody
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without --gpus-per-job, leave a node's GPUs visible

os.environ.setdefault("RAY_worker_niceness", "0")  # workers compute as the command does; Ray's own 15 starves them

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from adbench.api import Executor, ExecutorEnd, ExecutorRequest, ExecutorTask, Hear, OptionError, UsageError, first_line

from . import share

RETRIES = 3
"""How often a job is started again whose worker or machine died."""

LOOK_EVERY = 0.3
"""Seconds between two looks at what the workers say."""

GRACE = 30.0
"""Seconds that stopped workers have to store what is done."""

STORE_BYTES = 200_000_000
"""Memory for results on their way, in a cluster of this machine alone, where they are small."""


class Ray(Executor):
    """Jobs as tasks of Ray, each with a GPU, a share of one, or processors."""

    def __init__(self, request: ExecutorRequest) -> None:
        self._request = request
        self.same_machine = not request.address
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
        if request.address:
            settings["address"] = request.address
        else:
            number = share.workers(request)
            self.threads = share.threads(request, number)
            settings |= {
                "address": "local", "num_cpus": number, "num_gpus": request.gpus, "include_dashboard": False,
                "object_store_memory": STORE_BYTES,
                "runtime_env": {"env_vars": {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(request.cores))}},
            }  # fmt: skip
        try:
            with _own_signals():
                ray.init(**settings)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            wanted = "a running Ray cluster" if request.address else ""
            raise UsageError("--executor ray", found=first_line(error), wanted=wanted) from error
        self._resources = self._of_a_job()
        self.most = request.workers or request.tasks
        self._mailbox = Mailbox.options(scheduling_strategy=_on(ray.get_runtime_context().get_node_id(), soft=True))
        self._mailbox = self._mailbox.remote()

    def _of_a_job(self) -> dict[str, float]:
        """What Ray keeps free for a job: a GPU or a share of one where there are GPUs, and processors."""
        gpus = ray.cluster_resources().get("GPU", 0)
        wanted = self._request.gpus_per_job
        if wanted is None:
            wanted = 1.0 if gpus and self._request.wants_gpu else 0.0
        elif not gpus:
            raise OptionError("--gpus-per-job", found="no GPU in the cluster", wanted="a cluster with GPUs")
        cpus = 1.0
        if (text := self._request.options.get("cpus")) is not None:
            if not text.isascii() or not text.isdigit() or int(text) < 1:
                raise OptionError("--executor-option cpus", found=f"'{text}'", wanted="a whole number from 1")
            cpus = float(text)
            self.threads = int(text)
        return {"num_gpus": wanted, "num_cpus": cpus}

    def check(self, task: ExecutorTask) -> Iterator[tuple[str, bytes]]:
        """Run a task on each machine that can have jobs."""
        if self.same_machine:
            return
        need = "GPU" if self._resources["num_gpus"] else "CPU"
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(need, 0)]
        if not nodes:
            raise UsageError("--executor ray", found=f"no machine with a {need} in the cluster")
        there = {node["NodeID"]: node["NodeManagerHostname"] for node in nodes}
        running = {_look.options(scheduling_strategy=_on(name), num_cpus=0).remote(task): name for name in there}
        for ref, name in running.items():
            try:
                yield there[name], ray.get(ref)
            except ray.exceptions.RayError as error:
                hint = "adbench and its plugins must be installed on each machine, in the same version"
                raise UsageError(f"machine {there[name]}", found=_reason(error), hint=hint) from error

    def run(self, tasks: Sequence[ExecutorTask], hear: Hear) -> Generator[ExecutorEnd, None, None]:
        """Keep as many tasks with Ray as may run at once; Ray starts those again whose worker died."""
        waiting = list(reversed(tasks))
        running: dict[Any, ExecutorTask] = {}
        start = _work.options(max_retries=RETRIES, **self._resources)
        try:
            while waiting or running:
                while waiting and len(running) < self.most:
                    task = waiting.pop()
                    running[start.remote(task, self._mailbox)] = task
                ready, _ = ray.wait(list(running), timeout=LOOK_EVERY)
                self._listen(hear)
                for ref in ready:
                    yield _end(ref, running.pop(ref))
        finally:
            self._cancel(list(running))

    def _listen(self, hear: Hear) -> None:
        """Hear what the workers said; what a mailbox had that died is lost, which costs a line of progress alone."""
        try:
            taken = ray.get(self._mailbox.take.remote())
        except ray.exceptions.RayActorError:
            return
        for number, message in taken:
            hear(number, message)

    def _cancel(self, running: list[Any]) -> None:
        """Stop tasks as Ctrl-C does, and wait until they have stored what is done."""
        with suppress(KeyboardInterrupt):  # a second Ctrl-C waits no longer
            for ref in running:
                ray.cancel(ref)
            until = time.monotonic() + GRACE
            while running and time.monotonic() < until:
                _, running = ray.wait(running, timeout=LOOK_EVERY)

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends."""
        ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the command's handling of SIGTERM, which Ray replaces by its own."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _on(node: str, *, soft: bool = False) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id=node, soft=soft)


def _end(ref: Any, task: ExecutorTask) -> ExecutorEnd:
    """What became of a task that is done with."""
    try:
        return ExecutorEnd(task.number, ray.get(ref))
    except ray.exceptions.RayError as error:
        times = f" (started {RETRIES + 1} times)" if isinstance(error, ray.exceptions.WorkerCrashedError) else ""
        return ExecutorEnd(task.number, lost=f"{_reason(error)}{times}")


def _reason(error: Exception) -> str:
    """The cause of an error of Ray, which is in its first line or, for an error in a worker, in its last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if isinstance(error, ray.exceptions.RayTaskError) else lines[0]


# ---------------------------------------------------------------- in the cluster


@ray.remote(num_cpus=0, max_restarts=-1)
class Mailbox:
    """Keeps what the workers say until the command takes it; where its process dies, Ray starts an empty one."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, bytes]] = []

    def put(self, number: int, message: bytes) -> None:
        """Keep a message."""
        self._messages.append((number, message))

    def take(self) -> list[tuple[int, bytes]]:
        """Hand out the messages."""
        taken, self._messages = self._messages, []
        return taken


@ray.remote
def _look(task: ExecutorTask) -> bytes:
    """Run a check, which says nothing while it runs."""
    return task.run(lambda message: None)


@ray.remote
def _work(task: ExecutorTask, mailbox: Any) -> bytes:
    """Run a job; at the end all that it said is in the mailbox."""
    last: list[Any] = []

    def send(message: bytes) -> None:
        last[:] = [mailbox.put.remote(task.number, message)]

    value = task.run(send)
    with suppress(ray.exceptions.RayActorError):
        ray.get(last)
    return value
