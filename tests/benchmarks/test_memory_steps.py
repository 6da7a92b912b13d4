"""Counts of memory on tensors without numbers equal those of real ones, at sizes that no machine could compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adbench import BuildContext, Detector, Epoch, Method, Scores
from adbench.api import registry
from adbench.api.options import Options
from adbench.api.registry import Registry
from benchmarks import memory_steps
from benchmarks.memory_live import Live

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class SmallOptions(Options):
    size: tuple[int, int] = (32, 48)
    batch_size: int = 20


class Small(Detector):
    """A frozen convolution, and one that learns by Adam to give zeros."""

    micro_batching = True

    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        self.backbone = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
        self.network = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))
        self.scale = torch.ones(8, 1, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), fused=True)

    def fit(self, images: Any) -> Any:
        yield Epoch(1, 1)

    def step(self, features: list[Tensor]) -> None:
        self.micro_batches.backward(
            lambda level: self.network(level * self.scale).square().mean((1, 2, 3)), features, self.optimizer
        )
        self.optimizer.step()

    def score(self, batch: Any) -> Scores:
        (level,) = batch.features(self.backbone)
        found = self.network(level)[:, 0]
        return Scores(image=found.amax((1, 2)), map=found)


SMALL = Method("small", "two convolutions", Small, SmallOptions)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory_steps.STEPS, "small", memory_steps.on_features)


def test_the_count_is_that_of_real_tensors() -> None:
    """Parameters, the optimiser's state, gradients and activations, for two steps and a scoring."""
    options = SmallOptions()
    with Live() as live:
        detector = Small(options, BuildContext(torch.device("cpu")))
        batch = memory_steps.Given(torch.rand(options.batch_size, 3, *options.size))
        for _ in range(memory_steps.STEPS_TAKEN):
            memory_steps.on_features(detector, batch)
        with torch.no_grad():
            detector.score(batch)
    found = memory_steps.count(SMALL, Registry({}, {}), options)
    activations = options.batch_size * 32 * 48 * (8 + 2 * 16) * 4
    assert found.bytes == pytest.approx(live.peak, rel=0.01)
    assert found.bytes > activations
    assert found.splits


def test_in_parts_the_features_of_the_whole_batch_stay() -> None:
    """Only what grows with a micro-batch is less."""
    whole, least = memory_steps.estimate(SMALL, Registry({}, {}), SmallOptions())
    kept = 20 * 32 * 48 * (3 + 8) * 4
    assert kept < least < whole / 2


def test_nothing_is_computed() -> None:
    """A batch of a terabyte is counted at once."""
    found = memory_steps.count(SMALL, Registry({}, {}), SmallOptions(size=(8192, 8192), batch_size=64))
    assert found.bytes > 10**12


def test_every_method_that_is_counted_so_is_there() -> None:
    """The steps are those of adbench's own methods."""
    assert set(memory_steps.STEPS) - {"small"} <= set(registry.load().methods)
