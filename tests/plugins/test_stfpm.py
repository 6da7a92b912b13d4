"""STFPM against the numbers of the authors' program and anomalib, and the laws of its parts."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from adbench_plugins.stfpm import PRESETS, STFPMOptions, adbench_methods, build
from adbench_plugins.stfpm.model import STFPM, from_authors, matching_losses, product, squared_distances
from distillation_doubles import CPU, SmallImages, as_network, small_backbone, small_resnet, some_images
from flow_doubles import assert_near, golden_file, tensors, train
from method_laws import (
    assert_a_loss_that_is_not_finite_ends_the_training,
    assert_a_resumed_training_ends_in_the_same_numbers,
    assert_an_image_scores_alone_as_in_a_batch,
    assert_listing_needs_no_torch,
)

from adbench import Epoch, backbones, checks
from adbench.api import maps
from adbench.api.options import check
from adbench.backbones.extractor import Extractor
from adbench.data.images import Batch
from adbench.util.errors import CheckpointError, OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = STFPMOptions(size=(64, 64), amp="off", batch_size=3, epochs=3, validation=0.25)


def make(options: STFPMOptions = SMALL, seed: int = 0) -> STFPM:
    torch.manual_seed(seed)
    return STFPM(options, CPU, small_backbone())


# ---------------------------------------------------------------- golden numbers


@pytest.fixture(scope="module")
def scores():
    """Features of a teacher and a student, and what the programs compute from them."""
    return golden_file("stfpm_scores.npz")


@pytest.fixture(scope="module")
def training():
    """Images, the features that a teacher has of them, and a student before and after four steps."""
    return golden_file("stfpm_training.npz")


def features(archive, prefix: str) -> list[torch.Tensor]:
    return [torch.from_numpy(archive[f"{prefix}{level}"]) for level in range(3)]


class GoldenTeacher:
    """Features that are stored, and a student of the golden file's shape."""

    def __init__(self, stored: list[torch.Tensor]) -> None:
        self.stored = stored

    def trainable_copy(self, *, pretrained: bool) -> Extractor:
        """Random weights."""
        return Extractor("golden", as_network((1, 2, 3)), layers=(1, 2, 3), padding="zeros", pool="none").train()


class GoldenBatch:
    """The golden images."""

    def __init__(self, archive) -> None:
        self.images = torch.from_numpy(archive["x"])

    def __len__(self) -> int:
        return len(self.images)

    def features(self, backbone: GoldenTeacher) -> list[torch.Tensor]:
        """What the golden teacher makes of them."""
        return backbone.stored


def golden_detector(archive) -> STFPM:
    """The golden student before its first step, from a state dict with the authors' names."""
    detector = STFPM(SMALL, CPU, GoldenTeacher(features(archive, "teacher_out")))
    detector.load_state_dict(tensors(archive, "student/"))
    return detector


def test_the_loss_and_its_gradients_are_those_of_the_authors_program(scores):
    """Also where all channels of a teacher's vector are 0."""
    student = [level.requires_grad_() for level in features(scores, "student")]
    loss = matching_losses(features(scores, "teacher"), student).mean()
    loss.backward()
    assert_near(scores["loss_official"], loss)
    for level, values in enumerate(student):
        assert_near(scores[f"grad_student{level}"], values.grad)


def test_maps_and_scores_are_those_of_the_authors_program(scores):
    """The product at 64 x 64, enlarged to 256 x 256; the image score is its maximum."""
    levels = squared_distances(features(scores, "teacher"), features(scores, "student"))
    found = product(levels, (64, 64))
    large = maps.upsample(found, (256, 256))
    assert_near(scores["map64_official"], found)
    assert_near(scores["map256_official_sub16"], large[:, ::16, ::16])
    assert_near(scores["score_official"], maps.highest(large))


def test_anomalib_has_the_same_map_in_another_unit_and_a_larger_loss(scores):
    """Its map is an eighth of the authors', and its loss for a batch of 3 is 3 / 2 of theirs."""
    pair = features(scores, "teacher"), features(scores, "student")
    assert_near(scores["map64_anomalib"], product(squared_distances(*pair), (64, 64)) / 8)
    assert_near(scores["loss_anomalib"], matching_losses(*pair).mean() * 3 / 2)


