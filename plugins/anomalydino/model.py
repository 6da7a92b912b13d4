"""AnomalyDINO: how far each token is from the nearest one of good images.

From what is known of the paper, arXiv 2405.14529, and of the authors' program: docs/methods/anomalydino.md lists the
differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, TaskError, devices, maps

from ..patchcore.neighbours import Neighbours
from ..patches import averaged
from . import AnomalyDINOOptions
from .foreground import foreground
from .rotation import TURNS, turned

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

TOP = 0.01
"""Share of an image's tokens whose mean is its score."""


class AnomalyDINO(Detector):
    """The detector: a frozen backbone and a bank of all tokens of good images, float32 (M, C)."""

    def __init__(self, options: AnomalyDINOOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: AnomalyDINOOptions = options
        self.backbone = backbone
        self.neighbours: Neighbours | None = None
        self.width = sum(backbone.channels)
        """Dimensions of a token."""

    @torch.no_grad()
    def fit(self, images: Images) -> Iterator[Epoch]:
        """Collect the bank, in one epoch."""
        if self.epoch:
            return
        yield Epoch(0, 1)
        if not len(images):
            raise TaskError("anomalydino", found="no training image")
        found, is_seen = [], False
        for view in self._views(images):
            for features in view.features(self.backbone):
                tokens = self.tokens(features)
                is_seen = is_seen or bool(self._foreground(tokens).any())
                found.append(self._references(tokens))
        if not is_seen:  # test images would have none either, and all score 0
            hint = "Use -o mask=none, or a lower -o mask_threshold=: its default is for DINOv2"
            raise TaskError("anomalydino", found="no foreground in any training image", hint=hint)
        bank = torch.cat(found)
        found.clear()
        self.neighbours = Neighbours(bank)
        yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Score tokens by their distance from the bank, and images by the highest hundredth of their tokens."""
        distances = self.distances(self.tokens(batch.features(self.backbone)))
        smooth = maps.gaussian(maps.upsample(distances, batch.size), self.options.sigma)
        return Scores(image=maps.top_mean(distances, TOP), map=smooth)

    def tokens(self, features: Sequence[Tensor]) -> Tensor:
        """The tokens of all positions: L x (B, C_i, h_i, w_i) -> float32 (B, h, w, C), several layers end to end."""
        return averaged(features, patch=1)

    def distances(self, tokens: Tensor) -> Tensor:
        """The distance of each token from the bank; 0 for those of the background: (B, h, w, C) -> (B, h, w)."""
        seen = self._foreground(tokens)
        if devices.is_exporting():  # a number of rows that depends on values is for no file
            return torch.where(seen, self._lengths(tokens.flatten(0, 2)).view(tokens.shape[:3]), 0.0)
        grid = tokens.new_zeros(tokens.shape[:3])
        grid[seen] = self._lengths(tokens[seen])
        return grid

    def _lengths(self, rows: Tensor) -> Tensor:
        """The distance of tokens (M, C) from the bank, (M,)."""
        squares = self._bank().find(self._scaled(rows), self.options.neighbours).squares.mean(1)
        return squares / 2 if self.options.metric == "cosine" else squares.sqrt()

    # -- the bank

    def _views(self, images: Images) -> Iterator[Images]:
        """The images as they are, and where options say so, turned."""
        yield images
        if self._turns:
            for degrees in TURNS:
                key = f"turned by {degrees}, reflected"
                yield images.augmented(partial(_turn, degrees), key=key, copies=1)

    @property
    def _turns(self) -> bool:
        wanted = self.options.rotations
        return wanted == "always" or (wanted == "few-shot" and self.context.setting == "few-shot")

    def _references(self, tokens: Tensor) -> Tensor:
        """The rows of the bank of one batch's tokens (B, h, w, C): (M, C)."""
        return self._scaled(tokens[self._foreground(tokens)] if self.options.mask_references else tokens.flatten(0, 2))

    def _foreground(self, tokens: Tensor) -> Tensor:
        """The tokens that count, bool (B, h, w)."""
        if self.options.mask == "none":
            return torch.ones(tokens.shape[:3], dtype=torch.bool, device=tokens.device)
        return foreground(tokens, self.options.mask_threshold, self.options.mask)

    def _scaled(self, rows: Tensor) -> Tensor:
        """Rows (M, C) of length 1: half of their squared distance is one minus their cosine."""
        return F.normalize(rows, dim=1) if self.options.metric == "cosine" else rows

    def _bank(self) -> Neighbours:
        if self.neighbours is None:
            raise CheckpointError("anomalydino", found="no bank", wanted="a fitted detector", hint="Call fit first")
        return self.neighbours

    # -- state

    def checkpoint_bytes(self) -> int:
        """What the bank will take, in bytes."""
        height, width = self.options.size
        stride = self.backbone.strides[0]
        tokens = self.context.train_images * -(-height // stride) * -(-width // stride)
        return 4 * self.width * tokens * (1 + len(TURNS) * self._turns)

    def state_dict(self) -> dict[str, Any]:
        """The ``bank``, (M, C)."""
        return {} if self.neighbours is None else {"bank": self.neighbours.bank}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned; its tokens must be as long as this detector's."""
        bank = state.get("bank")
        if not isinstance(bank, Tensor) or bank.ndim != 2 or bank.shape[1] != self.width or not len(bank):
            found = f"a bank of shape {tuple(bank.shape)}" if isinstance(bank, Tensor) else "no bank"
            raise CheckpointError(
                "checkpoint",
                found=found,
                wanted=f"rows of {self.width} numbers",
                hint="Use the backbone and layers that the checkpoint was made with",
            )
        self.neighbours = Neighbours(bank.to(self.device, torch.float32))


def _turn(degrees: float, images: Tensor, generator: torch.Generator) -> Tensor:
    """``turned`` as a transform of ``images.augmented``; nothing is random."""
    return turned(images, degrees)
