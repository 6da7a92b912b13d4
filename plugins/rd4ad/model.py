"""RD4AD: a decoder restores a frozen network's features from a small code, and fails on defects.

The code is made from the features, not from the image, so that teacher and student are no copies of each other. The
code of a defect is that of something usual. From the paper, arXiv 2201.10703, and from what is known of the authors'
program where they differ: docs/methods/rd4ad.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, SizeError, maps

from ..batch_norm import require_positions
from ..flows import require_finite, require_fit
from . import RD4ADOptions
from .network import OTHER, SHAPES, Bottleneck, Decoder, Shape

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

EVALUATED = 10
"""Epochs from one evaluation to the next, as in the authors' program."""

UNUSED = ("conv4.", "bn4.")
"""Parameters of the bottleneck in the authors' checkpoints that nothing uses."""


class RD4AD(Detector):
    """The detector: a frozen ``backbone``, the bottleneck ``bn``, and the ``decoder``.

    The attributes have the names of the authors' checkpoints. Both networks train with batch norm, so a batch is never
    split.
    """

    def __init__(
        self,
        options: RD4ADOptions,
        context: BuildContext | torch.device,
        backbone: Backbone,
        shape: Shape | None = None,
    ) -> None:
        """``shape`` replaces the one that belongs to the backbone."""
        super().__init__(options, context)
        _check(options, backbone.strides)
        self.options: RD4ADOptions = options
        self.backbone = backbone
        shape = shape or SHAPES.get(options.backbone, OTHER)
        self.bn = self._on_device(Bottleneck(backbone.channels, shape))
        self.decoder = self._on_device(Decoder(backbone.channels, shape))
        parameters = [*self.bn.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters, options.lr, betas=(options.beta1, 0.999), fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def _on_device(self, network: torch.nn.Module) -> Any:
        return network.to(self.device, memory_format=torch.channels_last).eval()

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train bottleneck and decoder for a fixed number of epochs."""
        total = self.options.epochs
        networks = self.bn, self.decoder
        require_positions("rd4ad", images, networks, self._restored_by, 2 * self.backbone.strides[-1])
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            self._train(True)
            # losses stay on the device until the epoch ends: reading one waits for the GPU
            loss = torch.stack([self.step(features) for features in images.features(self.backbone)]).mean().item()
            self._train(False)
            require_finite("rd4ad", epoch + 1, loss, self.options.lr)
            yield Epoch(epoch + 1, total, loss, self.options.lr, milestone=(epoch + 1) % EVALUATED == 0)

    def _train(self, mode: bool) -> None:
        self.bn.train(mode)
        self.decoder.train(mode)

    def step(self, features: Sequence[Tensor]) -> Tensor:
        """One optimiser step on the features of a batch, 3 x (B, C_i, h_i, w_i); returns its mean loss, ()."""
        loss = self.micro_batches.backward(self.losses, features, self.optimizer, scale=self.scaler.scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def losses(self, *features: Tensor) -> Tensor:
        """The loss of each image, (B,), of its features."""
        restored = self.restore(features)
        if self.options.loss == "positions":
            return torch.stack([level.mean((1, 2)) for level in cosine_distances(features, restored)]).sum(0)
        return whole_distances(features, restored)

    def restore(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features through code and decoder: 3 x (B, C_i, h_i, w_i) -> the same shapes."""
        with self.autocast():
            restored: list[Tensor] = self.decoder(self.bn(features))
        return restored

    def _restored_by(self, bn: torch.nn.Module, decoder: torch.nn.Module, images: Tensor) -> None:
        """Images (B, 3, H, W) through other networks than the detector's own."""
        with self.autocast():
            decoder(bn(self.backbone(images)))

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the smoothed sum of all levels' distances, and images by their most anomalous pixel."""
        features = batch.features(self.backbone)
        levels = cosine_distances(features, self.restore(features))
        total = torch.stack([maps.upsample(level, batch.size, align_corners=True) for level in levels]).sum(0)
        smoothed = maps.gaussian(total, self.options.sigma)
        return Scores(image=maps.highest(smoothed), map=smoothed)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state, or an authors' checkpoint: a dict of ``bn`` and ``decoder``."""
        missing = [name for name in ("bn", "decoder") if not isinstance(state.get(name), Mapping)]
        if missing:
            found = ", ".join(map(str, state)) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted=f"'{missing[0]}' of an RD4AD model")
        bn = {key: value for key, value in state["bn"].items() if not key.startswith(UNUSED) and "memory" not in key}
        require_fit("bn", self.bn, bn)
        require_fit("decoder", self.decoder, state["decoder"])
        super().load_state_dict({**state, "bn": bn})


def _check(options: RD4ADOptions, strides: Sequence[int]) -> None:
    """Refuse layers and sizes that bottleneck and decoder can't halve and double."""
    if len(strides) != 3 or any(after != 2 * before for before, after in pairwise(strides)):
        found = f"{','.join(map(str, options.layers))} with strides {','.join(map(str, strides))}"
        raise OptionError("option layers of rd4ad", found=found, wanted="three, each with twice the stride of the last")
    multiple = 2 * strides[-1]
    if any(side % multiple for side in options.size):
        raise SizeError(f"{options.backbone} in rd4ad", options.size, multiple)


def cosine_distances(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """1 minus the cosine of two feature vectors at each position.

    Args:
        teacher: L features (B, C_i, h_i, w_i) of any floating type.
        student: features of the same shapes.

    Returns:
        L float32 maps (B, h_i, w_i), from 0 to 2. Where one of the vectors is 0 the distance is 1.
    """
    return [1 - F.cosine_similarity(t.float(), s.float(), dim=1) for t, s in zip(teacher, student, strict=True)]


def whole_distances(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """The sum over levels of 1 minus the cosine of a whole level as one vector of C * h * w numbers: (B,).

    Arguments as above. It is the loss of the authors' program: positions with long vectors weigh more in it. The
    paper's equation 3 takes the mean of ``cosine_distances`` instead.
    """
    pairs = zip(teacher, student, strict=True)
    cosines = [F.cosine_similarity(t.float().flatten(1), s.float().flatten(1), dim=1) for t, s in pairs]
    return torch.stack([1 - each for each in cosines]).sum(0)
