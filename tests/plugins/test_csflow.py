"""CS-Flow against the numbers of the authors' program, and the laws of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.csflow import BACKBONE, PRESETS, CSFlowOptions, adbench_backbones, adbench_methods
from adbench_plugins.csflow.extractor import Pyramid, build
from adbench_plugins.csflow.model import CSFlow, image_scores
from adbench_plugins.csflow.network import CrossScaleCoupling, CrossScaleFlow, Shuffle
from flow_doubles import StoredBatch, TinyBackbone, TinyImages, assert_near, golden_file, train
from method_laws import (
    assert_a_loss_that_is_not_finite_ends_the_training,
    assert_a_resumed_training_ends_in_the_same_numbers,
    assert_micro_batches_step_as_a_batch,
)
from torch import nn
from torchvision.models import efficientnet_b5

from adbench.api.options import check
from adbench.backbones import load
from adbench.run import check_method
from adbench.util.errors import CheckpointError, OptionError, SizeError

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = CSFlowOptions(size=(32, 48), amp="off", hidden=6, lr=1e-3, epochs=4, evaluate_every=2)


class OneLayer(TinyBackbone):
    """A backbone with a single layer, as adbench makes them."""

    name, layers, key, weights_hash = "tiny", (1,), "tiny/1", "0123"

    def __init__(self, channels: int = 6) -> None:
        super().__init__((channels,))


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("csflow_small.npz")


def unpacked(golden: Mapping[str, np.ndarray], group: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """One group of the golden file: its numbers lie end to end, with the names of parameters beside them."""
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    names = str(golden[f"{group}_names"]).split()
    parts = torch.from_numpy(golden[group]).split([shapes[name].numel() for name in names])
    return {name: part.view(shapes[name]) for name, part in zip(names, parts, strict=True)}


@pytest.fixture
def published(golden: np.lib.npyio.NpzFile) -> CSFlow:
    """The small model of the golden file, loaded as an authors' checkpoint."""
    detector = small(10, lr=2e-4)
    detector.load_state_dict(unpacked(golden, "model", detector.network))
    return detector


def small(channels: int = 6, seed: int = 0, **changes: object) -> CSFlow:
    torch.manual_seed(seed)
    return CSFlow(replace(SMALL, **changes), CPU, OneLayer(channels))


