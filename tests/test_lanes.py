"""Work in lanes: in order within one, side by side between them, and every error heard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.lanes import AHEAD, Lanes
from flow_doubles import TinyBackbone, TinyImages, train

CPU = torch.device("cpu")


@pytest.fixture
def threads() -> Iterator[None]:
    """Two threads of torch, whatever the machine has; and at the end as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_each_lane_keeps_its_order():
    """Three lanes on two threads: whatever runs when, each lane's work is done in the order in which it was put."""
    done: list[list[tuple[int, int]]] = [[], [], []]

    def steps(lane: int, piece: int) -> Iterator[int]:
        for step in range(3):
            time.sleep(0.001 * (lane + 1))
            done[lane].append((piece, step))
            yield 10 * piece + step

    with Lanes(3, CPU) as lanes:
        futures = [[lanes.put(lane, steps(lane, piece)) for lane in range(3)] for piece in range(5)]
        results = [[future.result() for future in row] for row in futures]

    assert results == [[[10 * piece + step for step in range(3)]] * 3 for piece in range(5)]
    assert done == [[(piece, step) for piece in range(5) for step in range(3)]] * 3


@pytest.mark.usefixtures("threads")
def test_lanes_run_side_by_side_each_on_its_share_of_the_threads():
    """Two lanes meet, which one thread alone couldn't; each has one of torch's two threads, and the caller both."""
    meeting = threading.Barrier(2, timeout=30)

    def meet() -> Iterator[int]:
        meeting.wait()
        yield torch.get_num_threads()

    with Lanes(2, CPU) as lanes:
        first, second = lanes.put(0, meet()), lanes.put(1, meet())
        assert first.result() + second.result() == [1, 1]
        assert torch.get_num_threads() == 2

    assert torch.get_num_threads() == 2
    assert meeting.n_waiting == 0


def test_one_thread_and_other_devices_work_at_once(threads: None) -> None:
    """With nothing to share there are no threads, and what is put is done when ``put`` returns."""
    with Lanes(3, torch.device("meta")) as lanes:
        assert lanes.put(0, iter([1, 2])).done()
    torch.set_num_threads(1)
    with Lanes(3, CPU) as lanes:
        caller = threading.get_ident()
        assert lanes.put(2, (threading.get_ident() for _ in range(1))).result(timeout=0) == [caller]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_an_error_ends_everything_and_reaches_the_caller(kind):
    """The work that failed and all that waits behind it raise the error, and so does the next ``put``."""

    def fail() -> Iterator[int]:
        yield 1
        raise kind("a step failed")

    with Lanes(2, CPU) as lanes:
        futures = [lanes.put(0, fail()), lanes.put(0, iter([1]))]
        for future in futures:
            with pytest.raises(kind, match="a step failed"):
                future.result(timeout=30)
        with pytest.raises(kind, match="a step failed"):
            lanes.put(1, iter([1]))


@pytest.mark.usefixtures("threads")
def test_leaving_early_waits_for_no_more_than_the_step_under_way():
    """After Ctrl-C the threads end with the step that they are in, and leave the rest of the work undone."""
    begun, go_on, taken = threading.Event(), threading.Event(), []

    def endless() -> Iterator[int]:
        while True:
            begun.set()
            go_on.wait()
            taken.append(1)
            yield 1

    lanes = Lanes(2, CPU)

    def interrupted() -> None:
        with lanes:
            lanes.put(0, endless())
            begun.wait()
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    count = len(taken)
    assert not any(thread.is_alive() for thread in lanes._pool)
    time.sleep(0.02)
    assert len(taken) == count


@pytest.mark.usefixtures("threads")
def test_no_more_than_a_few_pieces_wait():
    """``put`` waits where a lane is full, so that features of a whole epoch never pile up."""
    go_on, put = threading.Event(), []

    def wait() -> Iterator[int]:
        go_on.wait()
        yield 1

    def fill() -> None:
        for piece in range(AHEAD + 2):
            lanes.put(0, wait())
            put.append(piece)

    with Lanes(2, CPU) as lanes:
        filling = threading.Thread(target=fill)
        filling.start()
        while len(put) < AHEAD:
            time.sleep(0.001)
        time.sleep(0.05)
        assert len(put) == AHEAD
        go_on.set()
        filling.join(timeout=30)
        assert len(put) == AHEAD + 2


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("inference", [False, True])
def test_work_has_the_gradient_mode_of_its_caller(inference):
    """Whether gradients are recorded is a thread's own affair in torch, so that it has to be carried over."""

    def modes() -> Iterator[tuple[bool, bool]]:
        yield torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with Lanes(2, CPU) as lanes, torch.inference_mode(inference):
        assert lanes.put(0, modes()).result() == [(not inference, inference)]
        with torch.no_grad():
            assert lanes.put(1, modes()).result() == [(False, inference)]


@pytest.mark.usefixtures("threads")
def test_decoders_trained_side_by_side_learn_what_they_learn_in_turn():
    """Three decoders on two threads and on one: the same mini-batches in the same order, so the same weights."""
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
