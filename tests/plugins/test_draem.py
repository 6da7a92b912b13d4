"""DRAEM: the laws of its parts, its detector, and its options."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.draem import PRESETS, DRAEMOptions, adbench_methods
from adbench_plugins.draem.model import DRAEM, NETWORKS, decay, focal, similarity, square_logits
from adbench_plugins.draem.synthesis import rotate_some, synthesise
from adbench_plugins.textures import Textures
from flow_doubles import TinyBatch, TinyImages, train, unbroken_and_resumed
from PIL import Image

from adbench import BuildContext, checks
from adbench.api.options import check
from adbench.util.errors import OptionError, SizeError, TaskError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SIZE = (32, 64)

SMALL = DRAEMOptions(size=SIZE, amp="off", batch_size=3, width=4, segmentation_width=4, epochs=2, lr=1e-3)


def small(seed: int = 0, **changes: object) -> DRAEM:
    torch.manual_seed(seed)
    return DRAEM(replace(SMALL, **changes), CPU)


def weights(detector: DRAEM) -> dict[str, torch.Tensor]:
    return {key: value for name in NETWORKS for key, value in getattr(detector, name).state_dict().items()}


# ---------------------------------------------------------------- laws of the parts


def test_half_of_the_images_are_painted_and_only_within_their_masks() -> None:
    """A little less than half, as Perlin noise may be too low everywhere; elsewhere they are the unpainted ones."""
    torch.manual_seed(0)
    images = torch.rand(200, 3, 32, 32)
    painted, clean, masks = synthesise(images, Textures((32, 32)).draw, 0.0)
    assert torch.equal(clean, images)
    changed = (painted != clean).any(1, keepdim=True)
    assert not changed[masks == 0].any()
    assert changed[masks == 1].float().mean() > 0.95
    assert 0.3 < masks.amax((1, 2, 3)).mean() < 0.5
    assert 0 <= painted.amin() <= painted.amax() <= 1


def test_some_images_are_rotated() -> None:
    """About the wanted share, by different angles, with black corners; none with a share of 0."""
    torch.manual_seed(0)
    images = torch.ones(400, 3, 16, 16)
    found = rotate_some(images, 0.3)
    turned = found[(found != images).any(3).any(2).any(1)]
    assert 0.22 < len(turned) / 400 < 0.36
    assert len(turned.mean((1, 2, 3)).unique()) > 50
    assert torch.equal(rotate_some(images, 0.0), images)


def test_similarity_is_one_for_equal_images_and_guesses_the_range() -> None:
    """Values below -0.5 double the constants' range, and values above 128 make it 255, as in the program."""
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    noisy = (images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert similarity(images, images).item() == pytest.approx(1)
    assert 0 < similarity(noisy, images).item() < 0.99
    assert similarity(255 * noisy, 255 * images).item() == pytest.approx(similarity(noisy, images).item(), abs=1e-4)
    dark = noisy.clone()
    dark[0, 0, 0, 0] = -0.6
    assert similarity(dark, images) > similarity(noisy, images)


def test_focal_loss_is_that_of_its_paper_and_stays_finite() -> None:
    """-(1 - p)^2 log p for the probability p of the right answer, also where p is 0."""
    share = torch.tensor([0.2, 0.9]).view(1, 1, 1, 2)
    probabilities = torch.cat((1 - share, share), dim=1)
    masks = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    right = torch.tensor([0.8, 0.9])
    torch.testing.assert_close(focal(probabilities, masks), -((1 - right) ** 2 * right.log()).mean(), rtol=1e-3, atol=0)
    wrong = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert focal(wrong, torch.zeros(1, 1, 1, 1)).item() == pytest.approx(-np.log(2e-5), rel=1e-3)


def test_image_scores_tell_apart_what_probabilities_cannot() -> None:
    """Logits of squares are those of the mean probability in float64, and stay finite and different far beyond 1."""
    logits = 4 * torch.randn(2, 30, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = torch.nn.functional.avg_pool2d(logits.sigmoid(), 21, 1, 10)
    torch.testing.assert_close(square_logits(logits), torch.logit(mean))
    sure = torch.stack([torch.full((64, 64), value) for value in (-300.0, -20.0, 0.0, 20.0, 30.0)])
    found = square_logits(sure).amax((1, 2))
    assert torch.isfinite(found).all()
    assert all(before < after for before, after in pairwise(found.tolist()))


def test_an_epoch_has_the_wanted_number_of_images() -> None:
    """Passes over the training images follow each other until there are enough; by default it is one pass."""
    for wanted, expected in ((None, [3, 2]), (3, [3]), (8, [3, 2, 3])):
        detector = small(epochs=1, epoch_images=wanted)
        steps: list[int] = []
        detector.step = lambda *tensors, steps=steps: steps.append(len(tensors[0])) or torch.zeros(())
        train(detector, TinyImages(5, size=SIZE))
        assert steps == expected


def test_learning_rates_fall_twice() -> None:
    """To a fifth after 560 and 630 of 700 epochs."""
    options = DRAEMOptions()
    found = [decay(epoch, options) for epoch in (0, 559, 560, 629, 630, 699)]
    assert found == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])


# ---------------------------------------------------------------- the detector


@pytest.mark.slow
def test_it_keeps_the_rules_of_a_method() -> None:
    """Every check of check-method passes with small networks."""
    checks.check_method("draem", changes={"size": (32, 64), "width": 2, "segmentation_width": 2, "epoch_images": 8})


