"""Groups of a backbone's layers: their means, their tokens, and levels of different widths side by side."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.token_groups import TokenGroups, group_means, side_by_side
from token_doubles import CPU, STRIDE, WIDTH, tiny_groups

from adbench import backbones
from adbench.util.errors import OptionError

pytestmark = pytest.mark.usefixtures("one_thread")


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 64, 96, generator=torch.Generator().manual_seed(3))


def test_layers_of_one_width_make_two_groups():
    """The shallow half and the deep half, as means, and the means of their tokens after these."""
    groups = tiny_groups((1, 3, 2, 4))
    layers = groups.backbone(images())
    found = groups(images())
    assert (groups.groups, groups.channels, groups.stride) == (2, WIDTH, STRIDE)
    for number, first in enumerate((0, 2, 4, 6)):
        torch.testing.assert_close(found[number], (layers[first] + layers[first + 1]) / 2)
    assert [tuple(each.shape) for each in found] == [(2, WIDTH, 8, 12)] * 2 + [(2, WIDTH, 1, 3)] * 2


def test_the_protocol_names_the_weights_of_the_backbone():
    """Groups of a backbone's layers carry the digest of its weights, which stands under each table."""
    groups = tiny_groups((1, 2))
    groups.backbone.weights_hash = "0123456789ab"
    assert TokenGroups(groups.backbone).weights_hash == "0123456789ab"


def test_one_layer_is_one_group_and_odd_numbers_are_refused():
    """Three layers have no halves."""
    groups = tiny_groups((2,))
    torch.testing.assert_close(groups(images()), groups.backbone(images()))
    assert groups.groups == 1
    with pytest.raises(OptionError, match=r"layers: found 1,2,3, wanted an even number of blocks"):
        tiny_groups((1, 2, 3))


def test_levels_of_a_convolutional_network_stand_side_by_side():
    """On the coarsest grid; each has the same length at each position, and all channels a mean square of 1."""
    fine, coarse = torch.randn(2, 6, 8, 12), 100 * torch.randn(2, 10, 4, 6)
    found = side_by_side([fine, coarse])
    assert found.shape == (2, 16, 4, 6)
    torch.testing.assert_close(found.square().mean(1), torch.ones(2, 4, 6))
    for part, level in zip(found.split([6, 10], dim=1), (fine, coarse), strict=True):
        torch.testing.assert_close(part.square().sum(1), torch.full((2, 4, 6), 8.0))
        pooled = torch.nn.functional.adaptive_avg_pool2d(level, (4, 6))
        cosines = torch.nn.functional.cosine_similarity(part, pooled, dim=1)
        torch.testing.assert_close(cosines, torch.ones(2, 4, 6))


def test_efficientnet_is_one_group():
    """Levels 2 and 3 have 40 and 112 channels, and strides of 8 and 16."""
    groups = TokenGroups(backbones.load("efficientnet_lite0", layers=(2, 3), device=CPU))
    (found,) = groups(images())
    assert (groups.groups, groups.channels, groups.stride) == (1, 152, 16)
    assert found.shape == (2, 152, 4, 6)


def test_means_keep_the_precision():
    """Of bf16 layers the mean is computed in float32, and rounded once."""
    layers = [torch.randn(1, 2, 3, 3).bfloat16() for _ in range(4)]
    for found, part in zip(group_means(layers, 2), (layers[:2], layers[2:]), strict=True):
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, ((part[0].float() + part[1].float()) / 2).bfloat16())


def test_the_key_says_how_layers_are_joined():
    """Cached features of the groups are not those of the layers; the weights can be freed and come back."""
    groups = tiny_groups()
    assert groups.key.startswith(groups.backbone.key)
    assert groups.key != groups.backbone.key
    before = groups(images())
    groups.release_weights()
    for expected, found in zip(before, groups(images()), strict=True):
        assert torch.equal(expected, found)
