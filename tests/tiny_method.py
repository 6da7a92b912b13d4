"""A method small enough for tests of everything around it: a Gaussian per colour, fitted by gradient steps.

It draws random numbers while it trains, so that a resume which forgets them ends in other numbers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from adbench import Detector, Epoch, Method, Options, Scores, UsageError, hookimpl
from adbench.api.data import SETTINGS
from adbench.api.method import Preset


@dataclass(frozen=True)
class TinyOptions(Options):
    size: tuple[int, int] = (64, 64)
    epochs: int = 4
    lr: float = 0.05
    noise: float = 0.01
    kill_at: int = 0
    stop_at: int = 0
    fail_class: str = ""


class Tiny(Detector):
    def __init__(self, options: TinyOptions, device: torch.device) -> None:
        super().__init__(options, device)
        self.model = torch.nn.Conv2d(3, 2, 1, bias=True).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=options.lr)

    def fit(self, images) -> Iterator[Epoch]:
        yield Epoch(self.epoch, self.options.epochs)
        for epoch in range(self.epoch, self.options.epochs):
            if self.options.fail_class and self.options.fail_class in str(images.store.samples[0].path):
                raise UsageError("this class fails on purpose")
            total = 0.0
            for batch in images:
                noisy = batch.images + self.options.noise * torch.randn_like(batch.images)
                loss = (self.model(noisy) - 1).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.item() / len(images)
            if epoch + 1 == self.options.kill_at and not os.environ.get("TINY_SURVIVES"):
                os.kill(os.getpid(), signal.SIGKILL)
            if epoch + 1 == self.options.stop_at and not os.environ.get("TINY_SURVIVES"):
                raise KeyboardInterrupt
            yield Epoch(epoch + 1, self.options.epochs, total, self.options.lr, milestone=epoch % 2 == 1)

    def score(self, batch) -> Scores:
        maps = (self.model(batch.images) - 1).square().mean(dim=1)
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)


@hookimpl
def adbench_methods() -> list[Method]:
    presets = {
        "cpu": Preset(TinyOptions(epochs=3)),
        "big": Preset(TinyOptions(), per_class={"folder/nuts": {"lr": 0.1}}),
    }
    return [Method("tiny", "a Gaussian per colour", Tiny, TinyOptions, presets, settings=SETTINGS)]
