"""CFLOW-AD against the authors' numbers, and the laws of its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from adbench_plugins.cflow import CFlowOptions, adbench_methods
from adbench_plugins.cflow.decoder import NARROW, decoder, log_likelihood, random_rotation
from adbench_plugins.cflow.model import CFlow, anomaly_maps, image_scores, learning_rate, log_sums
from adbench_plugins.flows import upsample
from flow_doubles import (
    TinyBackbone,
    TinyBatch,
    TinyImages,
    assert_near,
    golden_file,
    tensors,
    train,
)
from flow_doubles import small_cflow as small
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.util.errors import CheckpointError, OptionError

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("cflow_small.npz")


@pytest.fixture
def authors_checkpoint(golden: np.lib.npyio.NpzFile) -> dict[str, object]:
    return {"encoder_state_dict": {}, "decoder_state_dict": [tensors(golden, f"state/{level}/") for level in range(3)]}


@pytest.fixture
def published(authors_checkpoint: dict[str, object]) -> CFlow:
    """The small model of the golden file, loaded as an authors' checkpoint."""
    detector = small(channels=(8, 16, 32), blocks=8, cond_channels=16)
    detector.load_state_dict(authors_checkpoint)
    return detector


@pytest.fixture
def nothing_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the small decoders of these tests compute in the wanted precision."""
    monkeypatch.setattr("adbench_plugins.cflow.decoder.NARROW", 0)


def golden_features(golden: np.lib.npyio.NpzFile) -> list[torch.Tensor]:
    return [torch.from_numpy(golden[f"feature_{level}"]) for level in range(3)]


def test_likelihoods_and_gradients_are_the_authors(published: CFlow, golden: np.lib.npyio.NpzFile) -> None:
    """Log p / C, the loss over all fibres and every stored gradient agree with the authors' program."""
    likelihoods = published.log_likelihoods(golden_features(golden))

    for level, found in enumerate(likelihoods):
        loss = -F.logsigmoid(found).mean()
        loss.backward()
        assert_near(golden[f"log_prob_{level}"], found)
        assert_near(golden[f"loss_{level}"], loss)
        gradients = dict(published.decoders[level].named_parameters())
        stored = tensors(golden, f"grad/{level}/")
        assert len(stored) == 16
        for name, expected in stored.items():
            gradient = gradients[name].grad
            assert gradient is not None
            assert_near(expected.numpy(), gradient)


@torch.no_grad()
def test_maps_and_scores_are_the_authors(published: CFlow, golden: np.lib.npyio.NpzFile) -> None:
    """With the maxima of this batch, and relative to its lowest value, maps and image scores agree."""
    likelihoods = published.log_likelihoods(golden_features(golden))
    maxima = torch.stack([level.amax() for level in likelihoods])

    sums = log_sums(likelihoods, maxima, (64, 64))
    maps = anomaly_maps(sums, len(likelihoods))

    assert_near(golden["map"], maps - maps.amin())
    assert_near(golden["image_score"], -3 * torch.expm1(-image_scores(sums)) - maps.amin())


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 9))
@settings(max_examples=30, deadline=None)
def test_image_scores_rank_as_the_highest_value_of_the_map(seed: int, spread: float) -> None:
    """L (1 - exp(-score)) is the map's highest value: L minus the upsampled likelihoods of all scales."""
    generator = torch.Generator().manual_seed(seed)
    levels = [-spread * torch.rand(3, side, side + 1, generator=generator).double() for side in (1, 3, 5)]
    maxima = torch.stack([level.amax() for level in levels])
    plain = 3 - torch.stack(
        [upsample((level - peak).exp(), (7, 6)) for level, peak in zip(levels, maxima, strict=True)]
    ).sum(0)
    sums = log_sums(levels, maxima, (7, 6))

    torch.testing.assert_close(anomaly_maps(sums, 3), plain)
    torch.testing.assert_close(-3 * torch.expm1(-image_scores(sums)), plain.amax(dim=(1, 2)))


