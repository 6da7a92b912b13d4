"""DFM against golden numbers of another program, and the laws of its components."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.dfm import PRESETS, DFMOptions, adbench_methods
from adbench_plugins.dfm.model import DFM, principal_components
from flow_doubles import TinyBackbone, TinyBatch, TinyImages, train
from hypothesis import given, settings
from hypothesis import strategies as st
from method_laws import assert_listing_needs_no_torch

from adbench.errors import CheckpointError, OptionError, TaskError
from adbench.run.check_method import check_method

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
GOLDEN = np.load(Path(__file__).parents[1] / "data" / "dfm_small.npz")
SMALL = DFMOptions(size=(64, 96), amp="off", batch_size=3, pooling=2)
CASES = [("p4", 4, 0.97), ("p2", 2, 0.9)]


class GivenFeatures:
    """A batch whose features are given."""

    def __init__(self, features: torch.Tensor, size: tuple[int, int]) -> None:
        self.layers, self.size = [features], size

    def features(self, _backbone: object) -> list[torch.Tensor]:
        return self.layers


def make(options: DFMOptions = SMALL) -> DFM:
    return DFM(options, CPU, TinyBackbone())


def fitted(options: DFMOptions = SMALL, images: TinyImages | None = None) -> DFM:
    detector = make(options)
    train(detector, images or TinyImages(6, size=(64, 96)))
    return detector


def golden_detector(pooling: int, variance: float) -> DFM:
    """Fitted on the golden features."""
    detector = make(replace(SMALL, pooling=pooling, variance=variance))
    vectors = detector.pooled([torch.from_numpy(GOLDEN["features"])]).flatten(1)
    detector.components = principal_components(vectors, variance)
    return detector


@pytest.mark.parametrize(("case", "pooling", "variance"), CASES)
def test_golden_components(case, pooling, variance):
    """Pooled vectors, their number of components, singular values and the space that these span."""
    detector = make(replace(SMALL, pooling=pooling))
    vectors = detector.pooled([torch.from_numpy(GOLDEN["features"])]).flatten(1)
    np.testing.assert_allclose(vectors, GOLDEN[f"{case}_bank"], rtol=1e-5, atol=1e-6)
    count = len(vectors)

    components = principal_components(vectors, variance)

    assert components.basis.shape[1] == GOLDEN[f"{case}_k"]
    np.testing.assert_allclose(components.mean, GOLDEN[f"{case}_mean"], rtol=1e-4, atol=1e-6)
    wanted = GOLDEN[f"{case}_basis"]
    np.testing.assert_allclose(components.basis @ components.basis.T, wanted @ wanted.T, atol=1e-5)
    singular = (components.variance * count).sqrt()
    np.testing.assert_allclose(singular, GOLDEN[f"{case}_sigma"][: len(singular)], rtol=1e-4)


@pytest.mark.parametrize(("case", "pooling", "variance"), CASES)
def test_golden_scores(case, pooling, variance):
    """The residual's image scores, its small map and its map at the input's size."""
    detector = golden_detector(pooling, variance)
    size = tuple(int(side) for side in GOLDEN["size"])

    scores = detector.score(GivenFeatures(torch.from_numpy(GOLDEN["test_features"]), size))

    np.testing.assert_allclose(scores.image, GOLDEN[f"{case}_image_scores"], rtol=1e-4)
    np.testing.assert_allclose(scores.map, GOLDEN[f"{case}_map"], rtol=1e-4, atol=1e-4)


def test_golden_likelihood():
    """The negative log-likelihood by its formula; there is no map."""
    detector = golden_detector(4, 0.97)
    detector.options = replace(detector.options, score="likelihood")

    scores = detector.score(GivenFeatures(torch.from_numpy(GOLDEN["test_features"]), (36, 32)))

    np.testing.assert_allclose(detector.components.variance, GOLDEN["nll_formula_var"], rtol=1e-4)
    np.testing.assert_allclose(scores.image, GOLDEN["nll_formula_scores"], rtol=1e-4)
    assert scores.map is None


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 40), st.floats(0.05, 1), st.integers(0, 10**6))
def test_components_are_those_of_a_singular_value_decomposition(count, dimensions, share, seed):
    """Fewer or more images than dimensions: the same subspace, orthonormal, keeping less than the share."""
    vectors = torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)) + 3
    exact = vectors.double() - vectors.double().mean(0)
    _, singular, directions = torch.linalg.svd(exact, full_matrices=False)
    kept = (singular.square().cumsum(0) / singular.square().sum()).tolist()

    components = principal_components(vectors.clone(), share)

    number = components.basis.shape[1]
    torch.testing.assert_close(components.basis.T @ components.basis, torch.eye(number), atol=1e-4, rtol=0)
    assert number == 0 or kept[number - 1] < share + 1e-9
    assert number >= min(count - 1, dimensions) or kept[number] >= share - 1e-9
    if number == 0:
        return
    wanted = directions[:number].T @ directions[:number]
    gap = singular[number - 1] - singular[number] if number < len(singular) else singular[number - 1]
    if gap > 0.05 * singular[0]:  # else rounding decides which direction comes first
        torch.testing.assert_close((components.basis @ components.basis.T).double(), wanted, atol=1e-3, rtol=0)


def test_a_training_image_with_all_components_leaves_nothing():
    """What the components span has a residual of zero, and what they don't keeps its length."""
    vectors = torch.randn(5, 30, generator=torch.Generator().manual_seed(1))
    components = principal_components(vectors.clone(), 1.0)

    assert components.residual(vectors).abs().max() < 1e-4
    beyond = torch.randn(1, 30, generator=torch.Generator().manual_seed(2))
    beyond -= (beyond @ components.basis) @ components.basis.T
    torch.testing.assert_close(components.residual(components.mean + beyond), beyond, atol=1e-5, rtol=1e-4)


