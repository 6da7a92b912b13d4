"""FastFlow against the numbers of the published program, and the laws of its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.fastflow import PRESETS, FastFlowOptions, adbench_methods, build
from adbench_plugins.fastflow.model import FastFlow, Flows, grids, kernels
from adbench_plugins.flow_maps import log_likelihoods, negative_log_mean
from adbench_plugins.flow_training import negative_log_likelihood
from flow_doubles import (
    StoredBatch,
    TinyBackbone,
    TinyBatch,
    TinyImages,
    assert_near,
    assert_unlikely_images_still_rank,
    golden_file,
    tensors,
    train,
)
from method_laws import (
    assert_a_loss_that_is_not_finite_ends_the_training,
    assert_a_resumed_training_ends_in_the_same_numbers,
    assert_an_image_scores_alone_as_in_a_batch,
    assert_micro_batches_step_as_a_batch,
)

from adbench import BuildContext
from adbench.api.options import check
from adbench.run import check_method
from adbench.util.errors import CheckpointError, OptionError

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = FastFlowOptions(size=(32, 48), amp="off", steps=2, epochs=4, evaluate_every=2)

CHANNELS = (6, 9, 12)
"""Of the golden file's part A; 9 is split unevenly."""


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("fastflow_small.npz")


@pytest.fixture
def checkpoint(golden: np.lib.npyio.NpzFile) -> dict[str, object]:
    """A file as the program writes it; the frozen backbone is in its state as well."""
    state = tensors(golden, "A/model/") | {"feature_extractor.conv1.weight": torch.zeros(1)}
    return {"epoch": 499, "model_state_dict": state, "optimizer_state_dict": {}}


@pytest.fixture
def published(checkpoint: dict[str, object]) -> FastFlow:
    """The small model of the golden file, loaded from a checkpoint of the program."""
    detector = small(CHANNELS, size=(64, 64), steps=4)
    detector.load_state_dict(checkpoint)
    return detector


def small(channels: tuple[int, ...] = (4, 6, 9), seed: int = 0, **changes: object) -> FastFlow:
    torch.manual_seed(seed)
    np.random.seed(seed)
    return FastFlow(replace(SMALL, **changes), CPU, TinyBackbone(channels))


def one_level(golden: np.lib.npyio.NpzFile) -> Flows:
    """Part B of the golden file: a single level, 3 x 3 convolutions alone, and few hidden channels."""
    options = replace(SMALL, steps=3, conv3x3_only=True)
    network = Flows((20,), [(4, 4)], kernels(options), ratio=0.16, clamp=2.0, precision=None)
    network.load_state_dict(tensors(golden, "B/model/"))
    return network


@pytest.mark.parametrize("part", ["A", "B"])
def test_outputs_and_gradients_are_those_of_the_program(part: str, published: FastFlow, golden) -> None:
    """z, log-Jacobian, loss, every gradient, map and image score agree with the program."""
    network = published.network if part == "A" else one_level(golden)
    features = [torch.from_numpy(golden[f"{part}/feat{level}"]).requires_grad_() for level in range(len(network.norms))]

    z, log_jac = network(features)
    loss = negative_log_likelihood(z, log_jac).mean()
    loss.backward()

    for level, found in enumerate(z):
        assert_near(golden[f"{part}/norm{level}"], network.norms[level](features[level]))
        assert_near(golden[f"{part}/z{level}"], found)
        assert_near(golden[f"{part}/grad_feat{level}"], features[level].grad)
    assert_near(sum(golden[f"{part}/logjac{level}"] for level in range(len(z))), log_jac)
    assert_near(golden[f"{part}/loss"], loss)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    stored = tensors(golden, f"{part}/grad/")
    assert stored.keys() == gradients.keys()
    for name, expected in stored.items():
        assert_near(expected.numpy(), gradients[name])
    found_map = negative_log_mean(log_likelihoods(z), (64, 64))
    if part == "A":  # B's map is left out of the file for its size
        assert_near(golden["A/map"], -torch.exp(-found_map))
    assert_near(golden[f"{part}/score_max"], -torch.exp(-found_map.amax((1, 2))))


