"""Worker threads: in order within a chain, side by side between chains, and every error is raised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from adbench_plugins import worker_threads
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.worker_threads import AHEAD, WorkerThreads
from flow_doubles import TinyBackbone, TinyImages, train

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch has two threads, whatever the machine has; at the end as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_each_chain_keeps_its_order():
    """The work of each of three chains is done in the order in which it was put."""
    done: list[list[tuple[int, int]]] = [[], [], []]

    def steps(chain: int, piece: int) -> Iterator[int]:
        for step in range(3):
            time.sleep(0.001 * (chain + 1))
            done[chain].append((piece, step))
            yield 10 * piece + step

    with WorkerThreads[int](3, CPU) as threads:
        for piece in range(5):
            for chain in range(3):
                threads.put(chain, steps(chain, piece))
        results = threads.results()

    assert results == [[10 * piece + step for piece in range(5) for step in range(3)]] * 3
    assert done == [[(piece, step) for piece in range(5) for step in range(3)]] * 3


@pytest.mark.parametrize(("budget", "shares"), [(2, [1, 1]), (3, [1, 1, 1]), (6, [2, 2, 2])])
def test_chains_run_side_by_side_each_on_its_share_of_the_threads(two_threads, budget, shares):
    """As many chains as threads run at once, each with its share of torch's threads; the caller has all."""
    torch.set_num_threads(budget)
    meeting = threading.Barrier(len(shares), timeout=30)

    def meet() -> Iterator[int]:
        meeting.wait()
        yield torch.get_num_threads()

    with WorkerThreads[int](3, CPU) as threads:
        for chain in range(len(shares)):
            threads.put(chain, meet())
        assert [share for chain in threads.results() for share in chain] == shares
        assert torch.get_num_threads() == budget

    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [budget]


@pytest.mark.usefixtures("two_threads")
def test_no_more_steps_at_a_time_than_torch_has_threads():
    """Of three chains on two threads two are at work, and the third has its turn, too."""
    at_work = [0]
    seen: list[int] = []

    def steps() -> Iterator[None]:
        for _ in range(20):
            at_work[0] += 1
            time.sleep(0.002)
            seen.append(at_work[0])
            at_work[0] -= 1
            yield

    with WorkerThreads[None](3, CPU) as threads:
        for chain in range(3):
            threads.put(chain, steps())
        threads.results()
    assert len(seen) == 60
    assert max(seen) == 2


@pytest.mark.parametrize(("budget", "device"), [(2, "meta"), (1, "cpu")])
def test_one_thread_and_other_devices_work_at_once(two_threads, budget, device):
    """Without threads to share, the work is done when ``put`` returns."""
    torch.set_num_threads(budget)
    before = threading.active_count()
    done: list[int] = []

    def steps() -> Iterator[int]:
        done.append(threading.get_ident())
        yield 7

    with WorkerThreads[int](3, torch.device(device)) as threads:
        threads.put(2, steps())
        assert done == [threading.get_ident()]
        assert threading.active_count() == before
        assert threads.results() == [[], [], [7]]


def test_the_budget_is_read_when_work_starts(two_threads):
    """A number of threads that is set between two epochs counts in the second."""
    for budget, expected in ((1, True), (2, False), (1, True)):
        torch.set_num_threads(budget)
        with WorkerThreads[int](2, CPU) as threads:
            threads.put(0, (threading.get_ident() for _ in range(1)))
            assert (threads.results()[0] == [threading.get_ident()]) is expected


def _fail(kind: type[BaseException]) -> Iterator[int]:
    yield 1
    raise kind("a step failed")


