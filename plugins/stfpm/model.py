"""STFPM: where a student's features differ from those of its teacher.

The teacher is a frozen network, the student the same network with random weights. The student learns to give the
teacher's features on good images, and nothing teaches it those of defects. From the paper, arXiv 2103.04257, and from
what is known of the authors' program where they differ: docs/methods/stfpm.md lists the differences.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, Size, maps

from ..batch_norm import require_positions
from ..flows import require_finite, require_fit
from . import STFPMOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

EVALUATED = 10
"""Epochs from one evaluation to the next."""

AUTHORS_NAMES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Children of a ResNet by their number in the authors' checkpoints: "model.4.0.conv1.weight"."""


class STFPM(Detector):
    """The detector: a frozen ``backbone`` as the teacher, its ``student``, and the student that was ``kept``.

    The student trains with batch norm, so a batch is never split. ``kept`` is a copy of it after the epoch with the
    ``lowest`` mean score, (), of held-out training images; it alone scores images.
    """

    def __init__(self, options: STFPMOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: STFPMOptions = options
        self.backbone = backbone
        self.student = backbone.trainable_copy(pretrained=False).to(memory_format=torch.channels_last)
        self.kept = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.lowest = torch.tensor(torch.inf, device=self.device)
        self.optimizer = torch.optim.SGD(
            self.student.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train the student; after each epoch keep it if it is the best one on the held-out images."""
        total = self.options.epochs
        training, held_out = images.split(self.options.validation, self.context.seed)
        require_positions(
            "stfpm", training, (self.student,), lambda student, image: student(image), self.backbone.multiple
        )
        yield Epoch(self.epoch, total)
        for epoch in range(self.epoch, total):
            # losses stay on the device until the epoch ends: reading one waits for the GPU
            loss = torch.stack([self.step(batch) for batch in training]).mean().item()
            require_finite("stfpm", epoch + 1, loss, self.options.lr)
            error = self.validate(held_out)
            require_finite("stfpm", epoch + 1, error.item(), self.options.lr)
            if error < self.lowest:
                self.lowest = error
                self.kept.load_state_dict(self.student.state_dict())
            yield Epoch(epoch + 1, total, loss, self.options.lr, milestone=(epoch + 1) % EVALUATED == 0)

    def step(self, batch: Batch) -> Tensor:
        """One optimiser step on a batch; returns its mean loss, ()."""
        inputs = [batch.images, *batch.features(self.backbone)]
        loss = self.micro_batches.backward(self.losses, inputs, self.optimizer, scale=self.scaler.scale)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def losses(self, images: Tensor, *teacher: Tensor) -> Tensor:
        """The loss of each image, (B,), of images (B, 3, H, W) and their L features (B, C_i, h_i, w_i)."""
        with self.autocast():
            student = self.student(images)
        return matching_losses(teacher, student)

    @torch.no_grad()
    def validate(self, images: Images) -> Tensor:
        """The mean over all pixels of the student's maps of some images, ()."""
        self.student.eval()
        found = [self._maps(self.student, batch).mean((1, 2)) for batch in images]
        self.student.train()
        return torch.cat(found).mean()

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the product of all levels' distances, and images by their most anomalous pixel."""
        found = maps.upsample(self._maps(self.kept, batch), batch.size)
        return Scores(image=maps.highest(found), map=found)

    def _maps(self, student: torch.nn.Module, batch: Batch) -> Tensor:
        """The product of all levels at the size of the finest one, (B, h, w)."""
        with self.autocast():
            found = student(batch.images)
        levels = squared_distances(batch.features(self.backbone), found)
        return product(levels, max((level.shape[1:] for level in levels), key=tuple))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state, or an authors' checkpoint: a ResNet's state dict, or a dict that contains it."""
        authors = from_authors(state)
        if authors is not None:
            require_fit("model", self.kept, authors)
            state = {"student": authors, "kept": authors}
        missing = [name for name in ("student", "kept") if name not in state]
        if missing:
            found = ", ".join(map(str, state)) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted=f"'{missing[0]}' of an STFPM model")
        super().load_state_dict(state)


def squared_distances(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """Squared distance at each position of two feature vectors that are scaled to length 1.

    Args:
        teacher: L features (B, C_i, h_i, w_i) of any floating type.
        student: features of the same shapes.

    Returns:
        L float32 maps (B, h_i, w_i), from 0 to 4. Where the teacher's vector is 0, as ReLU makes it, the distance is 1,
        and has no gradient.
    """
    pairs = zip(teacher, student, strict=True)
    return [(F.normalize(t.float()) - F.normalize(s.float())).square().sum(1) for t, s in pairs]


def matching_losses(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """The loss of each image, (B,): the sum over levels of the mean squared distance. Arguments as above.

    The paper has half of it. The learning rate of 0.4 belongs to this one, which is the program's.
    """
    return torch.stack([level.mean((1, 2)) for level in squared_distances(teacher, student)]).sum(0)


def product(levels: Sequence[Tensor], size: Size) -> Tensor:
    """The product of L maps (B, h_i, w_i), each resized to ``size`` first: (B, H, W)."""
    return torch.stack([maps.upsample(level, size) for level in levels]).prod(0)


def from_authors(state: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The student's state dict in an authors' checkpoint, with torchvision's names; None if ``state`` is none.

    The last stage, which the program runs and doesn't use, is left out.
    """
    for found in (state, *state.values()):
        if isinstance(found, Mapping) and "model.0.weight" in found:
            return {_torchvision_name(key): value for key, value in found.items() if not key.startswith("model.7.")}
    return None


def _torchvision_name(key: str) -> str:
    """Rename "model.4.0.conv1.weight" to "layer1.0.conv1.weight"."""
    _, number, rest = [*key.split(".", 2), "", ""][:3]
    return f"{AUTHORS_NAMES.get(number, f'model.{number}')}.{rest}"
