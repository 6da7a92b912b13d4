"""EfficientAD: where a student differs from its teacher, and from an autoencoder that imitates it as well.

Half of the student's channels imitate the teacher on good images and fail on unusual parts. The other half imitate the
autoencoder, which sees an image as a whole, and fail where parts are arranged in an unusual way. From the paper,
arXiv 2303.14535, and from what is known of the usual program where it says more: docs/methods/efficientad.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as colour

from adbench import Detector, Epoch, Scores, Step
from adbench.api import UsageError, maps

from .. import pictures
from ..flows import require_finite, set_learning_rate
from . import IMAGES, EfficientADOptions, words
from .networks import BORDER, PDN, Autoencoder, channel_statistics, read_teacher

if TYPE_CHECKING:
    from adbench import BuildContext
    from adbench.api import Batch, Images

Network = TypeVar("Network", bound=torch.nn.Module)

EVALUATED = 10_000
"""Steps from one evaluation to the next."""

LATE, LATE_RATE = 0.95, 0.1
"""Part of the training after which the learning rate falls, and the factor."""

QUANTILES = (0.9, 0.995)
"""Of the maps of good images, which become 0 and 0.1."""

NARROWEST = 1e-12
"""Least distance between two quantiles, by which maps are divided."""

JITTER = 0.2
"""Largest change of brightness, contrast or saturation of the autoencoder's images, as a part of it."""

GREY = 0.3
"""Part of the penalty images that lose their colour."""


class Terms(NamedTuple):
    """The terms of the loss of each image, (B,) each; their sum is the loss."""

    hard: Tensor
    penalty: Tensor
    autoencoder: Tensor
    student_autoencoder: Tensor


