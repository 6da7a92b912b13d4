"""The foreground of an image by its first principal component."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.anomalydino.foreground import foreground, principal_scores
from flow_doubles import golden_file

pytestmark = pytest.mark.usefixtures("one_thread")


def golden_tokens() -> torch.Tensor:
    """Tokens of three references and four test images on a grid of 11 x 13."""
    archive = golden_file("anomalydino_small.npz")
    both = torch.cat([torch.from_numpy(archive[name]) for name in ("ref_tokens", "test_tokens")])
    return both.unflatten(1, tuple(archive["grid"].tolist()))


def test_scores_are_those_of_a_decomposition_in_float64():
    """Golden values on the first principal component, up to their sign."""
    expected = torch.from_numpy(golden_file("anomalydino_small.npz")["mask_pc1_upto_sign"]).float()
    found = principal_scores(golden_tokens().flatten(1, 2))
    signs = (found * expected).sum(1, keepdim=True).sign()
    torch.testing.assert_close(found * signs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("growth", "name"), [("program", "mask_fg"), ("grid", "al_mask_fg")])
def test_masks_are_those_of_two_programs(growth, name):
    """The authors' program grows masks along the flat order of tokens, and anomalib on their grid."""
    expected = torch.from_numpy(golden_file("anomalydino_small.npz")[name])
    assert torch.equal(foreground(golden_tokens(), 10.0, growth).flatten(1), expected)


def object_of(height: int, width: int, sign: float) -> torch.Tensor:
    """Tokens whose object is three of the middle rows, (1, h, w, 4)."""
    tokens = torch.randn(1, height, width, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    tokens[:, height // 2 - 1 : height // 2 + 2, 3:-3, 0] += sign * 60
    return tokens


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_object_is_the_side_in_the_centre(sign):
    """Whatever the sign of the component, the object with its rim of one token is the foreground."""
    found = foreground(object_of(12, 14, sign), 10.0)
    expected = torch.zeros(1, 12, 14, dtype=torch.bool)
    expected[:, 4:9, 2:-2] = True
    assert torch.equal(found, expected)


def test_an_image_without_contrast_has_no_foreground():
    """All tokens are near their mean: none passes the threshold."""
    assert not foreground(torch.randn(2, 8, 8, 4), 10.0).any()


def test_a_mask_depends_on_no_other_image():
    """Alone and in a batch they are the same."""
    tokens = golden_tokens()
    alone = torch.cat([foreground(each[None], 10.0) for each in tokens])
    assert torch.equal(alone, foreground(tokens, 10.0))


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (2, 2)])
def test_small_grids_work(grid):
    """Their centre is at least one token."""
    assert foreground(torch.randn(3, *grid, 4), 0.1).shape == (3, *grid)
