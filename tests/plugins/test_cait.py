"""The two transformers of U-Flow as one backbone, with small networks in their place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from adbench_plugins.uflow import CAIT, adbench_backbones, cait

from adbench.backbones import load
from adbench.util.errors import OptionError, SizeError, WeightsError

timm = pytest.importorskip("timm")

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ("cait_xxs24_384", "cait_xxs24_224")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cait, "MODELS", SMALL)
    monkeypatch.setattr(cait, "BLOCKS", (2, 1))
    monkeypatch.setattr(cait, "SIDE", 384)


@pytest.fixture(scope="module")
def nets() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [timm.create_model(name, num_classes=0).eval() for name in SMALL]


@pytest.fixture
def file(nets: list[torch.nn.Module], tmp_path: Path) -> Path:
    """Both state dicts in one file."""
    pairs = zip(SMALL, nets, strict=True)
    torch.save(
        {f"{name}.{key}": value for name, net in pairs for key, value in net.state_dict().items()}, tmp_path / "w.pt"
    )
    return tmp_path / "w.pt"


def loaded(file: Path, layers: tuple[int, ...] = (1, 2)) -> object:
    offered = {entry.name: entry for entry in adbench_backbones()}
    return load(CAIT, layers=layers, weights=file, device=CPU, offered=offered)


@torch.no_grad()
def test_levels_are_normed_blocks_of_both_networks(file: Path, nets: list[torch.nn.Module]) -> None:
    """The first sees the image, the second a bicubic copy with aligned corners; both end with their own norm."""
    images = torch.rand(1, 3, 384, 384, generator=torch.Generator().manual_seed(1))
    backbone = loaded(file)

    levels = backbone(images)

    normalised = (images - backbone.mean) / backbone.std
    inputs = (normalised, F.interpolate(normalised, (224, 224), mode="bicubic", align_corners=True))
    for level, net, x, blocks in zip(levels, nets, inputs, (2, 1), strict=True):
        tokens = net.patch_embed(x) + net.pos_embed
        for block in net.blocks[:blocks]:
            tokens = block(tokens)
        side = x.shape[2] // 16
        torch.testing.assert_close(level, net.norm(tokens).mT.unflatten(2, (side, side)), rtol=1e-4, atol=1e-4)
    assert (backbone.channels, backbone.strides) == ((192, 192), (16, 32))


def test_what_does_not_fit_is_refused(file: Path, tmp_path: Path) -> None:
    """Other sizes, layers and files are errors before any feature is computed."""
    with pytest.raises(SizeError, match="multiples of 384"):
        loaded(file, (1,)).require_size((256, 256))
    with pytest.raises(OptionError, match="layers of mcait: found 3, wanted 1, 2, or both"):
        loaded(file, (3,))
    torch.save({"cait_xxs24_384.cls_token": torch.zeros(1)}, tmp_path / "half.pt")
    with pytest.raises(WeightsError, match=r"no parameter of cait_xxs24_224"):
        loaded(tmp_path / "half.pt", (2,))
    with pytest.raises(WeightsError, match="weights for cait_xxs24_384"):
        loaded(tmp_path / "half.pt", (1,))
