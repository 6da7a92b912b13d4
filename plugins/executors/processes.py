"""Runs jobs in processes of this machine. Each lives for several jobs; one that dies is replaced."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from adbench.api import Executor, ExecutorEnd, ExecutorRequest, ExecutorTask, Hear, OptionError

from . import share

GRACE = 30.0
"""Seconds that a stopped worker has to store what is done."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Processes(Executor):
    """A pool of processes: one for each GPU, or for a share of the CPU's cores."""

    def __init__(self, request: ExecutorRequest) -> None:
        number = share.workers(request)
        gpus = visible_gpus(request.gpus)
        if gpus and number > len(gpus) * share.jobs_of_a_gpu(request) and request.gpus_per_job is not None:
            raise OptionError(
                f"--workers {number}", found=f"{len(gpus)} GPUs and --gpus-per-job {request.gpus_per_job:g}",
                wanted=f"at most {len(gpus) * share.jobs_of_a_gpu(request)}",
            )  # fmt: skip
        self.threads = share.threads(request, number)
        self._seats = [_Seat(place + 1, gpus[place % len(gpus)] if gpus else None) for place in range(number)]

    def run(self, tasks: Sequence[ExecutorTask], hear: Hear) -> Generator[ExecutorEnd, None, None]:
        """Hand out the tasks in their order, and replace workers that die."""
        waiting = deque(tasks)
        try:
            while True:
                for seat in self._seats:
                    if seat.task is None and waiting:
                        seat.start(waiting.popleft())
                busy = [seat for seat in self._seats if seat.task is not None]
                if not busy:
                    return
                ready = wait([seat.pipe for seat in busy])
                for seat in busy:
                    if seat.pipe in ready and (end := seat.take(hear)) is not None:
                        yield end
        finally:
            self._stop()

    def _stop(self) -> None:
        """Stop all workers: idle ones at once, others after they have stored what is done."""
        with suppress(KeyboardInterrupt):  # a second Ctrl-C waits no longer
            for seat in self._seats:
                seat.stop()
            until = time.monotonic() + GRACE
            for seat in self._seats:
                seat.join(max(0.0, until - time.monotonic()))
        for seat in self._seats:
            seat.kill()


class _Seat:
    """A place for a worker, with a GPU of its own or a part of one; where one dies, the next one sits down."""

    def __init__(self, number: int, gpu: str | None) -> None:
        self.number, self._gpu = number, gpu
        self.task: ExecutorTask | None = None
        self.pipe: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self, task: ExecutorTask) -> None:
        """Give the worker a task; start it if there is none."""
        if self._process is not None and not self._process.is_alive():  # it died while it was idle
            self._forget()
        self.task = task
        if self._process is None:
            context = multiprocessing.get_context("spawn")  # a forked process can't use CUDA
            self.pipe, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs, self._gpu), name=f"adbench-{self.number}")
            self._process.start()
            theirs.close()  # so that the pipe ends when the worker does
        assert self.pipe is not None
        with suppress(OSError):  # it has died: reading from it says so
            self.pipe.send(task)

    def take(self, hear: Hear) -> ExecutorEnd | None:
        """Read from the worker, which has something to say; return its task's end if that is it."""
        task = self.task
        assert task is not None
        assert self.pipe is not None
        try:
            message, value = self.pipe.recv()
        except (EOFError, OSError):
            return self._lost(task)
        if message is not None:
            hear(task.number, message)
            return None
        self.task = None
        return ExecutorEnd(task.number, *value)

    def _lost(self, task: ExecutorTask) -> ExecutorEnd:
        process = self._process
        assert process is not None
        process.join(GRACE)
        end = ExecutorEnd(task.number, lost=f"worker {self.number} (process {process.pid}) {_death(process.exitcode)}")
        self.kill()
        return end

    def stop(self) -> None:
        """Ask the worker to store what is done and to end."""
        if self.pipe is not None:
            with suppress(OSError):
                self.pipe.send(None)

    def join(self, seconds: float) -> None:
        """Wait until the worker has ended; what it still says is dropped, so that it doesn't wait to be heard."""
        until = time.monotonic() + seconds
        if self._process is None or self.pipe is None:
            return
        while self._process.is_alive() and time.monotonic() < until:
            with suppress(EOFError, OSError):
                if self.pipe.poll(0.05):
                    self.pipe.recv_bytes()
                    continue
            self._process.join(0.05)

    def kill(self) -> None:
        """End the worker if it is still there."""
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
            self._forget()

    def _forget(self) -> None:
        if self.pipe is not None:
            self.pipe.close()
        self._process, self.pipe, self.task = None, None, None


def _death(code: int | None) -> str:
    """How a process ended: "was killed by SIGKILL"."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def visible_gpus(number: int) -> list[str]:
    """Names of this process's GPUs, as ``CUDA_VISIBLE_DEVICES`` has them."""
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return [*named, *map(str, range(len(named), number))][:number]


# ---------------------------------------------------------------- in the worker


def _work(pipe: Connection, gpu: str | None) -> None:
    """Do one task after the other, until the command says stop or is gone."""
    if gpu is not None:
        os.environ[VISIBLE] = gpu  # before torch is imported
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output is for the command's tables
    tasks: queue.SimpleQueue[ExecutorTask | None] = queue.SimpleQueue()
    stopping = _Stopping()
    threading.Thread(target=_listen, args=(pipe, tasks, stopping), daemon=True).start()
    sending = threading.Lock()

    def send(message: bytes | None, value: tuple[bytes | None, str] = (None, "")) -> None:
        with sending:
            pipe.send((message, value))

    with suppress(KeyboardInterrupt, BrokenPipeError):
        while (task := _next(tasks)) is not None:
            stopping.at_work = True
            send(None, _value(task, send))
            stopping.at_work = False


def _value(task: ExecutorTask, send: Callable[[bytes], None]) -> tuple[bytes | None, str]:
    """What a task returns, or why it doesn't."""
    try:
        return task.run(send), ""
    except Exception as error:  # adbench returns the errors of jobs, so this is one of its own
        import traceback

        traceback.print_exc()
        return None, f"the worker failed: {type(error).__name__}: {error}"


def _next(tasks: queue.SimpleQueue[ExecutorTask | None]) -> ExecutorTask | None:
    """The next task; on Windows, waiting without end could not be interrupted."""
    while True:
        with suppress(queue.Empty):
            return tasks.get(timeout=1.0)


class _Stopping:
    """Turns the command's wish to stop into ``KeyboardInterrupt``, once; a terminal's Ctrl-C is left to the command."""

    def __init__(self) -> None:
        self.at_work = False
        self._wanted = False
        signal.signal(signal.SIGINT, self._interrupt)
        if sys.platform != "win32":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the command may have been started with its own

    def _interrupt(self, *_: object) -> None:
        if self._wanted:
            self._wanted = False
            raise KeyboardInterrupt

    def now(self) -> None:
        """Stop the task that is being done, if any."""
        if self.at_work:
            self._wanted = True
            _thread.interrupt_main()


def _listen(pipe: Connection, tasks: queue.SimpleQueue[ExecutorTask | None], stopping: _Stopping) -> None:
    """Receive tasks; on the word to stop, or if the command is gone, stop the work and start no other."""
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            task = None
        tasks.put(task)
        if task is None:
            stopping.now()
            return
