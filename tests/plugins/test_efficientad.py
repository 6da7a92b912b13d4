"""EfficientAD: training, the laws of its parts, its teacher's file, and its options."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.efficientad import PRESETS, EfficientADOptions, adbench_methods, build
from adbench_plugins.efficientad.model import EfficientAD, changed_colours, hardest, quantile
from adbench_plugins.efficientad.networks import PDN, Autoencoder, output_size
from distillation_doubles import SmallImages, some_images
from flow_doubles import assert_near
from PIL import Image

from adbench import BuildContext, Epoch, Step, checks
from adbench.api.options import check
from adbench.api.requirements import examine, require
from adbench.data.images import Batch
from adbench.util.errors import (
    AuxiliaryError,
    CheckpointError,
    DataError,
    OptionError,
    TaskError,
    UsageError,
    WeightsError,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

SMALL = EfficientADOptions(
    size=(48, 64), amp="off", channels=6, divisor=32, steps=7, lr=1e-3, penalty="none", validation=0.25
)
"""Six of eight images are trained on, in batches of three: two steps an epoch, and one in the fourth and last."""

METHOD = adbench_methods()[0]


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory) -> Path:
    """A teacher with random weights that fits ``SMALL``."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    torch.manual_seed(7)
    torch.save(PDN("small", SMALL.channels, SMALL.divisor).state_dict(), path)
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of five pictures of several sizes."""
    draw, folder = np.random.default_rng(2), tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for number, side in enumerate((20, 90, 150, 64, 33)):
        path = folder / ("inner" if number % 2 else ".") / f"{number}.png"
        Image.fromarray(draw.integers(0, 255, (side, side + 7, 3), dtype=np.uint8)).save(path)
    return folder


def make(teacher: Path | None, options: EfficientADOptions = SMALL, *, seed: int = 0, **auxiliary: Path) -> EfficientAD:
    torch.manual_seed(seed)
    given = {**auxiliary, **({"teacher": teacher} if teacher else {})}
    return build(options, BuildContext(CPU, seed, auxiliary=given))


def small_images() -> SmallImages:
    return SmallImages(some_images(8, SMALL.size))


def train(detector: EfficientAD, images: SmallImages, epochs: int | None = None) -> list[Epoch | Step]:
    """Drive ``fit`` as the engine does, for some epochs or to the end; all that it reports."""
    reports = []
    for report in detector.fit(images):
        reports.append(report)
        if isinstance(report, Epoch) and report.number > detector.epoch:
            detector.epoch = report.number
            if epochs is not None and report.number >= epochs:
                break
    return reports


# ---------------------------------------------------------------- fit


def test_an_epoch_is_a_pass_and_the_last_one_may_end_early(teacher_file):
    """Seven steps of two an epoch: the fourth epoch has one; the rate falls after 95 % of the steps."""
    detector = make(teacher_file)
    reports = train(detector, small_images())
    epochs = [report for report in reports if isinstance(report, Epoch)]
    assert [(each.number, each.total) for each in epochs] == [(number, 4) for number in range(5)]
    steps = [report for report in reports if isinstance(report, Step)]
    assert steps == [Step(1, 2), Step(2, 2)] * 3 + [Step(1, 1)]
    assert [each.learning_rate for each in epochs[1:]] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    assert detector.optimizer.state[detector.optimizer.param_groups[0]["params"][0]]["step"] == 7


def test_evaluations_are_every_ten_thousand_steps(teacher_file, monkeypatch):
    """An epoch in which the count is passed is a milestone; here every third step."""
    monkeypatch.setattr("adbench_plugins.efficientad.model.EVALUATED", 3)
    epochs = [each for each in train(make(teacher_file), small_images()) if isinstance(each, Epoch)][1:]
    assert [each.milestone for each in epochs] == [False, True, True, False]


def test_the_loss_falls(teacher_file):
    """Student and autoencoder learn the features of smooth images."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(some_images(8, (3, 4)), SMALL.size, mode="bilinear")
    reports = train(make(teacher_file, replace(SMALL, steps=30, lr=1e-2)), SmallImages(smooth))
    losses = [each.loss for each in reports if isinstance(each, Epoch) and each.loss is not None]
    assert losses[-1] < 0.8 * losses[0]


