"""GLASS against the authors' numbers, and the laws of its parts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from adbench_plugins.glass import PRESETS, GLASSOptions, adbench_methods
from adbench_plugins.glass.model import GLASS, at_distance, hard_focal, hardest, mean_vectors
from adbench_plugins.glass.synthesis import draw_masks, joined_masks, shrunk, synthesise
from adbench_plugins.textures import Textures
from flow_doubles import (
    TinyBackbone,
    TinyBatch,
    TinyImages,
    assert_near,
    golden_file,
    tensors,
    train,
    unbroken_and_resumed,
)

from adbench import Scores, checks
from adbench.api.options import check
from adbench.util.errors import CheckpointError, OptionError, TaskError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

SMALL = GLASSOptions(
    size=(32, 48), resize="stretch", amp="off", batch_size=3, width=20, hidden=8, lr=1e-3, epochs=2, ascent_steps=5
)

PARTS = ("pre_projection", "discriminator")

MODES = pytest.mark.parametrize(("mode", "distribution"), [("svd0", "manifold"), ("svd1", "hypersphere")])


class GoldenBackbone:
    """Returns the stored features: those of the painted images for bright ones, else those of the good images."""

    channels = (6, 10)

    def __init__(self, golden: np.lib.npyio.NpzFile) -> None:
        self.features = [torch.from_numpy(golden[f"feat_layer{layer}"]) for layer in (2, 3)]

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The features of two images."""
        start = 2 if images.mean() > 0.5 else 0
        return [each[start : start + 2] for each in self.features]


GOOD, PAINTED = torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("glass_small.npz")


def authors_checkpoint(golden: np.lib.npyio.NpzFile) -> dict[str, dict[str, torch.Tensor]]:
    return {part: tensors(golden, f"{part}/") for part in PARTS}


def published(golden: np.lib.npyio.NpzFile, distribution: str = "manifold") -> GLASS:
    """The small model of the golden file, loaded as an authors' checkpoint, with the mean vectors of its images."""
    options = GLASSOptions(size=(32, 32), amp="off", width=16, hidden=12, distribution=distribution)
    detector = GLASS(options, CPU, GoldenBackbone(golden))
    detector.load_state_dict(authors_checkpoint(golden))
    detector.usual = mean_vectors(iter([detector.embed(detector.backbone(GOOD))]))
    return detector


def rows(detector: GLASS, images: torch.Tensor) -> torch.Tensor:
    return detector.embed(detector.backbone(images)).flatten(0, 2)


def small(channels: tuple[int, ...] = (4, 6), seed: int = 0, **changes: object) -> GLASS:
    torch.manual_seed(seed)
    return GLASS(replace(SMALL, **changes), CPU, TinyBackbone(channels))


@torch.no_grad()
def scores_of(detector: GLASS) -> Scores:
    return detector.score(TinyBatch(GOOD))


# ---------------------------------------------------------------- the authors' numbers


@torch.no_grad()
def test_vectors_and_scores_are_the_authors(golden: np.lib.npyio.NpzFile) -> None:
    """Patch vectors of good and painted images, their mean at each position, probabilities, map and image score."""
    detector = published(golden)
    good = rows(detector, GOOD)
    scores = scores_of(detector)
    assert_near(golden["embedding_clean"], good)
    assert_near(golden["embedding_aug"], rows(detector, PAINTED))
    assert_near(golden["center"], detector.adapt(detector.usual))
    assert_near(golden["eval0_patch_prob"][:, 0], detector.judge(detector.adapt(good)).sigmoid())
    assert_near(golden["eval0_map"], scores.map)
    assert_near(golden["eval0_image_score"], scores.image.sigmoid())


