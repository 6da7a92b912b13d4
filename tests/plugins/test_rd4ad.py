"""RD4AD against the numbers of the authors' program and anomalib, and the laws of its parts."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from adbench_plugins.rd4ad import PRESETS, RD4ADOptions, adbench_methods, build
from adbench_plugins.rd4ad.model import RD4AD, cosine_distances, whole_distances
from adbench_plugins.rd4ad.network import OTHER, SHAPES, Bottleneck, Decoder, Shape
from distillation_doubles import CPU, SmallImages, small_backbone, some_images
from flow_doubles import StoredBatch, assert_near, golden_file, tensors, train
from method_laws import (
    assert_a_loss_that_is_not_finite_ends_the_training,
    assert_a_resumed_training_ends_in_the_same_numbers,
    assert_an_image_scores_alone_as_in_a_batch,
    assert_listing_needs_no_torch,
)

from adbench import checks
from adbench.api.options import check
from adbench.data.images import Batch
from adbench.util.errors import CheckpointError, OptionError, SizeError

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = RD4ADOptions(size=(64, 64), amp="off", batch_size=3, epochs=3, sigma=1.0)


def make(options: RD4ADOptions = SMALL, seed: int = 0) -> RD4AD:
    torch.manual_seed(seed)
    return RD4AD(options, CPU, small_backbone())


# ---------------------------------------------------------------- golden numbers


@pytest.fixture(scope="module")
def golden():
    """wide_resnet50_2 with a 64th of the channels, trained for up to four steps."""
    return golden_file("rd4ad_small.npz")


def levels(archive, prefix: str) -> list[torch.Tensor]:
    return [torch.from_numpy(archive[f"{prefix}{level}"]) for level in range(3)]


def authors_checkpoint(archive) -> dict[str, dict[str, torch.Tensor]]:
    """As the authors' program saves it, with a part that it leaves out itself when it loads one."""
    bn = {**tensors(archive, "bn/"), "memory.rows": torch.zeros(1)}
    assert "conv4.weight" in bn
    return {"bn": bn, "decoder": tensors(archive, "decoder/")}


def golden_detector(archive, options: RD4ADOptions = SMALL) -> RD4AD:
    """The golden networks, loaded from an authors' checkpoint."""
    backbone = SimpleNamespace(channels=(4, 8, 16), strides=(4, 8, 16))
    detector = RD4AD(options, CPU, backbone, SHAPES["wide_resnet50_2"])
    detector.load_state_dict(authors_checkpoint(archive))
    return detector


def test_code_and_features_are_those_of_the_authors_program(golden):
    """With running statistics, as in scoring, and with those of the batch, as in training."""
    detector, features = golden_detector(golden), levels(golden, "feat")
    for mode in ("eval", "train"):
        detector.bn.train(mode == "train")
        detector.decoder.train(mode == "train")
        code = detector.bn(features)
        assert_near(golden[f"{mode}_code"], code)
        for level, found in enumerate(detector.decoder(code)):
            assert_near(golden[f"{mode}_out{level}"], found, 1e-4)
    half = golden_detector(golden)
    half.bn.train()
    half.decoder.train()
    assert_near(golden["train_split2_out0"], half.restore([level[:2] for level in features])[0], 1e-4)


def test_both_losses_are_the_stored_ones(golden):
    """The program's, of whole levels, and the paper's, of positions."""
    features, restored = levels(golden, "feat"), levels(golden, "eval_out")
    assert_near(golden["eval_loss_flat"], whole_distances(features, restored).mean())
    for loss, key in (("whole", "eval_loss_flat"), ("positions", "eval_loss_pixel")):
        detector = golden_detector(golden, replace(SMALL, loss=loss))
        assert_near(golden[key], detector.losses(*features).mean())


def test_gradients_are_those_of_the_authors_program(golden):
    """Through all batch norms of decoder and bottleneck."""
    detector = golden_detector(golden)
    detector._train(True)
    loss = detector.losses(*levels(golden, "feat")).mean()
    loss.backward()
    assert_near(golden["train_loss"], loss)
    for name, network in (("bn", detector.bn), ("decoder", detector.decoder)):
        gradients = {key: value.grad for key, value in network.named_parameters()}
        stored = tensors(golden, f"grad/{name}/")
        assert len(stored) > 5
        for key, expected in stored.items():
            assert_near(expected.numpy(), gradients[key], 1e-3)


