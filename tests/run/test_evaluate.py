"""Maps of a whole test set if a GPU has too little memory for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adbench.data.ground_truth import GroundTruth
from adbench.metrics.metrics import evaluate_ground_truth
from adbench.run import evaluate as evaluation
from adbench.run import scoring

META = torch.device("meta")
"""A GPU without memory, in these tests."""


class FullGpu(TorchDispatchMode):
    """Refuses every tensor on the meta device."""

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: Sequence[object] = (), kwargs: object = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device == META:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result


def test_maps_that_do_not_fit_on_a_gpu_are_kept_on_the_cpu() -> None:
    """The tensor for a test set's maps is on the GPU if it fits there, else on the CPU."""
    assert scoring._allocate((2, 3), torch.float32, META).device == META
    with FullGpu():
        assert scoring._allocate((2, 3), torch.float32, META).device.type == "cpu"


class OnGpu:
    """Maps as they lie on a GPU."""

    is_cuda = True
    device = torch.device("cuda", 0)

    def __init__(self, maps: torch.Tensor) -> None:
        self.maps = maps

    def cpu(self) -> torch.Tensor:
        return self.maps


def test_metrics_that_do_not_fit_on_a_gpu_are_computed_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing with masks and building histograms are tried again on the CPU; the numbers are the same."""
    rng = np.random.default_rng(0)
    masks = rng.random((6, 8, 9)) < 0.2
    masks[:2] = False
    ground_truth = GroundTruth.of(masks.any(axis=(1, 2)), masks)
    maps = torch.from_numpy(rng.random((6, 8, 9), dtype=np.float32))
    image = torch.rand(6, dtype=torch.float64)
    wanted = evaluation.TestScores(image, maps, None).evaluate(ground_truth)
    tried = []

    def evaluate(ground_truth: GroundTruth, *, maps: object, **more: object) -> object:
        tried.append(type(maps))
        if isinstance(maps, OnGpu):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return evaluate_ground_truth(ground_truth, maps=maps, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluation, "evaluate_ground_truth", evaluate)

    assert evaluation.TestScores(image, OnGpu(maps), None).evaluate(ground_truth) == wanted  # type: ignore[arg-type]
    assert tried == [OnGpu, np.ndarray]


def test_other_errors_on_a_gpu_are_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a lack of memory is tried again."""

    def evaluate(*_: object, **__: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(evaluation, "evaluate_ground_truth", evaluate)
    maps = OnGpu(torch.zeros(2, 4, 4))
    ground_truth = GroundTruth.of(
        np.array([False, True]), np.ones((2, 4, 4), bool) & np.array([False, True])[:, None, None]
    )
    with pytest.raises(RuntimeError, match="something else"):
        evaluation.TestScores(torch.rand(2), maps, None).evaluate(ground_truth)  # type: ignore[arg-type]
