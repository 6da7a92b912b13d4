"""Training of a flow over the features of a frozen backbone by maximum likelihood, for FastFlow, U-Flow and CS-Flow.

The network maps the features of good images to Gaussian noise z. Its loss is the negative log-likelihood of an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adbench import Detector, Epoch
from adbench.api import CheckpointError

from .cuda_graph import GraphedStep, capturable_adam, load_optimizer, refusal
from .flows import require_finite, require_fit, set_learning_rate

if TYPE_CHECKING:
    from adbench import BackboneOptions, BuildContext
    from adbench.api import AnyBackbone, Images


@dataclass(frozen=True)
class Training:
    """How a flow is trained.

    Attributes:
        epochs: number of epochs.
        evaluate_every: epochs between two evaluations.
        lr: learning rate of Adam at the start.
        weight_decay: of Adam, added to the gradient.
        eps: Adam's epsilon.
        clip_norm: norm to which gradients are clipped; None for no clipping.
        fp16_scale: factor of the loss in fp16, at the start. The usual 65536 is for losses around 1; the gradients of a
            sum over all positions would overflow for many steps.
    """

    epochs: int
    evaluate_every: int
    lr: float
    weight_decay: float
    eps: float = 1e-8
    clip_norm: float | None = None
    fp16_scale: float = 1.0


class FlowDetector(Detector):
    """A frozen backbone and a flow; a method adds ``score`` and perhaps its own loss and learning rate.

    Args:
        options: the method's options.
        context: the context from ``build``.
        name: of the method, for messages.
        backbone: its features go into the flow.
        network: maps L features (B, C_i, H_i, W_i) to L tensors z and the log-Jacobian (B,).
        training: epochs and optimiser.
    """

    micro_batching = True

    def __init__(
        self,
        options: BackboneOptions,
        context: BuildContext | torch.device,
        *,
        name: str,
        backbone: AnyBackbone,
        network: nn.Module,
        training: Training,
    ) -> None:
        super().__init__(options, context)
        self.name, self.backbone, self.training = name, backbone, training
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = capturable_adam(self.trained, training.lr, self.device)
        for group in self.optimizer.param_groups:
            group.update(weight_decay=training.weight_decay, eps=training.eps)
        self.scaler = torch.amp.GradScaler(
            self.device.type, init_scale=training.fp16_scale, enabled=options.amp == "fp16"
        )
        # a GradScaler reads values on the GPU, which a capture refuses
        captured = self.device.type == "cuda" and options.amp != "fp16"
        self.graphs = [GraphedStep(lambda *features: self.step(features), captured, self._go_on_eagerly)]

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train by maximum likelihood for a fixed number of epochs."""
        yield Epoch(self.epoch, self.training.epochs)
        try:
            for epoch in range(self.epoch, self.training.epochs):
                yield self._train(epoch, images)
        finally:
            self._forget_graphs()

    def _train(self, epoch: int, images: Images) -> Epoch:
        """Train one epoch, counted from 0."""
        batches = math.ceil(len(images) / images.batch_size)
        (graph,) = self.graphs
        losses, sizes = [], []
        for number, features in enumerate(images.features(self.backbone)):
            rate = self.learning_rate(epoch + number / batches)
            set_learning_rate(self.optimizer, rate)
            # losses stay on the device until the epoch ends: reading one waits for the GPU
            losses.append(graph(*features))
            sizes.append(len(features[0]))
        weights = torch.tensor(sizes, dtype=torch.float32) / sum(sizes)
        loss = (torch.stack(losses).cpu() * weights).sum().item()
        require_finite(self.name, epoch + 1, loss, self.training.lr)
        milestone = (epoch + 1) % self.training.evaluate_every == 0
        return Epoch(epoch + 1, self.training.epochs, loss, rate, milestone=milestone)

    def step(self, features: Sequence[Tensor]) -> Tensor:
        """One optimiser step on the features L x (B, C_i, H_i, W_i) of one batch; returns its mean loss ()."""
        loss = self.micro_batches.backward(self.losses, features, self.optimizer, scale=self.scaler.scale)
        if self.training.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.trained, self.training.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def losses(self, *features: Tensor) -> Tensor:
        """The loss of each image, (B,), of features L x (B, C_i, H_i, W_i)."""
        return negative_log_likelihood(*self.network(features))

    def learning_rate(self, progress: float) -> float:
        """The learning rate after ``progress`` epochs; constant unless a method has a schedule."""
        return self.training.lr

    def authors_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The network's state dict from an authors' checkpoint. Raises ``CheckpointError`` if it has none."""
        found = ", ".join(map(str, list(state)[:5])) or "nothing"
        raise CheckpointError("checkpoint", found=found, wanted=f"'network' of a {self.name} model")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state or an authors' checkpoint, whose optimiser has other parameters."""
        is_own = "network" in state
        network = state["network"] if is_own else self.authors_state(state)
        require_fit("network", self.network, network)
        self.network.load_state_dict(network)
        if is_own and "optimizer" in state:
            load_optimizer(self.optimizer, state["optimizer"])
        if is_own and state.get("scaler"):  # a disabled scaler's state is empty
            super().load_state_dict({"scaler": state["scaler"]})
        self._forget_graphs()

    def _forget_graphs(self) -> None:
        for graph in self.graphs:
            graph.forget()

    def _go_on_eagerly(self, reason: str) -> None:
        if self.micro_batches.say:
            self.micro_batches.say(refusal(reason))


def negative_log_likelihood(z: Sequence[Tensor], log_jac: Tensor) -> Tensor:
    """The loss of each image, (B,), up to a constant: standard normal z and the log-Jacobian (B,)."""
    energy = torch.stack([0.5 * level.square().sum(dim=(1, 2, 3)) for level in z]).sum(0)  # (B,)
    return energy - log_jac
