"""U-Flow against the numbers of the authors' program, and the laws of its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.flow_training import negative_log_likelihood
from adbench_plugins.uflow import PRESETS, UFlowOptions, adbench_methods
from adbench_plugins.uflow.model import UFlow, UShapedFlow, rising_channels
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

from adbench.api.options import check
from adbench.run import check_method
from adbench.util.errors import CheckpointError, OptionError, SizeError

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = UFlowOptions(
    size=(32, 48), amp="off", batch_size=3, layers=(1, 2, 3), norm="trained", steps=2, lr=1e-3, epochs=4,
    evaluate_every=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("uflow_small.npz")


@pytest.fixture
def published(golden: np.lib.npyio.NpzFile) -> UFlow:
    """The small model of the golden file, loaded as an authors' checkpoint, in which the frozen backbone is as well."""
    detector = small((6, 10, 16), size=(64, 64))
    detector.load_state_dict(tensors(golden, "model/") | {"feature_extractor.extractor.conv1.weight": torch.zeros(1)})
    return detector


def small(channels: tuple[int, ...] = (6, 9, 16), seed: int = 0, **changes: object) -> UFlow:
    torch.manual_seed(seed)
    np.random.seed(seed)
    return UFlow(replace(SMALL, **changes), CPU, TinyBackbone(channels))


def features_of(golden: np.lib.npyio.NpzFile) -> list[torch.Tensor]:
    return [torch.from_numpy(golden[f"feat{level}"]) for level in range(3)]


def test_outputs_and_gradients_are_the_authors(published: UFlow, golden) -> None:
    """z, log-Jacobian, loss and every gradient agree with the authors' program."""
    features = [each.requires_grad_() for each in features_of(golden)]
    z, log_jac = published.network(features)
    loss = negative_log_likelihood(z, log_jac).mean()
    loss.backward()

    for level, found in enumerate(z):
        assert_near(golden[f"z{level}"], found)
        assert_near(golden[f"grad_feat{level}"], features[level].grad)
    assert_near(golden["logjac"], log_jac)
    assert_near(golden["lpz"], sum(0.5 * level.square().sum((1, 2, 3)) for level in z))
    assert_near(golden["loss"], loss)
    gradients = {name: p.grad for name, p in published.network.named_parameters() if p.requires_grad}
    stored = published.authors_state(tensors(golden, "grad/"))
    assert stored.keys() == gradients.keys()
    for name, expected in stored.items():
        assert_near(expected.numpy(), gradients[name])


def test_maps_and_scores_are_the_authors(published: UFlow, golden) -> None:
    """``score`` gives the golden map and image score, as negative logarithms."""
    with torch.no_grad():
        scores = published.score(StoredBatch(features_of(golden), (64, 64)))

    assert scores.image.dtype == torch.float64
    assert_near(golden["map"], -torch.expm1(-scores.map))
    assert_near(golden["score_max"], -torch.expm1(-scores.image))


def test_a_step_of_the_optimiser_is_the_authors(published: UFlow, golden) -> None:
    """One step changes the weights as Adam with weight decay does in the program."""
    loss = published.step(features_of(golden))

    assert_near(golden["loss"], loss)
    after, stored = published.network.state_dict(), published.authors_state(tensors(golden, "step1/"))
    assert len(stored) > 30
    for name, expected in stored.items():
        assert_near(expected.numpy(), after[name])


def test_channels_of_the_paper() -> None:
    """With CaiT's features z has 816 and 192 channels; with Lite0's three levels 30, 30 and 56."""
    assert rising_channels((768, 384)) == [192, 0]
    assert rising_channels((24, 40, 112)) == [56, 24, 0]
    network = UShapedFlow((24, 40, 112), [(8, 8), (4, 4), (2, 2)], 1, normed=False, clamp=2.0, precision=None)

    z, _ = network([torch.randn(1, c, side, side) for c, side in ((24, 8), (40, 4), (112, 2))])

    assert [tuple(level.shape) for level in z] == [(1, 30, 8, 8), (1, 30, 4, 4), (1, 56, 2, 2)]


