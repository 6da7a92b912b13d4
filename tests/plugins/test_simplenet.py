"""SimpleNet against the authors' numbers, and the laws of its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.patches import flat_pooled
from adbench_plugins.simplenet import PRESETS, SimpleNetOptions, adbench_methods
from adbench_plugins.simplenet.model import SimpleNet, hinge_loss
from flow_doubles import (
    StoredBackbone,
    TinyBackbone,
    TinyBatch,
    TinyImages,
    assert_near,
    golden_file,
    tensors,
    train,
)
from method_laws import (
    assert_a_loss_that_is_not_finite_ends_the_training,
    assert_a_resumed_training_ends_in_the_same_numbers,
    assert_an_image_scores_alone_as_in_a_batch,
    assert_listing_needs_no_torch,
    assert_no_memory_is_an_error,
    assert_the_same_seed_gives_the_same_scores,
)

from adbench import Scores, checks
from adbench.api.options import check
from adbench.util.errors import CheckpointError, OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

SMALL = SimpleNetOptions(
    size=(32, 48), resize="stretch", resize_to=None, amp="off", batch_size=3, width=20, hidden=8, lr=1e-3,
    meta_epochs=2, sub_epochs=2,
)  # fmt: skip

PARTS = ("pre_projection", "discriminator")

IDLE = ("pre_projection/layers.0fc.bias", "discriminator/body.block1.0.bias")
"""Batch norm removes what these add: their gradients are rounding errors, whose sign decides Adam's step."""


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("simplenet_small.npz")


def authors_checkpoint(golden: np.lib.npyio.NpzFile) -> dict[str, dict[str, torch.Tensor]]:
    return {part: tensors(golden, f"{part}/") for part in PARTS}


@pytest.fixture
def published(golden: np.lib.npyio.NpzFile) -> SimpleNet:
    """The small model of the golden file, loaded as an authors' checkpoint."""
    options = replace(SimpleNetOptions(), size=(32, 32), resize_to=(32, 32), amp="off", width=16, hidden=12)
    stored = [torch.from_numpy(golden[f"feat_layer{layer}"]) for layer in (2, 3)]
    detector = SimpleNet(options, CPU, StoredBackbone(stored))
    detector.load_state_dict(authors_checkpoint(golden))
    return detector


def small(channels: tuple[int, ...] = (4, 6), seed: int = 0, **changes: object) -> SimpleNet:
    torch.manual_seed(seed)
    return SimpleNet(replace(SMALL, **changes), CPU, TinyBackbone(channels))


@torch.no_grad()
def scores_of(detector: SimpleNet) -> Scores:
    return detector.score(TinyBatch(torch.zeros(2, 3, 32, 32)))


# ---------------------------------------------------------------- the authors' numbers


@torch.no_grad()
def test_vectors_and_scores_are_the_authors(published: SimpleNet, golden: np.lib.npyio.NpzFile) -> None:
    """Pooled patches of one layer and of both, adapted vectors, the discriminator's values, map and image score."""
    levels = published.backbone.features
    vectors = published.embed(levels).flatten(0, 2)
    adapted = published.pre_projection(vectors)
    scores = scores_of(published)

    assert_near(golden["mapper_layer2"], flat_pooled(levels[:1], 16, 16).flatten(0, 2))
    assert_near(golden["embedding"], vectors)
    assert_near(golden["projected"], adapted)
    assert_near(golden["eval0_logit_patch"][:, 0], published.discriminator(adapted))
    assert_near(golden["eval0_map"], scores.map)
    assert_near(golden["eval0_image_score"], scores.image)


def test_three_training_steps_are_the_authors(published: SimpleNet, golden: np.lib.npyio.NpzFile, monkeypatch) -> None:
    """Losses, all gradients of the first step, all that one and three steps change, and the scores after them."""
    noise = torch.from_numpy(golden["noise"])
    monkeypatch.setattr("adbench_plugins.simplenet.model.torch.randn_like", lambda _: noise / published.options.noise)
    published._train(True)
    for step in (1, 2, 3):
        assert_near(golden[f"train_loss_step{step}"], published.step(published.backbone.features))
        if step == 1:
            for part in PARTS:
                for name, value in getattr(published, part).named_parameters():
                    if f"{part}/{name}" in IDLE:
                        assert value.grad.abs().max() < 1e-6
                    else:
                        assert_near(golden[f"grad1/{part}/{name}"], value.grad, 1e-3)
        if step in (1, 3):
            for part in PARTS:
                found = getattr(published, part).state_dict()
                stored = tensors(golden, f"after{step}/{part}/")
                assert stored.keys() == found.keys()
                for name in stored.keys() - {each.partition("/")[2] for each in IDLE}:
                    assert_near(stored[name].numpy(), found[name], 1e-4)
    published._train(False)
    own = scores_of(published)
    published.load_state_dict({part: tensors(golden, f"after3/{part}/") for part in PARTS})
    loaded = scores_of(published)
    for name, expected in (("map", golden["eval3_map"]), ("image", golden["eval3_image_score"])):
        assert_near(expected, getattr(own, name), 1e-3)  # the idle biases move it
        assert_near(expected, getattr(loaded, name))


