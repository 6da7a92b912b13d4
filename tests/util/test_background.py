"""Calls for which a GPU doesn't wait."""

from __future__ import annotations

import threading

import pytest
import torch

from adbench.util.background import Background

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("ahead", [0, 3])
def test_calls_are_made_in_order(device: torch.device, ahead: int) -> None:
    """All calls are made, each with its arguments, whatever may wait."""
    made: list[int] = []
    background = Background(device, ahead)
    for number in range(8):
        background.call(made.append, number)
    background.wait()
    background.close()

    assert made == list(range(8))
    assert not background.busy


def test_a_cpu_makes_them_at_once_and_a_gpu_goes_on() -> None:
    """A CPU makes them in the caller's thread; a GPU has a thread, and ``busy`` reports it."""
    threads: list[int] = []
    go_on = threading.Event()

    def work() -> None:
        assert go_on.wait(30)
        threads.append(threading.get_ident())

    beside = Background(GPU)
    beside.call(work)
    assert beside.busy
    go_on.set()
    beside.wait()
    Background(CPU).call(work)
    beside.close()

    assert threads[0] != threading.get_ident() == threads[1]


def test_only_so_many_calls_wait() -> None:
    """A caller that is faster than the disk waits for it, so that memory doesn't fill up."""
    go_on, begun = threading.Event(), threading.Event()
    background = Background(GPU, ahead=1)

    def work() -> None:
        begun.set()
        assert go_on.wait(30)

    for _ in range(2):
        background.call(work)
    assert begun.wait(30)
    caller = threading.Thread(target=background.call, args=(work,))
    caller.start()
    caller.join(0.1)
    assert caller.is_alive()
    go_on.set()
    caller.join(30)
    assert not caller.is_alive()
    background.wait()
    background.close()


def test_an_error_comes_with_a_later_call_and_once() -> None:
    """After an error, later calls are still made, including those left when the thread is closed."""
    made: list[str] = []
    go_on = threading.Event()

    def fail() -> None:
        assert go_on.wait(30)
        raise OSError("the disk is full")

    background = Background(GPU, ahead=2)
    background.call(fail)
    background.call(made.append, "behind it")
    go_on.set()
    with pytest.raises(OSError, match="full"):
        background.wait()
    background.wait()
    background.call(made.append, "after it")
    background.close()

    assert made == ["behind it", "after it"]