@MODES
def test_the_parts_of_a_loss_are_the_authors(golden: np.lib.npyio.NpzFile, mode: str, distribution: str) -> None:
    """The radius, noise after 5 steps and after the whole ascent, probabilities, painted vectors, and both losses."""
    detector = published(golden, distribution)
    detector._train(True)
    masks = torch.from_numpy(golden["mask_s"]).flatten()
    good, local = (detector.adapt(rows(detector, images)) for images in (GOOD, PAINTED))
    usual = detector.adapt(detector.usual).detach().repeat(2, 1)
    noisy = good + torch.from_numpy(golden["noise"])

    def stored(name: str) -> np.ndarray:
        return golden[f"{mode}/{name}"]

    radius = detector.radius(good, local, usual, masks)
    assert_near(stored("r_t"), radius)
    detector.options = replace(detector.options, ascent_steps=5)
    assert_near(stored("ascended_gaus_feats_step5"), detector.ascend(good, noisy, usual, radius))
    detector.options = replace(detector.options, ascent_steps=20)
    hidden = detector.ascend(good, noisy, usual, radius)
    assert_near(stored("ascended_gaus_feats_final"), hidden)
    real, fake = detector.judge(torch.cat((good, hidden))).chunk(2)
    assert_near(stored("true_prob_final")[:, 0], real.sigmoid())
    assert_near(stored("gaus_prob_final")[:, 0], fake.sigmoid())

    moved = at_distance(local, usual, 2 * radius, 4 * radius)
    local = torch.where(masks[:, None] > 0, moved, local) if mode == "svd1" else local
    assert_near(stored("fake_feats_in"), local)
    logits = detector.judge(local)
    assert_near(stored("fake_prob")[:, 0], logits.sigmoid())
    assert hardest(logits.sigmoid(), masks, 0.5).sum() == stored("focal_n_kept")
    assert_near(stored("focal_loss"), hard_focal(logits, masks, 0.5))


