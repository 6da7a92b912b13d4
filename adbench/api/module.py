"""A detector as a plain torch module, for prediction and export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .images import Batch
from .scores import Scores


class Scorer(Protocol):
    """The part of a ``Detector`` that is wrapped."""

    device: torch.device

    def score(self, batch: Batch) -> Scores:
        """Score a batch of images."""
        ...


class ScoreModule(nn.Module):
    """Wraps ``Detector.score``: float RGB (B, 3, H, W) in [0, 1] -> image scores (B,) and maps (B, H, W) or None.

    The detector's modules are submodules, so ``parameters()`` finds them. ``to(...)`` moves its tensors as well. They
    stay the detector's own: moving this module moves the detector.
    """

    def __init__(self, detector: Scorer) -> None:
        super().__init__()
        self.detector = detector
        self.parts = nn.ModuleList(value for value in vars(detector).values() if isinstance(value, nn.Module))

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Score images (B, 3, H, W)."""
        scores = self.detector.score(Batch.of(images))
        return scores.image, scores.map

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in list(vars(self.detector).items()):
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                setattr(self.detector, name, fn(value))
        self.detector.device = fn(torch.empty(0, device=self.detector.device)).device
        return self
