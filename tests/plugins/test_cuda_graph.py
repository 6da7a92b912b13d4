"""Steps that are captured as CUDA graphs and replayed equal eager steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from adbench_plugins import cuda_graph
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.cuda_graph import WARM_UP, Graph, GraphedStep, capturable_adam, load_optimizer
from adbench_plugins.fastflow import FastFlowOptions
from adbench_plugins.fastflow.model import FastFlow
from adbench_plugins.flows import set_learning_rate
from adbench_plugins.msflow import MSFlowOptions
from adbench_plugins.msflow.model import MSFlow
from flow_doubles import TinyBackbone, TinyImages, train
from torch import Tensor

from adbench.util.errors import CheckpointError

CPU = torch.device("cpu")

CFLOW = replace(
    CFlowOptions(), size=(32, 48), batch_size=3, fibres=16, blocks=2, cond_channels=8, meta_epochs=2, sub_epochs=2,
    lr=1e-3, warmup=1, rotation=0.0, amp="off", layers=(1, 2, 3),
)  # fmt: skip

MSFLOW = replace(
    MSFlowOptions(), size=(32, 48), batch_size=3, blocks=(1, 2, 2), cond_channels=8, meta_epochs=3, sub_epochs=2,
    lr=1e-3, warmup=1, decay_epochs=(4,), amp="off",
)  # fmt: skip

FASTFLOW = replace(FastFlowOptions(), size=(32, 48), batch_size=3, steps=2, epochs=6, amp="off")

Flow = CFlow | MSFlow | FastFlow


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in on the CPU for steps on a GPU; the list holds its events.

    As on a GPU, a capture computes nothing, and a replay reads what lies in the captured inputs by then.
    """
    events: list[str] = []

    def on_side_stream(step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        events.append("eager")
        return step(*inputs)

    def capture(step: Callable[..., Tensor], inputs: Sequence[Tensor], pool: object) -> Graph:
        events.append("capture" if pool is None else f"capture in the pool of {pool}")
        result = torch.zeros(())

        def replay() -> None:
            events.append("replay")
            result.copy_(step(*inputs))

        return Graph(replay, result, pool or f"graph {events.count('capture')}")

    monkeypatch.setattr(cuda_graph, "on_side_stream", on_side_stream)
    monkeypatch.setattr(cuda_graph, "capture", capture)
    return events


def small(method: str, captured: bool = True, **changes: object) -> Flow:
    """A detector that takes its steps as on a GPU."""
    torch.manual_seed(0)
    np.random.seed(0)  # MSFlow's permutations
    detector: Flow
    if method == "cflow":
        detector = CFlow(replace(CFLOW, **changes), CPU, TinyBackbone((4, 6, 9)))
    elif method == "fastflow":
        detector = FastFlow(replace(FASTFLOW, **changes), CPU, TinyBackbone((4, 6, 9)))
    else:
        detector = MSFlow(replace(MSFLOW, **changes), CPU, TinyBackbone((4, 6, 9)))
    for each in detector.graphs:
        each.possible = captured
    return detector


def losses_of(detector: Flow, images: int = 7) -> list[float | None]:
    """The loss of each epoch; with 7 images in batches of 3 the last batch is smaller."""
    torch.manual_seed(1)
    return [report.loss for report in train(detector, TinyImages(images))]  # type: ignore[attr-defined]


def refuse(*_: object) -> Graph:
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCUDA kernel errors might be late")


def test_three_steps_are_eager_before_one_is_captured(gpu: list[str]) -> None:
    """However a step is taken, it uses its own inputs and returns a new result."""
    step = GraphedStep(lambda x, y: (x * y).sum(), True, pytest.fail)

    results = [step(torch.full((2,), float(n)), torch.tensor([1.0, 2.0])) for n in range(6)]

    assert [result.item() for result in results] == [0, 3, 6, 9, 12, 15]
    assert gpu == ["eager"] * WARM_UP + ["capture"] + ["replay"] * 3


def test_each_shape_has_a_graph_of_its_own(gpu: list[str]) -> None:
    """A smaller batch also has three eager steps, and then a graph in the memory of the first graph."""
    step = GraphedStep(lambda x: x.sum(), True, pytest.fail)
    batches = [torch.full((2 if n % 2 else 5,), float(n)) for n in range(10)]

    assert [step(batch).item() for batch in batches] == [0, 2, 10, 6, 20, 10, 30, 14, 40, 18]
    assert gpu == ["eager"] * 6 + ["capture", "replay", "capture in the pool of graph 1"] + ["replay"] * 3


def test_on_a_cpu_nothing_is_captured(gpu: list[str]) -> None:
    """There a step is a plain call."""
    step = GraphedStep(lambda x: x + 1, False, pytest.fail)

    assert [step(torch.tensor(n)).item() for n in range(6)] == [1, 2, 3, 4, 5, 6]
    assert gpu == []
    assert not any(graph.possible for method in ("cflow", "msflow") for graph in built(method).graphs)


def built(method: str) -> Flow:
    """A freshly built detector."""
    backbone = TinyBackbone((4, 6, 9))
    return CFlow(CFLOW, CPU, backbone) if method == "cflow" else MSFlow(MSFLOW, CPU, backbone)


def test_steps_that_cannot_be_captured_are_eager(gpu: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused capture costs no step, and its reason is reported."""
    said: list[str] = []
    monkeypatch.setattr(cuda_graph, "capture", refuse)
    step = GraphedStep(lambda x: x + 1, True, said.append)

    assert [step(torch.tensor(n)).item() for n in range(6)] == [1, 2, 3, 4, 5, 6]
    assert gpu == ["eager"] * WARM_UP
    assert len(said) == 1
    assert "not permitted" in said[0]


@pytest.mark.usefixtures("one_thread", "gpu")
@pytest.mark.parametrize("method", ["cflow", "msflow", "fastflow"])
def test_a_refused_capture_is_said_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other decoders don't try again; training continues eagerly with the same result."""
    asked = []

    def capture(*arguments: object) -> Graph:
        asked.append(arguments)
        return refuse()

    monkeypatch.setattr(cuda_graph, "capture", capture)
    detector, said = small(method), []
    detector.micro_batches.say = said.append

    assert losses_of(detector) == losses_of(small(method, captured=False))
    assert len(asked) == 1
    assert said == [
        "Training goes on kernel by kernel, since its steps can't be captured as a CUDA graph: "
        "CUDA error: operation not permitted when stream is capturing"
    ]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("method", "graphs"), [("cflow", 3), ("msflow", 2), ("fastflow", 2)])
def test_a_training_by_graphs_is_the_training(method: str, graphs: int, gpu: list[str]) -> None:
    """Training ends in the same losses and weights, bit for bit, and keeps no graph afterwards."""
    wanted, found = small(method, captured=False), small(method)

    assert losses_of(found) == losses_of(wanted)
    assert not any(each._shapes for each in found.graphs)
    for actual, expected in zip(weights(found), weights(wanted), strict=True):
        assert torch.equal(actual, expected)
    assert (
        sum(event.startswith("capture") for event in gpu) == graphs
    )  # those of a single step have a second one, of smaller batches
    assert gpu.count("replay") > 10


def weights(detector: Flow) -> list[Tensor]:
    """All parameters."""
    if isinstance(detector, FastFlow):
        return list(detector.network.parameters())
    return list((detector.decoders if isinstance(detector, CFlow) else detector.flow).parameters())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", ["cflow", "msflow", "fastflow"])
def test_steps_are_captured_anew_after_a_state_is_loaded(method: str, gpu: list[str]) -> None:
    """Loading replaces the optimiser's tensors, so an older graph would write to freed memory."""
    detector = small(method, captured=True)
    fitting = detector.fit(TinyImages(15))  # type: ignore[arg-type]
    next(fitting)
    next(fitting)
    captures = gpu.count("capture")
    assert captures == len(detector.graphs)

    detector.load_state_dict(detector.state_dict())
    assert not any(each.graphs for each in detector.graphs)
    next(fitting)

    assert gpu.count("capture") == 2 * captures


def test_a_learning_rate_in_memory_stays_there() -> None:
    """A graph reads the rate at its address; a plain number is replaced."""
    weight = torch.nn.Parameter(torch.zeros(1))
    there = torch.tensor(0.5)
    optimizer = torch.optim.Adam([weight], lr=there, capturable=True, foreach=False)
    plain = torch.optim.Adam([weight], lr=0.5)

    set_learning_rate(optimizer, 0.25)
    set_learning_rate(plain, 0.25)

    assert optimizer.param_groups[0]["lr"] is there
    assert there.item() == plain.param_groups[0]["lr"] == 0.25


def test_a_state_of_a_gpu_goes_on_on_a_cpu() -> None:
    """Moments and steps are loaded; the rate's device and capturability are not."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = capturable_adam([weight], 0.5, CPU)
    weight.grad = torch.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    state["param_groups"] = [{**group, "lr": torch.tensor(0.1), "capturable": True} for group in state["param_groups"]]
    other = capturable_adam([torch.nn.Parameter(torch.ones(2))], 0.25, CPU)

    load_optimizer(other, state)

    (group,) = other.param_groups
    assert (group["lr"], group["capturable"]) == (0.25, False)
    (moments,) = other.state.values()
    assert moments["step"].item() == 1
    torch.testing.assert_close(moments["exp_avg"], torch.full((2,), 0.1))


def test_a_state_of_another_optimiser_is_refused() -> None:
    """The error says what is wrong; training doesn't continue with half a state."""
    optimizer = capturable_adam([torch.nn.Parameter(torch.ones(2))], 0.5, CPU)
    other = capturable_adam([torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))], 0.5, CPU)

    with pytest.raises(CheckpointError, match=r"state of an optimiser: found .*parameter group"):
        load_optimizer(optimizer, other.state_dict())


