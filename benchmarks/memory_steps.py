"""Counts the memory of presets at their own size and batch, on tensors that have shapes and no numbers.

torch's fake tensors run the operations of two training steps and of a scoring without computing anything, so that this
takes minutes and hardly any memory, whatever the preset would take. It is possible where a step reads no numbers; what
a method needs besides for its step stands in ``STEPS``. Like all counts of this benchmark it is in float32, and leaves
out what libraries take for their own work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from adbench import BuildContext
from adbench.api.method import Method
from adbench.api.options import Options
from adbench.api.registry import Registry
from adbench.backbones import Backbone, weights
from adbench.backbones.feature_cache import CHUNK

from .memory_live import IMAGES, Counted, Live, made_weights

STEPS_TAKEN = 2
"""The first one makes the optimiser's state."""


@dataclass
class Given:
    """A batch as methods get it. Features are computed in the parts in which the cache of features computes them.

    A step takes ``part`` images at once, or all of them.
    """

    images: Tensor
    part: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[2], self.images.shape[3]

    def __len__(self) -> int:
        return len(self.images)

    @torch.no_grad()
    def features(self, backbone: Callable[[Tensor], Any]) -> Any:
        """What a backbone or a frozen module makes of the images."""
        parts = [backbone(images) for images in self.images.split(CHUNK)]
        if isinstance(parts[0], Tensor):
            return [torch.cat(parts)]
        return [torch.cat(levels) for levels in zip(*parts, strict=True)]


def on_features(detector: Any, batch: Given) -> None:
    """The step of methods that train on the features of a batch."""
    detector.step([level[: batch.part] for level in batch.features(detector.backbone)])


def _cflow(detector: Any, batch: Given) -> None:
    """A mini-batch of each decoder; the positions of the whole batch are there meanwhile."""
    features = batch.features(detector.backbone)
    parts = [detector.mini_batches(feature) for feature in features]
    for level, mini_batches in enumerate(parts):
        fibres, codes = next(mini_batches)
        detector.step(level, fibres[: batch.part], codes[: batch.part])


def _draem(detector: Any, batch: Given) -> None:
    """Painted images, their originals and the masks."""
    images = batch.images
    detector.step(images, images.clone(), images.new_zeros(len(images), 1, *batch.size))


def _efficientad(detector: Any, batch: Given) -> None:
    """The images, the same in other colours, the teacher's features, and penalty images if the options ask for them."""
    (teacher,) = batch.features(detector.teacher)
    images = batch.images
    inputs = [images, images.clone(), teacher]
    if detector.options.penalty == "images":
        inputs.append(images.clone())
    detector.micro_batches.backward(detector._losses, inputs, detector.optimizer)
    detector.optimizer.step()


def _glass(detector: Any, batch: Given) -> None:
    """Good and painted vectors. The radius, and the harder half of one number a vector, depend on values: left out."""
    good = detector.embed(batch.features(detector.backbone))
    local = detector.embed(batch.features(detector.backbone))
    detector.usual = good[0]
    inputs = [good, local, good[..., 0], torch.randn_like(good)]
    half = mock.patch("adbench_plugins.glass.model.hard_focal", lambda logits, masks, share: logits.sigmoid().mean())
    with half, mock.patch.object(detector, "radius", lambda good, *others: good.new_zeros(())):
        detector.micro_batches.backward(detector._losses, inputs, detector.optimizer)
    for optimizer in (detector.adaptor_optimizer, detector.optimizer):
        optimizer.step()


def _subspacead(detector: Any, batch: Given) -> None:
    """Sums over the tokens; the components for scoring are at most as many as a token has numbers."""
    from adbench_plugins.subspacead.components import Components, Moments

    moments = Moments()
    tokens = detector.tokens(batch.features(detector.backbone)).flatten(0, 2)
    moments.add(tokens)
    width = tokens.shape[1]
    detector.components = Components(tokens.new_zeros(width), tokens.new_zeros(width, width), tokens.new_zeros(width))


STEPS: dict[str, Callable[[Any, Given], None]] = {
    "cflow": _cflow,
    "csflow": on_features,
    "dinomaly": on_features,
    "draem": _draem,
    "efficientad": _efficientad,
    "fastflow": on_features,
    "glass": _glass,
    "inp-former": on_features,
    "subspacead": _subspacead,
    "uflow": on_features,
}
"""One training step of each method that is counted so, on a batch."""


MODE = FakeTensorMode(allow_non_fake_inputs=True)
"""One for the process: what plugins keep, such as position codes, stays usable."""


def count(method: Method, registry: Registry, options: Options, part: int | None = None) -> Counted:
    """The bytes of two steps and a scoring, at the options' own size and batch, or in parts of ``part`` images."""
    options = replace(options, amp="off")
    context = BuildContext(torch.device("cpu"), 0, "made", ("made",), IMAGES)
    with made_weights(filled=False), mock.patch.object(weights, "own"):
        detector: Any = method.make(options, registry.offering(context, options))
        for module in modules_of(detector):
            if isinstance(module, Backbone):
                module.network  # noqa: B018 - is made on first use
    with MODE, Live() as live, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faked(detector)
        given = Given(torch.rand(options.batch_size, 3, *options.size), part)
        for _ in range(STEPS_TAKEN):
            STEPS[method.name](detector, given)
        if method.name == "cflow":
            detector.maxima = torch.zeros(len(detector.decoders))
        with torch.no_grad():
            detector.score(Given(given.images[:part]))
    return Counted(live.peak, detector.micro_batching)


def faked(detector: Any) -> None:
    """Put fake tensors in place of all parameters, buffers and other tensors of a detector, also in its optimisers."""
    made: dict[int, Tensor] = {}

    def fake(value: Tensor) -> Tensor:
        if id(value) not in made:
            shape = torch.empty(value.shape, dtype=value.dtype)
            made[id(value)] = nn.Parameter(shape, value.requires_grad) if isinstance(value, nn.Parameter) else shape
        return made[id(value)]

    for module in modules_of(detector):
        for values in (module._parameters, module._buffers):
            values.update({key: fake(value) for key, value in values.items() if value is not None})
    for key, value in vars(detector).items():
        if isinstance(value, Tensor):
            setattr(detector, key, fake(value))
        elif isinstance(value, list) and value and isinstance(value[0], nn.Parameter):
            setattr(detector, key, [fake(each) for each in value])
        for optimizer in value if isinstance(value, list) else (value,):
            if isinstance(optimizer, torch.optim.Optimizer):
                for group in optimizer.param_groups:
                    group["params"] = [fake(each) for each in group["params"]]


def modules_of(owner: Any) -> Iterator[nn.Module]:
    """All modules of a detector, and of what wraps its backbone."""
    for value in vars(owner).values():
        if isinstance(value, nn.Module):
            yield from value.modules()
        elif isinstance(getattr(value, "backbone", None), nn.Module):
            yield from modules_of(value)


def estimate(method: Method, registry: Registry, options: Options) -> tuple[int, int]:
    """Bytes of training with whole batches, and where they are split into single images if they can be."""
    whole = count(method, registry, options)
    return whole.bytes, count(method, registry, options, 1).bytes if whole.splits else whole.bytes
