"""Plain loops: the published set-ups, written in the usual way and without optimisation.

A DataLoader decodes and resizes each image in every epoch, the backbone runs on every batch, and FrEIA's blocks are
used unchanged. Facts from the papers: MSFlow (arXiv 2308.15300) and CFLOW-AD (arXiv 2107.12571).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.flows import position_code
from adbench_plugins.msflow import MSFlowOptions
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock, InvertibleModule, PermuteRandom
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ANY_SIZE = (1, 1)

Stage = Callable[[str], AbstractContextManager[object]]
"""Times the code inside it under a name."""


class Images(Dataset[Tensor]):
    """Images that are decoded, resized and normalised each time they are read."""

    def __init__(self, paths: Sequence[Path], size: tuple[int, int]) -> None:
        self.paths, self.size = list(paths), size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """Read one image, (3, H, W)."""
        with Image.open(self.paths[index]) as image:
            resized = image.convert("RGB").resize((self.size[1], self.size[0]), Image.Resampling.LANCZOS)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


class PlainBackbone(nn.Module):
    """torchvision's wide_resnet50_2 up to the deepest layer that is needed."""

    def __init__(self, weights: Path, layers: Sequence[int], padding: str, pool: bool) -> None:
        super().__init__()
        self.net = torchvision.models.wide_resnet50_2()
        self.net.load_state_dict(torch.load(weights, weights_only=True))
        self.layers, self.pool = tuple(layers), pool
        self.channels = [(256, 512, 1024, 2048)[layer - 1] for layer in layers]
        if padding == "reflect":
            for module in self.net.modules():
                if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                    module.padding_mode = "reflect"
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to a (B, C, h, w) for each layer."""
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        outputs = []
        for number in range(1, max(self.layers) + 1):
            x = getattr(net, f"layer{number}")(x)
            outputs.append(x)
        chosen = [outputs[number - 1] for number in self.layers]
        return [F.avg_pool2d(each, 3, 2, 1) for each in chosen] if self.pool else chosen


class PlainLoop:
    """Trains and scores one method plainly."""

    def __init__(self, size: tuple[int, int], batch: int, amp: str, device: torch.device, workers: int) -> None:
        self.size, self.batch, self.amp, self.device, self.workers = size, batch, amp, device, workers
        dtype = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
        self.autocast = partial(torch.autocast, device.type, dtype=dtype, enabled=amp != "off")

    def batches(self, paths: Sequence[Path], *, shuffle: bool) -> Iterator[Tensor]:
        """Decode images anew and yield batches (B, 3, H, W) on the device."""
        loader = DataLoader(
            Images(paths, self.size), self.batch, shuffle=shuffle, num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )  # fmt: skip
        for images in loader:
            yield images.to(self.device, non_blocking=True)

    def epoch(self, paths: Sequence[Path], stage: Stage) -> list[float]:
        """Train on all images once; returns the losses."""
        losses = []
        batches = iter(self.batches(paths, shuffle=True))
        while True:
            with stage("decode"):
                images = next(batches, None)
            if images is None:
                return losses
            with stage("backbone"), self.autocast():
                features = self.backbone(images)
            losses += self.train(features, stage)

    def score_all(self, paths: Sequence[Path], stage: Stage) -> Tensor:
        """Score all images once: anomaly maps (N, H, W)."""
        maps = []
        with torch.no_grad():
            batches = iter(self.batches(paths, shuffle=False))
            while True:
                with stage("decode"):
                    images = next(batches, None)
                if images is None:
                    return torch.cat(maps)
                with stage("backbone"), self.autocast():
                    features = self.backbone(images)
                with stage("score"):
                    maps.append(self.score([each.float() for each in features]))

    backbone: nn.Module

    def train(self, features: list[Tensor], stage: Stage) -> list[float]:
        """Optimiser steps on the features of one batch."""
        raise NotImplementedError

    def score(self, features: list[Tensor]) -> Tensor:
        """Anomaly maps (B, H, W)."""
        raise NotImplementedError


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h, w) -> (B, H, W)."""
    return F.interpolate(x[:, None], size, mode="bilinear", align_corners=True)[:, 0]


# ---------------------------------------------------------------- MSFlow