def test_each_block_is_that_of_the_program(published: FastFlow, golden) -> None:
    """The second level after each of its blocks, and the log-Jacobian of each block."""
    x = torch.from_numpy(golden["A/norm1"])
    for step, block in enumerate(published.network.nf_flows[1]):
        (x,), log_jac = block((x,))
        assert_near(golden[f"A/blk1_{step}_out"], x)
        assert_near(golden[f"A/blk1_{step}_logjac"], log_jac)


def test_a_step_of_the_optimiser_is_that_of_the_program(published: FastFlow, golden) -> None:
    """One step changes the layer norms and the second level as Adam with weight decay does in the program."""
    loss = published.step([torch.from_numpy(golden[f"A/feat{level}"]) for level in range(3)])

    assert_near(golden["A/loss"], loss)
    after, stored = published.network.state_dict(), tensors(golden, "A/step1/")
    assert len(stored) > 20
    for name, expected in stored.items():
        assert_near(expected.numpy(), after[name])


def test_scores_are_those_of_the_program(published: FastFlow, golden) -> None:
    """``score`` gives the golden map and image score, as negative logarithms."""
    features = [torch.from_numpy(golden[f"A/feat{level}"]) for level in range(3)]

    with torch.no_grad():
        scores = published.score(StoredBatch(features, (64, 64)))

    assert scores.image.dtype == torch.float64
    assert_near(golden["A/map"], -torch.exp(-scores.map))
    assert_near(golden["A/anomalib_score"], -torch.exp(-scores.image))


def test_images_far_from_training_get_scores_of_their_own() -> None:
    """A trained model ranks images whose likelihood is 0 in float32 and float64."""
    detector = small(epochs=6)
    train(detector, TinyImages())
    assert_unlikely_images_still_rank(detector)


def test_training_learns_and_reports() -> None:
    """The loss falls at a constant learning rate, and every second epoch is a milestone."""
    reports = train(small(epochs=6), TinyImages())

    assert reports[-1].loss < reports[0].loss
    assert [report.number for report in reports] == list(range(1, 7))
    assert [report.milestone for report in reports] == [False, True] * 3
    assert {report.learning_rate for report in reports} == {1e-3}


def test_the_loss_of_an_epoch_is_the_mean_over_images() -> None:
    """A smaller last batch counts by its images."""
    detector = small(lr=1e-12, steps=1)
    with torch.no_grad():
        expected = detector.losses(*TinyBackbone()(TinyImages(5).images)).mean().item()

    (report,) = train(detector, TinyImages(5, batch_size=3), epochs=1)

    assert report.loss == pytest.approx(expected, rel=1e-5)


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    assert_a_resumed_training_ends_in_the_same_numbers(small, tmp_path)


def test_parts_of_a_batch_give_the_same_step() -> None:
    """Without batch norm, two micro-batches change the weights as a whole batch does."""
    assert_micro_batches_step_as_a_batch(small, TinyBackbone()(TinyImages().images))


def test_an_image_scores_alone_as_in_a_batch() -> None:
    """No other image matters."""
    assert_an_image_scores_alone_as_in_a_batch(small(), torch.rand(3, 3, 32, 48))


def test_features_of_another_size_are_refused() -> None:
    """The layer norms have the size of training; the message says both."""
    with pytest.raises(OptionError, match="found 16x12 positions, wanted 8x12 positions"):
        small().score(TinyBatch(torch.rand(1, 3, 64, 48)))


def test_the_grid_of_a_level_rounds_up() -> None:
    """A stride that does not divide the side has one more position."""
    assert grids((100, 256), (4, 8, 16)) == [(25, 64), (13, 32), (7, 16)]


def test_other_checkpoints_are_refused(checkpoint: dict[str, object]) -> None:
    """The message names what is missing or does not fit; nothing is partly loaded."""
    detector = small()
    before = {key: value.clone() for key, value in detector.network.state_dict().items()}

    with pytest.raises(CheckpointError, match=r"nf_flows\.0\.module_list\.0\.global_offset': found shape 1x6"):
        detector.load_state_dict(checkpoint)
    with pytest.raises(CheckpointError, match="found decoder, wanted 'network' of a fastflow model"):
        detector.load_state_dict({"decoder": {}})

    assert all(torch.equal(before[key], value) for key, value in detector.network.state_dict().items())


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    assert_a_loss_that_is_not_finite_ends_the_training(small(), "fastflow")