def test_steps_are_those_of_the_authors_program(golden):
    """One step of Adam with its running statistics, and the losses of four.

    Rounding alone moves the third loss by 1 % and the fourth one by 1.5 %: those of float64 are 1.626 and 1.609.
    """
    detector, features = golden_detector(golden), levels(golden, "feat")
    detector._train(True)
    for number, expected in enumerate(golden["train_losses"]):
        tolerance = 1e-4 if number < 2 else 0.02
        assert float(detector.step(features)) == pytest.approx(float(expected), rel=tolerance)
        if number == 0:
            for name, network in (("bn", detector.bn), ("decoder", detector.decoder)):
                state = network.state_dict()
                for key, value in tensors(golden, f"step1/{name}/").items():
                    assert_near(value.numpy(), state[key], 1e-4)


def test_maps_and_scores_are_those_of_the_authors_program(golden):
    """The sum of the enlarged levels, smoothed as SciPy does, and its maximum; anomalib blurs the border otherwise."""
    detector = golden_detector(golden, replace(SMALL, sigma=4.0))
    batch = StoredBatch(levels(golden, "feat"), (64, 64))
    with torch.no_grad():
        scores = detector.score(batch)
    assert_near(golden["map_smooth_0"], scores.map[0], 1e-4)
    for image in (1, 2):
        assert_near(golden[f"map_smooth_{image}_sub4"], scores.map[image, ::4, ::4], 1e-4)
    assert_near(golden["image_score"], scores.image, 1e-4)
    assert_near(golden["anomalib_map_0"][20:44, 20:44], scores.map[0, 20:44, 20:44], 1e-4)


@pytest.mark.parametrize(
    ("backbone", "channels", "embedding", "decoding"),
    [("wide_resnet50_2", (256, 512, 1024), 67.28, 24.92), ("resnet18", (64, 128, 256), 12.21, 3.70)],
)
def test_the_networks_have_the_authors_numbers_of_parameters(backbone, channels, embedding, decoding):
    """In millions; theirs count conv4 and bn4, which they never use."""
    with torch.device("meta"):
        bn, decoder = Bottleneck(channels, SHAPES[backbone]), Decoder(channels, SHAPES[backbone])
    unused = (8 * channels[2] ** 2 + 4 * channels[2]) / 1e6

    def millions(network: torch.nn.Module) -> float:
        return sum(value.numel() for value in network.parameters()) / 1e6

    assert millions(decoder) == pytest.approx(decoding, abs=0.005)
    assert millions(bn) + unused == pytest.approx(embedding, abs=0.005)


# ---------------------------------------------------------------- fit


def test_training_lowers_the_loss_and_scoring_uses_running_statistics():
    """After each epoch both networks are in evaluation mode, so that an image scores alone as in a batch."""
    detector = make(replace(SMALL, epochs=8))
    reports = train(detector, SmallImages())
    assert reports[-1].loss < 0.7 * reports[0].loss
    assert [report.number for report in reports] == list(range(1, 9))
    assert_an_image_scores_alone_as_in_a_batch(detector, some_images(), batch=Batch.of, atol=1e-6)


def test_a_resumed_training_ends_as_an_unbroken_one(tmp_path):
    """The optimiser's state is in the file, which holds only tensors and numbers."""
    assert_a_resumed_training_ends_in_the_same_numbers(make, tmp_path, SmallImages())


def test_evaluations_are_ten_epochs_apart():
    """As in the authors' program; the last epoch is one anyway."""
    reports = train(make(replace(SMALL, epochs=12)), SmallImages(some_images(2)))
    assert [report.number for report in reports if report.milestone] == [10]


def test_a_loss_that_is_not_finite_ends_the_training():
    """The message names the learning rate."""
    assert_a_loss_that_is_not_finite_ends_the_training(make(), "rd4ad", SmallImages())


def test_the_loss_of_positions_trains_as_well():
    """It is another optimum, and its maps are other ones."""
    found = []
    for loss in ("whole", "positions"):
        detector = make(replace(SMALL, loss=loss))
        torch.manual_seed(3)
        train(detector, SmallImages())
        found.append(detector.score(Batch.of(some_images())).map)
    assert not torch.allclose(*found, rtol=1e-3)


# ---------------------------------------------------------------- distances, networks


