"""MSFlow: the likelihood of an image's features at three scales.

An invertible network (``network.py``), trained by maximum likelihood, maps the features of good images to Gaussian
noise z. Where an image is defective, z is large. Facts from the paper, arXiv 2308.15300, and its published set-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, devices

from ..cuda_graph import GraphedStep, capturable_adam, load_optimizer, refusal
from ..flow_training import negative_log_likelihood
from ..flows import (
    in_double,
    linear_warmup,
    require_finite,
    require_fit,
    require_parts,
    set_learning_rate,
    upsample,
)
from . import MSFlowOptions
from .network import MultiScaleFlow, in_scale_order

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images


class MSFlow(Detector):
    """The detector: a frozen backbone and flows over its features."""

    micro_batching = True
    score_scale = 2  # a negative logarithm; in adbench 0.1 it was the mean of the product map

    def __init__(self, options: MSFlowOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        if len(options.blocks) != len(options.layers):
            raise OptionError(
                f"-o blocks={','.join(map(str, options.blocks))}",
                found=f"{len(options.blocks)} numbers",
                wanted=f"one for each of the layers {','.join(map(str, options.layers))}",
            )
        self.options: MSFlowOptions = options
        self.backbone = backbone
        self.flow = MultiScaleFlow(
            backbone.channels,
            options.blocks,
            cond_channels=options.cond_channels,
            clamp=options.clamp,
            precision=devices.compute_dtype(options.amp),
        ).to(self.device)
        self.trained = [p for p in self.flow.parameters() if p.requires_grad]
        self.optimizer = capturable_adam(self.trained, options.lr, self.device)
        # The loss is a sum over all positions: at the usual 65536 its gradients overflow for many steps.
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=1.0, enabled=options.amp == "fp16")
        # a GradScaler reads values on the GPU, which a capture refuses
        captured = self.device.type == "cuda" and options.amp != "fp16"
        self.graphs = [GraphedStep(lambda *features: self.step(features), captured, self._go_on_eagerly)]

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train by maximum likelihood; each meta-epoch ends with an evaluation."""
        total = self.options.meta_epochs * self.options.sub_epochs
        yield Epoch(self.epoch, total)
        try:
            for epoch in range(self.epoch, total):
                yield self._train(epoch, images)
        finally:
            self._forget_graphs()

    def _train(self, epoch: int, images: Images) -> Epoch:
        """Train one epoch, counted from 0."""
        options = self.options
        rate = learning_rate(epoch, options)
        set_learning_rate(self.optimizer, rate)
        (graph,) = self.graphs
        # losses stay on the device until the epoch ends: reading one waits for the GPU
        losses = [graph(*features) for features in images.features(self.backbone)]
        loss = torch.stack(losses).mean().item()
        require_finite("msflow", epoch + 1, loss, options.lr)
        total = options.meta_epochs * options.sub_epochs
        return Epoch(epoch + 1, total, loss, rate, milestone=(epoch + 1) % options.sub_epochs == 0)

    def step(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """One optimiser step on the features L x (B, C_i, H_i, W_i) of one batch; returns its mean loss ()."""
        loss = self.micro_batches.backward(self.losses, features, self.optimizer, scale=self.scaler.scale)
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.trained, self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def losses(self, *features: torch.Tensor) -> torch.Tensor:
        """The loss of each image, (B,), of features L x (B, C_i, H_i, W_i)."""
        return negative_log_likelihood(*self.flow(features))

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the sum map, regions by the product map, images by the top of the product map.

        The product map and the image score are negative logarithms of likelihoods. They rank exactly as the paper's
        1 - exp(-x) of them, and still differ where those round to 1.
        """
        z, _ = self.flow(batch.features(self.backbone))
        sums, products = anomaly_maps(z, batch.size)
        return Scores(image=image_scores(products, self.options.top_fraction), map=sums, region_map=products)

    def state_dict(self) -> dict[str, Any]:
        """Return the layout of the authors' checkpoints, and the training state."""
        return {
            "epoch": self.epoch,
            "fusion_flow": self.flow.fusion_flow.state_dict(),
            "parallel_flows": [flow.state_dict() for flow in self.flow.parallel_flows],
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state or an authors' checkpoint, which has no optimiser."""
        missing = [key for key in ("fusion_flow", "parallel_flows") if key not in state]
        if missing:
            raise CheckpointError(
                "checkpoint", found=", ".join(map(str, state)) or "nothing", wanted=f"'{missing[0]}' of an MSFlow model"
            )
        require_parts("parallel_flows", list(self.flow.parallel_flows), state["parallel_flows"])
        fusion_state = state["fusion_flow"]
        if isinstance(fusion_state, Mapping):
            fusion_state = in_scale_order(fusion_state, self.backbone.channels)
        require_fit("fusion_flow", self.flow.fusion_flow, fusion_state)
        for flow, flow_state in zip(self.flow.parallel_flows, state["parallel_flows"], strict=True):
            flow.load_state_dict(flow_state)
        self.flow.fusion_flow.load_state_dict(fusion_state)
        if "scaler" in state:  # our own; the optimiser of an authors' checkpoint has other parameters
            load_optimizer(self.optimizer, state["optimizer"])
            if state["scaler"]:  # a disabled scaler's state is empty
                super().load_state_dict({"scaler": state["scaler"]})
        self._forget_graphs()

    def _forget_graphs(self) -> None:
        for graph in self.graphs:
            graph.forget()

    def _go_on_eagerly(self, reason: str) -> None:
        if self.micro_batches.say:
            self.micro_batches.say(refusal(reason))


def learning_rate(epoch: int, options: MSFlowOptions) -> float:
    """The learning rate of ``epoch`` (from 0): a linear warm-up, then a drop at each decay epoch."""
    warmup = linear_warmup(epoch, options.warmup * options.sub_epochs, options.warmup_start)
    drops = sum(epoch >= decay_epoch for decay_epoch in options.decay_epochs)
    return options.lr * warmup * options.decay**drops


def anomaly_maps(z: Sequence[torch.Tensor], size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum map, and the product map as a logarithm, (B, H, W) each, of L tensors z (B, C_i, H_i, W_i).

    The likelihoods of the scales are added, or multiplied. Every maximum is that of one image, so its maps don't
    depend on the rest of the batch. The product p is returned as -log(p / max p). The paper's map is 1 - p / max p,
    which is exactly 1 in float32 wherever p is below some 1e-8 of its maximum.
    """
    logs = [-0.5 * level.square().mean(dim=1) for level in z]  # L x (B, H_i, W_i)
    product = torch.stack([upsample(log, size) for log in logs]).sum(0)  # (B, H, W), a logarithm
    total = torch.stack([upsample((log - _peak(log)).exp(), size) for log in logs]).sum(0)  # (B, H, W)
    return _peak(total) - total, _peak(product) - product


def _peak(maps: torch.Tensor) -> torch.Tensor:
    return maps.amax(dim=(1, 2), keepdim=True)  # (B, 1, 1)


def image_scores(maps: torch.Tensor, fraction: float) -> torch.Tensor:
    """Score images by the least likely ``fraction`` of their pixels, at least one: float64 (B,), from 0 up.

    The score is -log(mean of exp(-x)) over the highest x of ``maps`` (B, H, W), the product map as a logarithm. The
    paper's score is the mean of 1 - exp(-x) over the same pixels: 1 - exp(-score). So both rank alike, but the
    paper's is exactly 1 for every image that is unlikely enough.
    """
    pixels = maps.flatten(1)  # (B, H * W)
    top = in_double(pixels.topk(max(1, int(pixels.shape[1] * fraction)), dim=1).values)  # (B, K)
    return math.log(top.shape[1]) - (-top).logsumexp(dim=1)
