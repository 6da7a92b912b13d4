"""Distils a teacher for EfficientAD: a patch description network that imitates a large network on any pictures.

From the appendix of the paper, arXiv 2303.14535. The large network's features are those of PatchCore: two layers, each
position with its neighbours, pooled to as many channels as the teacher has, and each channel standardised.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from adbench import backbones
from adbench.api import TaskError, UsageError, devices, files, first_line, reason

from .. import pictures
from ..patches import flat_pooled
from .networks import PDN, channel_statistics

GRID = 64
"""Positions on a side of the targets, and of the padded network's output."""

IMAGE = 256
"""Height and width of the pictures that the network sees."""

DIMENSIONS = 1024
"""Numbers of each layer's vector, before those of all layers are pooled to the channels."""

GREY = 0.1
"""Part of the pictures that lose their colour."""

SAVED_EVERY = 300.0
"""Seconds between two saves of an unfinished distillation."""

Watch = Callable[[str, int, int, float | None], None]
"""Called with the work, ("statistics" or "distilling"), the finished and all its steps, and the present loss."""


@dataclass(frozen=True)
class Recipe:
    """All that a teacher depends on besides the pictures. The defaults are the paper's.

    Attributes:
        network: "small" or "medium".
        channels: of the teacher.
        divisor: the paper's widths are divided by it.
        backbone: the large network.
        weights: a file with its state dict; None for the published ones.
        layers: its layers.
        iterations: steps of Adam.
        batch_size: pictures in a step.
        lr: learning rate of Adam.
        weight_decay: of Adam, added to the gradient.
        statistics: pictures, at most, from which mean and standard deviation of each channel are computed.
        seed: of the network's start and of the pictures' order.
        amp: precision of the network, "off" or "bf16"; the backbone always runs in float32.
    """

    network: Literal["small", "medium"] = "small"
    channels: int = 384
    divisor: int = 1
    backbone: str = "wide_resnet101_2"
    weights: Path | None = None
    layers: tuple[int, ...] = (2, 3)
    iterations: int = 60_000
    batch_size: int = 16
    lr: float = 1e-4
    weight_decay: float = 1e-5
    statistics: int = 10_000
    seed: int = 0
    amp: Literal["off", "bf16"] = "off"