class PlainNorm(nn.LayerNorm):
    """A layer norm over channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PlainSubnet(nn.Module):
    """conv, norm, ReLU, conv."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1)
        self.ln = PlainNorm(channels_in)
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H, W)."""
        return self.conv2(F.relu(self.ln(self.conv1(x)))).float()


class PlainCrossConvs(nn.Module):
    """conv, norm, ReLU, conv, ReLU over the channels of all scales."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 3, padding=1)
        self.norm = PlainNorm(channels // 4)
        self.conv2 = nn.Conv2d(channels // 4, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, h, w) -> the same."""
        return F.relu(self.conv2(F.relu(self.norm(self.conv1(x)))))


class PlainFusionSubnet(nn.Module):
    """Scales and shifts of one half of every map."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.cross_convs = PlainCrossConvs(sum(channels))
        self.conv_s = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)
        self.conv_t = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)

    def forward(self, halves: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """L halves -> L pairs (s, t)."""
        smallest = min(tuple(half.shape[2:]) for half in halves)
        pooled = torch.cat([F.adaptive_avg_pool2d(half, smallest) for half in halves], dim=1)
        parts = self.cross_convs(pooled).split(self.channels, dim=1)
        mixed = [
            half + F.interpolate(part, half.shape[2:], mode="bilinear", align_corners=True)
            for half, part in zip(halves, parts, strict=True)
        ]
        return [(s(x).float(), t(x).float()) for s, t, x in zip(self.conv_s, self.conv_t, mixed, strict=True)]


class PlainFusion(InvertibleModule):
    """The two-sided coupling of all scales."""

    def __init__(self, dims_in: Any, dims_c: Any = None, *, clamp: float) -> None:
        super().__init__(dims_in, dims_c)
        self.clamp = clamp
        halves = [dims[0] // 2 for dims in dims_in]
        self.subnet_1, self.subnet_2 = PlainFusionSubnet(halves), PlainFusionSubnet(halves)

    def forward(self, x: Sequence[Tensor], c: Any = None, rev: bool = False, jac: bool = True) -> Any:
        """L maps -> L maps and the log-Jacobian."""
        first, second = zip(*(each.chunk(2, dim=1) for each in x), strict=True)
        first, jac_1 = self._move(first, self.subnet_2(second))
        second, jac_2 = self._move(second, self.subnet_1(first))
        joined = [torch.cat(pair, dim=1).clamp(-1e6, 1e6) for pair in zip(first, second, strict=True)]
        return joined, jac_1 + jac_2

    def _move(self, halves: Sequence[Tensor], pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], Tensor]:
        exponents = [self.clamp * 0.636 * torch.atan(s / self.clamp) for s, _ in pairs]
        moved = [e.exp() * half + t for half, e, (_, t) in zip(halves, exponents, pairs, strict=True)]
        return moved, sum(e.sum(dim=(1, 2, 3)) for e in exponents)

    def output_dims(self, input_dims: Any) -> Any:
        """Shapes stay as they are."""
        return input_dims


class PlainMSFlow(PlainLoop):
    """MSFlow with FrEIA's blocks."""

    def __init__(
        self, options: MSFlowOptions, backbone: nn.Module, amp: str, device: torch.device, workers: int = 0
    ) -> None:
        super().__init__(options.size, options.batch_size, amp, device, workers)
        self.options, self.backbone = options, backbone.to(device)
        channels = backbone.channels
        self.flows = nn.ModuleList(self._flow(c, n) for c, n in zip(channels, options.blocks, strict=True))
        self.shuffles = nn.ModuleList(PermuteRandom([(c, *ANY_SIZE)]) for c in channels)
        self.fusion = PlainFusion([(c, *ANY_SIZE) for c in channels], clamp=options.clamp)
        self.modules = nn.ModuleList([*self.flows, *self.shuffles, self.fusion]).to(device)
        self.parameters = [p for p in self.modules.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=options.lr)
        self.scaler = torch.amp.GradScaler(device.type, init_scale=1.0, enabled=amp == "fp16")

    def _flow(self, channels: int, blocks: int) -> SequenceINN:
        flow = SequenceINN(channels, *ANY_SIZE)
        for _ in range(blocks):
            flow.append(
                AllInOneBlock, cond=0, cond_shape=(self.options.cond_channels, *ANY_SIZE),
                subnet_constructor=PlainSubnet, affine_clamping=self.options.clamp, global_affine_type="SOFTPLUS",
            )  # fmt: skip
        return flow

    def take_over(self, detector: Any) -> None:
        """Start from the parameters and permutations of adbench's own."""
        for mine, theirs in zip(self.flows, detector.flow.parallel_flows, strict=True):
            mine.load_state_dict(theirs.state_dict())
        *shuffles, coupling = detector.flow.fusion_flow.module_list
        for mine, theirs in zip((*self.shuffles, self.fusion), (*shuffles, coupling), strict=True):
            mine.load_state_dict(theirs.state_dict())

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """L features -> L z and the log-Jacobian (B,)."""
        apart, jacobians = [], []
        for flow, x in zip(self.flows, features, strict=True):
            code = position_code(self.options.cond_channels, *x.shape[2:], x.device).repeat(len(x), 1, 1, 1)
            z, log_jac = flow(x, [code])
            apart.append(z)
            jacobians.append(log_jac)
        shuffled = [shuffle([z])[0][0] for shuffle, z in zip(self.shuffles, apart, strict=True)]
        fused, log_jac = self.fusion(shuffled)
        return fused, sum(jacobians) + log_jac

    def train(self, features: list[Tensor], stage: Stage) -> list[float]:
        """One optimiser step."""
        with stage("flow forward"), self.autocast():
            z, log_jac = self.forward([each.float() for each in features])
            loss = (sum(0.5 * each.float().square().sum(dim=(1, 2, 3)) for each in z) - log_jac).mean()
        self.optimizer.zero_grad()
        with stage("backward"):
            self.scaler.scale(loss).backward()
        with stage("optimiser"):
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return [loss.item()]

    def score(self, features: list[Tensor]) -> Tensor:
        """Anomaly maps by the product map; the sum map is computed, too, as in the paper."""
        with self.autocast():
            z, _ = self.forward(features)
        levels = [-0.5 * each.float().square().mean(dim=1) for each in z]
        products = sum(upsample(level, self.size) for level in levels)
        products = (products - products.amax(dim=(1, 2), keepdim=True)).exp()
        sums = sum(upsample((level - level.amax(dim=(1, 2), keepdim=True)).exp(), self.size) for level in levels)
        maps = [each.amax(dim=(1, 2), keepdim=True) - each for each in (products, sums)]
        return maps[0]


# ---------------------------------------------------------------- CFLOW-AD


def plain_mlp(channels_in: int, channels_out: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(channels_in, 2 * channels_in), nn.ReLU(), nn.Linear(2 * channels_in, channels_out))


class PlainCFlow(PlainLoop):
    """CFLOW-AD with FrEIA's blocks."""

    def __init__(
        self, options: CFlowOptions, backbone: nn.Module, amp: str, device: torch.device, workers: int = 0
    ) -> None:
        super().__init__(options.size, options.batch_size, amp, device, workers)
        self.options, self.backbone = options, backbone.to(device)
        self.decoders = nn.ModuleList(self._decoder(c) for c in backbone.channels).to(device)
        self.optimizer = torch.optim.Adam([p for p in self.decoders.parameters() if p.requires_grad], lr=options.lr)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    def _decoder(self, channels: int) -> SequenceINN:
        flow = SequenceINN(channels)
        for _ in range(self.options.blocks):
            # permute_soft=True draws for minutes; ``take_over`` copies the rotations of adbench's decoder instead
            flow.append(
                AllInOneBlock, cond=0, cond_shape=(self.options.cond_channels,), subnet_constructor=plain_mlp,
                affine_clamping=self.options.clamp, global_affine_type="SOFTPLUS",
            )  # fmt: skip
        return flow

    def take_over(self, detector: Any) -> None:
        """Start from the parameters and rotations of adbench's own."""
        self.decoders.load_state_dict(detector.decoders.state_dict())

    def likelihood(self, flow: SequenceINN, fibres: Tensor, codes: Tensor) -> Tensor:
        """Log p / C, (N,)."""
        channels = fibres.shape[1]
        with self.autocast():
            z, log_jac = flow(fibres, [codes])
        constant = -0.5 * channels * math.log(2 * math.pi)
        return (constant - 0.5 * z.float().square().sum(dim=1) + log_jac) / channels

    def parts(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Fibres (N, C) and codes (N, D) of a map (B, C, H, W)."""
        batch, _, height, width = feature.shape
        code = position_code(self.options.cond_channels, height, width, feature.device).repeat(batch, 1, 1, 1)
        return feature.permute(0, 2, 3, 1).flatten(0, 2), code.permute(0, 2, 3, 1).flatten(0, 2)

    def train(self, features: list[Tensor], stage: Stage) -> list[float]:
        """An optimiser step for every mini-batch of fibres of every scale."""
        losses = []
        for flow, feature in zip(self.decoders, features, strict=True):
            fibres, codes = self.parts(feature.float())
            order = torch.randperm(len(fibres), device=fibres.device)
            for chosen in order.split(self.options.fibres):
                if len(chosen) < self.options.fibres:
                    break
                with stage("flow forward"):
                    loss = -F.logsigmoid(self.likelihood(flow, fibres[chosen], codes[chosen])).mean()
                self.optimizer.zero_grad()
                with stage("backward"):
                    self.scaler.scale(loss).backward()
                with stage("optimiser"):
                    self.scaler.step(self.optimizer)
                    self.scaler.update()
                losses.append(loss.item())
        return losses

    def score(self, features: list[Tensor]) -> Tensor:
        """The sum of the scales' likelihoods, upsampled."""
        total = torch.zeros(len(features[0]), *self.size, device=self.device)
        for flow, feature in zip(self.decoders, features, strict=True):
            batch, _, height, width = feature.shape
            level = self.likelihood(flow, *self.parts(feature)).view(batch, height, width)
            total += upsample((level - level.max()).exp(), self.size)
        return total.max() - total
