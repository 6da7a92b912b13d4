"""Images that are too small for batch norm are refused before training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from adbench_plugins.batch_norm import require_positions
from runs import adbench
from torch import nn

from adbench.util.errors import OptionError


class Some(SimpleNamespace):
    """Training images by their number."""

    def __len__(self) -> int:
        return int(self.count)


def halving(halvings: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 3, stride=2**halvings, padding=1), nn.BatchNorm2d(2)).eval()


def require(size: tuple[int, int], count: int, batch_size: int, network: nn.Module) -> None:
    images: Any = Some(size=size, count=count, batch_size=batch_size)
    require_positions("some", images, [network], lambda copy, image: copy(image), 8)


@pytest.mark.parametrize(("count", "batch_size"), [(3, 1), (5, 4), (1, 4)])
def test_a_batch_of_one_image_needs_two_positions(count: int, batch_size: int) -> None:
    """Also where it is the last of larger ones; the message names the size, the smallest that fits and another way."""
    said = "option size of some: found 8x8, .* wanted at least 16x16 pixels. Or choose a batch_size"
    with pytest.raises(OptionError, match=said):
        require((8, 8), count, batch_size, halving(3))
    require((8, 16), count, batch_size, halving(3))


def test_larger_batches_may_have_one_position() -> None:
    """Two images have two values of each channel."""
    require((8, 8), 4, 2, halving(3))


def test_nothing_is_left_of_the_trial() -> None:
    """Neither the running statistics nor the random state move, so a training is as without it."""
    network = halving(3)
    before, random = {key: value.clone() for key, value in network.state_dict().items()}, torch.get_rng_state()
    require((16, 16), 1, 1, nn.Sequential(network, nn.Dropout()))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not network.training


@pytest.mark.parametrize(
    ("method", "size", "wanted", "words"),
    [
        ("draem", 32, "64x64", ("width=8", "segmentation_width=8")),
        ("rd4ad", 64, "128x128", ()),
        ("stfpm", 32, "33x33", ()),
    ],
)
def test_methods_with_batch_norm_refuse_it(method, size, wanted, words, tiny_data, tmp_path):
    """In one message, with exit code 2, in place of torch's own error."""
    changes = [word for each in ("batch_size=1", *words) for word in ("-o", each)]
    done = adbench("run", "-m", method, "-d", "folder", "--data-root", tiny_data, "-c", "nuts", "-p", "cpu", "--size",
                   size, "--results", tmp_path, *changes)  # fmt: skip
    assert done.exit_code == 2, done.stderr
    assert f"option size of {method}: found {size}x{size}, of which a batch of one image has one" in done.stderr
    assert f"wanted at least {wanted} pixels" in done.stderr