def test_a_resumed_training_ends_as_an_unbroken_one(teacher_file, pictures):
    """Optimiser, statistics and the draws of penalty images go on; the learning rate is a function of the step."""
    options, images = replace(SMALL, penalty="images"), small_images()
    unbroken, broken = (make(teacher_file, options, images=pictures) for _ in range(2))
    torch.manual_seed(3)
    train(unbroken, images)
    torch.manual_seed(3)
    train(broken, images, epochs=2)
    random, resumed = torch.get_rng_state(), make(teacher_file, options, seed=9, images=pictures)
    resumed.load_state_dict(broken.state_dict())
    resumed.epoch = 2
    torch.set_rng_state(random)
    assert sum(isinstance(each, Step) for each in train(resumed, images)) == 3
    batch = Batch.of(some_images(size=SMALL.size))
    with torch.no_grad():
        assert torch.equal(unbroken.score(batch).map, resumed.score(batch).map)


def test_quantiles_and_statistics_come_from_the_right_images(teacher_file):
    """The statistics from the images that are trained on, the quantiles from the held-out ones; the seed draws them."""
    detector, images = make(teacher_file, seed=4), small_images()
    train(detector, images)
    assert images.asked == (0.25, 4)
    kept, held_out = images.images[:6], images.images[6:]
    with torch.no_grad():
        features = detector.teacher(kept)
    assert_near(features.mean((0, 2, 3)).numpy(), detector.teacher_mean.flatten())
    assert_near(features.flatten(2).std((0, 2), correction=0).numpy(), detector.teacher_std.flatten())
    raw = detector.raw_maps(Batch.of(held_out)).flatten(1)
    assert_near(torch.quantile(raw, torch.tensor([0.9, 0.995]), dim=1).T.detach().numpy(), detector.quantiles)


def test_penalty_images_are_drawn_from_all_of_the_folder(teacher_file, pictures, monkeypatch):
    """They have the size of the images, count in the loss, and come from inner folders, too."""
    detector = make(teacher_file, replace(SMALL, steps=8, penalty="images"), images=pictures)
    seen = []
    terms = detector.terms

    def watched(*inputs: torch.Tensor) -> object:
        seen.append(inputs[3])
        found = terms(*inputs)
        assert (found.penalty > 0).all()
        return found

    monkeypatch.setattr(detector, "terms", watched)
    train(detector, small_images())
    assert {each.shape for each in seen} == {(3, 3, *SMALL.size)}
    assert all(each.min() >= 0 and each.max() <= 1 for each in seen)
    kinds = {tuple(each.mean((1, 2)).sub(each.mean()).round(decimals=3).tolist()) for batch in seen for each in batch}
    assert len(kinds) > 4  # five pictures, with and without colour
    assert any(max(map(abs, kind)) == 0 for kind in kinds)  # some are grey
    assert any(max(map(abs, kind)) > 0 for kind in kinds)


def test_a_loss_that_is_not_finite_ends_the_training(teacher_file):
    """The message names the learning rate."""
    images = SmallImages(some_images(8, SMALL.size) * torch.inf)
    with pytest.raises(TaskError, match=r"efficientad, epoch 1: found a loss of nan.*lr="):
        train(make(teacher_file), images)


def test_only_student_and_autoencoder_are_trained(teacher_file):
    """The teacher stays as in its file, and everything is in evaluation mode between epochs."""
    detector = make(teacher_file)
    train(detector, small_images(), epochs=1)
    stored = torch.load(teacher_file, weights_only=True)
    assert all(torch.equal(stored[key], value) for key, value in detector.teacher.state_dict().items())
    assert not any(each.training for name in ("student", "autoencoder") for each in getattr(detector, name).modules())


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.999])
def test_the_hardest_distances_are_those_that_reach_the_quantile(q):
    """As defined, by a sort of everything, for each image by itself."""
    distances = torch.rand(3, 5, 7, 9, generator=torch.Generator().manual_seed(0))
    expected = [each[each >= torch.quantile(each, q)].mean() for each in distances]
    assert_near(torch.stack(expected).numpy(), hardest(distances, q))


@pytest.mark.parametrize("count", [1, 2, 10, 11, 1000])
def test_the_quantile_is_interpolated(count):
    """It is torch's, for any number of values."""
    values = torch.randn(count, generator=torch.Generator().manual_seed(count))
    for q in (0.0, 0.31, 0.9, 0.995, 1.0):
        torch.testing.assert_close(quantile(values, q), torch.quantile(values, q))