def test_a_students_features_and_gradients_are_those_of_the_authors_program(training):
    """In training mode, through all its batch norms; half of the batch has other features."""
    detector = golden_detector(training)
    state = {key: value.clone() for key, value in detector.student.state_dict().items()}
    half = detector.student(torch.from_numpy(training["x"])[:2])
    assert_near(training["student_split2_out2"], half[2], 1e-4)
    detector.student.load_state_dict(state)

    for level, found in enumerate(detector.student(torch.from_numpy(training["x"]))):
        if level > 0:
            assert_near(training[f"student_train_out{level}"], found, 1e-4)
    detector.student.load_state_dict(state)
    batch = GoldenBatch(training)
    losses = detector.losses(batch.images, *batch.features(detector.backbone))
    losses.mean().backward()
    gradients = {key: value.grad for key, value in detector.student.named_parameters()}
    stored = from_authors({"model.0.weight": torch.empty(0), **tensors(training, "grad/")})
    assert stored is not None
    del stored["conv1.weight"]
    assert len(stored) > 40
    for key, expected in stored.items():
        assert_near(expected.numpy(), gradients[f"network.{key}"], 1e-3)


def test_four_steps_are_those_of_the_authors_program(training):
    """Losses, weights and running statistics, the error on held-out images, the map and the score."""
    detector, batch = golden_detector(training), GoldenBatch(training)
    for expected in training["losses"]:
        assert float(detector.step(batch)) == pytest.approx(float(expected), rel=1e-4)
    state = detector.student.state_dict()
    stored = tensors(training, "student_step4/")
    names = from_authors({"model.0.weight": torch.empty(0), **stored}) or {}
    for key, expected in names.items():
        if key != "conv1.weight":
            assert_near(expected.numpy(), state[key], 1e-3)

    detector.student.eval()
    with torch.no_grad():
        levels = squared_distances(batch.features(detector.backbone), detector.student(batch.images))
    found = product(levels, (64, 64))
    assert_near(training["map64_after4_sub4"], found[:, ::4, ::4], 1e-3)
    assert_near(training["score_after4"], maps.highest(maps.upsample(found, (256, 256))), 1e-3)
    assert float(found.mean()) == pytest.approx(float(training["val_error_after4"]), rel=1e-3)


# ---------------------------------------------------------------- fit


def test_the_student_of_the_lowest_error_is_kept():
    """Another epoch's student replaces it only if its maps of the held-out images are lower."""
    detector, images = make(replace(SMALL, epochs=6, lr=20.0)), SmallImages()
    errors = []
    for _ in detector.fit(images):
        detector.student.eval()
        with torch.no_grad():
            found = detector._maps(detector.student, Batch.of(images.images[6:]))
        detector.student.train()
        errors.append(float(found.mean()))
        if len(errors) > 1:
            assert float(detector.lowest) == pytest.approx(min(errors[1:]))
            kept = detector._maps(detector.kept, Batch.of(images.images[6:]))
            assert float(kept.mean()) == pytest.approx(min(errors[1:]))
    assert errors[1:] != sorted(errors[1:], reverse=True)  # some epoch was worse than the one before


def test_the_kept_student_survives_a_resume():
    """A worse epoch after the resume doesn't replace it, since the state has its error as well."""
    broken, images = make(), SmallImages()
    train(broken, images, epochs=1)
    broken.lowest = torch.tensor(0.0)  # no epoch can do better
    file = io.BytesIO()
    torch.save(broken.state_dict(), file)
    file.seek(0)

    resumed = make(seed=1)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.epoch = 1
    assert len(train(resumed, images)) == 2
    batch = Batch.of(some_images())
    assert torch.equal(broken.score(batch).map, resumed.score(batch).map)
    assert not torch.equal(resumed.student.state_dict()["conv1.weight"], resumed.kept.state_dict()["conv1.weight"])


def test_a_resumed_training_ends_as_an_unbroken_one(tmp_path):
    """The optimiser's momentum, the student, the kept one and its error are in the state."""
    assert_a_resumed_training_ends_in_the_same_numbers(make, tmp_path, SmallImages())


def test_held_out_images_are_a_share_of_the_training_images():
    """They are drawn by the run's seed, and nothing of the test set is asked for."""
    detector, images = make(), SmallImages()
    detector.context = replace(detector.context, seed=4)
    reports = list(detector.fit(images))
    assert images.asked == (0.25, 4)
    assert [report.number for report in reports] == [0, 1, 2, 3]
    assert reports[0] == Epoch(0, 3)


