"""Winograd's convolutions compute what plain ones do, and stand where they are faster."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adbench import backbones, winograd
from adbench.backbone_table import LITE0
from adbench.efficientnet_lite import SameConv2d
from adbench.winograd import WinogradConv2d
from benchmarks.setting import made_weights

CPU = torch.device("cpu")


@settings(deadline=None)  # libraries prepare each shape once
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 4),
    sides=st.tuples(st.integers(2, 21), st.integers(2, 21)),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    mode=st.sampled_from(["zeros", "reflect"]),
    bias=st.booleans(),
    innermost=st.booleans(),
    at_a_time=st.sampled_from([1, 1000, 8000, winograd._PASS]),
)
def test_it_is_the_convolution(seed, batch, sides, channels, mode, bias, innermost, at_a_time):
    """In double precision both agree to 1e-12, for any shape, and however little is computed at a time."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(*channels, 3, padding=1, padding_mode=mode, bias=bias, dtype=torch.float64)
    x = torch.randn(batch, channels[0], *sides, dtype=torch.float64)
    if innermost:
        x = x.contiguous(memory_format=torch.channels_last)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(winograd, "_PASS", at_a_time)
        torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [256, 512])
def test_its_rounding_is_small(channels):
    """In single precision it is off by less than 6e-6 of its largest output."""
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    x = torch.randn(2, channels, 32, 32).relu()
    found = WinogradConv2d(conv)(x)
    with torch.no_grad():
        exact = conv.double()(x.double())
    assert (found - exact).abs().max() < 6e-6 * exact.abs().max()


@pytest.mark.slow
def test_a_whole_network_rounds_as_before(monkeypatch):
    """With it, wide_resnet50_2's features are not further from exact ones than 1.5 times what they are without."""
    path = made_weights()
    pictures = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    fast = backbones.load("wide_resnet50_2", layers=(1, 2, 3, 4), weights=path, device=CPU)
    found = fast(pictures)
    monkeypatch.setattr(winograd, "fits", lambda conv: False)
    plain = backbones.load("wide_resnet50_2", layers=(1, 2, 3, 4), weights=path, device=CPU)
    before = plain(pictures)
    exact = plain.double()(pictures.double())
    assert any(isinstance(each, WinogradConv2d) for each in fast.network.modules())
    for new, old, wanted in zip(found, before, exact, strict=True):
        assert (new - wanted).norm() < 1.5 * (old - wanted).norm()


@pytest.mark.parametrize(
    ("conv", "wanted"),
    [
        (nn.Conv2d(256, 512, 3, padding=1), True),
        (nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"), True),
        (nn.Conv2d(256, 256, 3, padding=1, stride=2), False),
        (nn.Conv2d(256, 256, 3, padding=2, dilation=2), False),
        (nn.Conv2d(256, 256, 3), False),
        (nn.Conv2d(256, 256, 3, padding="same"), False),
        (nn.Conv2d(256, 256, 3, padding=1, groups=2), False),
        (nn.Conv2d(256, 256, 1), False),
        (nn.Conv2d(128, 256, 3, padding=1), False),
        (nn.Conv2d(512, 1024, 3, padding=1), False),
        (SameConv2d(256, 256, 3), False),
        (nn.Linear(256, 256), False),
    ],
)
def test_it_stands_where_it_pays(conv, wanted):
    """Only plain 3 x 3 convolutions of middle width are replaced."""
    assert winograd.fits(conv) == wanted


def test_backbones_use_it(tmp_path):
    """On a CPU a ResNet has it where its convolutions are wide enough, and EfficientNet-Lite0 has none."""
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    resnet = backbones.load("resnet18", weights=tmp_path / "resnet18.pth", device=CPU)
    assert [
        (name, *each.points.shape[1:])
        for name, each in resnet.network.named_modules()
        if isinstance(each, WinogradConv2d)
    ] == [(f"stages.2.{block}", 256, 256) for block in ("0.conv2", "1.conv1", "1.conv2")]
    lite = backbones.load(LITE0, device=CPU)
    assert not any(isinstance(each, WinogradConv2d) for each in lite.network.modules())