def test_changed_colours_are_one_of_three_changes():
    """Brightness scales, contrast and saturation move away from a mean; by at most a fifth, within [0, 1]."""
    torch.manual_seed(0)
    images = 0.3 + 0.2 * some_images(60, (6, 7))
    found = changed_colours(images)
    assert found.shape == images.shape
    grey = (images * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    centres = {"brightness": torch.zeros_like(grey), "contrast": grey.mean((1, 2, 3), keepdim=True), "saturation": grey}
    kinds = []
    for row, (before, after) in enumerate(zip(images, found, strict=True)):
        for kind, centre in centres.items():
            factors = (after - centre[row]) / (before - centre[row])
            factor = factors.flatten().median()
            if torch.allclose(centre[row] + factor * (before - centre[row]), after, atol=1e-5):
                kinds.append(kind)
                assert 0.8 <= factor <= 1.2
    assert {kind: kinds.count(kind) > 8 for kind in kinds} == dict.fromkeys(centres, True)
    assert len(kinds) == 60


@pytest.mark.parametrize("size", [(33, 33), (40, 64), (96, 128), (101, 256), (512, 384)])
@pytest.mark.parametrize("kind", ["small", "medium"])
def test_teacher_and_autoencoder_have_the_same_positions(kind, size):
    """For every size of images, with one position for every four pixels but for the border."""
    with torch.no_grad():
        for network in (PDN(kind, 2, 32), Autoencoder(2, size, 32)):
            assert network(torch.rand(1, 3, *size)).shape == (1, 2, *output_size(size))
    if all(side % 8 == 0 for side in size):
        assert output_size(size) == tuple(side // 4 - 8 for side in size)


@pytest.mark.parametrize("kind", ["small", "medium"])
def test_half_of_the_last_layer_gives_half_of_the_output(kind):
    """In training each half of a student's channels is computed only for the images that it is trained on."""
    torch.manual_seed(0)
    network, images = PDN(kind, 6, 32), some_images(2, (48, 64))
    with torch.no_grad():
        whole, hidden = network(images), network.hidden(images)
        assert_near(whole[:, :3].numpy(), network.head(hidden, 0, 3))
        assert_near(whole[1:, 3:].numpy(), network.head(hidden[1:], 3, 6))


def test_too_small_images_are_refused():
    """The message says the smallest size."""
    with pytest.raises(OptionError, match="size of efficientad: found 32x64, wanted at least 33"):
        output_size((32, 64))


def test_an_image_alone_scores_as_in_a_batch(teacher_file):
    """There is no norm over a batch, and no dropout in a score."""
    detector, pixels = make(teacher_file), some_images(4, SMALL.size)
    train(detector, small_images())
    with torch.no_grad():
        together = detector.score(Batch.of(pixels))
        for number, image in enumerate(pixels):
            alone = detector.score(Batch.of(image[None]))
            torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-4, atol=1e-5)
    assert torch.equal(together.image, together.map.amax((1, 2)))


def test_maps_that_never_change_have_finite_scores(teacher_file):
    """Both quantiles may be the same, as where a single grey image is held out."""
    detector = make(teacher_file)
    detector.quantiles = torch.full((2, 2), 0.5)
    assert torch.isfinite(detector.score(Batch.of(some_images(2, SMALL.size))).map).all()


# ---------------------------------------------------------------- the teacher's file, state


def test_a_teacher_loads_by_numbers_or_by_names(teacher_file, tmp_path):
    """The convolutions may be called conv1 to conv4, as in anomalib; the state dict may be inside of another dict."""
    state = torch.load(teacher_file, weights_only=True)
    names = {"0": "conv1", "3": "conv2", "6": "conv3", "8": "conv4"}
    renamed = {f"{names[key.partition('.')[0]]}.{key.partition('.')[2]}": value for key, value in state.items()}
    torch.save({"state_dict": renamed}, tmp_path / "named.pt")
    loaded = make(tmp_path / "named.pt").teacher.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 8}, r"8\.bias: found shape 6, wanted shape 8.* network=small, channels=8, divisor=32"),
        ({"divisor": 16}, r"0\.bias: found shape 4, wanted shape 8"),
        ({"network": "medium"}, r"0\.bias: found shape 4, wanted shape 8"),
    ],
)
def test_the_teacher_of_other_options_is_refused(teacher_file, changes, message):
    """The message names file, layer and options."""
    with pytest.raises(WeightsError, match=message):
        make(teacher_file, replace(SMALL, **changes))


def test_a_file_that_is_no_teacher_is_refused(tmp_path):
    """Text, and the weights of another network."""
    (tmp_path / "text.pt").write_text("no weights")
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"text\.pt"):
        make(tmp_path / "text.pt")
    with pytest.raises(WeightsError, match=r"other\.pt, bias: found shape 4, wanted nothing"):
        make(tmp_path / "other.pt")