def features_of(golden: Mapping[str, np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(golden[f"feat{scale}"]) for scale in range(3)]


def test_outputs_and_gradients_are_the_authors(published: CSFlow, golden) -> None:
    """z, log-Jacobian, loss, the gradients and their norm agree with the authors' program."""
    features = [each.requires_grad_() for each in features_of(golden)]
    z, log_jac = published.network(features)
    loss = published.losses(*features).mean()
    loss.backward()

    for scale, level in enumerate(z):
        assert_near(golden[f"z{scale}"], level)
        assert_near(golden[f"grad_feat{scale}"], features[scale].grad)
    assert_near(sum(golden[f"logjac{scale}"] for scale in range(3)), log_jac)
    assert_near(golden["loss"], loss)
    parameters = dict(published.network.named_parameters())
    stored = unpacked(golden, "grad", published.network)
    assert len(stored) > 40
    for name, expected in stored.items():
        assert_near(expected.numpy(), parameters[name].grad)
    norms = [torch.linalg.vector_norm(p.grad) for p in published.trained]
    assert_near(golden["total_grad_norm"], torch.linalg.vector_norm(torch.stack(norms)))


def test_blocks_are_the_authors(published: CSFlow, golden) -> None:
    """The maps after the first block, the log-Jacobian that each block adds, and the outputs of one subnet."""
    network, maps = published.network, features_of(golden)
    for number, (shuffle, coupling) in enumerate(zip(network.shuffles, network.module_list.values(), strict=True)):
        maps, jacobians = coupling(shuffle(maps))
        for scale in range(3):
            assert_near(golden[f"blk{number}_logjac{scale}"], jacobians[scale])
            if f"blk{number}_out{scale}" in golden:
                assert_near(golden[f"blk{number}_out{scale}"], maps[scale])
    halves = [each[:, 5:] for each in features_of(golden)]
    for scale, found in enumerate(network.module_list["10"].s2(halves)):
        assert_near(golden[f"subnet_blk3_s2_out{scale}"], found)


def test_scores_are_the_authors(published: CSFlow, golden) -> None:
    """The image score takes all scales, and the map the finest one."""
    with torch.no_grad():
        scores = published.score(StoredBatch(features_of(golden), (8, 8)))

    assert scores.image.dtype == torch.float64
    assert_near(golden["score"], scores.image)
    assert_near(golden["map0"], scores.map)


def test_a_step_of_the_optimiser_is_the_authors(published: CSFlow, golden) -> None:
    """One step changes the weights as Adam does in the program, with its epsilon and weight decay."""
    loss = published.step(features_of(golden))

    assert_near(golden["loss"], loss)
    after, stored = published.network.state_dict(), unpacked(golden, "step1", published.network)
    assert len(stored) > 40
    for name, expected in stored.items():
        assert_near(expected.numpy(), after[name])


def test_gradients_are_clipped() -> None:
    """A gradient with a norm above the limit is scaled down to it."""
    features = [50 * each for each in Pyramid(OneLayer())(TinyImages().images)]
    free, clipped = small(clip_norm=1e9), small(clip_norm=1e-3)

    for detector in (free, clipped):
        detector.step(features)

    norms = [torch.stack([p.grad.square().sum() for p in each.trained]).sum().sqrt() for each in (free, clipped)]
    assert norms[0] > 1
    assert norms[1].item() == pytest.approx(1e-3, rel=1e-3)


def test_permutations_are_the_authors(golden) -> None:
    """They follow from the number of the block, for 304 channels as in the paper."""
    for number in (0, 3):
        orders = Shuffle(304, number).orders
        for scale in range(3):
            assert orders[scale].tolist() == golden[f"perm304_{number}_{scale}"].tolist()


def test_a_fresh_flow_only_permutes(golden) -> None:
    """At the start all scales are 1 and all shifts 0."""
    z, log_jac = CrossScaleFlow(10, 6, 3.0, None)(features_of(golden))

    assert_near(golden["init_z0"], z[0])
    assert log_jac.tolist() == [0, 0, 0]


def test_the_coupling_is_invertible_with_the_right_jacobian() -> None:
    """The inverse restores the input, and the log-Jacobian is autograd's log-determinant; odd channels too."""
    torch.manual_seed(0)
    coupling = CrossScaleCoupling(5, 4, 3, 3.0, None).double()
    for name, parameter in coupling.named_parameters():
        parameter.data.fill_(0.9) if "gamma" in name else parameter.data.mul_(3)
    shapes = [(5, 4, 4), (5, 2, 2), (5, 1, 1)]
    x = [torch.randn(1, *shape, dtype=torch.float64) for shape in shapes]
    lengths = [level.numel() for level in x]

    def flat(joined: torch.Tensor) -> torch.Tensor:
        parts = [part.view(1, *shape) for part, shape in zip(joined.split(lengths), shapes, strict=True)]
        return torch.cat([level.flatten() for level in coupling(parts)[0]])

    y, jacobians = coupling(x)
    matrix = torch.autograd.functional.jacobian(flat, torch.cat([level.flatten() for level in x]))

    for expected, found in zip(x, coupling.inverse(y), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.stack(jacobians).sum(), torch.linalg.slogdet(matrix).logabsdet)
    assert abs(sum(jacobians).item()) > 0.1


def test_large_scores_still_rank() -> None:
    """Image scores are sums in float64: huge ones differ, and larger maps weigh more."""
    z = [torch.full((1, 2, 4, 4), 1e4), torch.full((1, 2, 2, 2), 2.0)]
    more = [z[0], torch.full((1, 2, 2, 2), 3.0)]

    scores = [image_scores(each).item() for each in (z, more)]

    assert scores[0] == pytest.approx(0.5 * (32 * 1e8 + 8 * 4) / 40, rel=1e-9)
    assert scores[1] > scores[0]


def test_the_pyramid_takes_every_second_pixel() -> None:
    """Levels are features of the image, and of its even rows and columns; keys differ from the backbone's own."""
    backbone = OneLayer()
    images = torch.rand(2, 3, 32, 48)

    levels = Pyramid(backbone)(images)

    for scale, level in enumerate(levels):
        smaller = nn.functional.interpolate(images, (32 // 2**scale, 48 // 2**scale))  # nearest is the default
        torch.testing.assert_close(level, backbone(smaller)[0])
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 12), (4, 6), (2, 3)]
    assert Pyramid(backbone).key != backbone.key


def test_sizes_and_layers_that_do_not_fit_are_refused() -> None:
    """Each level must have twice the sides of the next; there is one layer."""
    with pytest.raises(SizeError, match="size 40x48 with backbone tiny at 3 scales: wanted multiples of 16"):
        small(size=(40, 48))

    class TwoLayers(TinyBackbone):
        layers = (1, 2)

    with pytest.raises(OptionError, match=r"layers: found 1,2, wanted one layer"):
        CSFlow(SMALL, CPU, TwoLayers((4, 6)))


def test_the_extractor_ends_with_block_35_and_pads_as_tensorflow() -> None:
    """Its layer has 304 channels and comes from the 36th block; convolutions with stride 2 see one pixel less above."""
    torch.manual_seed(0)
    network = build((4,), None, False)
    stages = network.module.eval().features
    blocks = [block for stage in list(stages)[1:] for block in stage]
    image = torch.randn(1, 3, 64, 97)

    (level,) = network.module(image)

    assert (network.channels, network.strides, len(blocks)) == ((304,), (32,), 36)
    assert tuple(level.shape) == (1, 304, 2, 4)
    stem = stages[0][0]
    padded = nn.functional.pad(image, (1, 1, 0, 1))  # left, right, above, below, for 3 x 3 with stride 2
    torch.testing.assert_close(stem(image), nn.functional.conv2d(padded, stem.weight, stride=2))
    with pytest.raises(OptionError, match="layers of efficientnet_b5_304: found 1,4, wanted 4"):
        build((1, 4), None, False)


def test_torchvisions_weights_fit_the_extractor(tmp_path: Path) -> None:
    """A state dict of the whole network loads; of its features those up to block 35 count."""
    torch.manual_seed(0)
    net = efficientnet_b5(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "b5.pt")
    offered = {entry.name: entry for entry in adbench_backbones()}

    backbone = load(BACKBONE, layers=(4,), weights=tmp_path / "b5.pt", device=CPU, offered=offered)

    assert [tuple(level.shape) for level in backbone(torch.rand(1, 3, 64, 64))] == [(1, 304, 2, 2)]
    found = backbone.trainable_copy().state_dict()
    assert all(torch.equal(value, net.state_dict()[name.removeprefix("network.")]) for name, value in found.items())
    assert len(found) > 500


def test_training_learns_and_reports() -> None:
    """The loss falls at a constant learning rate, and every second epoch is a milestone."""
    reports = train(small(epochs=6), TinyImages())

    assert reports[-1].loss < reports[0].loss
    assert [report.milestone for report in reports] == [False, True] * 3
    assert {report.learning_rate for report in reports} == {1e-3}


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    assert_a_resumed_training_ends_in_the_same_numbers(small, tmp_path)


def test_parts_of_a_batch_give_the_same_step() -> None:
    """Gradients are clipped once, after all micro-batches: two of them step as a whole batch does."""
    features = Pyramid(OneLayer())(TinyImages().images)
    assert_micro_batches_step_as_a_batch(partial(small, clip_norm=1e-3), features)


def test_bf16_stays_near_float32() -> None:
    """In bf16 the loss of the same batch is within a percent, and it is float32."""
    features = Pyramid(OneLayer())(TinyImages().images)
    exact, rough = small(), small(amp="bf16")
    for detector in (exact, rough):
        torch.manual_seed(4)
        for parameter in detector.trained:
            parameter.data += 0.1 * torch.randn_like(parameter)

    expected, found = exact.losses(*features), rough.losses(*(level.bfloat16() for level in features))

    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    assert not torch.equal(found, expected)


def test_other_checkpoints_are_refused(golden) -> None:
    """The message names what is missing or does not fit."""
    detector = small()

    with pytest.raises(CheckpointError, match=r"conv_scale0_0\.weight': found shape 6x5x3x3, wanted shape 6x3x3x3"):
        detector.load_state_dict(unpacked(golden, "model", CrossScaleFlow(10, 6, 3.0, None)))
    with pytest.raises(CheckpointError, match="found decoder, wanted 'network' of a csflow model"):
        detector.load_state_dict({"decoder": {}})


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    assert_a_loss_that_is_not_finite_ends_the_training(small(), "csflow")


@pytest.mark.parametrize(
    ("option", "value"), [("hidden", 0), ("clamp", 0.0), ("lr", 0.0), ("clip_norm", 0.0), ("evaluate_every", 0)]
)
def test_options_have_ranges(option: str, value: float) -> None:
    """A value that no training can use is refused by its name."""
    with pytest.raises(OptionError, match=option):
        check(replace(CSFlowOptions(), **{option: value}), owner="csflow")


def test_presets_are_the_published_set_up() -> None:
    """The flow has as many parameters as the authors'; none of the published numbers is of the last epoch."""
    (method,) = adbench_methods()
    with torch.device("meta"):
        network = CrossScaleFlow(304, CSFlowOptions().hidden, CSFlowOptions().clamp, None)

    assert PRESETS["paper"].options == CSFlowOptions()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(275.2, rel=1e-3)
    assert {row.policy for row in method.published} == {"oracle", "unknown"}
    assert len(method.published) == 97


@pytest.mark.slow
def test_check_method_passes() -> None:
    """Seeds, leaks, resuming and memory at a tiny size."""
    check_method.check_method("csflow", changes={"size": (64, 64), "hidden": 8})
