"""Training steps as CUDA graphs: captured once, then replayed.

A step is hundreds of small kernels. Each takes longer to launch than to run; a graph launches all of them at once. A
captured step must not read values on the GPU, nor make a tensor on the CPU and copy it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from adbench.api import CheckpointError, first_line

WARM_UP = 3
"""Eager steps before a capture, in which libraries and the optimiser allocate their memory."""

Key = tuple[tuple[torch.Size, torch.dtype], ...]


@dataclass(frozen=True)
class Graph:
    """A captured step.

    Attributes:
        replay: takes the step again, with the present values of its inputs.
        result: the tensor that holds the step's result after that.
        pool: the memory of the graph, which another graph may use if it never runs at the same time.
    """

    replay: Callable[[], None]
    result: Tensor
    pool: Any = None


@dataclass
class _Shape:
    """The steps on inputs of one shape."""

    inputs: list[Tensor]
    taken: int = 0
    graph: Graph | None = field(default=None)


class GraphedStep:
    """Takes steps on tensors. On a GPU, steps on tensors of one shape are one graph from the fourth step on.

    An epoch's last batch, which may be smaller, has its own graph in the same memory. Results equal those of eager
    steps: a capture computes nothing.

    Args:
        step: takes tensors and returns one. It must not read values, and its optimiser must be from
            ``capturable_adam``.
        possible: whether steps may be captured; otherwise all are eager.
        refused: called with the reason when a capture fails; all steps are eager from then on.
    """

    def __init__(self, step: Callable[..., Tensor], possible: bool, refused: Callable[[str], None]) -> None:
        self.step, self.possible, self.refused = step, possible, refused
        self._shapes: dict[Key, _Shape] = {}

    def forget(self) -> None:
        """Drop all graphs and their memory; later steps are captured anew.

        Needed when tensors of the step were replaced, as by loading an optimiser's state.
        """
        self._shapes.clear()

    @property
    def graphs(self) -> list[Graph]:
        """The present graphs."""
        return [shape.graph for shape in self._shapes.values() if shape.graph is not None]

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Take one step; the result is a new tensor."""
        if not self.possible:
            return self.step(*tensors)
        key = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape([tensor.clone() for tensor in tensors])
        else:
            for mine, new in zip(shape.inputs, tensors, strict=True):
                mine.copy_(new)
        if shape.taken < WARM_UP:
            shape.taken += 1
            return on_side_stream(self.step, shape.inputs)
        if shape.graph is None:
            reason = self._capture(shape)
            if reason is not None:
                self.possible = False
                self.forget()
                self.refused(reason)
                return self.step(*tensors)
        assert shape.graph is not None
        shape.graph.replay()
        return shape.graph.result.clone()

    def _capture(self, shape: _Shape) -> str | None:
        """Capture a step; return the reason if it failed. Nothing is computed either way."""
        pool = next((graph.pool for graph in self.graphs), None)
        try:
            shape.graph = capture(self.step, shape.inputs, pool)
        except RuntimeError as error:  # keep only its text: the error itself would keep the captured memory
            return first_line(error)
        return None


@cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream beside the default one: one for each GPU, since libraries keep memory for every stream."""
    return torch.cuda.Stream(device)


def on_side_stream(step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Take an eager step on the stream on which it is captured later, as CUDA requires."""
    device = inputs[0].device
    current, side = torch.cuda.current_stream(device), side_stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        result = step(*inputs)
    current.wait_stream(side)
    result.record_stream(current)
    return result


def capture(step: Callable[..., Tensor], inputs: Sequence[Tensor], pool: Any) -> Graph:
    """Capture a step on ``inputs``; their values may differ at each replay.

    Args:
        step: what to capture.
        inputs: the tensors that it works on.
        pool: the pool of another graph that doesn't run at the same time, or None.

    Raises:
        RuntimeError: the step does something that can't be captured.
    """
    graph, stream = torch.cuda.CUDAGraph(), side_stream(inputs[0].device)
    # the outer context restores the present stream and GPU even if a capture fails
    with (
        torch.cuda.stream(stream),
        torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),  # other threads go on
    ):
        result = step(*inputs)
    return Graph(graph.replay, result, graph.pool())


def capturable_adam(parameters: Sequence[Tensor], rate: float, device: torch.device) -> torch.optim.Adam:
    """Make an Adam whose steps can be captured: on a GPU its learning rate is a tensor that a graph reads."""
    on_gpu = device.type == "cuda"
    lr = torch.tensor(rate, device=device) if on_gpu else rate
    return torch.optim.Adam(parameters, lr=lr, fused=True, capturable=on_gpu)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's state, but keep the device of its learning rate.

    Raises:
        CheckpointError: it is not the state of such an optimiser.
    """
    own = [{name: group[name] for name in ("lr", "capturable")} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        found = first_line(error)
        raise CheckpointError(
            "state of an optimiser", found=found, wanted="that of one with the same parameters"
        ) from error
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)


def refusal(reason: str) -> str:
    """The message for users when steps can't be captured."""
    return f"Training goes on kernel by kernel, since its steps can't be captured as a CUDA graph: {reason}"