def test_what_is_missing_is_said_before_training():
    """Both needs with what going without costs; penalty images only where the option asks for them."""
    paper, cpu = PRESETS["paper"].options, PRESETS["cpu"].options
    with pytest.raises(UsageError, match=r"needs teacher: .*adbench_plugins\.efficientad distil.*does not train"):
        require("efficientad", METHOD.requirements, cpu, {})
    with pytest.raises(UsageError, match=r"needs images: .*image-net\.org.*-o penalty=none"):
        require("efficientad", METHOD.requirements, paper, {"teacher": Path(__file__)})
    require("efficientad", METHOD.requirements, cpu, {"teacher": Path(__file__)})
    with pytest.raises(UsageError, match="without a teacher"):
        next(make(None).fit(small_images()))


def test_what_is_given_is_looked_at_before_training(teacher_file, tmp_path):
    """A teacher of other options, a file that is none, and a folder without a readable picture are refused.

    Without the penalty the pictures don't matter.
    """
    (tmp_path / "broken.png").write_bytes(b"no picture")
    given, needs = {"teacher": teacher_file, "images": tmp_path}, METHOD.requirements
    penalised = replace(SMALL, penalty="images")
    with pytest.raises(AuxiliaryError, match=r"--aux images=.*found no picture that can be read: broken\.png"):
        examine(needs, penalised, given)
    with pytest.raises(DataError, match=r"broken\.png"):
        next(make(**given, options=penalised).fit(small_images()))
    assert examine(needs, SMALL, given) == []
    assert make(**given).penalty_pictures() is None
    with pytest.raises(AuxiliaryError, match=r"8\.bias: found shape 6, wanted shape 8"):
        examine(needs, replace(SMALL, channels=8), given)
    with pytest.raises(AuxiliaryError, match=r"broken\.png: found nothing that reads as weights"):
        examine(needs, SMALL, {"teacher": tmp_path / "broken.png"})


def test_a_checkpoint_is_scored_without_the_teachers_file(teacher_file):
    """The state has the teacher, its statistics and the quantiles; a state without one of them is refused."""
    detector, batch = make(teacher_file), Batch.of(some_images(2, SMALL.size))
    train(detector, small_images())
    other = make(None, seed=5)
    other.load_state_dict(detector.state_dict())
    with torch.no_grad():
        assert torch.equal(detector.score(batch).map, other.score(batch).map)
    with pytest.raises(CheckpointError, match="state 'autoencoder' does not fit"):
        make(None, replace(SMALL, divisor=16)).load_state_dict(detector.state_dict())


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "value"),
    [("validation", 0.0), ("lr", 0.0), ("hard", 1.0), ("steps", 0), ("divisor", 33), ("channels", 0)],
)
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of efficientad"):
        check(replace(SMALL, **{name: value}), owner="efficientad")


def test_the_paper_preset_is_the_published_set_up():
    """256 x 256, 384 channels, 70,000 steps of one image, Adam with 1e-4 and 1e-5, a tenth held out."""
    paper = PRESETS["paper"].options
    assert paper == EfficientADOptions()
    assert (paper.size, paper.interpolation, paper.batch_size, paper.steps) == ((256, 256), "bilinear", 1, 70_000)
    assert (paper.network, paper.channels, paper.divisor) == ("small", 384, 1)
    assert (paper.lr, paper.weight_decay, paper.hard, paper.validation) == (1e-4, 1e-5, 0.999, 0.1)
    detector = make(None, paper)
    assert sum(each.numel() for each in detector.teacher.parameters()) == pytest.approx(2.69e6, rel=2e-3)
    assert sum(each.numel() for each in detector.autoencoder.parameters()) == pytest.approx(1.10e6, rel=5e-3)
    medium = PDN("medium", 384)
    assert sum(each.numel() for each in medium.parameters()) == pytest.approx(8.03e6, rel=2e-3)
    assert detector.learning_rate(math.ceil(0.95 * 70_000) - 1) == 1e-4
    assert detector.learning_rate(66_500) == pytest.approx(1e-5)


def test_the_plugin_offers_efficientad_without_torch():
    """Listing the methods imports no torch; published numbers name the option network."""
    assert (METHOD.name, sorted(METHOD.presets), METHOD.settings) == (
        "efficientad", ["cpu", "paper", "quick"], ("one-class",),
    )  # fmt: skip
    assert {each.configuration for each in METHOD.published} == {"small", "medium"}
    command = "import sys, adbench_plugins.efficientad as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.slow
def test_it_keeps_the_rules(teacher_file, pictures):
    """Those of ``adbench check-method``, with penalty images."""
    changes = {"size": (40, 48), "divisor": 32, "channels": 6, "steps": 12, "penalty": "images"}
    checks.check_method(METHOD, changes=changes, auxiliary={"teacher": teacher_file, "images": pictures})