def test_distances_are_bounded_and_blind_to_length():
    """0 for the same direction, 2 for the opposite one, 1 for no vector; whole levels as well as positions."""
    vectors = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    for expected, student in {0.0: 3 * vectors, 2.0: -vectors, 1.0: 0 * vectors}.items():
        (found,) = cosine_distances([vectors], [student])
        torch.testing.assert_close(found, torch.full((2, 3, 3), expected), rtol=1e-5, atol=1e-5)
        whole = whole_distances([vectors], [student])
        torch.testing.assert_close(whole, torch.full((2,), expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backbone", [*SHAPES, "efficientnet_lite0"])
def test_the_decoder_restores_the_shapes_of_all_backbones(backbone):
    """Whatever the channels, which need not double from level to level, and images that are no squares.

    Like features of a ResNet, what its decoder restores is not negative; features of other networks are.
    """
    channels = (3, 5, 14)
    shape = SHAPES.get(backbone, OTHER)
    features = [torch.rand(2, c, 16 >> level, 24 >> level) for level, c in enumerate(channels)]
    bn, decoder = Bottleneck(channels, shape), Decoder(channels, shape)
    code = bn(features)
    assert code.shape == (2, 28, 2, 3)
    restored = [level.detach() for level in decoder(code)]
    assert [level.shape for level in restored] == [level.shape for level in features]
    assert all((float(level.min()) < 0) == (backbone not in SHAPES) for level in restored)


def test_convolutions_are_drawn_as_in_a_resnet():
    """Kaiming's normal distribution by the channels that come out; transposed ones keep torch's."""
    torch.manual_seed(0)
    decoder = Decoder((64, 128, 256), Shape())
    for network in islice(decoder.layer1, 1, None):
        assert float(network.conv2.weight.detach().std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    doubling = decoder.layer1[0].conv1.weight.detach()
    assert float(doubling.abs().max()) <= (1 / (256 * 4)) ** 0.5


# ---------------------------------------------------------------- state, options


def test_state_that_does_not_fit_is_refused():
    """Missing parts and another shape's parameters are named."""
    with pytest.raises(CheckpointError, match="'bn' of an RD4AD model"):
        make().load_state_dict({"decoder": {}})
    state = make().state_dict()
    state["decoder"]["layer3.1.conv2.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"decoder\.layer3\.1\.conv2\.weight"):
        make().load_state_dict(state)


def test_layers_and_sizes_that_cannot_be_halved_are_refused():
    """Three layers in a row, and sides that are multiples of twice the last stride."""
    options = replace(SMALL, backbone="efficientnet_lite0")
    for layers in ((1, 2), (1, 2, 4), (3, 2, 1)):
        with pytest.raises(OptionError, match=r"option layers of rd4ad: found .* with strides"):
            build(replace(options, layers=layers), CPU)
    with pytest.raises(SizeError, match=r"100x64.*multiples of 32.*96x64 or 128x64"):
        build(replace(options, size=(100, 64)), CPU)
    assert build(replace(options, layers=(2, 3, 4), size=(64, 64)), CPU).bn.conv1.in_channels == 40


@pytest.mark.parametrize(
    ("name", "value"), [("lr", 0.0), ("beta1", 1.0), ("sigma", -1.0), ("epochs", 0), ("batch_size", 0)]
)
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of rd4ad"):
        check(replace(SMALL, **{name: value}), owner="rd4ad")


def test_the_paper_preset_is_the_authors_set_up():
    """Adam with 0.005 and 0.5 in batches of 16, 200 epochs at 256 x 256."""
    paper = PRESETS["paper"].options
    assert paper == RD4ADOptions()
    assert (paper.backbone, paper.layers, paper.size, paper.interpolation) == (
        "wide_resnet50_2", (1, 2, 3), (256, 256), "bilinear",
    )  # fmt: skip
    assert (paper.lr, paper.beta1, paper.batch_size, paper.epochs) == (0.005, 0.5, 16, 200)
    assert (paper.loss, paper.sigma) == ("whole", 4.0)


def test_the_plugin_offers_rd4ad_without_torch():
    """Listing the methods imports no torch; published numbers come with their settings."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("rd4ad", ["cpu", "paper", "quick"])
    assert {(each.setting, each.policy) for each in method.published} >= {("one-class", "last")}
    assert_listing_needs_no_torch("rd4ad")


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    checks.check_method("rd4ad")