# ---------------------------------------------------------------- on a GPU


@pytest.fixture
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda", 0)


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("method", ["cflow", "msflow", "fastflow"])
def test_on_a_gpu_graphed_steps_are_the_steps(method: str, amp: str, device: torch.device) -> None:
    """Twenty steps at changing rates, some on smaller batches: graphs have the losses of eager steps."""
    channels = (160, 256, 512)

    def losses(captured: bool) -> list[float]:
        torch.manual_seed(0)
        np.random.seed(0)  # MSFlow's permutations
        backbone = TinyBackbone(channels)
        detector: Flow
        if method == "cflow":
            options = replace(CFLOW, fibres=256, blocks=8, cond_channels=128, amp=amp)
            detector = CFlow(options, device, backbone)
        elif method == "fastflow":
            detector = FastFlow(replace(FASTFLOW, norm="backbone", steps=4, amp=amp), device, backbone)
        else:
            detector = MSFlow(replace(MSFLOW, blocks=(2, 3, 3), cond_channels=64, amp=amp), device, backbone)
        found = []
        for level, step in enumerate(detector.graphs):
            step.possible, step.refused = captured, pytest.fail
            optimizer = detector.optimizers[level] if isinstance(detector, CFlow) else detector.optimizer
            for number in range(20):
                set_learning_rate(optimizer, 1e-4 * (1 + number))
                count = 5 if number % 3 == 2 else 8  # a CUDA graph for each
                if method == "cflow":
                    inputs = [torch.randn(32 * count, channels[level]), torch.randn(32 * count, 128)]
                else:
                    inputs = [torch.randn(count, c, s, s + 3) for c, s in zip(channels, (32, 16, 8), strict=True)]
                found.append(step(*(each.to(device) * (1 + number / 20) for each in inputs)))
            assert len(step.graphs) == (2 if captured else 0)
        return torch.stack(found).tolist()

    wanted = losses(False)
    assert max(wanted) > 1.2 * min(wanted)  # else the tolerance would hide steps on old inputs
    assert losses(True) == pytest.approx(wanted, rel=1e-3 if amp == "off" else 1e-2)


@pytest.mark.gpu
def test_on_a_gpu_a_refused_capture_costs_nothing(device: torch.device) -> None:
    """A step that reads a value can't be captured and is eager from then on; others are captured after it."""
    weight, said = torch.nn.Parameter(torch.ones(4, device=device)), []
    optimizer = capturable_adam([weight], 0.1, device)

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = (weight * x).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() >= 0
        optimizer.step()
        return loss.detach()

    graphed = GraphedStep(step, True, said.append)
    losses = [graphed(torch.full((4,), 1.0, device=device)).item() for _ in range(6)]

    assert len(said) == 1
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 6
    other = GraphedStep(lambda x: x.sum(), True, pytest.fail)
    assert [other(torch.full((2,), float(n), device=device)).item() for n in range(6)] == [0, 2, 4, 6, 8, 10]
