"""CFA against the authors' program, and the laws of its memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from adbench_plugins.cfa import PRESETS, CFAOptions, adbench_methods, build
from adbench_plugins.cfa.model import CFA, nearest_rows, with_coordinates
from flow_doubles import TinyBackbone, TinyBatch, TinyImages, assert_near, golden_file, train, unbroken_and_resumed

from adbench import checks
from adbench.api import BuildContext, CheckpointError, OptionError, TaskError, maps
from adbench.api.options import check
from adbench.data.images import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = CFAOptions(size=(32, 48), amp="off", batch_size=3, epochs=3, evaluate_every=2)
BATCHES = (range(4), range(4, 8))


def make(options: CFAOptions = SMALL, seed: int = 0) -> CFA:
    torch.manual_seed(seed)
    return CFA(options, CPU, TinyBackbone())


def fitted(options: CFAOptions = SMALL, images: TinyImages | None = None) -> CFA:
    detector = make(options)
    train(detector, images or TinyImages())
    return detector


# ---------------------------------------------------------------- golden numbers


def golden_features(prefix: str = "layer") -> list[torch.Tensor]:
    archive = golden_file("cfa_small.npz")
    return [torch.from_numpy(archive[f"{prefix}{number}"]) for number in (1, 2, 3)]


class GoldenImages:
    """Eight pictures in two batches of four."""

    batch_size = 4

    def __len__(self) -> int:
        return 8

    def features(self, backbone: object) -> Iterator[list[torch.Tensor]]:
        """Stored features, whatever the backbone."""
        return ([layer[list(chosen)] for layer in golden_features()] for chosen in BATCHES)


def golden_detector(case: str, radius: float = 1e-5) -> CFA:
    """With the given weights, and the memory of the eight pictures."""
    archive = golden_file("cfa_small.npz")
    options = CFAOptions(size=(32, 32), amp="off", reduction=int(case[1]), radius=radius)
    backbone = SimpleNamespace(channels=(6, 10, 14), strides=(4, 8, 16))
    detector = CFA(options, CPU, backbone)
    weight, bias = (torch.from_numpy(archive[f"{case}_conv_{name}"]) for name in ("weight", "bias"))
    with torch.no_grad():
        detector.descriptor.layer.weight.copy_(weight.view_as(detector.descriptor.layer.weight))
        detector.descriptor.layer.bias.copy_(bias)
    detector.memory = detector.means(GoldenImages())
    return detector


def test_golden_embedding_and_coordinates():
    """Each layer is averaged over 3 x 3 and resized; row and column come last."""
    archive = golden_file("cfa_small.npz")
    vectors = golden_detector("d1").embed([layer[:2] for layer in golden_features()])
    assert_near(archive["d1_pooled_first2"], vectors.movedim(3, 1), 1e-6)
    assert_near(archive["d1_with_coords_first2"], with_coordinates(vectors)[..., -2:].movedim(3, 1), 1e-6)


@pytest.mark.parametrize("case", ["d1", "d2"])
def test_golden_descriptors_memory_and_scores(case):
    """Before training, with descriptors of full and of half length."""
    archive = golden_file("cfa_small.npz")
    detector = golden_detector(case)
    with torch.no_grad():
        found = detector.descriptor(detector.embed([layer[:2] for layer in golden_features()]))
    assert_near(archive[f"{case}_descr_first2"], found.movedim(3, 1), 1e-5)
    assert_near(archive[f"{case}_centres"], detector.memory, 1e-5)
    scores = detector.distances(detector.embed(golden_features("test_layer")))
    assert_near(archive[f"{case}_score0"], scores, 1e-5)


@pytest.mark.parametrize(("case", "radius"), [("d1_a", 1e-5), ("d1_b", 3.0)])
def test_golden_training(case, radius):
    """Four steps: losses, gradients of the first one, the radius, and weights and scores at the end."""
    archive = golden_file("cfa_small.npz")
    detector = golden_detector("d1", radius)
    losses, radii = [], []
    for number in range(4):
        chosen = list(BATCHES[number % 2])
        losses.append(detector.step(detector.embed([layer[chosen] for layer in golden_features()])))
        radii.append(float(detector.descriptor.radius.detach()))
        if number == 0:
            gradient = detector.descriptor.layer.weight.grad[:, :, 0, 0]
            assert_near(archive[f"{case}_grad_weight"].reshape(gradient.shape), gradient, 1e-4)
            assert_near(archive[f"{case}_grad_r"], detector.descriptor.radius.grad, 1e-4)
    assert_near(archive[f"{case}_losses"], torch.stack(losses), 1e-4)
    np.testing.assert_allclose(radii, archive[f"{case}_r"], rtol=1e-4)
    weight = detector.descriptor.layer.weight[:, :, 0, 0]
    assert_near(archive[f"{case}_weight_end"].reshape(weight.shape), weight, 1e-4)
    scores = detector.distances(detector.embed(golden_features("test_layer")))
    assert_near(archive[f"{case}_score_end"], scores, 1e-4)


def test_golden_maps_and_image_scores():
    """The map is enlarged and smoothed. The program then scales it with the extremes of the test set."""
    archive = golden_file("cfa_small.npz")
    detector = golden_detector("d1")
    for number in range(4):
        detector.step(detector.embed([layer[list(BATCHES[number % 2])] for layer in golden_features()]))
    features = golden_features("test_layer")
    scores = detector.score(SimpleNamespace(features=lambda backbone: features, size=(32, 32)))
    raw = maps.upsample(detector.distances(detector.embed(features)), (32, 32))
    low, high = scores.map.min(), scores.map.max()
    assert_near(archive["d1_a_map_raw"], raw, 1e-4)
    assert_near(archive["d1_a_map"], scores.map, 1e-4)
    assert_near(archive["d1_a_map_rescaled"], (scores.map - low) / (high - low), 1e-3)
    assert_near(archive["d1_a_image"], (scores.image - low) / (high - low), 1e-3)


# ---------------------------------------------------------------- the memory


def test_nearest_rows_are_those_of_all_distances():
    """For any queries, those with the smallest distances, nearest first, in whatever parts they are computed."""
    draw = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(500, 7, generator=draw) + 5, torch.randn(90, 7, generator=draw) + 5
    expected = torch.cdist(queries.double(), bank.double()).topk(6, largest=False).indices
    assert torch.equal(nearest_rows(queries, bank, 6), expected)


def test_the_memory_stays_while_the_descriptor_is_trained():
    """It is the mean descriptor of each position by the untrained map."""
    images, untrained = TinyImages(), make()
    expected = untrained.descriptor(untrained.embed(untrained.backbone(images.images))).mean(0).flatten(0, 1)
    trained = fitted(images=images)
    torch.testing.assert_close(trained.memory, expected.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.equal(trained.descriptor.layer.weight, untrained.descriptor.layer.weight)


def test_training_draws_descriptors_to_the_memory():
    """The loss falls, and so do the scores of good images."""
    images = TinyImages()
    reports = train(detector := make(replace(SMALL, epochs=20)), images)
    assert reports[-1].loss < 0.8 * reports[0].loss
    untrained = make()
    untrained.memory = detector.memory
    before, after = (float(each.score(TinyBatch(images.images)).image.mean()) for each in (untrained, detector))
    assert after < before


def test_an_incomplete_batch_is_left_out_of_training():
    """Unless it is the only one."""
    counted = []

    class Counting(CFA):
        def step(self, vectors: torch.Tensor) -> torch.Tensor:
            counted.append(len(vectors))
            return super().step(vectors)

    for count in (7, 2):
        train(Counting(replace(SMALL, epochs=1), CPU, TinyBackbone()), TinyImages(count))
    assert counted == [3, 3, 2]


def test_parts_of_a_batch_train_as_the_whole():
    """So a batch may be split where memory runs out."""
    whole, split = make(), make()
    whole.memory = split.memory = whole.means(TinyImages())
    split.micro_batches.count = 3
    vectors = whole.embed(whole.backbone(TinyImages().images))
    torch.testing.assert_close(whole.step(vectors), split.step(vectors))
    torch.testing.assert_close(
        whole.descriptor.layer.weight.grad, split.descriptor.layer.weight.grad, rtol=1e-4, atol=1e-4
    )


def test_too_few_images_or_positions_are_errors():
    """The messages say what is missing."""
    with pytest.raises(TaskError, match="no training image"):
        train(make(), TinyImages(0))
    with pytest.raises(OptionError, match="at most 96 positions"):
        train(make(replace(SMALL, near=90, far=7)), TinyImages())


# ---------------------------------------------------------------- score, state, options


def test_an_image_alone_scores_as_in_a_batch():
    """No other image matters."""
    detector = fitted()
    pixels = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    together = detector.score(TinyBatch(pixels))
    for number, image in enumerate(pixels):
        alone = detector.score(TinyBatch(image[None]))
        torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-4, atol=1e-6)


def test_a_resumed_run_ends_with_the_same_numbers(tmp_path):
    """Stopped after an epoch, saved, loaded into a new detector and continued."""
    unbroken, resumed = unbroken_and_resumed(lambda seed=0: make(seed=seed), tmp_path)
    assert torch.equal(unbroken.memory, resumed.memory)
    for name, value in unbroken.descriptor.state_dict().items():
        assert torch.equal(value, resumed.descriptor.state_dict()[name])


def test_a_detector_that_was_not_fitted_says_so():
    """Scoring without a memory is an error."""
    with pytest.raises(CheckpointError, match="fitted"):
        make().score(TinyBatch(torch.rand(1, 3, 32, 48)))


@pytest.mark.parametrize(("name", "value"), [("near", 0), ("radius", -1.0), ("lr", 0.0), ("sigma", -1.0)])
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of cfa"):
        check(replace(SMALL, **{name: value}), owner="cfa")


def test_the_paper_preset_is_the_programs_default():
    """wide_resnet50_2, resize and crop, 30 epochs in batches of four, three rows each."""
    paper = PRESETS["paper"].options
    assert paper == CFAOptions()
    assert (paper.size, paper.resize, paper.resize_to, paper.batch_size) == ((224, 224), "crop", (256, 256), 4)
    assert (paper.near, paper.far, paper.epochs, paper.lr, paper.weight_decay) == (3, 3, 30, 1e-3, 5e-4)


def test_the_cpu_preset_finds_a_defect():
    """With the real small backbone, a bright square stands out in the map, at its position."""
    detector = build(replace(PRESETS["cpu"].options, size=(96, 128), amp="off", epochs=5), BuildContext(CPU))
    draw = torch.Generator().manual_seed(0)
    good = 0.4 + 0.1 * torch.rand(10, 3, 96, 128, generator=draw)

    class Good:
        batch_size = 4

        def __len__(self) -> int:
            return 8

        def features(self, backbone: object) -> Iterator[list[torch.Tensor]]:
            return (backbone(part) for part in good[:8].split(4))

    train(detector, Good())
    bad = good[9:].clone()
    bad[:, :, 30:50, 60:90] = 0.9
    with torch.no_grad():
        scores = detector.score(Batch.of(torch.cat((good[8:9], bad))))

    row, column = divmod(int(scores.map[1].argmax()), 128)
    assert scores.image[1] > 1.2 * scores.image[0]
    assert 20 <= row <= 60
    assert 50 <= column <= 100


def test_the_plugin_offers_cfa_without_torch():
    """Listing the methods imports no torch; published numbers say that their epochs are chosen on the test set."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("cfa", ["cpu", "paper", "quick"])
    assert {each.policy for each in method.published} == {"oracle", "unknown"}
    command = "import sys, adbench_plugins.cfa as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    checks.check_method("cfa")