@MODES
def test_a_training_step_is_the_authors(
    golden: np.lib.npyio.NpzFile, mode: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss, all gradients, and all that both optimisers and 22 passes through batch norm change."""
    detector = published(golden, distribution)
    noise = torch.from_numpy(golden["noise"]).view(2, 8, 8, 16) / detector.options.noise
    masks = torch.from_numpy(golden["mask_s"])
    monkeypatch.setattr("adbench_plugins.glass.model.synthesise", lambda *_: (PAINTED, masks))
    monkeypatch.setattr("adbench_plugins.glass.model.torch.randn_like", lambda _: noise)
    detector._train(True)
    assert_near(golden[f"{mode}/loss"], detector.step(TinyBatch(GOOD), Textures((32, 32))))

    # Batch norm removes what these add: their gradients are rounding errors, whose sign decides Adam's step.
    idle = {"discriminator/body.block1.0.bias"}
    if mode == "svd0":  # around the fixed centres of the other mode, the adaptor's shift counts
        idle.add("pre_projection/layers.0fc.bias")
    for part in PARTS:
        module = getattr(detector, part)
        largest = max(value.grad.abs().max() for value in module.parameters())
        for name, value in module.named_parameters():
            if f"{part}/{name}" in idle:
                assert value.grad.abs().max() < 1e-4 * largest
            else:
                assert_near(golden[f"{mode}/grad/{part}/{name}"], value.grad, 1e-3)
        stored, after = tensors(golden, f"{mode}/after1/{part}/"), module.state_dict()
        assert stored.keys() == after.keys()
        for name, expected in stored.items():
            if f"{part}/{name}" not in idle:
                assert_near(expected.numpy(), after[name], 1e-4)

    detector._train(False)
    detector.load_state_dict({part: tensors(golden, f"{mode}/after1/{part}/") for part in PARTS})
    assert_near(golden[f"{mode}/after1_eval_image_score"], scores_of(detector).image.sigmoid())


@pytest.mark.parametrize("number", range(4))
def test_masks_are_the_authors(golden: np.lib.npyio.NpzFile, number: int) -> None:
    """Two masks joined by a random number, and the result at an eighth of its size."""

    def stored(name: str) -> torch.Tensor:
        return torch.from_numpy(golden[f"perlinmask{number}_{name}"])

    pair = torch.stack((stored("thr1"), stored("thr2")))[:, None].bool()
    found = joined_masks(pair, stored("draw"))
    assert torch.equal(found[0], stored("large").float())
    assert torch.equal(shrunk(found, (4, 4))[0], stored("small").float())


# ---------------------------------------------------------------- laws of the parts


def test_every_image_is_painted_and_only_within_its_mask() -> None:
    """No position without paint is changed, and each image has one with paint."""
    torch.manual_seed(0)
    images = torch.rand(30, 3, 32, 48)
    painted, positions = synthesise(images, Textures((32, 48)).draw, (4, 6))
    assert positions.shape == (30, 4, 6)
    assert (positions.amax((1, 2)) == 1).all()
    changed = (painted != images).any(1).float()
    assert (F.max_pool2d(changed, 8) <= positions).all()
    assert 0 <= painted.amin() <= painted.amax() <= 1


def test_masks_vary_in_size_and_are_never_empty() -> None:
    """Some cover less than a hundredth of the image, some more than a fifth."""
    torch.manual_seed(0)
    masks, positions = draw_masks(200, (64, 64), (8, 8))
    covers = masks.mean((1, 2))
    assert covers.min() > 0
    assert covers.min() < 0.01 < 0.2 < covers.max()
    assert torch.equal(positions, F.max_pool2d(masks, 8))


def test_vectors_are_moved_to_a_distance_and_keep_their_direction() -> None:
    """Nearer ones outwards, farther ones inwards, others stay; one at the centre itself stays finite."""
    centres = torch.ones(4, 3)
    away = torch.tensor([[0.1, 0, 0], [0, 2.0, 0], [0, 0, 9.0], [0, 0, 0]])
    found = at_distance(centres + away, centres, 1.0, 3.0) - centres
    expected = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0], [0, 0, 0]])
    torch.testing.assert_close(found, expected)


def test_noise_climbs_towards_what_passes_for_good() -> None:
    """Without projections, each step lowers the mean probability of an anomaly by a little."""
    detector = small()
    good = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    noisy = good + torch.randn(40, 20, generator=torch.Generator().manual_seed(1))
    detector.options = replace(detector.options, ascent_steps=4, ascent_rate=0.1)
    moved = detector.ascend(good, noisy, torch.zeros(40, 20), torch.ones(()))
    assert detector.judge(moved).mean() < detector.judge(noisy).mean()
    assert ((moved - noisy).norm(dim=1) < 0.4 + 1e-5).all()


def test_the_mean_of_positions_counts_every_image_once() -> None:
    """Also where the last batch is smaller."""
    vectors = torch.rand(5, 2, 3, 4)
    torch.testing.assert_close(mean_vectors(iter(vectors.split(2))), vectors.mean(0))


# ---------------------------------------------------------------- the detector


@pytest.mark.slow
def test_it_keeps_the_rules_of_a_method() -> None:
    """Every check of check-method passes with the small backbone."""
    checks.check_method("glass", changes={"size": (64, 64), "width": 64, "hidden": 16})


@pytest.mark.parametrize("distribution", ["manifold", "hypersphere"])
def test_training_learns_and_reports(distribution: str) -> None:
    """The loss falls, and ten epochs are evaluated."""
    detector = small(epochs=20, lr=1e-2, adaptor_lr=5e-3, noise=0.1, distribution=distribution)
    reports = train(detector, TinyImages(3))
    assert reports[-1].loss < 0.9 * reports[0].loss
    assert [report.number for report in reports if report.milestone] == list(range(2, 21, 2))
    assert not detector.discriminator.training


def test_an_epoch_ends_after_enough_images() -> None:
    """After the batch that exceeds the number, as in the authors' program."""
    detector = small(epochs=1, epoch_images=3)
    steps = []
    detector.step = lambda batch, textures: steps.append(len(batch)) or torch.zeros(())  # type: ignore[method-assign]
    train(detector, TinyImages(12))
    assert steps == [3, 3]


@pytest.mark.slow
def test_a_trained_detector_finds_what_is_painted() -> None:
    """With other paint than that of the training, positions with paint mostly have higher logits than the others."""
    images = TinyImages(12, batch_size=12)
    images.images = 0.45 + 0.1 * images.images
    detector = small(epochs=60, lr=1e-2, adaptor_lr=1e-3, noise=0.1, nearest=0.2, farthest=1.0, hidden=64)
    train(detector, images)
    torch.manual_seed(99)
    painted, masks = synthesise(images.images.repeat(4, 1, 1, 1), Textures((32, 48)).draw, (8, 12))
    with torch.no_grad():
        logits = detector.judge(detector.adapt(detector.embed(detector.backbone(painted)))).view_as(masks)
    above = (logits[masks > 0][:, None] > logits[masks == 0]).float().mean()
    assert above > 0.6


def test_the_same_seed_gives_the_same_scores() -> None:
    """All randomness comes from the seeded generators."""
    found = []
    for seed in (1, 1, 2):
        detector = small(seed=seed)
        train(detector, TinyImages())
        with torch.no_grad():
            found.append(detector.score(TinyBatch(torch.full((1, 3, 32, 48), 0.5))).image)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    unbroken, resumed = unbroken_and_resumed(small, tmp_path)
    assert torch.equal(unbroken.usual, resumed.usual)
    for part in PARTS:
        after = getattr(resumed, part).state_dict()
        assert all(torch.equal(value, after[key]) for key, value in getattr(unbroken, part).state_dict().items())


@torch.no_grad()
def test_an_image_scores_alone_as_in_a_batch_at_any_size() -> None:
    """No other image matters, even at a size that no stride divides."""
    detector = small()
    images = torch.rand(3, 3, 37, 54)
    together, alone = (detector.score(TinyBatch(each)) for each in (images, images[1:2]))
    assert tuple(together.map.shape) == (3, 37, 54)
    torch.testing.assert_close(alone.image[0], together.image[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.map[0], together.map[1], rtol=1e-4, atol=1e-5)


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
    detector = small()

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(detector, "judge", full)
    with pytest.raises(TaskError, match="batch of 3, which this method can't split"):
        train(detector, TinyImages())


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    images = TinyImages()
    images.images[0] = float("nan")
    with pytest.raises(TaskError, match="glass, epoch 1: found a loss of nan"):
        train(small(), images)


def test_a_checkpoint_that_does_not_fit_is_refused(golden: np.lib.npyio.NpzFile) -> None:
    """The part is named."""
    with pytest.raises(CheckpointError, match="'pre_projection' does not fit"):
        small().load_state_dict(authors_checkpoint(golden))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("noise", 0.0),
        ("nearest", 0.0),
        ("ascent_steps", -1),
        ("hard", 1.5),
        ("epochs", 0),
        ("sigma", -1.0),
    ],
)
def test_values_that_cannot_work_are_refused(name: str, value: object) -> None:
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of glass"):
        check(replace(SMALL, **{name: value}), owner="glass")