@torch.no_grad()
def test_good_and_noisy_vectors_share_one_batch_norm(published: SimpleNet, golden: np.lib.npyio.NpzFile) -> None:
    """The published shares of values beyond the margins in the first step, in training mode."""
    published._train(True)
    vectors = published.embed(published.backbone.features).flatten(0, 2)
    good, noisy = published.values(vectors, torch.from_numpy(golden["noise"]))
    assert (good >= 0.5).float().mean().item() == pytest.approx(golden["train_p_true_step1"].item())
    assert (noisy < -0.5).float().mean().item() == pytest.approx(golden["train_p_fake_step1"].item())
    assert_near(golden["train_loss_step1"], hinge_loss(good, noisy, 0.5))


# ---------------------------------------------------------------- the detector


@pytest.mark.slow
def test_it_keeps_the_rules_of_a_method() -> None:
    """Every check of check-method passes with the small backbone."""
    checks.check_method("simplenet", changes={"size": (64, 64), "width": 64, "hidden": 16})


def test_training_learns_and_reports() -> None:
    """The loss falls, and meta-epochs end in a milestone."""
    detector = small(meta_epochs=15, lr=1e-2, adaptor_lr=5e-3, noise=0.1)
    reports = train(detector, TinyImages())
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert [report.milestone for report in reports] == [False, True] * 15
    assert not detector.discriminator.training


def test_a_trained_detector_finds_noise_on_vectors() -> None:
    """Vectors of new images have lower values with noise than without."""
    detector = small(meta_epochs=20, lr=1e-2, adaptor_lr=5e-3, noise=0.1)
    train(detector, TinyImages())
    vectors = detector.embed(detector.backbone(torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(9))))
    rows = vectors.flatten(0, 2)
    with torch.no_grad():
        good, noisy = detector.values(rows, 0.1 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(1)))
    assert good.mean() > noisy.mean() + 0.3


def test_the_same_seed_gives_the_same_scores() -> None:
    """All randomness comes from the seeded generators."""
    assert_the_same_seed_gives_the_same_scores(small)


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    assert_a_resumed_training_ends_in_the_same_numbers(small, tmp_path)


def test_an_image_scores_alone_as_in_a_batch_at_any_size() -> None:
    """No other image matters, even at a size that no stride divides."""
    assert_an_image_scores_alone_as_in_a_batch(small(), torch.rand(3, 3, 37, 54))


@torch.no_grad()
def test_image_scores_come_from_the_map_before_smoothing() -> None:
    """They don't depend on sigma, and without it they are the map's highest value up to the resizing."""
    images = torch.rand(4, 3, 32, 48)
    plain, smooth = (small(sigma=sigma).score(TinyBatch(images)) for sigma in (0.0, 4.0))
    assert torch.equal(plain.image, smooth.image)
    assert (plain.map.amax((1, 2)) <= plain.image + 1e-6).all()
    assert (smooth.map.amax((1, 2)) < plain.map.amax((1, 2))).all()


@torch.no_grad()
def test_bf16_stays_near_float32_and_makes_no_ties() -> None:
    """Scores in bf16 differ by a part of their spread, and are float32 themselves."""
    images = torch.rand(40, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    exact, rough = (small(amp=amp).score(TinyBatch(images)) for amp in ("off", "bf16"))
    for expected, actual in ((exact.image, rough.image), (exact.map, rough.map)):
        assert actual.dtype == torch.float32
        assert not torch.equal(actual, expected)
        assert (actual - expected).abs().mean() < 0.2 * expected.std()
    assert len(rough.image.unique()) == 40


def test_no_memory_is_an_error_and_not_a_smaller_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a batch would have other statistics."""
    assert_no_memory_is_an_error(small(), "values", monkeypatch)


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    assert_a_loss_that_is_not_finite_ends_the_training(small(), "simplenet")


def test_a_checkpoint_that_does_not_fit_is_refused(golden: np.lib.npyio.NpzFile) -> None:
    """The part is named."""
    with pytest.raises(CheckpointError, match="'pre_projection' does not fit"):
        small().load_state_dict(authors_checkpoint(golden))


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0), ("hidden", 0), ("noise", 0.0), ("margin", -0.1), ("meta_epochs", 0), ("sigma", -1.0)],
)
def test_values_that_cannot_work_are_refused(name: str, value: object) -> None:
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of simplenet"):
        check(replace(SMALL, **{name: value}), owner="simplenet")


def test_vectors_longer_than_a_patch_are_refused() -> None:
    """Pooling would repeat numbers of the narrowest layer."""
    with pytest.raises(OptionError, match="width: found 37, more than the 36 numbers of a patch"):
        small(width=37)
    small(width=36)


def test_presets_are_the_published_set_up_and_listing_needs_no_torch() -> None:
    """The program's crop and schedule; published numbers of the best epoch say so, and most others don't know."""
    (method,) = adbench_methods()
    paper = method.presets["paper"].options
    assert paper == SimpleNetOptions()
    assert (paper.size, paper.resize, paper.resize_to) == ((288, 288), "crop", (329, 329))
    assert (paper.meta_epochs * paper.sub_epochs, paper.batch_size, paper.width) == (160, 8, 1536)
    assert PRESETS["quick"].options == replace(paper, meta_epochs=10)
    carpet = {row.policy: row.value for row in method.published if row.class_name == "carpet"}
    assert carpet == pytest.approx({"oracle": 0.997, "last": 0.978})
    assert {row.policy for row in method.published if row.setting == "multi-class"} == {"unknown"}
    assert len(method.published) == 81
    assert_listing_needs_no_torch("simplenet")
