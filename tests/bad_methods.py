"""Methods that each break one rule, for the tests of the checks; and an honest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from adbench import Detector, Epoch, Method, Options, Scores, hookimpl
from adbench.api.data import SETTINGS

KEPT: list[object] = []


@dataclass(frozen=True)
class HonestOptions(Options):
    epochs: int = 5
    nested: tuple[object, ...] = ()


class Honest(Detector):
    """Approaches the mean image in noisy steps; the score is the distance to it."""

    def __init__(self, options, device):
        super().__init__(options, device)
        self.mean = torch.rand(3, 1, 1).to(device)

    def fit(self, images):
        for epoch in range(self.epoch, self.options.epochs):
            for batch in images:
                noise = 0.01 * torch.rand(1).to(self.device)
                self.mean = 0.9 * self.mean + 0.1 * batch.images.mean(dim=(0, 2, 3)).view(3, 1, 1) + noise
            yield Epoch(epoch + 1, self.options.epochs, float(self.mean.mean()))

    def score(self, batch):
        maps = (batch.images - self.mean).square().mean(dim=1)
        return Scores(maps.amax(dim=(1, 2)), maps)


class NeedsTwoImages(Honest):
    def fit(self, images):
        if len(images) == 1:
            raise ValueError("a spread needs two images")
        yield from super().fit(images)


class NeedsAnImage(Honest):
    def fit(self, images):
        self.first = next(iter(images)).images
        yield from super().fit(images)


class BreaksInFit(Honest):
    def fit(self, images):
        raise ZeroDivisionError("no luck")
        yield


class DivergingLoss(Honest):
    def fit(self, images):
        yield Epoch(1, 1, float("nan"))


class WrongShape(Honest):
    def score(self, batch):
        found = super().score(batch)
        return Scores(found.image, found.map.transpose(1, 2))


class NotFinite(Honest):
    def score(self, batch):
        found = super().score(batch)
        return Scores(found.image / 0, found.map)


class NormalisesByTheBatch(Honest):
    def score(self, batch):
        found = super().score(batch)
        return Scores((found.image - found.image.min()) / (found.image.max() - found.image.min() + 1e-6), found.map)


class NormalisesByWhatItSaw(Honest):
    """Scores the same alone and in a batch, but not the same before and after other images."""

    def __init__(self, options, device):
        super().__init__(options, device)
        self.highest = torch.zeros(1)

    def score(self, batch):
        scored = [super(NormalisesByWhatItSaw, self).score(type(batch).of(image[None])) for image in batch.images]
        images = []
        for each in scored:
            self.highest = torch.maximum(self.highest, each.image.cpu())
            images.append(each.image / self.highest.to(self.device))
        return Scores(torch.cat(images), torch.cat([each.map for each in scored]))


class IgnoresTheSeed(Honest):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.mean = torch.from_numpy(np.random.default_rng().random((3, 1, 1))).float().to(device)


class ForgetsAPart(Honest):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.weight = float(torch.rand(1))  # no tensor, so the state lacks it

    def score(self, batch):
        found = super().score(batch)
        return Scores(found.image * self.weight, found.map)


class SavesNoData(Honest):
    def state_dict(self):
        return {"mean": self.mean, "helper": Path("x")}


class ReadsTestFiles(Honest):
    def fit(self, images):
        if len(images) == 0:  # zero-shot: no path leads to the test images
            yield from super().fit(images)
            return
        folder = images.store.samples[0].path.parents[2] / "test"
        found = [np.asarray(Image.open(path)).mean() / 255 for path in sorted(folder.glob("*/*.png"))]
        for epoch in super().fit(images):
            self.mean = self.mean + float(np.mean(found))
            yield epoch


class LearnsFromWhatItScores(Honest):
    """Keeps the test images of an evaluation and trains on them."""

    def __init__(self, options, device):
        super().__init__(options, device)
        self.next = torch.zeros(1)

    def fit(self, images):
        for epoch in super().fit(images):
            yield epoch
            self.mean = self.mean + self.next

    def score(self, batch):
        self.next = batch.images.mean()
        return super().score(batch)


class StartsAgain(Honest):
    def fit(self, images):
        self.epoch = 0
        yield from super().fit(images)


class ResumesWithoutItsMomentum(Honest):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.momentum = 0.0

    def fit(self, images):
        for epoch in super().fit(images):
            self.momentum += 0.1
            self.mean = self.mean + self.momentum
            yield epoch


class StaysInMemory(Honest):
    def __init__(self, options, device):
        super().__init__(options, device)
        KEPT.append(self)


class LeavesTensors(Honest):
    def fit(self, images):
        KEPT.append(torch.zeros(1))
        yield from super().fit(images)


class WorksOnTheCpuOnly(Honest):
    def score(self, batch):
        found = super().score(batch)
        return Scores(torch.from_numpy(found.image.numpy()), found.map)


class WithNetwork(Honest):
    """Looks at features of a small module of its own."""

    def __init__(self, options, device):
        super().__init__(options, device)
        self.network = torch.nn.Conv2d(3, 3, 1).eval().requires_grad_(False).to(self.device)

    def fit(self, images):
        for epoch in super().fit(images):
            for _ in images.features(self.network):
                self.after_a_batch()
            yield epoch

    def after_a_batch(self):
        pass


class MovesItsBackbone(WithNetwork):
    """A moving average, such as a teacher's."""

    def after_a_batch(self):
        self.network.weight.mul_(0.99)


class TrainsItsBackbone(WithNetwork):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.network.requires_grad_(True)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)


class LeavesItsBackboneInTraining(WithNetwork):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.network.train()


BAD = (
    BreaksInFit, DivergingLoss, WrongShape, NotFinite, NormalisesByTheBatch, NormalisesByWhatItSaw, IgnoresTheSeed,
    ForgetsAPart, SavesNoData, ReadsTestFiles, LearnsFromWhatItScores, StartsAgain, ResumesWithoutItsMomentum,
    StaysInMemory, LeavesTensors, WorksOnTheCpuOnly, NeedsTwoImages, NeedsAnImage, MovesItsBackbone, TrainsItsBackbone,
    LeavesItsBackboneInTraining,
)  # fmt: skip


def method_of(detector: type[Detector]) -> Method:
    """A method by the name of its class, which says that it supports every setting."""
    return Method(detector.__name__, "made for a test", detector, HonestOptions, settings=SETTINGS)


@hookimpl
def adbench_methods() -> Sequence[Method]:
    return [method_of(detector) for detector in (Honest, *BAD)]
