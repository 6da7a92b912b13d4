"""What Dinomaly and INP-Former share: parts of decoders, the training loop, and scores."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from adbench_plugins.dinomaly import DinomalyOptions
from adbench_plugins.token_decoder import (
    MLP,
    RestoringDetector,
    Training,
    fused,
    grouped,
    heads_of,
    initialise,
    joined,
    position_distances,
    positions_of,
    restored_groups,
    scale_gradient,
    smoothed,
    whole_batches,
    whole_distances,
)
from flow_doubles import train
from token_doubles import CPU, WIDTH, FixedImages, tiny_groups
from torch import nn

from adbench.data.images import Batch
from adbench.util.errors import CheckpointError, OptionError, TaskError

pytestmark = pytest.mark.usefixtures("one_thread")


class Smallest(RestoringDetector):
    """Restores both groups by one linear layer; it takes a fixed number of steps, and records their rates."""

    def __init__(self, steps: int = 8, lr: float = 0.05, warmup: int = 2, evaluated: int = 5) -> None:
        torch.manual_seed(0)
        network = nn.ModuleDict({"decoder": nn.Linear(WIDTH, WIDTH)})
        initialise(network)
        super().__init__(
            DinomalyOptions(amp="off"), CPU, name="smallest", backbone=tiny_groups(), network=network,
            training=Training(lr, lr / 10, warmup, 0.0, evaluated), map_size=(16, 16),
        )  # fmt: skip
        self.count, self.rates = steps, []

    def steps(self, batches: int) -> int:
        return self.count

    def begin_step(self, step: int) -> None:
        self.rates.append((step, self.optimizer.param_groups[0]["lr"]))

    def restore(self, features):
        grid = tuple(features[0].shape[2:])
        return restored_groups([self.network["decoder"](fused(features[:2]))] * 2, 2, grid)

    def losses(self, *features):
        return whole_distances(features[:2], self.restore(features))


# ---------------------------------------------------------------- parts


def test_a_head_has_64_channels_or_the_next_number_that_fits():
    """ViT-S, B and L have 6, 12 and 16 heads; other widths what divides them."""
    assert [heads_of(width) for width in (384, 768, 1024)] == [6, 12, 16]
    assert [heads_of(width) for width in (16, 152, 176, 193)] == [1, 2, 2, 1]


def test_linear_layers_start_small():
    """Their deviation is about 0.01, and no value is farther than three of them."""
    torch.manual_seed(0)
    layer = nn.Linear(100, 100)
    initialise(nn.ModuleList([layer]))
    assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert float(layer.weight.detach().abs().max()) <= 0.03
    assert not layer.bias.any()


def test_dropout_acts_before_between_and_after_the_layers():
    """In training everything is dropped by a share of nearly 1 at any of the three places; in scoring nothing is."""
    torch.manual_seed(0)
    mlp, x = MLP(4, 8, dropout=0.5), torch.randn(1, 200, 4)
    seen = []
    mlp.dropout.register_forward_hook(lambda module, inputs, output: seen.append((output == 0).float().mean()))
    mlp(x)
    assert len(seen) == 3
    assert all(float(zeros) == pytest.approx(0.5, abs=0.1) for zeros in seen)
    torch.testing.assert_close(mlp.eval()(x), mlp.fc2(nn.functional.gelu(mlp.fc1(x))))


def test_the_last_blocks_restore_the_first_group():
    """Blocks are taken from the last one, in equal parts; tokens before the positions are left out."""
    outputs = [torch.full((1, 2 + 6, 3), float(number)) for number in range(4)]
    outputs[3][0, 2:, 0] += torch.arange(6)
    deep, shallow = restored_groups(outputs, 2, (2, 3))
    assert torch.equal(deep[0, 0], 2.5 + torch.arange(6).view(2, 3) / 2)
    assert torch.equal(shallow, torch.full((1, 3, 2, 3), 0.5))


def test_distances_are_bounded_and_blind_to_length():
    """0 for the same direction, 2 for the opposite one, 1 for no vector; positions as well as whole maps."""
    vectors = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    for expected, restored in {0.0: 3 * vectors, 2.0: -vectors, 1.0: 0 * vectors}.items():
        found = position_distances(vectors, restored)
        torch.testing.assert_close(found, torch.full((2, 3, 4), expected), rtol=1e-5, atol=1e-5)
        whole = whole_distances([vectors, vectors], [restored, vectors])
        torch.testing.assert_close(whole, torch.full((2,), expected / 2), rtol=1e-5, atol=1e-5)


def test_gradients_are_scaled_and_values_are_not():
    """Position by position; without gradients nothing happens."""
    x = torch.ones(1, 2, 2, 2, requires_grad=True)
    y = 3 * x
    scale_gradient(y, torch.tensor([[[1.0, 0.1], [0.0, 2.0]]]))
    y.sum().backward()
    assert torch.equal(y.detach(), torch.full((1, 2, 2, 2), 3.0))
    torch.testing.assert_close(x.grad, torch.tensor([[3.0, 0.3], [0.0, 6.0]]).expand(1, 2, 2, 2))
    scale_gradient(y.detach(), torch.ones(1, 2, 2))


def test_only_dinov2_has_its_own_way_with_positions():
    """Other transformers and convolutional networks keep timm's."""
    assert positions_of("timm:vit_base_patch14_reg4_dinov2") == "dinov2"
    assert {positions_of(name) for name in ("timm:vit_small_patch16_224.dino", "efficientnet_lite0")} == {"timm"}