def test_distances_and_vectors_that_contradict_are_refused() -> None:
    """A largest distance below the least one, and vectors longer than a patch."""
    with pytest.raises(OptionError, match=r"farthest of glass.*found 0\.4, less than nearest, 0\.5"):
        replace(SMALL, farthest=0.4)
    with pytest.raises(OptionError, match="width: found 37, more than the 36 numbers of a patch"):
        small(width=37)


def test_presets_are_the_published_set_up_and_listing_needs_no_torch() -> None:
    """The program's crop and schedule, its choice for single classes, and numbers of the best epoch that say so."""
    (method,) = adbench_methods()
    paper = method.presets["paper"]
    assert paper.options == GLASSOptions()
    assert (paper.options.size, paper.options.resize, paper.options.epochs) == ((288, 288), "crop", 640)
    assert paper.resolve("mvtec", "wood").resize_to == (329, 329)
    for preset in method.presets.values():
        assert preset.resolve("visa", "pcb1").distribution == "hypersphere"
        assert preset.resolve("visa", "pcb3").distribution == "manifold"
    assert PRESETS["quick"].options == replace(paper.options, epochs=40)
    assert {row.policy for row in method.published} == {"oracle"}
    assert len(method.published) == 40
    command = "import sys, adbench_plugins.glass as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
