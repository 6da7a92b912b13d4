"""PaDiM against a plain computation with NumPy, and the laws of its parts."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from adbench_plugins.padim import PRESETS, PaDiMOptions, adbench_methods, build
from adbench_plugins.padim.model import Gaussians, PaDiM
from flow_doubles import TinyBackbone, TinyBatch, TinyImages, train
from hypothesis import given, settings
from hypothesis import strategies as st
from method_laws import assert_listing_needs_no_torch
from scipy.ndimage import gaussian_filter

from adbench.api.options import check
from adbench.data.images import Batch
from adbench.util.errors import CheckpointError, OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = PaDiMOptions(size=(32, 48), amp="off", batch_size=3, dimensions=7, sigma=1.0)


def make(options: PaDiMOptions = SMALL, seed: int = 0) -> PaDiM:
    torch.manual_seed(seed)
    return PaDiM(options, CPU, TinyBackbone())


def fitted(options: PaDiMOptions = SMALL, images: TinyImages | None = None) -> PaDiM:
    detector = make(options)
    train(detector, images or TinyImages())
    return detector


def some_images(count: int = 4, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(5))


def plain_vectors(detector: PaDiM, pixels: torch.Tensor) -> np.ndarray:
    """The chosen channels of each position (N, h, w, D), with coarser layers repeated."""
    fine, *coarser = (feature.numpy() for feature in detector.backbone(pixels))
    layers = [fine]
    for feature in coarser:
        times = fine.shape[2] // feature.shape[2]
        layers.append(feature.repeat(times, axis=2).repeat(times, axis=3))
    return np.concatenate(layers, axis=1)[:, detector.chosen.numpy()].transpose(0, 2, 3, 1)


def plain_distances(train_vectors: np.ndarray, vectors: np.ndarray, epsilon: float) -> np.ndarray:
    """Mahalanobis distances (N, h, w), position by position, by equations (1) and (2) of the paper."""
    distances = np.empty(vectors.shape[:3])
    for row, column in np.ndindex(*vectors.shape[1:3]):
        known = train_vectors[:, row, column].astype(np.float64)
        dimensions = known.shape[1]
        covariance = np.cov(known, rowvar=False).reshape(dimensions, dimensions) + epsilon * np.eye(dimensions)
        away = vectors[:, row, column] - known.mean(axis=0)
        distances[:, row, column] = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away))
    return distances


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(2, 12),
    batch_size=st.integers(1, 5),
    dimensions=st.integers(1, 19),
    grid=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    epsilon=st.sampled_from([0.01, 0.1]),
)
def test_distances_are_those_of_a_plain_computation(count, batch_size, dimensions, grid, epsilon):
    """One pass in batches gives the numbers of np.cov and an inverse, also with fewer images than dimensions."""
    images = TinyImages(count, size=(16 * grid[0], 16 * grid[1]), batch_size=batch_size)
    detector = fitted(replace(SMALL, dimensions=dimensions, epsilon=epsilon), images)
    pixels = some_images(3, (16 * grid[0], 16 * grid[1]))

    actual = detector.distances(detector.embed(detector.backbone(pixels)))

    known = plain_vectors(detector, images.images)
    expected = plain_distances(known, plain_vectors(detector, pixels), epsilon)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 20), st.integers(1, 6), st.floats(0, 1000))
def test_the_way_into_batches_and_a_far_mean_change_nothing(count, batch_size, offset):
    """Sums of squares about zero would lose a small spread beside a large mean in float32."""
    vectors = torch.randn(count, 2, 3, 4, generator=torch.Generator().manual_seed(count)) + offset
    gaussians = Gaussians(vectors)
    for part in vectors.split(batch_size):
        gaussians.add(part.flatten(1, 2).transpose(0, 1))

    for position, known in enumerate(vectors.flatten(1, 2).double().unbind(1)):
        expected = torch.cov(known.T) * (count - 1)
        torch.testing.assert_close(gaussians.squares[position].double(), expected, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(gaussians.mean, vectors.mean(0).flatten(0, 1), rtol=1e-5, atol=1e-5)


def test_one_training_image_is_enough():
    """Without a spread, distances are Euclidean, in units of the square root of epsilon."""
    images = TinyImages(1)
    detector = fitted(images=images)
    pixels = some_images()

    actual = detector.distances(detector.embed(detector.backbone(pixels)))

    away = plain_vectors(detector, pixels) - plain_vectors(detector, images.images)
    np.testing.assert_allclose(actual.numpy(), np.linalg.norm(away, axis=3) / 0.1, rtol=1e-4)


def test_the_score_is_the_largest_of_the_smoothed_map():
    """Distances are resized to the input's size and smoothed; the largest is the image's score."""
    detector = fitted()
    pixels = some_images()

    scores = detector.score(TinyBatch(pixels))

    distances = detector.distances(detector.embed(detector.backbone(pixels)))
    larger = torch.nn.functional.interpolate(distances[:, None], (32, 48), mode="bilinear")[:, 0]
    expected = np.stack([gaussian_filter(one, 1.0) for one in larger.numpy()])
    np.testing.assert_allclose(scores.map.numpy(), expected, rtol=1e-5)
    assert torch.equal(scores.map.amax(dim=(1, 2)), scores.image)


def test_an_image_alone_scores_as_in_a_batch():
    """No other image matters."""
    detector = fitted()
    pixels = some_images()
    together = detector.score(TinyBatch(pixels))

    for number, pixel_image in enumerate(pixels):
        alone = detector.score(TinyBatch(pixel_image[None]))
        torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (100, 40)])
def test_any_input_size_works(size):
    """Layers whose sizes are not multiples of each other still line up."""
    detector = fitted(images=TinyImages(4, size=size))

    scores = detector.score(TinyBatch(some_images(2, size)))

    assert scores.map.shape == (2, *size)
    assert torch.isfinite(scores.map).all()


def test_state_goes_into_a_fresh_detector():
    """Channels, means and matrices survive a file, and it holds only tensors."""
    detector = fitted()
    file = io.BytesIO()
    torch.save(detector.state_dict(), file)
    file.seek(0)
    fresh = make(seed=1)
    assert not torch.equal(fresh.chosen, detector.chosen)

    fresh.load_state_dict(torch.load(file, weights_only=True))

    batch = TinyBatch(some_images())
    assert torch.equal(detector.score(batch).map, fresh.score(batch).map)


def test_a_state_of_adbench_0_1_goes_into_a_fresh_detector():
    """It holds whole matrices, which give the same scores."""
    detector, fresh = fitted(), make(seed=1)
    fresh.load_state_dict({"chosen": detector.chosen, "mean": detector.mean, "whitening": detector.whitening})
    batch = TinyBatch(some_images())
    assert torch.equal(detector.score(batch).map, fresh.score(batch).map)


def test_a_checkpoint_takes_less_than_half_and_its_size_is_known_before(monkeypatch):
    """Against whole matrices in float32, and scores move by less than 1e-5 of their spread."""
    options = replace(SMALL, dimensions=19)
    detector = fitted(options)
    size = sum(value.nbytes for value in detector.state_dict().values())
    assert size < 0.5 * sum(value.nbytes for value in (detector.chosen, detector.mean, detector.whitening))
    assert make(options).checkpoint_bytes() == size - detector.chosen.nbytes
    batch = TinyBatch(some_images())
    rounded = detector.score(batch)
    monkeypatch.setattr("adbench_plugins.padim.model.round_rows", lambda matrices: matrices)
    exact = fitted(options).score(batch)
    for found, wanted in ((rounded.image, exact.image), (rounded.map, exact.map)):
        assert float((found - wanted).abs().max() / wanted.std()) < 1e-5


def test_state_that_does_not_fit_is_refused():
    """Another number of channels, a missing part and another size are each named."""
    state = fitted().state_dict()
    with pytest.raises(CheckpointError, match=r"found 7 channels .* wanted 5 of 19"):
        make(replace(SMALL, dimensions=5)).load_state_dict(state)
    with pytest.raises(CheckpointError, match="wanted mean, whitening of a fitted padim"):
        make().load_state_dict({"chosen": state["chosen"]})
    with pytest.raises(CheckpointError, match=r"packed matrices: found .* wanted shapes of the same matrices"):
        make().load_state_dict({**state, "whitening_low": state["whitening_low"][:, 1:]})
    detector = make()
    detector.load_state_dict(state)
    with pytest.raises(CheckpointError, match="found 16x12 positions of 7 channels, wanted 8x12"):
        detector.score(TinyBatch(some_images(1, (64, 48))))


def test_a_detector_that_was_not_fitted_says_so():
    """Scoring without a fit is an error, not zeros."""
    with pytest.raises(CheckpointError, match="fitted"):
        make().score(TinyBatch(some_images()))


def test_fit_has_one_epoch_and_none_after_a_resume():
    """One pass learns everything, and a state that holds it needs no other."""
    detector = make()
    assert [(epoch.number, epoch.total) for epoch in detector.fit(TinyImages())] == [(0, 1), (1, 1)]
    detector.epoch = 1
    assert list(detector.fit(TinyImages())) == []


def test_channels_depend_on_the_seed():
    """They are drawn once, without repetition, from all layers; all are taken if there are fewer."""
    assert torch.equal(make(seed=3).chosen, make(seed=3).chosen)
    assert not torch.equal(make(seed=3).chosen, make(seed=4).chosen)
    assert len(make().chosen.unique()) == 7
    assert torch.equal(make(replace(SMALL, dimensions=550)).chosen, torch.arange(19))


@pytest.mark.parametrize(("name", "value"), [("dimensions", 0), ("epsilon", 0.0), ("sigma", -1.0)])
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of padim"):
        check(replace(SMALL, **{name: value}), owner="padim")


def test_the_paper_preset_is_the_papers():
    """WR50-Rd550 and R18-Rd100, the centre of 256 x 256, epsilon 0.01, sigma 4."""
    paper, quick = PRESETS["paper"].options, PRESETS["quick"].options

    assert paper == PaDiMOptions()
    assert (paper.backbone, paper.layers, paper.dimensions) == ("wide_resnet50_2", (1, 2, 3), 550)
    assert (paper.size, paper.resize, paper.resize_to) == ((224, 224), "stretch", (256, 256))
    assert (paper.epsilon, paper.sigma) == (0.01, 4.0)
    assert PRESETS["cpu"].options.resize_to is None
    assert (quick.backbone, quick.dimensions) == ("resnet18", 100)


def test_the_cpu_preset_finds_a_defect():
    """With the real small backbone, a bright square stands out in the map, at its position."""
    options = replace(PRESETS["cpu"].options, size=(96, 128), amp="off")
    detector = build(options, CPU)
    draw = torch.Generator().manual_seed(0)
    good = 0.4 + 0.1 * torch.rand(10, 3, 96, 128, generator=draw)

    class Good:
        def features(self, backbone):
            return (backbone(part) for part in good[:8].split(4))

    list(detector.fit(Good()))
    bad = good[9:].clone()
    bad[:, :, 30:50, 60:90] = 0.9
    with torch.no_grad():
        scores = detector.score(Batch.of(torch.cat((good[8:9], bad))))

    row, column = divmod(int(scores.map[1].argmax()), 128)
    assert scores.image[1] > 1.5 * scores.image[0]
    assert 25 <= row <= 55
    assert 55 <= column <= 95


def test_the_plugin_offers_padim_without_torch():
    """Listing the methods imports no torch."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("padim", ["cpu", "paper", "quick"])
    assert_listing_needs_no_torch("padim")