def test_an_image_alone_scores_as_in_a_batch():
    """No other image matters."""
    detector = fitted()
    pixels = torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    together = detector.score(TinyBatch(pixels))

    for number, image in enumerate(pixels):
        alone = detector.score(TinyBatch(image[None]))
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-4, atol=1e-5)


def test_several_layers_share_the_coarsest_grid():
    """Finer layers are averaged to the grid of the coarsest."""
    layers = [torch.randn(2, 3, 16, 24), torch.randn(2, 5, 8, 12)]

    pooled = make().pooled(layers)

    assert pooled.shape == (2, 8, 4, 6)
    torch.testing.assert_close(pooled[:, :3], torch.nn.functional.avg_pool2d(layers[0], 4))


def test_a_saved_detector_scores_the_same():
    """The components are all of its state."""
    detector = fitted()
    restored = make()
    restored.load_state_dict(detector.state_dict())
    batch = TinyBatch(torch.rand(2, 3, 64, 96))

    assert torch.equal(restored.score(batch).map, detector.score(batch).map)


@pytest.mark.parametrize("damage", ["missing", "shape"])
def test_a_damaged_checkpoint_is_refused(damage):
    """Parts that are missing or don't fit each other."""
    state = fitted().state_dict()
    if damage == "missing":
        del state["basis"]
    else:
        state["variance"] = torch.ones(99)

    with pytest.raises(CheckpointError, match="checkpoint"):
        make().load_state_dict(state)


def test_other_features_than_the_fitted_ones_are_refused():
    """Another size would give vectors of another length."""
    with pytest.raises(CheckpointError, match="dimensions"):
        fitted().score(TinyBatch(torch.rand(1, 3, 96, 96)))


def test_squares_larger_than_the_grid_are_refused():
    """The message says how large they may be."""
    with pytest.raises(OptionError, match="at most 4"):
        fitted(replace(SMALL, pooling=5, size=(32, 32)), TinyImages(4, size=(32, 32)))


@pytest.mark.parametrize("vectors", [torch.rand(1, 4), torch.ones(3, 4), torch.tensor([[0.0, 1], [0, 3]])])
def test_without_components_the_residual_is_the_distance_from_the_mean(vectors):
    """For one image, the same image several times, or when the first component alone reaches the share."""
    components = principal_components(vectors.clone(), 0.97)

    assert components.basis.shape[1] == 0
    others = torch.rand(5, vectors.shape[1])
    torch.testing.assert_close(components.residual(others), others - vectors.mean(0))


def test_a_likelihood_without_components_is_refused():
    """All images would have the same score."""
    with pytest.raises(TaskError, match="no component"):
        fitted(replace(SMALL, score="likelihood"), TinyImages(1, size=(64, 96)))


def test_the_plugin_offers_dfm_without_torch():
    """Listing the methods imports no torch; published numbers are there for both backbones."""
    (method,) = adbench_methods()
    assert (method.name, sorted(PRESETS)) == ("dfm", ["cpu", "paper", "quick"])
    assert {each.configuration for each in method.published} == {"resnet18", "wide_resnet50_2"}
    assert_listing_needs_no_torch("dfm")


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    check_method("dfm")
