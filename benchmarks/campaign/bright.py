"""A method for ``--plugin`` whose scores any change of an image moves: distances from the mean of the training images.

It trains in three epochs, and draws random numbers in each, so that a resume which forgets them ends in other numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from adbench import BuildContext, Detector, Epoch, Method, Options, Preset, Scores, hookimpl
from adbench.api import Batch, Images


@dataclass(frozen=True)
class BrightOptions(Options):
    """The options of all methods, at the size of the campaign's images."""

    size: tuple[int, int] = (64, 64)
    batch_size: int = 4


class Bright(Detector):
    """The mean of the training images, weighted by random numbers."""

    def __init__(self, options: BrightOptions, context: BuildContext) -> None:
        super().__init__(options, context.device)
        self.mean = torch.zeros(3, *options.size, dtype=torch.float64)
        self.epochs = 3

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Add each image with a random weight."""
        yield Epoch(self.epoch, self.epochs)
        for epoch in range(self.epoch, self.epochs):
            for batch in images:
                weights = torch.rand(len(batch.images), 1, 1, 1, dtype=torch.float64)
                self.mean += (batch.images.double() * weights).sum(dim=0)
            yield Epoch(epoch + 1, self.epochs, float(self.mean.mean()), 1.0, milestone=True)

    def score(self, batch: Batch) -> Scores:
        """Score by the distance from the scaled mean."""
        mean = self.mean / self.mean.mean().clamp_min(1e-12)
        maps = (batch.images.double() - mean * batch.images.double().mean()).abs().mean(dim=1)
        return Scores(image=maps.mean(dim=(1, 2)).float(), map=maps.float())


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer the method."""
    presets = {"paper": Preset(BrightOptions()), "cpu": Preset(BrightOptions())}
    return [Method("bright", "distances from a mean image", Bright, BrightOptions, presets)]
