"""Steps of one shape on a card, recorded once and played again.

A step on a few hundred vectors is hundreds of small kernels, each of which takes longer to launch than to run. As a
CUDA graph they are launched at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Steps that are taken as they are before one is recorded: libraries and the optimiser make what they keep."""

Player = tuple[Callable[[], None], Tensor]
"""What takes a recorded step again, and where its result lies then."""


class Replay:
    """Takes steps on tensors of always the same shapes; on a card, from the fourth on, as one graph.

    The same numbers come out: what is recorded isn't computed until it is played.

    Args:
        step: takes tensors and returns one. It must not look at values, and its optimiser must be ``replayable_adam``.
        possible: whether steps may be recorded; else each is taken as it is.
        refused: hears why a card didn't record a step, after which each is taken as it is.
    """

    def __init__(self, step: Callable[..., Tensor], possible: bool, refused: Callable[[str], None]) -> None:
        self.step, self.possible, self.refused = step, possible, refused
        self.forget()

    def forget(self) -> None:
        """Record anew before the next replay, since what a step works on lies elsewhere now or is not wanted again."""
        self._inputs: list[Tensor] = []
        self._taken = 0
        self._player: Player | None = None

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Take one step."""
        if not self.possible:
            return self.step(*tensors)
        if self._inputs:
            for mine, new in zip(self._inputs, tensors, strict=True):
                mine.copy_(new)
        else:
            self._inputs = [tensor.clone() for tensor in tensors]
        if self._taken < WARM_UP:
            self._taken += 1
            return beside(self.step, self._inputs)
        if self._player is None:
            try:
                self._player = record(self.step, self._inputs)
            except RuntimeError as error:  # before anything was computed
                reason = str(error)
        if self._player is None:  # out here, since the error holds on to what was recorded
            self.possible = False
            self.forget()
            self.refused(reason)
            return self.step(*tensors)
        play, result = self._player
        play()
        return result.clone()


@cache
def stream_beside(device: torch.device) -> torch.cuda.Stream:
    """A card's other stream. There is one, since libraries keep memory for each that they are used on."""
    return torch.cuda.Stream(device)


def beside(step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Take a step on another stream, as CUDA wants it of what is recorded later."""
    device = inputs[0].device
    current, other = torch.cuda.current_stream(device), stream_beside(device)
    other.wait_stream(current)
    with torch.cuda.stream(other):
        result = step(*inputs)
    current.wait_stream(other)
    result.record_stream(current)
    return result


def record(step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Player:
    """Record a step on ``inputs``, whose values may be others whenever it is played.

    Raises:
        RuntimeError: a step does something that can't be recorded.
    """
    graph, stream = torch.cuda.CUDAGraph(), stream_beside(inputs[0].device)
    # the outer context comes back to the present stream and card even where a recording breaks off
    with (
        torch.cuda.stream(stream),
        torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),  # what other threads do is theirs
    ):
        result = step(*inputs)
    return graph.replay, result


def replayable_adam(parameters: Sequence[Tensor], rate: float, device: torch.device) -> torch.optim.Adam:
    """Adam whose steps can be recorded on a card: its learning rate lies there as well."""
    on_card = device.type == "cuda"
    lr = torch.tensor(rate, device=device) if on_card else rate
    return torch.optim.Adam(parameters, lr=lr, fused=True, capturable=on_card)


def load_replayable(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's state, but not where its learning rate lies, which differs between devices."""
    own = [{name: group[name] for name in ("lr", "capturable")} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
