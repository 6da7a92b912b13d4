"""Paddings of TensorFlow against what "same" means there."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.tensorflow_padding import TensorFlowConv2d, pad_as_tensorflow
from torch import nn


@pytest.mark.parametrize(
    ("side", "kernel", "pads"), [(8, 3, (0, 1)), (9, 3, (1, 1)), (8, 5, (1, 2)), (9, 5, (2, 2)), (7, 2, (0, 1))]
)
def test_the_odd_pixel_is_added_right_and_below(side: int, kernel: int, pads: tuple[int, int]) -> None:
    """The output has half the side, rounded up; the smaller half of the padding comes first."""
    torch.manual_seed(0)
    conv = TensorFlowConv2d(2, 3, kernel, 2, bias=False)
    x = torch.randn(1, 2, side, side)
    found = conv(x)
    torch.testing.assert_close(found, nn.functional.conv2d(nn.functional.pad(x, pads * 2), conv.weight, stride=2))
    assert found.shape[2:] == (-(-side // 2),) * 2


def test_only_convolutions_with_stride_two_are_replaced() -> None:
    """Also those within other modules; groups and the names of the state dict stay."""
    inner = nn.Sequential(nn.Conv2d(4, 4, 3, 2, padding=1, groups=4, bias=False), nn.BatchNorm2d(4))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), inner)
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    pad_as_tensorflow(net)
    assert {key: value.shape for key, value in net.state_dict().items()} == shapes
    assert type(net[0]) is nn.Conv2d
    assert isinstance(net[1][0], TensorFlowConv2d)
    assert net[1][0].groups == 4
