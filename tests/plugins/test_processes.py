"""Processes of this machine: tasks in order, workers that die or are stopped, GPUs, and the numbers of one process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest
from adbench_plugins.executors import share
from adbench_plugins.executors.processes import VISIBLE, Processes, visible_gpus
from made_executors import task
from runs import TINY, adbench, only_run, posix_only, run_tiny

from adbench.api import ExecutorEnd, ExecutorRequest, OptionError


def request(tasks: int = 4, cores: int = 2, gpus: int = 0, **changes) -> ExecutorRequest:
    return ExecutorRequest(tasks, cores, gpus, **changes)


def ends_of(executor, tasks, hear=lambda number, message: None) -> list[ExecutorEnd]:
    return list(executor.run(tasks, hear))


# ---------------------------------------------------------------- shares


@pytest.mark.parametrize(
    ("changes", "number", "threads"),
    [
        ({}, 2, 1),
        ({"cores": 16, "tasks": 100}, 4, 4),
        ({"cores": 16, "tasks": 100, "workers": 3}, 3, 5),
        ({"tasks": 1}, 1, 2),
        ({"gpus": 8, "cores": 64, "tasks": 100}, 8, 8),
        ({"gpus": 2, "cores": 64, "tasks": 100, "gpus_per_job": 0.25}, 8, 8),
        ({"gpus": 8, "cores": 64, "tasks": 100, "workers": 2}, 2, 32),
    ],
)
def test_jobs_share_the_machine(changes, number, threads):
    """One job for each GPU, or for some cores; never more than tasks; the cores are divided among them."""
    asked = request(**changes)
    assert (share.workers(asked), share.threads(asked, number)) == (number, threads)


def test_a_share_of_a_gpu_needs_one():
    """On a machine without a GPU, the message names the option for the CPU."""
    with pytest.raises(OptionError, match="wanted --workers N on the CPU"):
        share.workers(request(gpus_per_job=0.5))


def test_more_workers_than_shares_of_gpus_are_refused():
    """Two GPUs have four halves."""
    with pytest.raises(OptionError, match=r"found 2 GPUs and --gpus-per-job 0\.5, wanted at most 4"):
        Processes(request(tasks=9, gpus=2, gpus_per_job=0.5, workers=5))


@pytest.mark.parametrize(
    ("value", "names"), [(None, ["0", "1"]), ("5,3,7", ["5", "3"]), ("GPU-ab, 2", ["GPU-ab", "2"])]
)
def test_workers_get_gpus_by_the_names_that_the_command_has(monkeypatch, value, names):
    """A GPU is what CUDA_VISIBLE_DEVICES says, so that a command stays on those of its user."""
    monkeypatch.delenv(VISIBLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VISIBLE, value)
    assert visible_gpus(2) == names


# ---------------------------------------------------------------- workers


def test_tasks_are_done_and_heard_and_a_worker_lives_for_several():
    """Each task's value and messages come back; one worker, with its GPU's name, does all in their order."""
    value = f"__import__('os').environ['{VISIBLE}'].encode() + b' %d' % __import__('os').getpid()"
    code = f"(send(b'a'), send(b'b'), {value})[2]"
    heard: list[tuple[int, bytes]] = []
    executor = Processes(request(tasks=3, gpus=1))
    ends = ends_of(executor, [task(number, code) for number in range(3)], lambda *message: heard.append(message))
    assert [end.number for end in ends] == [0, 1, 2]
    assert len({end.value for end in ends}) == 1
    assert ends[0].value.startswith(b"0 ")
    assert heard == [(number, letter) for number in range(3) for letter in (b"a", b"b")]
    assert multiprocessing.active_children() == []


@posix_only
def test_a_worker_that_dies_loses_only_its_task():
    """The end names worker, process and signal, or the exit code; another worker takes its seat."""
    tasks = [
        task(0, "__import__('os').kill(__import__('os').getpid(), 9)"),
        task(1, "__import__('os')._exit(3)"),
        task(2, "1 / 0"),
        task(3, "b'done'"),
    ]
    killed, left, failed, done = ends_of(Processes(request(workers=1)), tasks)
    assert killed.lost.startswith("worker 1 (process ")
    assert killed.lost.endswith(") was killed by SIGKILL")
    assert left.lost.endswith("ended with exit code 3")
    assert failed.lost == "the worker failed: ZeroDivisionError: division by zero"
    assert (done.value, done.lost) == (b"done", "")


def test_a_worker_that_dies_between_two_tasks_loses_none():
    """One that ends after its task has come back is replaced, and the next task is done."""
    dies = "(__import__('threading').Timer(0.2, __import__('os')._exit, [3]).start(), b'first')[1]"
    ends = Processes(request(workers=1, tasks=2)).run([task(0, dies), task(1, "b'second'")], lambda *message: None)
    assert next(ends).value == b"first"
    for process in multiprocessing.active_children():
        process.join(60)
    assert [(end.number, end.value) for end in ends] == [(1, b"second")]


SLEEPS = "(send(b'%d' % __import__('os').getpid()), [__import__('time').sleep(0.02) for _ in range(1500)])"


@posix_only
def test_stopped_workers_end_at_once_and_a_terminals_ctrl_c_is_left_to_the_command():
    """A SIGINT to the worker alone does nothing; when the command closes the generator, no worker is left."""
    heard = threading.Event()
    processes: list[int] = []

    def hear(number, message):
        processes.append(int(message))
        os.kill(int(message), signal.SIGINT)
        heard.set()

    ends = Processes(request(workers=1, tasks=2)).run([task(0, "b'first'"), task(1, SLEEPS)], hear)
    assert next(ends).value == b"first"

    def stop():
        heard.wait(60)
        time.sleep(0.3)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=stop).start()
    with pytest.raises(KeyboardInterrupt):
        next(ends)
    assert multiprocessing.active_children() == []
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)


# ---------------------------------------------------------------- whole runs

PROCESSES = ("--executor", "processes", "--workers", 2)


@pytest.mark.slow
def test_processes_give_the_numbers_of_local(tiny_data, tmp_path):
    """Bit-equal scores for two classes and in the setting multi-class, with maps, report and a promised threshold."""
    for words in ((), ("--setting", "multi-class"), ("--shots", 3), ("--target-false-alarms", "20%", "--folds", 2)):
        extra = ("-o", "epochs=1", "--threads", 1, *words)
        local = run_tiny(tiny_data, tmp_path / "local", *extra)
        spread = run_tiny(tiny_data, tmp_path / "spread", *extra, *PROCESSES, "--save-maps", "--report")
        assert (local.exit_code, spread.exit_code) == (0, 0), spread.stderr
        assert spread.stdout.splitlines()[:3] == local.stdout.splitlines()[:3]
    files = sorted((tmp_path / "local").glob("*/*/*/*/[s,t]*.csv"))
    assert len(files) == 12
    for path in files:
        other = tmp_path / "spread" / path.relative_to(tmp_path / "local")
        assert other.read_bytes() == path.read_bytes(), path
        assert list(other.parent.glob("**/*.png"))
    assert (tmp_path / "spread/report/index.html").is_file()


@pytest.mark.slow
@posix_only
def test_a_killed_worker_fails_one_job_and_the_same_command_goes_on(tiny_data, tmp_path, monkeypatch):
    """SIGKILL in training: the error names the worker, other jobs end, the exit code is 1; the next start resumes."""
    words = ("-m", "tiny,random", "--plugin", TINY, "-d", "folder", "-c", "bolts", "--data-root", tiny_data, "-p",
             "cpu", "-o", "tiny.kill_at=2", "--results", tmp_path, *PROCESSES)  # fmt: skip
    killed = adbench("run", *words)
    assert killed.exit_code == 1, killed.stderr
    assert "tiny · folder/bolts · seed 0 was lost: found worker" in killed.stderr
    assert "was killed by SIGKILL" in killed.stderr
    assert "✓ random · folder/bolts" in killed.stderr
    assert "1 of 2 tasks failed; the others are stored." in killed.stderr
    monkeypatch.setenv("TINY_SURVIVES", "1")
    again = adbench("run", *words)
    assert again.exit_code == 0, again.stderr
    assert "going on after epoch 1" in again.stderr
    whole = run_tiny(tiny_data, tmp_path / "whole", "-c", "bolts", "-p", "cpu", "-o", "kill_at=2")
    assert whole.exit_code == 0
    (broken,) = tmp_path.glob("folder/bolts/tiny/*")
    assert (broken / "scores.csv").read_bytes() == (only_run(tmp_path / "whole") / "scores.csv").read_bytes()