def test_the_log_jacobian_is_that_of_autograd() -> None:
    """Splits, shuffles and joins only move numbers: the log-determinant of the whole flow is autograd's."""
    torch.manual_seed(0)
    network = UShapedFlow((3, 8), [(2, 2), (1, 1)], 2, normed=False, clamp=2.0, precision=None).double()
    for parameter in network.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter) * parameter.requires_grad
    shapes = [(3, 2, 2), (8, 1, 1)]
    x = torch.randn(20, dtype=torch.float64)

    def run(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [part.view(1, *shape) for part, shape in zip(flat.split([12, 8]), shapes, strict=True)]
        z, log_jac = network(parts)
        return torch.cat([level.flatten() for level in z]), log_jac[0]

    matrix = torch.autograd.functional.jacobian(lambda flat: run(flat)[0], x)

    torch.testing.assert_close(run(x)[1], torch.linalg.slogdet(matrix).logabsdet)


def test_the_learning_rate_falls_with_each_step() -> None:
    """It begins at lr, and would be 0.4 of it at the end."""
    detector = small(lr=1e-3, epochs=4)

    found = [detector.learning_rate(progress) for progress in (0, 2, 4)]

    assert found == pytest.approx([1e-3, 0.7e-3, 0.4e-3])
    reports = train(detector, TinyImages())  # two batches in an epoch
    assert [report.learning_rate for report in reports] == pytest.approx(
        [1e-3 * (1 - 0.6 * (2 * epoch + 1) / 8) for epoch in range(4)]
    )


def test_training_learns_and_reports() -> None:
    """The loss falls, and every second epoch is a milestone."""
    reports = train(small(epochs=6), TinyImages())

    assert reports[-1].loss < reports[0].loss
    assert [report.milestone for report in reports] == [False, True] * 3


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    assert_a_resumed_training_ends_in_the_same_numbers(small, tmp_path)


def test_parts_of_a_batch_give_the_same_step() -> None:
    """Without batch norm, two micro-batches change the weights as a whole batch does."""
    assert_micro_batches_step_as_a_batch(small, TinyBackbone((6, 9, 16))(TinyImages().images))


def test_images_far_from_training_get_scores_of_their_own() -> None:
    """Images whose likelihood is 0 in float32 and float64 still rank."""
    assert_unlikely_images_still_rank(small())


def test_an_image_scores_alone_as_in_a_batch() -> None:
    """No other image matters."""
    assert_an_image_scores_alone_as_in_a_batch(small(), torch.rand(3, 3, 32, 48))


def test_bf16_stays_near_float32() -> None:
    """In bf16 the loss of the same batch is within a percent, and it is float32."""
    features = TinyBackbone((6, 9, 16))(torch.rand(2, 3, 32, 48))

    expected = small().losses(*features)
    found = small(amp="bf16").losses(*(level.bfloat16() for level in features))

    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1.0)
    assert not torch.equal(found, expected)


def test_sizes_and_layers_that_do_not_fit_are_refused() -> None:
    """Each level has twice the sides of the next."""
    with pytest.raises(SizeError, match="size 40x48 with backbone TinyBackbone: wanted multiples of 16"):
        small(size=(40, 48))

    class Gap(TinyBackbone):
        strides = (4, 16)

        def __init__(self) -> None:
            super().__init__((4, 6))
            self.strides = (4, 16)

    with pytest.raises(OptionError, match=r"layers: found layers of strides 4, 16, wanted strides that double"):
        UFlow(SMALL, CPU, Gap())
    with pytest.raises(OptionError, match="found 16x12 positions, wanted 8x12 positions"):
        small().score(TinyBatch(torch.rand(1, 3, 64, 48)))


def test_other_checkpoints_are_refused(golden) -> None:
    """The message names what is missing or does not fit."""
    with pytest.raises(CheckpointError, match=r"norms\.0\.bias': found shape 6x16x16, wanted shape 6x8x12"):
        small().load_state_dict(tensors(golden, "model/"))
    with pytest.raises(CheckpointError, match="found decoder, wanted 'network' of a uflow model"):
        small().load_state_dict({"decoder": {}})


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    assert_a_loss_that_is_not_finite_ends_the_training(small(), "uflow")


@pytest.mark.parametrize(
    ("option", "value"), [("steps", 0), ("clamp", 0.0), ("lr", 0.0), ("final", 1.5), ("weight_decay", -1.0)]
)
def test_options_have_ranges(option: str, value: float) -> None:
    """A value that no training can use is refused by its name."""
    with pytest.raises(OptionError, match=option):
        check(replace(UFlowOptions(), **{option: value}), owner="uflow")


def test_presets_are_the_published_set_up() -> None:
    """One learning rate serves all classes: the program's differ, and no rule for them is given."""
    (method,) = adbench_methods()

    assert PRESETS["paper"].options == UFlowOptions()
    assert not any(preset.per_class for preset in method.presets.values())
    assert len(method.published) == 47
    assert {row.policy for row in method.published} == {"oracle", "unknown"}


@pytest.mark.slow
def test_check_method_passes() -> None:
    """Seeds, leaks, resuming and memory at a tiny size."""
    check_method.check_method("uflow", changes={"size": (64, 64), "steps": 1})
