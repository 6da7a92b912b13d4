"""Laws of trained methods, for the tests of single ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from flow_doubles import TinyBatch, TinyImages, train, unbroken_and_resumed
from torch import nn

from adbench import Detector
from adbench.util.errors import TaskError


def assert_an_image_scores_alone_as_in_a_batch(
    detector: Detector, images: torch.Tensor, *, batch: Callable[[torch.Tensor], Any] = TinyBatch, atol: float = 1e-5
) -> None:
    """No other image matters to the score and the map of each of ``images`` (B, 3, H, W)."""
    with torch.no_grad():
        together = detector.score(batch(images))
        assert together.map is not None
        assert together.map.shape == (len(images), *images.shape[2:])
        for number in range(len(images)):
            alone = detector.score(batch(images[number : number + 1]))
            torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-4, atol=atol)
            torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-4, atol=atol)


def assert_the_same_seed_gives_the_same_scores(make: Callable[..., Detector]) -> None:
    """All randomness comes from the seeded generators; ``make`` takes the seed. Another seed gives other scores."""
    found = []
    for seed in (1, 1, 2):
        detector = make(seed=seed)
        train(detector, TinyImages())
        with torch.no_grad():
            found.append(detector.score(TinyBatch(torch.full((1, 3, 32, 48), 0.5))).image)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def assert_a_resumed_training_ends_in_the_same_numbers(
    make: Callable[..., Detector], folder: Path, images: object = None
) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    unbroken, resumed = unbroken_and_resumed(make, folder, images)
    expected, found = (dict(learnt(detector)) for detector in (unbroken, resumed))
    assert expected
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def learnt(detector: Detector) -> list[tuple[str, torch.Tensor]]:
    """What a detector has learnt: its tensors, and those of its trained modules."""
    found = []
    for name, value in vars(detector).items():
        if isinstance(value, nn.Module) and name not in detector.frozen:
            found += [(f"{name}.{key}", each) for key, each in value.state_dict().items()]
        elif isinstance(value, torch.Tensor):
            found.append((name, value))
    return found


def assert_micro_batches_step_as_a_batch(make: Callable[..., Any], features: Sequence[torch.Tensor]) -> None:
    """Two parts of a batch change the weights as the whole batch does."""
    whole, split = make(), make()
    split.micro_batches.count = 2
    losses = [detector.step(features) for detector in (whole, split)]
    torch.testing.assert_close(*losses)
    for expected, found in zip(whole.trained, split.trained, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def assert_no_memory_is_an_error(detector: Detector, method: str, patch: pytest.MonkeyPatch) -> None:
    """Where ``method`` runs out of memory, a batch is not split: parts of it would have other statistics."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    patch.setattr(detector, method, full)
    with pytest.raises(TaskError, match="batch of 3, which this method can't split"):
        train(detector, TinyImages())


def assert_a_loss_that_is_not_finite_ends_the_training(detector: Detector, name: str, images: Any = None) -> None:
    """The error says the epoch, and proposes a lower learning rate."""
    images = images or TinyImages()
    images.images[0] = float("nan")
    with pytest.raises(TaskError, match=rf"{name}, epoch 1: found a loss of nan.*lr="):
        train(detector, images)


def assert_listing_needs_no_torch(name: str) -> None:
    """A plugin's methods are offered without importing torch."""
    command = f"import sys, adbench_plugins.{name} as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
