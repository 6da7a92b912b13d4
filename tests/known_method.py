"""A method whose numbers on bright defects are known, with made published numbers, for the tests of reproductions.

It scores by brightness, so that image AUROC is 1 after the last epoch. After the first one it scores by darkness.
``KNOWN_STOPS`` and ``KNOWN_FAILS`` in the environment name a class in which training is stopped, or fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from adbench import Detector, Epoch, Method, Options, Preset, Published, Scores, UsageError, hookimpl


@dataclass(frozen=True)
class KnownOptions(Options):
    size: tuple[int, int] = (64, 64)
    kind: str = "bright"


class Known(Detector):
    def __init__(self, options, context):
        super().__init__(options, context)
        self.sign = torch.zeros((), device=context.device)

    def fit(self, images) -> Iterator[Epoch]:
        for epoch in range(self.epoch, 2):
            list(images)
            if epoch == 1 and os.environ.get("KNOWN_STOPS") in self.context.classes:
                raise KeyboardInterrupt
            if os.environ.get("KNOWN_FAILS") in self.context.classes:
                raise UsageError("this class fails on purpose")
            self.sign = torch.tensor(2.0 * epoch - 1.0, device=self.device)
            yield Epoch(epoch + 1, 2, milestone=True)

    def score(self, batch) -> Scores:
        maps = self.sign * batch.images.mean(dim=1)
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)


def number(class_name, metric, percent, policy="last", source="the paper", **more) -> Published:
    """One published number on mvtec."""
    return Published("mvtec", class_name, metric, percent / 100, policy, source, **more)


PUBLISHED = (
    number("bottle", "image_auroc", 99.5),  # half a point below ours
    number("screw", "image_auroc", 99.4),
    number("mean", "image_auroc", 99.9),
    number("bottle", "image_auroc", 100.0, "oracle", "its log", epoch=7),
    number("screw", "image_auroc", 99.9, "oracle", "its log", epoch=9),
    number("bottle", "pixel_auroc", 98.0, "unknown", "a quotation"),
    number("mean", "aupro", 95.0),
    number("bottle", "aupro_of_its_own", 1.0),
    number("bottle", "image_auroc", 50.0, source="another", setting="few-shot", shots=2),
)


@hookimpl
def adbench_methods() -> list[Method]:
    presets = {
        "paper": Preset(KnownOptions()),
        "paper-dark": Preset(replace(KnownOptions(), kind="dark")),
        "cpu": Preset(KnownOptions()),
    }
    return [
        Method(
            "known", "brightness", Known, KnownOptions, presets, paper="arXiv 0000.00000", published=PUBLISHED,
            settings=("one-class", "few-shot"),
        )
    ]  # fmt: skip