def test_training_learns_and_reports() -> None:
    """The loss falls, ten epochs are evaluated, and the rates fall with the epochs."""
    detector = small(epochs=40)
    reports = train(detector, TinyImages(3, size=SIZE))
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert [report.number for report in reports if report.milestone] == list(range(4, 41, 4))
    assert [report.learning_rate for report in reports[31:]] == pytest.approx([1e-3] + [2e-4] * 4 + [4e-5] * 4)
    assert not detector.discriminative.training


@pytest.mark.slow
def test_a_trained_detector_finds_what_is_painted() -> None:
    """Logits are higher within patches than elsewhere, also where they are others than those of the training."""
    images = TinyImages(8, size=SIZE, batch_size=8)
    images.images = torch.nn.functional.avg_pool2d(images.images, 9, 1, 4)
    detector = small(epochs=300, lr=2e-3, rotated=0.0)
    train(detector, images)
    torch.manual_seed(99)
    painted, _, masks = synthesise(images.images.repeat(8, 1, 1, 1), Textures(SIZE).draw, 0.0)
    with torch.no_grad():
        found = detector.score(TinyBatch(painted)).map
    inside = masks[:, 0] > 0
    assert found[inside].mean() > found[~inside].mean() + 1


def test_the_same_seed_gives_the_same_scores() -> None:
    """All randomness comes from the seeded generators."""
    found = []
    for seed in (1, 1, 2):
        detector = small(seed=seed)
        train(detector, TinyImages(size=SIZE))
        with torch.no_grad():
            found.append(detector.score(TinyBatch(torch.full((1, 3, *SIZE), 0.5))).image)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    unbroken, resumed = unbroken_and_resumed(small, tmp_path, TinyImages(size=SIZE))
    after = weights(resumed)
    assert all(torch.equal(value, after[key]) for key, value in weights(unbroken).items())


def test_textures_come_from_the_folder_that_is_given(tmp_path: Path) -> None:
    """Another folder trains another model, and the folder isn't needed to score."""
    found = []
    for colour in (0, 255):
        folder = tmp_path / str(colour)
        folder.mkdir()
        Image.new("RGB", (8, 8), (colour, 0, 0)).save(folder / "flat.png")
        torch.manual_seed(0)
        detector = DRAEM(SMALL, BuildContext(CPU, auxiliary={"textures": folder}))
        train(detector, TinyImages(size=SIZE))
        found.append(weights(detector)["encoder.block1.0.weight"])
    assert not torch.equal(*found)


@torch.no_grad()
def test_an_image_scores_alone_as_in_a_batch() -> None:
    """No other image matters."""
    detector = small()
    images = torch.rand(3, 3, *SIZE)
    together, alone = (detector.score(TinyBatch(each)) for each in (images, images[1:2]))
    assert tuple(together.map.shape) == (3, *SIZE)
    torch.testing.assert_close(alone.image[0], together.image[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.map[0], together.map[1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bf16_stays_near_float32_and_makes_no_ties() -> None:
    """Scores in bf16 are float32 themselves, all different, and differ by a part of their spread."""
    images = torch.rand(40, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    images *= torch.linspace(0.2, 1, 40)[:, None, None, None]
    detector = small()
    for module in (*detector.reconstructive.modules(), *detector.discriminative.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics become those of the images
    detector._train(True)
    detector.restore(images)
    detector._train(False)
    exact = detector.score(TinyBatch(images))
    detector.options = replace(SMALL, amp="bf16")
    rough = detector.score(TinyBatch(images))
    for expected, actual in ((exact.image, rough.image), (exact.map, rough.map)):
        assert actual.dtype == torch.float32
        assert not torch.equal(actual, expected)
        assert (actual - expected).abs().mean() < 0.5 * expected.std()
    assert len(rough.image.unique()) == 40


def test_no_memory_is_an_error_and_not_a_smaller_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a batch would have other statistics."""
    detector = small()

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(detector, "restore", full)
    with pytest.raises(TaskError, match="batch of 3, which this method can't split"):
        train(detector, TinyImages(size=SIZE))


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    images = TinyImages(size=SIZE)
    images.images[:] = float("nan")
    with pytest.raises(TaskError, match="draem, epoch 1: found a loss of nan"):
        train(small(), images)


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0), ("segmentation_width", 0), ("rotated", 1.5), ("epochs", 0), ("lr", 0.0), ("decay_at", (1.2,))],
)
def test_values_that_cannot_work_are_refused(name: str, value: object) -> None:
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of draem"):
        check(replace(SMALL, **{name: value}), owner="draem")


def test_sizes_that_cannot_be_halved_five_times_are_refused() -> None:
    """The nearest ones are named."""
    with pytest.raises(SizeError, match=r"multiples of 32.*64x96 or 96x128"):
        small(size=(70, 100))


def test_presets_are_the_published_set_up_and_listing_needs_no_torch() -> None:
    """The program's schedule and sizes, 69.0 and 28.4 million parameters, and published numbers of both settings."""
    (method,) = adbench_methods()
    paper = method.presets["paper"].options
    assert paper == DRAEMOptions()
    assert (paper.size, paper.epochs, paper.batch_size, paper.lr) == ((256, 256), 700, 8, 1e-4)
    assert PRESETS["quick"].options == replace(paper, epochs=100)
    with torch.device("meta"):
        made = DRAEM(paper, torch.device("meta"))
    counts = [sum(each.numel() for each in getattr(made, name).parameters()) for name in NETWORKS]
    assert [round(count / 1e6, 1) for count in counts] == [69.0, 28.4]
    own = {row.metric: row.value for row in method.published if row.setting == "one-class"}
    assert own == pytest.approx({"image_auroc": 0.981, "pixel_auroc": 0.975, "pixel_ap": 0.689})
    assert {row.policy for row in method.published} == {"unknown"}
    command = "import sys, adbench_plugins.draem as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