class EfficientAD(Detector):
    """The detector: a frozen ``teacher``, its ``student`` of twice as many channels, and an ``autoencoder``.

    ``teacher_mean`` and ``teacher_std``, (1, C, 1, 1), normalise the teacher's features. ``quantiles``, (2, 2), scale
    the maps: a row for the map of teacher and student, and one for that of autoencoder and student.
    """

    frozen = ()  # the teacher is saved, too: a checkpoint is scored without its file
    micro_batching = True

    def __init__(self, options: EfficientADOptions, context: BuildContext | torch.device) -> None:
        super().__init__(options, context)
        self.options: EfficientADOptions = options
        kind, channels, divisor = options.network, options.channels, options.divisor
        self.autoencoder = self._placed(Autoencoder(channels, options.size, divisor))
        self.student = self._placed(PDN(kind, 2 * channels, divisor))
        self.teacher = self._placed(PDN(kind, channels, divisor)).requires_grad_(False)
        self.teacher_mean = torch.zeros(1, channels, 1, 1, device=self.device)
        self.teacher_std = torch.ones(1, channels, 1, 1, device=self.device)
        self.quantiles = torch.tensor([[0.0, 1.0], [0.0, 1.0]], device=self.device)
        trained = [*self.student.parameters(), *self.autoencoder.parameters()]
        self.optimizer = torch.optim.Adam(trained, lr=options.lr, weight_decay=options.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")
        file = self.context.auxiliary.get("teacher")
        if file is not None:
            read_teacher(file, self.teacher, words=words(options))

    def _placed(self, network: Network) -> Network:
        return network.to(self.device).to(memory_format=torch.channels_last).eval()

    # ---------------------------------------------------------------- training

    def fit(self, images: Images) -> Iterator[Epoch | Step]:
        """Train for a number of steps; an epoch is a pass over the images, and the last one may end early."""
        if "teacher" not in self.context.auxiliary:
            raise UsageError("efficientad without a teacher", hint="Give --aux teacher=FILE")
        others = self.penalty_pictures()
        training, held_out = images.split(self.options.validation, self.context.seed)
        length = math.ceil(len(training) / training.batch_size)
        total = math.ceil(self.options.steps / length)
        yield Epoch(self.epoch, total)
        if self.epoch == 0:
            statistics = channel_statistics(features for (features,) in training.features(self.teacher))
            self.teacher_mean, self.teacher_std = (each.to(self.device) for each in statistics)
        for epoch in range(self.epoch, total):
            first, last = epoch * length, min((epoch + 1) * length, self.options.steps)
            losses = []
            self.autoencoder.train()
            with closing(self._penalties(others, training, last - first)) as penalties:
                for step, batch in enumerate(islice(training, last - first), start=first):
                    set_learning_rate(self.optimizer, self.learning_rate(step))
                    # losses stay on the device until the epoch ends: reading one waits for the GPU
                    losses.append(self.step(batch, next(penalties, None)))
                    yield Step(step + 1 - first, last - first)
            self.autoencoder.eval()
            loss = torch.stack(losses).mean().item()
            require_finite("efficientad", epoch + 1, loss, self.options.lr)
            self.quantiles = self.scales(held_out)
            milestone = last // EVALUATED > first // EVALUATED
            yield Epoch(epoch + 1, total, loss, self.learning_rate(last - 1), milestone=milestone)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.options.lr * (LATE_RATE if step >= int(LATE * self.options.steps) else 1.0)

    def penalty_pictures(self) -> pictures.Pictures | None:
        """The pictures of ``--aux images``, where the options ask for them.

        Raises:
            DataError: there is no readable one.
        """
        folder = self.context.auxiliary.get(IMAGES.name)
        if self.options.penalty != "images" or folder is None:
            return None
        return pictures.readable(folder, thing=f"--aux {IMAGES.name}={folder}")

    def _penalties(self, others: pictures.Pictures | None, images: Images, count: int) -> Iterator[Tensor]:
        """``count`` batches of penalty images, uint8 (B, 3, H, W), chosen now and decoded ahead by threads."""
        if others is None:
            return
        batch, size = min(images.batch_size, len(images)), self.options.size
        chosen = torch.randint(len(others.files), (count, batch)).tolist()
        grey = (torch.rand(count, batch) < GREY).tolist()

        def read(number: int) -> Tensor:
            drawn = zip(chosen[number], grey[number], strict=True)
            found = [others.draw(row, partial(pictures.read, grey=is_grey)) for row, is_grey in drawn]
            return torch.stack([pictures.central(image, size) for image in found])

        yield from pictures.ahead(read, range(count))

    def step(self, batch: Batch, penalty: Tensor | None = None) -> Tensor:
        """One optimiser step on a batch, and penalty images uint8 (B, 3, H, W); returns its mean loss, ()."""
        (teacher,) = batch.features(self.teacher)
        inputs = [batch.images, changed_colours(batch.images), teacher]
        if penalty is not None:
            inputs.append(penalty[: len(batch)].to(self.device).float() / 255)
        loss = self.micro_batches.backward(self._losses, inputs, self.optimizer, scale=self.scaler.scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _losses(self, *inputs: Tensor) -> Tensor:
        return torch.stack(self.terms(*inputs)).sum(0)

    def terms(self, images: Tensor, changed: Tensor, teacher: Tensor, penalty: Tensor | None = None) -> Terms:
        """The terms of the loss of each image.

        Args:
            images: (B, 3, H, W) in [0, 1].
            changed: the same images in other colours, for the autoencoder.
            teacher: the teacher's features of ``images``, (B, C, h, w).
            penalty: images of anything, (B, 3, H, W); without them their term is 0.
        """
        channels, count = self.options.channels, len(images)
        others = [] if penalty is None else [penalty]
        with self.autocast():
            hidden = self.student.hidden(torch.cat([images, *others, changed]))
            imitated = self.student.head(hidden[:-count], 0, channels).float()
            imagined = self.student.head(hidden[-count:], channels, 2 * channels).float()
            decoded = self.autoencoder(changed).float()
            with torch.no_grad():
                wanted = self.normalized(self.teacher(changed))
        hard = hardest((self.normalized(teacher) - imitated[:count]).square(), self.options.hard)
        nothing = hard.new_zeros(count)
        return Terms(
            hard,
            nothing if penalty is None else _mean(imitated[count:].square()),
            _mean((wanted - decoded).square()),
            _mean((decoded - imagined).square()),
        )

    def normalized(self, features: Tensor) -> Tensor:
        """The teacher's features (B, C, h, w), each channel with a mean of 0 and a deviation of 1 on good images."""
        return (features.float() - self.teacher_mean) / self.teacher_std

    # ---------------------------------------------------------------- scores

    @torch.no_grad()
    def scales(self, held_out: Images) -> Tensor:
        """The quantiles of both maps over all positions of good images that were not trained on, (2, 2)."""
        found = [self.raw_maps(batch) for batch in held_out]  # each (2, B, h, w)
        flat = torch.cat([each.flatten(1) for each in found], dim=1)
        return torch.stack([torch.stack([quantile(values, q) for q in QUANTILES]) for values in flat])

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the mean of both scaled maps, and images by their most anomalous pixel."""
        combined = self.combined(self.raw_maps(batch))
        found = maps.upsample(F.pad(combined, (BORDER,) * 4), batch.size)
        return Scores(image=maps.highest(found), map=found)

    def raw_maps(self, batch: Batch) -> Tensor:
        """Mean squared differences of teacher and student, and of autoencoder and student: (2, B, h, w)."""
        (teacher,) = batch.features(self.teacher)
        with self.autocast():
            imitated, imagined = self.student(batch.images).float().split(self.options.channels, dim=1)
            decoded = self.autoencoder(batch.images).float()
        return torch.stack(
            [
                (self.normalized(teacher) - imitated).square().mean(1),
                (decoded - imagined).square().mean(1),
            ]
        )

    def combined(self, raw: Tensor) -> Tensor:
        """Scale both maps (2, B, h, w), so that the quantiles become 0 and 0.1, and take their mean: (B, h, w)."""
        low, high = self.quantiles.unbind(1)
        width = (high - low).clamp_min(NARROWEST)
        return (0.1 * (raw - low.view(2, 1, 1, 1)) / width.view(2, 1, 1, 1)).mean(0)


def hardest(distances: Tensor, q: float) -> Tensor:
    """The mean of the distances of each image that reach its quantile ``q``: (B, C, h, w) -> (B,).

    The quantile lies between two neighbours in the sorted order, so those that reach it are a fixed number of the
    largest, which need not all be sorted.
    """
    flat = distances.flatten(1)
    count = flat.shape[1] - math.ceil(q * (flat.shape[1] - 1))
    return flat.topk(count, dim=1, sorted=False).values.mean(1)


def quantile(values: Tensor, q: float) -> Tensor:
    """The quantile of values (N,), interpolated linearly, (). ``torch.quantile`` refuses more than 16 million."""
    place = q * (len(values) - 1)
    ordered = values.sort().values
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def changed_colours(images: Tensor) -> Tensor:
    """Change the brightness, the contrast or the saturation of each image (B, 3, H, W) by up to a fifth."""
    changes = (colour.adjust_brightness, colour.adjust_contrast, colour.adjust_saturation)
    kinds = torch.randint(len(changes), (len(images),)).tolist()
    factors = (1 + JITTER * (2 * torch.rand(len(images)) - 1)).tolist()
    parts = zip(images, kinds, factors, strict=True)
    return torch.stack([changes[kind](image, factor) for image, kind, factor in parts])


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)