def test_image_scores_do_not_saturate() -> None:
    """Images that are so unlikely that the map is L still rank, even where their exp underflows."""
    depths = torch.tensor([40.0, 41.0, 3e3, 1e7])
    levels = [-depths[:, None, None].expand(4, side, side) for side in (2, 4)]
    sums = log_sums(levels, torch.zeros(2), (8, 8))

    assert (anomaly_maps(sums, 2) == 2).all()
    assert image_scores(sums).tolist() == pytest.approx(depths.tolist())


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_random_rotations_are_rotations(size: int) -> None:
    """They are orthogonal, of determinant +1, different each time, and the same for the same seed."""
    torch.manual_seed(1)
    first, second = (random_rotation(torch.randn(size, size)) for _ in range(2))
    torch.manual_seed(1)

    torch.testing.assert_close(first @ first.T, torch.eye(size), atol=1e-6, rtol=0)
    assert torch.linalg.det(first).item() == pytest.approx(1, rel=1e-5)
    assert size == 1 or not torch.allclose(first, second)
    assert torch.equal(first, random_rotation(torch.randn(size, size)))


def test_random_rotations_are_uniform() -> None:
    """In two dimensions the angle is uniform: each quarter of the circle has its quarter, and the mean is zero."""
    torch.manual_seed(0)
    rotations = torch.stack([random_rotation(torch.randn(2, 2)) for _ in range(2000)])
    angles = torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0])

    counts = torch.histc(angles, bins=4, min=-torch.pi, max=torch.pi)
    assert counts.min() > 420  # 500 expected, standard deviation 19
    assert rotations.mean(dim=0).abs().max() < 0.08  # standard deviation 0.016


def test_rotations_are_drawn_on_the_cpu_and_moved_by_the_main_thread() -> None:
    """No pool thread touches the decoder's device, which conftest's guard would refuse; the memory is shared."""
    flow = decoder(5, 3, 4, 1.9, None, torch.device("meta"))

    assert {parameter.device.type for parameter in flow.parameters()} == {"meta"}


def test_a_matrix_and_its_inverse_share_memory() -> None:
    """A rotation's inverse is its transpose; moving it to a device copies neither."""
    flow = decoder(5, 3, 4, 1.9, None, CPU)

    assert all(block.w_perm.data_ptr() == block.w_perm_inv.data_ptr() for block in flow)


def test_a_decoder_is_invertible_with_the_right_jacobian() -> None:
    """The inverse restores the fibres, and log p follows the change of variables."""
    torch.manual_seed(0)
    flow = decoder(5, 3, 4, 1.9, None, CPU).double()
    fibre, code = torch.randn(1, 5, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)

    z, log_jac = flow(fibre, [code])
    matrix = torch.autograd.functional.jacobian(lambda x: flow(x, [code])[0][0], fibre)[:, 0]
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()

    # the rotations are rounded to float32
    torch.testing.assert_close(flow(z, [code], rev=True)[0], fibre, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_jac[0], torch.linalg.slogdet(matrix).logabsdet, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_likelihood(flow, fibre, code)[0], (normal + log_jac[0]) / 5)


def test_mini_batches_pair_each_fibre_with_its_place() -> None:
    """Every fibre comes at most once, with the code of its own position, in batches of equal size."""
    detector = small(channels=(8,), layers=(1,))
    height, width = 5, 7
    place = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    image = torch.arange(2.0).view(2, 1, 1, 1) * 1000
    feature = (place + image).expand(2, 8, height, width)
    codes = detector._codes(feature)

    batches = list(detector.mini_batches(feature))

    assert [len(fibres) for fibres, _ in batches] == [16] * 4  # 70 positions, 6 left out
    seen = torch.cat([fibres[:, 0] for fibres, _ in batches])
    assert len(seen.unique()) == 64
    for fibres, code in batches:
        assert torch.equal(code, codes[(fibres[:, 0] % 1000).long()])


def test_one_decoder_s_step_leaves_the_others_alone() -> None:
    """No momentum of an earlier step moves a decoder that is not being trained."""
    detector = small()
    parts = [next(detector.mini_batches(feature)) for feature in TinyBackbone()(torch.rand(3, 3, 32, 48))]
    detector.step(0, *parts[0])
    before = [p.clone() for p in detector.decoders[0].parameters()]

    detector.step(1, *parts[1])

    assert all(torch.equal(a, b) for a, b in zip(before, detector.decoders[0].parameters(), strict=True))


@torch.no_grad()
def test_maxima_follow_the_training_and_are_saved() -> None:
    """They are found when a score is asked for after an epoch, are those of the training images, and stay."""
    detector, images = small(), TinyImages()
    image = TinyBatch(images.images[:1])
    with torch.enable_grad():
        train(detector, images, epochs=1)
    score = detector.score(image)
    likelihoods = detector.log_likelihoods(TinyBackbone()(images.images))
    expected = torch.stack([level.amax() for level in likelihoods])
    loaded = small(seed=3)
    loaded.load_state_dict(detector.state_dict())

    torch.testing.assert_close(detector.maxima, expected)
    assert torch.equal(score.map, loaded.score(image).map)
    with torch.enable_grad():
        train(detector, images, epochs=1)
    assert detector.maxima is None


