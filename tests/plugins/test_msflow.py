"""MSFlow against the authors' numbers, and the laws of its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from adbench_plugins.flow_training import negative_log_likelihood
from adbench_plugins.msflow import PRESETS, MSFlowOptions, adbench_methods
from adbench_plugins.msflow.model import MSFlow, anomaly_maps, image_scores, learning_rate
from adbench_plugins.msflow.network import FusionCoupling, in_scale_order
from flow_doubles import (
    TinyBackbone,
    TinyBatch,
    TinyImages,
    assert_near,
    golden_file,
    tensors,
    train,
)
from flow_doubles import small_msflow as small
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.util.errors import CheckpointError, OptionError

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("msflow_small.npz")


@pytest.fixture
def authors_checkpoint(golden: np.lib.npyio.NpzFile) -> dict[str, object]:
    flows = [tensors(golden, f"state/parallel_flows/{index}/") for index in range(3)]
    return {"epoch": 3, "fusion_flow": tensors(golden, "state/fusion_flow/"), "parallel_flows": flows}


@pytest.fixture
def published(authors_checkpoint: dict[str, object]) -> MSFlow:
    """The small model of the golden file, loaded as an authors' checkpoint."""
    detector = small(channels=(8, 16, 32), blocks=(2, 5, 8))
    detector.load_state_dict(authors_checkpoint)
    return detector


def pooled(golden: np.lib.npyio.NpzFile) -> list[torch.Tensor]:
    return [F.avg_pool2d(torch.from_numpy(golden[f"feature_{index}"]), 3, 2, 1) for index in range(3)]


def test_outputs_and_gradients_are_the_authors(published: MSFlow, golden: np.lib.npyio.NpzFile) -> None:
    """z, log-Jacobian, loss and every stored gradient agree with the authors' program."""
    z, log_jac = published.flow(pooled(golden))
    loss = negative_log_likelihood(z, log_jac).mean()
    loss.backward()

    for index, level in enumerate(z):
        assert_near(golden[f"z_{index}"], level)
    assert_near(golden["log_jac"], log_jac)
    assert_near(golden["loss"], loss)
    gradients = {
        name.replace("flows.", "flows/").replace(".module_list", "/module_list"): p.grad
        for name, p in published.flow.named_parameters()
    }
    stored = tensors(golden, "grad/")
    assert len(stored) > 30
    for name, expected in stored.items():
        assert_near(expected.numpy(), gradients[name])


def test_maps_and_scores_are_the_authors(published: MSFlow, golden: np.lib.npyio.NpzFile) -> None:
    """Sum map, product map and image score agree with the authors' program; two of them by 1 - exp(-x)."""
    with torch.no_grad():
        z, _ = published.flow(pooled(golden))
    sums, products = anomaly_maps(z, (64, 64))

    assert_near(golden["map_add"], sums)
    assert_near(golden["map_mul"], -torch.expm1(-products))
    assert_near(golden["image_score"], -torch.expm1(-image_scores(products, MSFlowOptions().top_fraction)))


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 8), st.sampled_from([0.001, 0.03, 0.4, 1.0]))
@settings(max_examples=40, deadline=None)
def test_image_scores_rank_as_the_mean_of_the_product_map(seed: int, spread: float, fraction: float) -> None:
    """1 - exp(-score) is the mean of the paper's map over its top, for every map that doesn't saturate."""
    generator = torch.Generator().manual_seed(seed)
    maps = spread * torch.rand(4, 9, 11, generator=generator)
    tops = (-torch.expm1(-maps.double())).flatten(1).sort(descending=True).values[:, : max(1, int(99 * fraction))]

    torch.testing.assert_close(-torch.expm1(-image_scores(maps, fraction)), tops.mean(dim=1))


def test_image_scores_do_not_saturate() -> None:
    """Images whose product maps are 1 everywhere at the top, in float32 and in float64, still rank."""
    maps = torch.tensor([50.0, 51.0, 2e3, 1e9])[:, None, None].expand(4, 8, 8)
    scores = image_scores(maps, 0.03)

    assert (-torch.expm1(-maps) == 1).all()
    assert scores.dtype == torch.float64
    assert scores.tolist() == pytest.approx([50, 51, 2e3, 1e9])


@torch.no_grad()
def test_images_far_from_training_get_scores_of_their_own() -> None:
    """A trained model ranks brighter and brighter images, for which the mean of the product map is always 1."""
    detector = small(meta_epochs=4)
    with torch.enable_grad():
        train(detector, TinyImages())
    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    scores = detector.score(TinyBatch(torch.cat([images * (50 + 10 * step) for step in range(4)])))

    assert (-torch.expm1(-scores.image.float()) == 1).all()
    assert len(scores.image.unique()) == 4
    assert (scores.region_map.flatten(1).amax(dim=1) > 20).all()


def test_permutations_are_found_in_any_order(authors_checkpoint: dict[str, object], published: MSFlow) -> None:
    """A fusion flow that was saved with its scales in FrEIA's own order gets ours."""
    state = authors_checkpoint["fusion_flow"]
    assert isinstance(state, dict)
    turned = {"0": "1", "1": "2", "2": "0", "3": "3"}
    shuffled = {f"module_list.{turned[key.split('.')[1]]}.{key.split('.', 2)[2]}": v for key, v in state.items()}

    published.load_state_dict({**authors_checkpoint, "fusion_flow": shuffled})

    assert list(state) != list(shuffled)
    loaded = published.flow.fusion_flow.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())
    assert in_scale_order(state, (8, 16, 32)).keys() == state.keys()