def _endless() -> Iterator[int]:
    while True:
        time.sleep(0.001)
        yield 1


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_an_error_ends_all_chains(kind):
    """A step's error is raised by a later ``put``, and no thread is left, even if another chain was at work."""
    others = threading.active_count()

    def work() -> None:
        with WorkerThreads[int](2, CPU) as threads:
            threads.put(1, _endless())
            threads.put(0, _fail(kind))
            for _ in range(AHEAD):
                threads.put(0, iter([1]))

    with pytest.raises(kind, match="a step failed"):
        work()
    assert threading.active_count() == others


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("budget", [1, 2])
def test_an_error_in_the_last_work_is_heard(budget):
    """``results`` raises what the last piece of a chain raised, with threads and without."""
    torch.set_num_threads(budget)

    def work() -> None:
        with WorkerThreads[int](2, CPU) as threads:
            threads.put(0, iter([1]))
            threads.put(1, _fail(ValueError))
            threads.results()

    with pytest.raises(ValueError, match="a step failed"):
        work()


@pytest.mark.usefixtures("two_threads")
def test_leaving_early_waits_for_no_more_than_the_step_under_way():
    """After Ctrl-C the threads end with their present step, and drop the rest of the work."""
    others = threading.active_count()
    begun, go_on, taken = threading.Event(), threading.Event(), []

    def endless() -> Iterator[int]:
        while True:
            begun.set()
            go_on.wait()
            taken.append(1)
            yield 1

    def interrupted() -> None:
        with WorkerThreads[int](2, CPU) as threads:
            threads.put(0, endless())
            threads.put(0, endless())
            begun.wait()
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() <= others + 1  # the timer may be about to end
    assert len(taken) == 1


@pytest.mark.parametrize(("budget", "expected"), [(2, [True]), (1, [])])
def test_memory_of_the_threads_is_given_back(two_threads, budget, expected, monkeypatch):
    """Freed memory returns to the system when the threads have ended; without threads there is nothing to do."""
    torch.set_num_threads(budget)
    others = threading.active_count()
    given_back: list[bool] = []
    monkeypatch.setattr(worker_threads.memory, "free", lambda: given_back.append(threading.active_count() == others))
    with WorkerThreads[int](2, CPU) as threads:
        threads.put(0, iter([1]))
        assert threads.results() == [[1], []]
    assert given_back == expected


@pytest.mark.usefixtures("two_threads")
def test_no_more_than_a_few_pieces_wait():
    """``put`` waits for a chain that is behind, so that features of a whole epoch never pile up."""
    go_on, put = threading.Event(), []

    def wait() -> Iterator[int]:
        go_on.wait()
        yield 1

    def fill(threads: WorkerThreads[int]) -> None:
        for piece in range(AHEAD + 2):
            threads.put(0, wait())
            put.append(piece)

    with WorkerThreads[int](2, CPU) as threads:
        filling = threading.Thread(target=fill, args=(threads,))
        filling.start()
        while len(put) < AHEAD:
            time.sleep(0.001)
        time.sleep(0.05)
        assert len(put) == AHEAD
        go_on.set()
        filling.join(timeout=30)
        assert threads.results() == [[1] * (AHEAD + 2), []]


@pytest.mark.usefixtures("two_threads")
def test_decoders_trained_side_by_side_learn_what_they_learn_in_turn():
    """Three decoders in threads or without have the same mini-batches in the same order, so the same weights."""
    options = replace(
        CFlowOptions(), size=(32, 48), batch_size=3, fibres=16, blocks=2, cond_channels=8, meta_epochs=2,
        sub_epochs=2, lr=1e-3, warmup=0, rotation=0.0, amp="off", layers=(1, 2, 3),
    )  # fmt: skip

    def trained(threads: int) -> tuple[list[float], list[torch.Tensor]]:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        detector = CFlow(options, CPU, TinyBackbone((4, 6, 9)))
        losses = [report.loss for report in train(detector, TinyImages())]
        return losses, [p.detach() for p in detector.decoders.parameters()]

    losses, weights = trained(2)
    expected_losses, expected_weights = trained(1)
    again, _ = trained(2)

    assert losses == pytest.approx(expected_losses, rel=1e-5)
    for actual, expected in zip(weights, expected_weights, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)
    assert losses[-1] < losses[0]
    assert again == losses  # bit for bit
