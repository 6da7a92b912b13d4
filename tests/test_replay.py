"""Steps that are recorded and played again are the steps themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from adbench_plugins import replay
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.flows import set_learning_rate
from adbench_plugins.replay import WARM_UP, Replay, load_replayable, replayable_adam
from flow_doubles import TinyBackbone, TinyImages, train
from torch import Tensor

CPU = torch.device("cpu")

OPTIONS = replace(
    CFlowOptions(), size=(32, 48), batch_size=3, fibres=16, blocks=2, cond_channels=8, meta_epochs=2, sub_epochs=2,
    lr=1e-3, warmup=1, rotation=0.0, amp="off", layers=(1, 2, 3),
)  # fmt: skip


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a card does with steps, on a processor: a list of what happened.

    As on a card, recording computes nothing, and playing reads what lies in the recorded inputs by then.
    """
    events: list[str] = []

    def beside(step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        events.append("beside")
        return step(*inputs)

    def record(step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> replay.Player:
        events.append("record")
        result = torch.zeros(())

        def play() -> None:
            events.append("play")
            result.copy_(step(*inputs))

        return play, result

    monkeypatch.setattr(replay, "beside", beside)
    monkeypatch.setattr(replay, "record", record)
    return events


def small(**changes: object) -> CFlow:
    """A detector that takes its steps as on a card."""
    torch.manual_seed(0)
    detector = CFlow(replace(OPTIONS, **changes), CPU, TinyBackbone((4, 6, 9)))
    for each in detector.replays:
        each.possible = True
    return detector


def test_three_steps_are_taken_before_one_is_recorded(recorder: list[str]) -> None:
    """Each step gets its own numbers and hands out a result of its own, however it is taken."""
    step = Replay(lambda x, y: (x * y).sum(), True, pytest.fail)

    results = [step(torch.full((2,), float(n)), torch.tensor([1.0, 2.0])) for n in range(6)]

    assert [result.item() for result in results] == [0, 3, 6, 9, 12, 15]
    assert recorder == ["beside"] * WARM_UP + ["record"] + ["play"] * 3


def test_on_a_processor_nothing_is_recorded(recorder: list[str]) -> None:
    """There a step is a call."""
    step = Replay(lambda x: x + 1, False, pytest.fail)

    assert [step(torch.tensor(n)).item() for n in range(6)] == [1, 2, 3, 4, 5, 6]
    assert recorder == []


def test_steps_that_cannot_be_recorded_are_taken_as_they_are(
    recorder: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that refuses costs no step, and the reason is told."""

    def refuse(*_: object) -> replay.Player:
        raise RuntimeError("operation not permitted when stream is capturing")

    said: list[str] = []
    monkeypatch.setattr(replay, "record", refuse)
    step = Replay(lambda x: x + 1, True, said.append)

    assert [step(torch.tensor(n)).item() for n in range(6)] == [1, 2, 3, 4, 5, 6]
    assert recorder == ["beside"] * WARM_UP
    assert len(said) == 1
    assert "not permitted" in said[0]


@pytest.mark.usefixtures("one_thread")
def test_what_one_decoder_is_refused_no_other_asks_for(recorder: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A training hears once that its steps can't be recorded, and ends as it would have."""

    def refuse(*_: object) -> replay.Player:
        recorder.append("record")
        raise RuntimeError("CUDA error: operation not permitted")

    wanted, found = small(fibres=4), small(fibres=4)
    said: list[str] = []
    found.passes.say = said.append
    torch.manual_seed(1)
    losses = [report.loss for report in train(wanted, TinyImages())]
    monkeypatch.setattr(replay, "record", refuse)
    recorder.clear()
    torch.manual_seed(1)

    assert [report.loss for report in train(found, TinyImages())] == losses
    assert recorder.count("record") == 1
    assert len(said) == 1
    assert said[0].endswith("not permitted")


@pytest.mark.usefixtures("one_thread")
def test_a_training_by_replay_is_the_training(recorder: list[str]) -> None:
    """CFLOW-AD ends in the same losses and weights, bit for bit, and keeps no recording afterwards."""
    wanted, found = small(), small()
    for each in wanted.replays:
        each.possible = False
    torch.manual_seed(1)
    losses = [report.loss for report in train(wanted, TinyImages())]
    torch.manual_seed(1)

    assert [report.loss for report in train(found, TinyImages())] == losses
    for actual, expected in zip(found.decoders.parameters(), wanted.decoders.parameters(), strict=True):
        assert torch.equal(actual, expected)
    assert recorder.count("record") == len(found.decoders)
    assert recorder.count("play") > 10
    assert not any(each._inputs or each._player for each in found.replays)


@pytest.mark.usefixtures("one_thread")
def test_a_state_that_is_loaded_is_recorded_anew(recorder: list[str]) -> None:
    """Loading puts the optimiser's memory elsewhere, so that a recording of before would write to what is gone."""
    detector = small(fibres=4)
    train(detector, TinyImages(), epochs=1)
    assert recorder.count("record") == len(detector.decoders)

    detector.load_state_dict(detector.state_dict())
    train(detector, TinyImages(), epochs=1)

    assert recorder.count("record") == 2 * len(detector.decoders)


def test_a_learning_rate_in_memory_stays_there() -> None:
    """A recorded step reads the rate where it lay; a plain number is replaced."""
    weight = torch.nn.Parameter(torch.zeros(1))
    there = torch.tensor(0.5)
    optimizer = torch.optim.Adam([weight], lr=there, capturable=True, foreach=False)
    plain = torch.optim.Adam([weight], lr=0.5)

    set_learning_rate(optimizer, 0.25)
    set_learning_rate(plain, 0.25)

    assert optimizer.param_groups[0]["lr"] is there
    assert there.item() == plain.param_groups[0]["lr"] == 0.25


def test_a_state_of_a_card_goes_on_on_a_processor() -> None:
    """Moments and steps are taken over; where the rate lies, and that steps can be recorded, is not."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = replayable_adam([weight], 0.5, CPU)
    weight.grad = torch.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    state["param_groups"] = [{**group, "lr": torch.tensor(0.1), "capturable": True} for group in state["param_groups"]]
    other = replayable_adam([torch.nn.Parameter(torch.ones(2))], 0.25, CPU)

    load_replayable(other, state)

    (group,) = other.param_groups
    assert (group["lr"], group["capturable"]) == (0.25, False)
    (moments,) = other.state.values()
    assert moments["step"].item() == 1
    torch.testing.assert_close(moments["exp_avg"], torch.full((2,), 0.1))


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_on_a_card_replayed_steps_are_the_steps(amp: str) -> None:
    """Twenty optimiser steps of each decoder, at changing rates, as one graph and kernel by kernel: the same losses."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda", 0)

    def losses(possible: bool) -> list[float]:
        torch.manual_seed(0)
        options = replace(OPTIONS, fibres=256, blocks=8, cond_channels=128, amp=amp)
        detector = CFlow(options, device, TinyBackbone((160, 256, 512)))
        found = []
        for level, channels in enumerate(detector.backbone.channels):
            step = detector.replays[level]
            step.possible, step.refused = possible, pytest.fail
            for number in range(20):
                set_learning_rate(detector.optimizers[level], 1e-4 * (1 + number))
                found.append(step(torch.randn(256, channels, device=device), torch.randn(256, 128, device=device)))
            assert (step._player is not None) == possible
        return torch.stack(found).tolist()

    tolerance = 1e-4 if amp == "off" else 1e-2
    assert losses(True) == pytest.approx(losses(False), rel=tolerance)