def test_fusion_coupling_is_invertible_with_the_right_jacobian() -> None:
    """The inverse restores the input, and the log-Jacobian is autograd's log-determinant."""
    torch.manual_seed(0)
    shapes = [(8, 2, 3), (9, 2, 1)]
    coupling = FusionCoupling(shapes, clamp=1.9, precision=None).double()
    for parameter in coupling.parameters():
        parameter.data *= 2  # far from the identity
    x = [torch.randn(1, *shape, dtype=torch.float64) for shape in shapes]
    lengths = [level.numel() for level in x]

    def flat(joined: torch.Tensor) -> torch.Tensor:
        parts = [part.view(1, *shape) for part, shape in zip(joined.split(lengths), shapes, strict=True)]
        return torch.cat([level.flatten() for level in coupling(parts)[0]])

    y, log_jac = coupling(x)
    back, inverse_jac = coupling(y, rev=True)
    matrix = torch.autograd.functional.jacobian(flat, torch.cat([level.flatten() for level in x]))

    for expected, actual in zip(x, back, strict=True):
        torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(inverse_jac, -log_jac)
    torch.testing.assert_close(log_jac[0], torch.linalg.slogdet(matrix).logabsdet)
    assert log_jac.abs().item() > 0.1


def test_bf16_stays_near_float32() -> None:
    """In bf16 the loss of the same batch is within a percent, and it is float32."""
    features = TinyBackbone()(torch.rand(2, 3, 32, 48))
    exact = small()
    rough = small(amp="bf16")

    expected = negative_log_likelihood(*exact.flow(features))
    actual = negative_log_likelihood(*rough.flow([level.bfloat16() for level in features]))

    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=1e-2, atol=1.0)
    assert not torch.equal(actual, expected)


def test_learning_rate_of_the_paper() -> None:
    """It starts at a tenth, is full after 12 epochs, and drops at epochs 70 and 90."""
    options = MSFlowOptions()
    found = [learning_rate(epoch, options) for epoch in (0, 6, 12, 69, 70, 89, 90, 99)]

    assert found == pytest.approx([1e-5, 5.5e-5, 1e-4, 1e-4, 3.3e-5, 3.3e-5, 1.089e-5, 1.089e-5])
    (report,) = train(small(meta_epochs=4), TinyImages(), epochs=1)
    assert report.learning_rate == pytest.approx(1e-4)


@pytest.mark.parametrize(("fraction", "pixels"), [(0.03, 1), (0.5, 2), (0.001, 1), (0.76, 3)])
def test_image_scores_take_at_least_one_pixel(fraction: float, pixels: int) -> None:
    """The count is rounded down, but never to nothing."""
    likelihoods = torch.tensor([0.1, 0.3, 0.9, 1.0])

    found = image_scores(-likelihoods.log().view(1, 2, 2), fraction)

    assert found.item() == pytest.approx(-likelihoods[:pixels].mean().log().item())


def test_an_authors_optimiser_is_left_alone(authors_checkpoint: dict[str, object], published: MSFlow) -> None:
    """A checkpoint saved in the middle of their training loads, though its optimiser has other parameters."""
    foreign = {"state": {}, "param_groups": [{"lr": 1e-4, "params": list(range(7))}]}
    published.load_state_dict({**authors_checkpoint, "optimizer": foreign})

    assert len(published.optimizer.param_groups[0]["params"]) == len(published.trained) != 7


def test_a_checkpoint_of_another_backbone_is_refused(authors_checkpoint: dict[str, object]) -> None:
    """The message names the first parameter that doesn't fit; nothing is partly loaded."""
    detector = small(blocks=(2, 5, 8))
    before = {key: value.clone() for key, value in detector.flow.state_dict().items()}

    with pytest.raises(CheckpointError, match=r"'parallel_flows\[0\]\.module_list\.0\.global_.*found shape 1x8x1x1"):
        detector.load_state_dict(authors_checkpoint)
    with pytest.raises(CheckpointError, match="wanted 'fusion_flow' of an MSFlow model"):
        detector.load_state_dict({"decoder_state_dict": []})

    assert all(torch.equal(before[key], value) for key, value in detector.flow.state_dict().items())


def test_blocks_must_match_the_layers() -> None:
    """Two layers and three numbers of blocks are an error that names both."""
    with pytest.raises(OptionError, match=r"blocks=1,2,2: found 3 numbers, wanted one for each of the layers 2,3"):
        small(layers=(2, 3))


def test_presets_are_the_published_set_up() -> None:
    """The method includes the paper's sizes per class and the authors' numbers."""
    (method,) = adbench_methods()

    assert method.presets["paper"].resolve("mvtec", "transistor").size == (256, 256)
    assert method.presets["paper"].resolve("mvtec", "bottle") == MSFlowOptions()
    assert (PRESETS["quick"].options.meta_epochs, PRESETS["quick"].options.sub_epochs) == (10, 2)
    bottle = [row for row in method.published if (row.class_name, row.metric) == ("bottle", "pixel_auroc")]
    assert {"last", "oracle"} == {row.policy for row in bottle}
    assert len(method.published) == 213