@torch.no_grad()
def test_an_authors_checkpoint_is_scored_after_calibration(published: CFlow) -> None:
    """It holds no maxima: scoring says so, and works once the training images were seen."""
    batch = TinyBatch(torch.rand(1, 3, 32, 48))
    with pytest.raises(CheckpointError, match="does not hold the largest likelihoods"):
        published.score(batch)

    published.calibrate(TinyImages())

    assert published.score(batch).image.isfinite().all()


@pytest.mark.usefixtures("nothing_is_narrow")
def test_bf16_stays_near_float32() -> None:
    """In bf16 the likelihoods of the same images are the same to a few percent, and they are float32."""
    features = TinyBackbone()(torch.rand(2, 3, 32, 48))
    expected = small().log_likelihoods(features)
    actual = small(amp="bf16").log_likelihoods(features)

    for one, other in zip(expected, actual, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=3e-2, atol=3e-2)
        assert not torch.equal(one, other)


def test_narrow_decoders_compute_in_float32() -> None:
    """In bf16 a decoder of few channels gives what it gives in float32, digit by digit, and a wide one doesn't."""
    channels = (NARROW, NARROW + 1)
    features = TinyBackbone(channels)(torch.rand(2, 3, 32, 48))

    expected = small(channels, layers=(1, 2)).log_likelihoods(features)
    actual = small(channels, layers=(1, 2), amp="bf16").log_likelihoods(features)

    assert torch.equal(actual[0], expected[0])
    assert not torch.equal(actual[1], expected[1])


def test_learning_rate_of_the_paper() -> None:
    """It starts at a tenth, climbs with every batch to the cosine, and ends near a thousandth."""
    options = CFlowOptions()
    at_two = 2e-4 * (1e-3 + 0.999 * (1 + np.cos(np.pi * 2 / 25)) / 2)

    assert learning_rate(0, 0.0, options) == pytest.approx(2e-5)
    assert learning_rate(8, 0.0, options) == pytest.approx((2e-5 + at_two) / 2)
    assert learning_rate(0, 0.5, options) == pytest.approx(2e-5 + (at_two - 2e-5) / 32)
    assert learning_rate(16, 0.0, options) == pytest.approx(at_two)
    assert learning_rate(16, 0.9, options) == learning_rate(23, 0.1, options)
    assert learning_rate(199, 0.0, options) == pytest.approx(2e-4 * (1e-3 + 0.999 * (1 + np.cos(np.pi * 24 / 25)) / 2))


def test_rotation_is_asked_for_where_the_preset_says_so() -> None:
    """Training sees rotated images, from the version where it left off; with no rotation the images themselves."""
    images = TinyImages()
    train(small(rotation=0.0), images, epochs=1)
    assert images.asked is None

    resumed = small(rotation=5.0, copies=3)
    resumed.epoch = 2
    train(resumed, images, epochs=1)
    assert images.asked == (5.0, 3, 2)


def test_more_fibres_than_positions_is_refused() -> None:
    """Without a single complete mini-batch nothing would be trained; the message says how to get one."""
    with pytest.raises(OptionError, match=r"fibres=4096: found fewer positions.*at layer 1.*Use fewer fibres"):
        train(small(fibres=4096), TinyImages())


def test_a_checkpoint_of_another_backbone_is_refused(authors_checkpoint: dict[str, object]) -> None:
    """The message names the first parameter that does not fit."""
    with pytest.raises(CheckpointError, match=r"'decoder_state_dict\[0\]\.module_list\.0\.global_.*found shape 1x8"):
        small(blocks=8, cond_channels=16).load_state_dict(authors_checkpoint)
    with pytest.raises(CheckpointError, match="wanted 'decoder_state_dict' of a CFLOW-AD model"):
        small().load_state_dict({"fusion_flow": {}})


def test_presets_are_the_published_set_up() -> None:
    """The paper's sizes per class, and the authors' numbers, come with the method."""
    (method,) = adbench_methods()
    paper = method.presets["paper"]

    assert paper.resolve("mvtec", "bottle") == CFlowOptions()
    assert paper.resolve("mvtec", "pill").size == (256, 256)
    assert paper.resolve("mvtec", "transistor").size == (128, 128)
    assert len(method.published) == 45
    assert {"oracle"} == {row.policy for row in method.published}
