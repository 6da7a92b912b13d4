"""Helpers of the flows' tests: stand-ins small enough to train a flow in a second, and golden files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.msflow import MSFlowOptions
from adbench_plugins.msflow.model import MSFlow
from torch import nn

from adbench import Detector


class TinyBackbone(nn.Module):
    """Random features at strides 4, 8 and 16, always the same."""

    def __init__(self, channels: tuple[int, ...] = (4, 6, 9)) -> None:
        super().__init__()
        self.channels = channels
        self.strides = (4, 8, 16)[: len(channels)]
        generator = torch.Generator().manual_seed(7)
        self.filters = [torch.randn(c, 3, 4, 4, generator=generator) / 4 for c in channels]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map images (B, 3, H, W) to L features."""
        features = []
        for stride, weight in zip(self.strides, self.filters, strict=True):
            smaller = nn.functional.avg_pool2d(images, stride // 4, ceil_mode=True)
            features.append(nn.functional.conv2d(smaller, weight, stride=4, padding=1))
        return features


class TinyBatch:
    """A batch of images (B, 3, H, W)."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images
        self.size = tuple(images.shape[2:])

    def __len__(self) -> int:
        return len(self.images)

    def features(self, backbone: TinyBackbone) -> list[torch.Tensor]:
        """The features of the batch."""
        return backbone(self.images)


class StoredBatch(TinyBatch):
    """A batch of images of one size whose features are stored, whatever the backbone."""

    def __init__(self, stored: list[torch.Tensor], size: tuple[int, int]) -> None:
        super().__init__(torch.zeros(len(stored[0]), 3, *size))
        self.stored = stored

    def features(self, backbone: object) -> list[torch.Tensor]:
        """The stored ones."""
        return self.stored


class StoredBackbone:
    """Gives the same features for any images."""

    key, weights_hash = "stored", "0123"

    def __init__(self, features: list[torch.Tensor]) -> None:
        self.features = features
        self.channels = tuple(level.shape[1] for level in features)

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The stored features."""
        return self.features


class TinyImages:
    """Training images, shuffled by the global generator as the real ones are."""

    def __init__(self, count: int = 6, size: tuple[int, int] = (32, 48), batch_size: int = 3) -> None:
        self.images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))
        self.size, self.batch_size = size, batch_size
        self.asked: tuple[float, int, int] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[TinyBatch]:
        """One shuffled epoch of images."""
        for chosen in torch.randperm(len(self)).split(self.batch_size):
            yield TinyBatch(self.images[chosen])

    def features(self, backbone: TinyBackbone) -> Iterator[list[torch.Tensor]]:
        """One shuffled epoch."""
        for chosen in torch.randperm(len(self)).split(self.batch_size):
            yield backbone(self.images[chosen])

    def augmented(self, *, rotation: float, copies: int, start: int) -> TinyImages:
        """Record the arguments."""
        self.asked = (rotation, copies, start)
        return self


CPU = torch.device("cpu")

SMALL_CFLOW = CFlowOptions(
    size=(32, 48), amp="off", layers=(1, 2, 3), batch_size=3, blocks=2, cond_channels=8, rotation=0.0, fibres=16,
    lr=1e-3, meta_epochs=2, sub_epochs=2, warmup=1,
)  # fmt: skip

SMALL_MSFLOW = MSFlowOptions(
    size=(32, 48), amp="off", blocks=(1, 2, 2), cond_channels=8, lr=1e-3,
    meta_epochs=2, sub_epochs=2, warmup=1, decay_epochs=(3,),
)  # fmt: skip


def small_cflow(channels: tuple[int, ...] = (4, 6, 9), seed: int = 0, **changes: object) -> CFlow:
    """A small CFLOW-AD."""
    torch.manual_seed(seed)
    return CFlow(replace(SMALL_CFLOW, **changes), CPU, TinyBackbone(channels))  # type: ignore[arg-type]


def small_msflow(channels: tuple[int, ...] = (4, 6, 9), seed: int = 0, **changes: object) -> MSFlow:
    """A small MSFlow."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    return MSFlow(replace(SMALL_MSFLOW, **changes), CPU, TinyBackbone(channels))  # type: ignore[arg-type]


def train(detector: object, images: object, epochs: int | None = None) -> list[object]:
    """Drive ``fit`` as the engine does, for some epochs or to the end."""
    reports = []
    for report in detector.fit(images):  # type: ignore[attr-defined]
        if report.number == detector.epoch:  # type: ignore[attr-defined]
            continue  # it only says how many there will be
        detector.epoch = report.number  # type: ignore[attr-defined]
        reports.append(report)
        if len(reports) == epochs:
            break
    return reports


def unbroken_and_resumed(
    make: Callable[..., Detector], folder: Path, images: object = None
) -> tuple[Detector, Detector]:
    """Two detectors: one trained without a break, one stopped after an epoch, saved, loaded and resumed."""
    images, unbroken = images or TinyImages(), make()
    torch.manual_seed(5)
    train(unbroken, images)

    broken = make()
    torch.manual_seed(5)
    train(broken, images, epochs=1)
    torch.save({"state": broken.state_dict(), "random": torch.get_rng_state()}, folder / "state.pt")
    saved = torch.load(folder / "state.pt", weights_only=True)
    resumed = make(seed=99)
    resumed.load_state_dict(saved["state"])
    resumed.epoch = 1
    torch.set_rng_state(saved["random"])
    train(resumed, images)
    return unbroken, resumed


@torch.no_grad()
def assert_unlikely_images_still_rank(detector: Detector) -> None:
    """Images whose likelihood is 0 in float32 and float64 have different scores, and finite maps."""
    for norm in detector.network.norms:  # type: ignore[attr-defined]
        norm.weight *= 300
    scores = detector.score(TinyBatch(torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(3))))
    assert (torch.exp(-scores.image) == 0).all()
    assert len(scores.image.unique()) == 4
    assert scores.map is not None
    assert scores.map.isfinite().all()


# ---------------------------------------------------------------- golden files


def golden_file(name: str) -> np.lib.npyio.NpzFile:
    """Numbers that an authors' program computed, from ``tests/data``."""
    return np.load(Path(__file__).with_name("data") / name)


def tensors(archive: np.lib.npyio.NpzFile, prefix: str) -> dict[str, torch.Tensor]:
    """The arrays whose names begin with ``prefix``, by the rest of their names."""
    return {key[len(prefix) :]: torch.from_numpy(archive[key]) for key in archive if key.startswith(prefix)}


def assert_near(expected: np.ndarray, actual: torch.Tensor, tolerance: float = 1e-5) -> None:
    """The largest difference is small beside the largest expected value."""
    difference = np.abs(expected - actual.detach().numpy()).max()
    assert difference <= tolerance * np.abs(expected).max()