class Distillation:
    """A distillation that saves its state beside the teacher's file now and then, and resumes from there.

    Args:
        recipe: what to distil.
        folder: the pictures.
        device: where to compute.

    Raises:
        DataError: the folder has no readable picture.
        UsageError: the backbone or its weights can't be had.
    """

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.pictures = pictures.readable(folder)
        self.files = self.pictures.files
        self.backbone = backbones.load(recipe.backbone, layers=recipe.layers, weights=recipe.weights, device=device)
        devices.seed_everything(recipe.seed)
        network = PDN(recipe.network, recipe.channels, recipe.divisor, padded=True)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.mean = self.std = torch.empty(0)
        self.done = 0

    # ---------------------------------------------------------------- the whole

    def run(self, place: Path, watch: Watch) -> None:
        """Distil to the end and write the teacher's state dict.

        Args:
            place: the new file. Beside it lies NAME.unfinished until it is written.
            watch: called with the progress.

        Raises:
            UsageError: the file exists, can't be written, or an unfinished one is that of another recipe.
            TaskError: the loss is not finite.
        """
        if place.exists():
            raise UsageError(f"file {place}", found="a file", wanted="a new name", hint="Remove it, or choose another")
        unfinished = place.with_name(f"{place.name}.unfinished")
        if unfinished.exists():
            self._resume(unfinished)
        else:
            self.mean, self.std = (each.to(self.device) for each in channel_statistics(self._all_targets(watch)))
            self._save(unfinished, self._state())  # at once: a folder that can't be written shows before the work
        saved = time.monotonic()
        for loss in self.steps():
            watch("distilling", self.done, self.recipe.iterations, loss)
            if time.monotonic() - saved > SAVED_EVERY:
                self._save(unfinished, self._state())
                saved = time.monotonic()
        self._save(place, {key: value.cpu().contiguous() for key, value in self.network.state_dict().items()})
        unfinished.unlink()

    def steps(self) -> Iterator[float]:
        """Train to the last iteration, and yield the loss of each."""
        first, recipe = self.done, self.recipe
        for large, small in pictures.ahead(self._batch, range(first, recipe.iterations)):
            loss = self.step(self._on_device(large), self._on_device(small)).item()
            self.done += 1
            if not math.isfinite(loss):
                raise TaskError(
                    f"distillation, iteration {self.done}", found=f"a loss of {loss}", wanted="a finite one",
                    hint="Use a lower --lr, or --amp off",
                )  # fmt: skip
            yield loss

    def step(self, large: Tensor, small: Tensor) -> Tensor:
        """One step of Adam on pictures for the backbone and for the network; returns its loss, ().

        Args:
            large: (B, 3, H, W) in [0, 1], for which the backbone's first layer has 64 x 64 positions.
            small: the same pictures, (B, 3, 256, 256).
        """
        wanted = (self.targets(large) - self.mean) / self.std
        with devices.autocast(self.recipe.amp, self.device):
            found = self.network(small)
        loss = (found.float() - wanted).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def targets(self, large: Tensor) -> Tensor:
        """The backbone's features of pictures, not yet standardised: (B, C, 64, 64)."""
        features = self.backbone(large)
        return flat_pooled(features, DIMENSIONS, self.recipe.channels).permute(0, 3, 1, 2)

    # ---------------------------------------------------------------- pictures

    @property
    def side(self) -> int:
        """Height and width of the backbone's pictures: 512 if the first of its layers has stride 8, as in the paper."""
        return GRID * self.backbone.strides[0]

    def _all_targets(self, watch: Watch) -> Iterator[Tensor]:
        """The targets of at most ``statistics`` pictures, drawn by the seed, batch by batch."""
        generator = torch.Generator().manual_seed(self.recipe.seed)
        drawn = torch.randperm(len(self.files), generator=generator)[: self.recipe.statistics]
        chunks = drawn.split(self.recipe.batch_size)

        def read(rows: Tensor) -> Tensor:
            images = [self.pictures.draw(row, pictures.read) for row in rows.tolist()]
            return torch.stack([pictures.resized(image, (self.side, self.side)) for image in images])

        for number, large in enumerate(pictures.ahead(read, chunks), start=1):
            yield self.targets(self._on_device(large))
            watch("statistics", number, len(chunks), None)

    def _batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """The pictures of an iteration at both sizes, uint8, drawn by the seed and the iteration's number."""
        generator = torch.Generator().manual_seed((self.recipe.seed << 32) + iteration)
        rows = torch.randint(len(self.files), (self.recipe.batch_size,), generator=generator).tolist()
        grey = (torch.rand(len(rows), generator=generator) < GREY).tolist()
        images = [
            self.pictures.draw(row, partial(pictures.read, grey=is_grey))
            for row, is_grey in zip(rows, grey, strict=True)
        ]
        sizes = (self.side, IMAGE)
        large, small = (torch.stack([pictures.resized(image, (side, side)) for image in images]) for side in sizes)
        return large, small

    def _on_device(self, images: Tensor) -> Tensor:
        return images.to(self.device).float() / 255

    # ---------------------------------------------------------------- files

    @property
    def _identity(self) -> str:
        """What must agree to go on with an unfinished distillation; the weights count by their content."""
        return repr((replace(self.recipe, weights=None), self.backbone.key, len(self.files)))

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity, "done": self.done, "mean": self.mean, "std": self.std,
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip

    def _resume(self, path: Path) -> None:
        hint = "Remove it to start again, or choose another name"
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            found = state["identity"]
        except Exception as error:  # torch and pickle raise many kinds for a file that is cut short
            raise UsageError(f"file {path}", found=first_line(error), wanted="a saved state", hint=hint) from error
        if found != self._identity:
            raise UsageError(f"file {path}", found="another distillation", wanted="one of these options", hint=hint)
        self.mean, self.std, self.done = state["mean"], state["std"], state["done"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    @staticmethod
    def _save(path: Path, content: dict[str, Any]) -> None:
        try:
            files.write(path, lambda stream: torch.save(content, stream))
        except OSError as error:
            raise UsageError(f"file {path}", found=reason(error), wanted="a file that can be written") from error