def test_fp16_scales_its_gradients_and_saves_the_scale() -> None:
    """Training in fp16 learns as in float32, and its state keeps the scale."""
    losses = []
    for detector in (half := small(amp="fp16"), small()):
        torch.manual_seed(2)
        losses.append([report.loss for report in train(detector, TinyImages())])
    loaded = small(amp="fp16", seed=3)

    loaded.load_state_dict(half.state_dict())

    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[0] != losses[1]
    assert loaded.scaler.state_dict() == half.scaler.state_dict() != {}


@pytest.mark.parametrize(
    ("option", "value"),
    [("steps", 0), ("hidden_ratio", 0.0), ("clamp", 0.0), ("lr", 0.0), ("weight_decay", -1.0), ("epochs", 0)],
)
def test_options_have_ranges(option: str, value: float) -> None:
    """A value that no training can use is refused by its name."""
    with pytest.raises(OptionError, match=option):
        check(replace(FastFlowOptions(), **{option: value}), owner="fastflow")


def test_presets_are_the_published_set_up() -> None:
    """Both published configurations with ResNets are there, and the numbers of the last epoch are marked as such."""
    (method,) = adbench_methods()

    assert PRESETS["paper"].options == FastFlowOptions()
    assert kernels(PRESETS["paper"].options) == [3, 1] * 4
    assert kernels(PRESETS["paper-resnet18"].options) == [3] * 8
    assert len(method.published) == 293
    last = [row for row in method.published if row.policy == "last" and row.class_name == "mean"]
    assert [(row.value, row.epoch) for row in last] == [(0.972, 500), (0.956, 500), (0.973, 500), (0.973, 500)]


@pytest.mark.parametrize(
    ("preset", "channels", "strides", "millions"),
    [
        pytest.param("paper", (256, 512, 1024), (4, 8, 16), 45.0, marks=pytest.mark.slow),
        ("paper-resnet18", (64, 128, 256), (4, 8, 16), 5.57),
        ("paper-deit", (768,), (16,), 7.07),
        ("paper-cait", (768,), (16,), 7.07),
    ],
)
def test_flows_are_as_large_as_the_programs(
    preset: str, channels: tuple[int, ...], strides: tuple[int, ...], millions: float
) -> None:
    """The published configurations have as many trained numbers as in the program."""
    options = PRESETS[preset].options
    normed = grids(options.size, strides) if options.norm == "trained" else ()
    with torch.device("meta"):
        network = Flows(channels, normed, kernels(options), ratio=options.hidden_ratio, clamp=2.0, precision=None)

    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)

    assert trained / 1e6 == pytest.approx(millions, rel=2e-3)


def test_a_transformer_has_its_own_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a transformer no norm is trained; timm's is asked for its own. Features stay as they are."""
    asked = []

    def from_options(options: object, context: object, *, norm: bool) -> TinyBackbone:
        asked.append(norm)
        return TinyBackbone((8,))

    monkeypatch.setattr("adbench.backbones.from_options", from_options)
    detectors = [
        build(replace(PRESETS[name].options, size=(32, 48), layers=(1,), steps=2, amp="off"), BuildContext(CPU))
        for name in ("paper-deit", "paper-cait", "cpu")
    ]
    features = TinyBackbone((8,))(TinyImages().images)
    before = features[0].clone()

    detectors[0].step(features)

    assert asked == [True, False, False]
    assert [len(detector.network.norms) for detector in detectors] == [0, 0, 1]
    assert torch.equal(features[0], before)


@pytest.mark.slow
def test_check_method_passes() -> None:
    """Seeds, leaks, resuming and memory, at a size that no stride divides."""
    check_method.check_method("fastflow", changes={"size": (38, 70), "steps": 2})