def test_blocks_are_shared_out_among_the_groups():
    """Three blocks can't restore two groups alike."""
    with pytest.raises(OptionError, match="blocks: found 3, wanted a multiple of 2"):
        grouped(tiny_groups().backbone, 3)
    assert grouped(tiny_groups((1,)).backbone, 3).groups == 1


# ---------------------------------------------------------------- scores


def test_maps_are_smoothed_at_a_size_of_their_own():
    """A kernel of 5 x 5 that is almost flat, with zeros beyond the border; the highest pixel stays where it was."""
    level = torch.zeros(1, 4, 4)
    level[0, 1, 2] = 1.0
    found = smoothed(joined([level, level], (40, 80)), (20, 20))
    assert found.shape == (1, 20, 20)
    row, column = divmod(int(found.flatten().argmax()), 20)
    assert (row // 5, column // 5) == (1, 2)
    flat = smoothed(joined([torch.ones(1, 4, 4)], (20, 20)), (20, 20))
    assert float(flat[0, 10, 10]) == pytest.approx(1.0)
    assert float(flat[0, 0, 0]) == pytest.approx(0.36, abs=0.05)  # 9 of 25 pixels


def test_scores_have_the_size_of_the_images():
    """The map is enlarged from its own size; the image's score is the mean of the highest hundredth before that."""
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        scores = Smallest().score(Batch.of(images))
        alone = Smallest().score(Batch.of(images[:1]))
    assert scores.map.shape == (2, 32, 48)
    assert (scores.image >= scores.map.amax((1, 2)) - 0.05).all()
    torch.testing.assert_close(alone.image[0], scores.image[0])
    torch.testing.assert_close(alone.map[0], scores.map[0])


# ---------------------------------------------------------------- fit


def test_steps_are_counted_through_epochs_of_whole_batches():
    """Ten images make three batches of three; eight steps are two epochs and two steps of a third one."""
    detector = Smallest()
    reports = train(detector, FixedImages())
    assert [report.number for report in reports] == [1, 2, 3]
    assert {report.total for report in reports} == {3}
    assert [step for step, _ in detector.rates] == list(range(8))
    assert [report.milestone for report in reports] == [False, True, False]
    assert detector.rates[0][1] == 0
    assert max(rate for _, rate in detector.rates) == pytest.approx(0.05)
    assert reports[-1].loss < reports[0].loss


def test_fewer_images_than_a_batch_are_one_batch():
    """A few shots train as well."""
    images = FixedImages(count=2, batch_size=16)
    assert [len(features[0]) for features in whole_batches(images, tiny_groups())] == [2]
    assert [report.number for report in train(Smallest(steps=2), images)] == [1, 2]
    assert [len(features[0]) for features in whole_batches(FixedImages(), tiny_groups())] == [3, 3, 3]


def test_gradients_are_clipped_as_a_whole():
    """Their norm over all parameters is at most 0.1."""
    detector = Smallest()
    with torch.no_grad():
        detector.network["decoder"].weight.mul_(1e-3)  # short vectors have long gradients
    (features,) = islice(whole_batches(FixedImages(), detector.backbone), 1)
    detector.step(features)
    norm = torch.stack([each.grad.square().sum() for each in detector.network.parameters()]).sum().sqrt()
    assert float(norm) == pytest.approx(0.1, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_training():
    """The message names the learning rate."""
    images = FixedImages()
    images.images = images.images * torch.inf
    with pytest.raises(TaskError, match=r"smallest, epoch 1: found a loss of nan.*lr="):
        train(Smallest(), images)


def test_checkpoints_are_ours_or_an_authors():
    """An authors' file holds the encoder as well, which is left out; other files are refused."""
    detector, other = Smallest(), Smallest()
    train(other, FixedImages())
    authors = {**other.network.state_dict(), "encoder.blocks.0.norm1.bias": torch.zeros(1)}
    for state in (other.state_dict(), authors):
        detector = Smallest()
        detector.load_state_dict(state)
        assert torch.equal(detector.network["decoder"].weight, other.network["decoder"].weight)
    with pytest.raises(CheckpointError, match="found teacher, wanted 'network' of a smallest model"):
        detector.load_state_dict({"teacher": {}})
    with pytest.raises(CheckpointError, match=r"network\.decoder\.bias"):
        detector.load_state_dict({"network": {"decoder.weight": torch.zeros(WIDTH, WIDTH)}})