def test_the_teacher_and_the_kept_student_have_no_gradients():
    """Only the student is trained, and only the teacher starts from the published weights."""
    detector = make()
    before = {key: value.clone() for key, value in detector.backbone.network.state_dict().items()}
    train(detector, SmallImages(), epochs=1)
    after = detector.backbone.network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(value.requires_grad for value in detector.kept.parameters())
    assert not detector.kept.training


def test_a_loss_that_is_not_finite_ends_the_training():
    """The message names the learning rate."""
    assert_a_loss_that_is_not_finite_ends_the_training(make(), "stfpm", SmallImages())


# ---------------------------------------------------------------- score


def test_an_image_alone_scores_as_in_a_batch():
    """Batch norm has its running statistics, whatever mode the student is in."""
    detector = make()
    train(detector, SmallImages())
    assert_an_image_scores_alone_as_in_a_batch(detector, some_images(), batch=Batch.of, atol=1e-7)


@pytest.mark.parametrize("layers", [(1,), (2, 3), (1, 2)])
def test_other_layers_work(layers):
    """The map has the size of the image, and comes from the size of the finest layer."""
    torch.manual_seed(0)
    options = replace(SMALL, backbone="efficientnet_lite0", layers=layers)
    scores = build(options, CPU).score(Batch.of(some_images(2, (64, 96))))
    assert scores.map.shape == (2, 64, 96)
    assert 0 < float(scores.image.min()) <= float(scores.image.max()) <= 4 ** len(layers)


def test_distances_are_bounded_and_blind_to_length():
    """Only the direction of a vector counts: 0 for the same one, 4 for the opposite one, 1 for no vector."""
    vectors = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    cases = {0.0: 3 * vectors, 4.0: -vectors, 1.0: 0 * vectors}
    for expected, student in cases.items():
        (found,) = squared_distances([vectors], [student])
        torch.testing.assert_close(found, torch.full((2, 3, 3), expected), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- state, options


def test_an_authors_checkpoint_loads_without_its_last_stage():
    """Its names have numbers; the whole file may be the state dict, or a part of it."""
    torch.manual_seed(1)
    net = small_resnet()
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    own = {key: value for key, value in net.state_dict().items() if not key.startswith("fc.")}
    theirs = {f"model.{numbers[key.split('.')[0]]}.{key.split('.', 1)[1]}": value for key, value in own.items()}
    for state in (theirs, {"epoch": 3, "state_dict": theirs}):
        detector = make()
        detector.load_state_dict(state)
        for network in (detector.student, detector.kept):
            loaded = network.state_dict()
            assert all(torch.equal(own[key], value) for key, value in loaded.items())
            assert "layer3.1.conv2.weight" in loaded


def test_state_that_does_not_fit_is_refused():
    """Missing parts, another backbone's parameters, and another network's names are named."""
    with pytest.raises(CheckpointError, match="'student' of an STFPM model"):
        make().load_state_dict({"flow": {}})
    other = backbones.load("efficientnet_lite0", device=CPU)
    with pytest.raises(CheckpointError, match=r"checkpoint, .model\._blocks"):
        STFPM(SMALL, CPU, other).load_state_dict({"model.0.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    ("name", "value"),
    [("validation", 0.0), ("validation", 1.0), ("lr", 0.0), ("momentum", 1.0), ("weight_decay", -1.0), ("epochs", 0)],
)
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of stfpm"):
        check(replace(SMALL, **{name: value}), owner="stfpm")


def test_the_paper_preset_is_the_authors_set_up():
    """ResNet-18 at 256 x 256, SGD with 0.4, 0.9 and 1e-4 in batches of 32, a fifth held out."""
    paper = PRESETS["paper"].options
    assert paper == STFPMOptions()
    assert (paper.backbone, paper.layers, paper.size, paper.interpolation) == (
        "resnet18", (1, 2, 3), (256, 256), "bilinear",
    )  # fmt: skip
    assert (paper.lr, paper.momentum, paper.weight_decay, paper.batch_size) == (0.4, 0.9, 1e-4, 32)
    assert (paper.epochs, paper.validation) == (200, 0.2)


def test_the_plugin_offers_stfpm_without_torch():
    """Listing the methods imports no torch; published numbers come with their policies."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("stfpm", ["cpu", "paper", "quick"])
    assert {each.policy for each in method.published} == {"last", "oracle", "unknown"}
    assert not any(each.metric == "aupro" for each in method.published)  # the authors' PRO is another measure
    assert_listing_needs_no_torch("stfpm")


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    checks.check_method("stfpm")
