"""CFLOW-AD: the likelihood of the feature vector at each position, given the position, at several scales.

Decoders (``decoder.py``) are trained by maximum likelihood on the feature vectors of good images, one
vector ("fibre") at a time. Facts from the paper, arXiv 2107.12571, and its published set-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, devices, memory

from ..cuda_graph import GraphedStep, capturable_adam, load_optimizer, refusal
from ..flows import (
    at_least_float32,
    in_double,
    linear_warmup,
    position_code,
    require_finite,
    require_parts,
    set_learning_rate,
    upsample_logarithms,
)
from ..worker_threads import WorkerThreads
from . import CFlowOptions
from .decoder import decoder, log_likelihood

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images


SCORED_ON_CPU = 2048
"""Fibres that pass through a decoder at a time, so that their data stays in the processor's cache."""


class CFlow(Detector):
    """The detector: a frozen backbone and a decoder for each of its layers.

    ``maxima`` (L,) is the largest log p / C that each decoder gives to the training images. It makes scales
    comparable. It is computed when first needed after training, since each step changes it. The authors take it from
    all test images instead, so an image's score there depends on the others.
    """

    micro_batching = True
    threads_per_epoch = True  # the decoders' worker threads share them
    score_scale = 2  # a negative logarithm; in adbench 0.1 it was the highest value of the map

    def __init__(self, options: CFlowOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: CFlowOptions = options
        self.backbone = backbone
        precision = devices.compute_dtype(options.amp)
        self.decoders = nn.ModuleList(
            decoder(channels, options.blocks, options.cond_channels, options.clamp, precision, self.device)
            for channels in backbone.channels
        )
        self.optimizers = [
            capturable_adam([p for p in flow.parameters() if p.requires_grad], options.lr, self.device)
            for flow in self.decoders
        ]
        # a GradScaler reads values on the GPU, which a capture refuses
        captured = self.device.type == "cuda" and options.amp != "fp16"
        self.graphs = [
            GraphedStep(partial(self.step, level), captured, self._go_on_eagerly) for level in range(len(self.decoders))
        ]
        self.scalers = [torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16") for _ in self.decoders]
        self.maxima: torch.Tensor | None = None
        self.training_images: Images | None = None

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train by maximum likelihood; each meta-epoch ends with an evaluation."""
        options = self.options
        self.training_images = images
        rotated = images
        if options.rotation:
            rotated = images.augmented(rotation=options.rotation, copies=options.copies, start=self.epoch)
        total = options.meta_epochs * options.sub_epochs
        yield Epoch(self.epoch, total)
        try:
            for epoch in range(self.epoch, total):
                yield self._train(epoch, rotated)
        finally:
            for graph in self.graphs:
                graph.forget()

    def _train(self, epoch: int, images: Images) -> Epoch:
        """Train one epoch, counted from 0."""
        options = self.options
        self.maxima = None
        batches = math.ceil(len(images) / options.batch_size)
        with WorkerThreads[torch.Tensor](len(self.decoders), self.device) as threads:
            for number, features in enumerate(images.features(self.backbone)):
                rate = learning_rate(epoch, number / batches, options)
                for level, feature in enumerate(features):
                    threads.put(level, self.steps(level, self.mini_batches(feature), rate))
            losses = threads.results()
        self._require_steps(losses)
        loss = torch.stack([loss for level in losses for loss in level]).mean().item()
        require_finite("cflow", epoch + 1, loss, options.lr)
        total = options.meta_epochs * options.sub_epochs
        return Epoch(epoch + 1, total, loss, rate, milestone=(epoch + 1) % options.sub_epochs == 0)

    def mini_batches(self, feature: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Shuffle all positions of a feature map (B, C, H, W); yield fibres (N, C) and their codes (N, D).

        N is always ``options.fibres``: an incomplete rest is dropped.
        """
        fibres, codes = as_fibres(feature), self._codes(feature)  # (B * H * W, C), (H * W, D)
        order = torch.randperm(len(fibres), device=fibres.device)  # now, however late the mini-batches are read
        parts = order.split(self.options.fibres)
        return (
            (at_least_float32(fibres[chosen]), codes[chosen % len(codes)])
            for chosen in parts
            if len(chosen) == self.options.fibres
        )

    def steps(
        self, level: int, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], rate: float
    ) -> Iterator[torch.Tensor]:
        """Train one decoder on mini-batches at a learning rate, and yield the loss of each."""
        set_learning_rate(self.optimizers[level], rate)
        for fibres, codes in batches:
            yield self.graphs[level](fibres, codes)
        self.optimizers[level].zero_grad()  # the next gradients are allocated anew

    def step(self, level: int, fibres: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """One optimiser step of one decoder on fibres (N, C) with codes (N, D); returns the mean loss ()."""
        optimizer, scaler = self.optimizers[level], self.scalers[level]

        def losses(some: torch.Tensor, their_codes: torch.Tensor) -> torch.Tensor:
            return -F.logsigmoid(log_likelihood(self.decoders[level], some, their_codes))

        loss = self.micro_batches.backward(losses, (fibres, codes), optimizer, scale=scaler.scale)
        scaler.step(optimizer)
        scaler.update()
        return loss

    @torch.no_grad()
    def calibrate(self, images: Images) -> None:
        """Find ``maxima`` in one pass over the training images; an authors' checkpoint needs this."""

        def peak(*features: torch.Tensor) -> torch.Tensor:
            return torch.stack([level.amax() for level in self.log_likelihoods(features)])  # (L,)

        micro_batches = memory.MicroBatches("calibration", self.micro_batches.say, self.micro_batches.relieve)
        peaks = [each for features in images.features(self.backbone) for each in micro_batches.map(peak, features)]
        self.maxima = torch.stack(peaks).amax(dim=0)

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the sum of all scales' likelihoods, and images by their most anomalous pixel.

        An image's score is the negative logarithm of that pixel's sum. It ranks exactly as the map's highest value
        does, and still differs where the map is rounded to L.
        """
        if self.maxima is None:
            if self.training_images is None:
                raise CheckpointError(
                    "the checkpoint of cflow does not hold the largest likelihoods of the training images",
                    hint="Call calibrate(images) with the training images before score",
                )
            self.calibrate(self.training_images)
        assert self.maxima is not None
        sums = log_sums(self.log_likelihoods(batch.features(self.backbone)), self.maxima, batch.size)
        return Scores(image=image_scores(sums), map=anomaly_maps(sums, len(self.decoders)))

    def log_likelihoods(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Log p / C of each position: L features (B, C_i, H_i, W_i) -> L x (B, H_i, W_i)."""
        maps = []
        for flow, feature in zip(self.decoders, features, strict=True):
            batch, channels, height, width = feature.shape
            fibres, codes = feature.flatten(2).permute(2, 0, 1), self._codes(feature)  # (H * W, B, C), (H * W, D)
            in_parts = fibres.is_cpu and not devices.is_exporting()
            some = math.ceil(SCORED_ON_CPU / batch) if in_parts else len(fibres)
            parts = [
                log_likelihood(flow, at_least_float32(part).reshape(-1, channels), their_codes)
                for part, their_codes in zip(fibres.split(some), codes.split(some), strict=True)
            ]
            maps.append(torch.cat(parts).view(height, width, batch).permute(2, 0, 1))
        return maps

    def _go_on_eagerly(self, reason: str) -> None:
        for graph in self.graphs:
            graph.possible = False
        if self.micro_batches.say:
            self.micro_batches.say(refusal(reason))

    def _codes(self, feature: torch.Tensor) -> torch.Tensor:
        code = position_code(self.options.cond_channels, *feature.shape[2:], feature.device)  # (D, H, W)
        return code.flatten(1).T.contiguous()  # (H * W, D)

    def _require_steps(self, losses: Sequence[Sequence[torch.Tensor]]) -> None:
        for layer, steps in zip(self.options.layers, losses, strict=True):
            if not steps:
                raise OptionError(
                    f"-o fibres={self.options.fibres}",
                    found=f"fewer positions than that in each batch of images at layer {layer}",
                    hint="Use fewer fibres, a larger batch_size or larger images",
                )

    def state_dict(self) -> dict[str, Any]:
        """Return the layout of the authors' checkpoints (without the frozen encoder), and the training state."""
        return {
            "epoch": self.epoch,
            "decoder_state_dict": [flow.state_dict() for flow in self.decoders],
            "maxima": self.maxima,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scalers": [scaler.state_dict() for scaler in self.scalers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load our own state or an authors' checkpoint, which has neither optimiser nor maxima."""
        if "decoder_state_dict" not in state:
            found = ", ".join(map(str, state)) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted="'decoder_state_dict' of a CFLOW-AD model")
        require_parts("decoder_state_dict", list(self.decoders), state["decoder_state_dict"])
        for flow, flow_state in zip(self.decoders, state["decoder_state_dict"], strict=True):
            flow.load_state_dict(flow_state)
        maxima = state.get("maxima")
        self.maxima = None if maxima is None else maxima.to(self.device)
        # the "optimizer" of an authors' checkpoint has other parameters
        for optimizer, part_state in zip(self.optimizers, state.get("optimizers", ()), strict="optimizers" in state):
            load_optimizer(optimizer, part_state)
        for scaler, part_state in zip(self.scalers, state.get("scalers", ()), strict="scalers" in state):
            if part_state:  # a disabled scaler's state is empty
                scaler.load_state_dict(part_state)
        for graph in self.graphs:
            graph.forget()


def learning_rate(epoch: int, fraction: float, options: CFlowOptions) -> float:
    """The learning rate when ``fraction`` of ``epoch`` (from 0) is done.

    It rises with every batch of the warm-up, up to the cosine's value at its end. After that it is constant within a
    meta-epoch.
    """
    progress = (epoch + fraction) / options.sub_epochs
    if progress < options.warmup:
        factor = linear_warmup(progress, options.warmup, options.warmup_start, _cosine(options.warmup, options))
    else:
        factor = _cosine(epoch // options.sub_epochs, options)
    return options.lr * factor


def _cosine(meta_epoch: int, options: CFlowOptions) -> float:
    return options.final + (1 - options.final) * (1 + math.cos(math.pi * meta_epoch / options.meta_epochs)) / 2


def as_fibres(feature: torch.Tensor) -> torch.Tensor:
    """Make each position's channels a row: (B, C, H, W) -> (B * H * W, C)."""
    return feature.permute(0, 2, 3, 1).flatten(0, 2)


def log_sums(likelihoods: Sequence[torch.Tensor], maxima: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Log of the mean over scales of exp(log p / C - maximum), (B, H, W): 0 where every scale is at its maximum.

    The input is L maps of log p / C (B, H_i, W_i), whose largest values are ``maxima`` (L,).
    """
    relative = [upsample_logarithms(level - peak, size) for level, peak in zip(likelihoods, maxima, strict=True)]
    return torch.stack(relative).logsumexp(dim=0) - math.log(len(relative))


def anomaly_maps(sums: torch.Tensor, scales: int) -> torch.Tensor:
    """Anomaly maps (B, H, W) from ``log_sums`` of L scales: L minus the sum of the relative likelihoods.

    The authors subtract from the largest sum of the test set instead, which shifts all scores alike.
    """
    return -scales * torch.expm1(sums)


def image_scores(sums: torch.Tensor) -> torch.Tensor:
    """Score images by their least likely pixel, float64 (B,): minus the lowest of ``sums`` (B, H, W).

    The map's highest value is L (1 - exp(-score)), so both rank alike. But the map is exactly L where all scales are
    unlikely enough.
    """
    return -in_double(sums.amin(dim=(1, 2)))
