"""Patch embeddings against the authors' programs, and against a plain computation with all patches in memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from adbench_plugins.patches import averaged, flat_pooled
from flow_doubles import assert_near, golden_file, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("one_thread")


def plain_flat_pooled(features: list[torch.Tensor], dimensions: int, target: int, patch: int) -> torch.Tensor:
    """Step by step: unfold each layer, resize its planes, pool them, join the layers, pool again."""
    grid = features[0].shape[2:]
    vectors = []
    for layer in features:
        patches = F.unfold(layer, patch, padding=patch // 2)  # (B, C * patch^2, h * w), channel-major
        planes = F.interpolate(patches.unflatten(2, layer.shape[2:]), grid, mode="bilinear")
        vectors.append(F.adaptive_avg_pool1d(planes.flatten(2).mT, dimensions))  # (B, P, dimensions)
    return F.adaptive_avg_pool1d(torch.cat(vectors, dim=2), target).unflatten(1, grid)


def layers_of(channels: tuple[int, ...], height: int, width: int) -> list[torch.Tensor]:
    """Random features, each layer at half of the size of the one before."""
    draw = torch.Generator().manual_seed(sum(channels))
    sizes = [(-(-height // 2**number), -(-width // 2**number)) for number in range(len(channels))]
    return [torch.randn(2, count, *size, generator=draw) for count, size in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize(("case", "patch"), [("a", 3), ("b", 5)])
def test_flat_pooling_is_that_of_patchcores_program(case, patch):
    """Training and test rows of the program's _embed, with a window of 4.5 numbers and grids of no whole ratio."""
    archive = golden_file("patchcore_small.npz")
    for part, prefix in (("train", "layer"), ("test", "test_layer")):
        layers = tensors(archive, prefix)
        rows = flat_pooled([layers["2"], layers["3"]], 16, 16, patch).flatten(0, 2)
        assert_near(archive[f"off_{case}_{part}_embed"], rows)


def test_flat_pooling_of_one_layer_is_the_programs():
    """A single layer has no second pooling: the vectors of one image of the program after the first one."""
    archive = golden_file("patchcore_small.npz")
    assert_near(archive["off_a_layer2_pooled"], flat_pooled([tensors(archive, "layer")["2"][:1]], 16, 16))


def test_flat_pooling_is_that_of_simplenets_program():
    """Windows of 3.375 and 5.625 numbers, which join neighbouring channels."""
    archive = golden_file("simplenet_small.npz")
    layers = tensors(archive, "feat_layer")
    assert_near(archive["mapper_layer2"], flat_pooled([layers["2"]], 16, 16).flatten(0, 2))
    assert_near(archive["embedding"], flat_pooled([layers["2"], layers["3"]], 16, 16).flatten(0, 2))


def test_averages_are_those_of_anomalib():
    """Average pooling, resizing and concatenation, in training and in the test."""
    archive = golden_file("patchcore_small.npz")
    train, test = tensors(archive, "layer"), tensors(archive, "test_layer")
    assert_near(archive["al_train_embed"], averaged([train["2"], train["3"]]).flatten(0, 2))
    assert_near(archive["al_test_embed"], averaged([test["2"], test["3"]]).permute(0, 3, 1, 2))


@settings(max_examples=60, deadline=None)
@given(
    channels=st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    dimensions=st.integers(1, 30),
    target=st.integers(1, 30),
    patch=st.sampled_from([1, 3, 5]),
    height=st.integers(3, 9),
    width=st.integers(3, 9),
)
def test_flat_pooling_is_that_of_a_plain_computation(channels, dimensions, target, patch, height, width):
    """For any numbers: with common divisors or without, pooling that shrinks or copies, windows over two layers."""
    features = layers_of(channels, height, width)
    expected = plain_flat_pooled(features, dimensions, target, patch)
    torch.testing.assert_close(flat_pooled(features, dimensions, target, patch), expected, rtol=1e-5, atol=1e-5)


def test_wide_resnets_channels_give_the_plain_rows():
    """The published set-ups of PatchCore and SimpleNet, with kernels of a few numbers."""
    features = layers_of((512, 1024), 4, 4)
    for width in (1024, 1536):
        expected = plain_flat_pooled(features, width, width, 3)
        torch.testing.assert_close(flat_pooled(features, width, width), expected, rtol=1e-5, atol=1e-5)


def test_features_of_half_precision_become_float32():
    """Features may be bf16; sums over a patch are not."""
    features = [layer.bfloat16() for layer in layers_of((4, 8), 6, 5)]
    whole = [layer.float() for layer in features]
    assert torch.equal(averaged(features), averaged(whole))
    assert torch.equal(flat_pooled(features, 8, 8), flat_pooled(whole, 8, 8))
