"""SuperSimpleNet against the authors' numbers, and the laws of its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins import perlin
from adbench_plugins.supersimplenet import PRESETS, SuperSimpleNetOptions, adbench_methods, build
from adbench_plugins.supersimplenet.model import (
    SuperSimpleNet,
    decay,
    draw_masks,
    enlarge,
    focal,
    hinges,
    masks_of,
    scatter,
    sum_losses,
)
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
from hypothesis import given, settings
from hypothesis import strategies as st
from method_laws import (
    assert_a_loss_that_is_not_finite_ends_the_training,
    assert_a_resumed_training_ends_in_the_same_numbers,
    assert_an_image_scores_alone_as_in_a_batch,
    assert_listing_needs_no_torch,
    assert_no_memory_is_an_error,
    assert_the_same_seed_gives_the_same_scores,
)
from runs import adbench

from adbench import checks
from adbench.api.options import check
from adbench.util.errors import CheckpointError, OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

SMALL = SuperSimpleNetOptions(size=(32, 48), amp="off", batch_size=3, hidden=16, head_channels=4, epochs=2, lr=1e-3)


PARTS = ("feature_adaptor", "discriminator")


def flat_state(detector: SuperSimpleNet) -> dict[str, torch.Tensor]:
    """The state of both parts in one dict, as the authors save it."""
    return {f"{part}.{name}": value for part in PARTS for name, value in getattr(detector, part).state_dict().items()}


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("supersimplenet_small.npz")


@pytest.fixture
def published(golden: np.lib.npyio.NpzFile) -> SuperSimpleNet:
    """The small model of the golden file, loaded as an authors' checkpoint."""
    options = SuperSimpleNetOptions(size=(32, 48), amp="off", batch_size=2)
    stored = [torch.from_numpy(golden[f"feat_layer{layer}"]) for layer in (2, 3)]
    detector = SuperSimpleNet(options, CPU, StoredBackbone(stored))
    detector.load_state_dict(tensors(golden, "state/"))
    return detector


def small(channels: tuple[int, ...] = (4, 6), seed: int = 0, **changes: object) -> SuperSimpleNet:
    torch.manual_seed(seed)
    return SuperSimpleNet(replace(SMALL, **changes), CPU, TinyBackbone(channels))


# ---------------------------------------------------------------- the authors' numbers


@torch.no_grad()
def test_features_and_scores_are_the_authors(published: SuperSimpleNet, golden: np.lib.npyio.NpzFile) -> None:
    """Enlarged and adapted features, maps before and after smoothing, and both image scores."""
    features = enlarge(published.backbone.features, 2)
    adapted = published.feature_adaptor(features)
    raw, _ = published.discriminator(adapted, adapted)
    scores = published.score(TinyBatch(torch.zeros(2, 3, 32, 48)))

    assert_near(golden["features"], features)
    assert_near(golden["adapted"], adapted)
    assert_near(golden["eval_rawmap"][:, 0], raw)
    assert_near(golden["eval_map"][:, 0], scores.map)
    assert_near(golden["eval_logit"], scores.image)
    assert_near(golden["eval_score_sigmoid"], scores.image.sigmoid())
    published.options = replace(published.options, image_score="map")
    by_map = published.score(TinyBatch(torch.zeros(2, 3, 32, 48)))
    assert_near(golden["eval_segscore_mapmax"], by_map.image)


def test_masks_are_the_authors(golden: np.lib.npyio.NpzFile) -> None:
    """From their random angles, numbers of cells and chances: masks of 40 x 48."""
    angles = torch.zeros(4, 33, 33)
    for number in range(4):
        found = torch.from_numpy(golden[f"perlin_unit_angles_{number}"])
        angles[number, : found.shape[0], : found.shape[1]] = 2 * torch.pi * found
    fields = perlin.noise(angles, 2 ** torch.from_numpy(golden["perlin_exp_xy"]), (64, 64))
    masks = masks_of(fields, torch.from_numpy(golden["perlin_chance"]), (40, 48), 0.2)

    assert torch.equal(masks, torch.from_numpy(golden["perlin_mask"])[:, 0].float())
    assert masks.amax((1, 2)).tolist() == [1, 0, 1, 0]


def golden_noise(golden: np.lib.npyio.NpzFile) -> tuple[torch.Tensor, torch.Tensor]:
    """The stored masks (4, h, w), and their noise at the places of the masks (M, C)."""
    masks = torch.from_numpy(golden["train_perlin_mask"])[:, 0].float()
    rows = torch.from_numpy(golden["train_noise"]).movedim(1, 3)[masks > 0]
    return masks, rows


def test_a_training_step_is_the_authors(published: SuperSimpleNet, golden: np.lib.npyio.NpzFile, monkeypatch) -> None:
    """Maps, logits, each term of the loss, all stored gradients, and all that one step of AdamW changes."""
    masks, noise = golden_noise(golden)
    published._train(True)
    anomaly_maps, logits = published.scores_of_noisy(enlarge(published.backbone.features, 2), masks, noise)
    good, anomalous = hinges(anomaly_maps, masks, 0.5)
    assert_near(golden["train_map"][:, 0], anomaly_maps)
    assert_near(golden["train_logit"], logits)
    assert_near(golden["loss_l1_normal"], good)
    assert_near(golden["loss_l1_anom"], anomalous)
    assert_near(golden["loss_focal_map"], focal(anomaly_maps, masks))
    assert_near(golden["loss_focal_cls"], focal(logits, torch.from_numpy(golden["train_label"]).float()))
    assert_near(golden["loss_total"], sum_losses(anomaly_maps, logits, masks, 0.5))

    published.load_state_dict(tensors(golden, "state/"))  # running statistics have moved
    module = "adbench_plugins.supersimplenet.model"
    monkeypatch.setattr(f"{module}.draw_masks", lambda *_: masks)
    monkeypatch.setattr(f"{module}.torch.randn", lambda *_, **__: noise / published.options.noise)
    assert_near(golden["loss_total"], published.step(published.backbone.features))

    gradients = {
        f"{part}.{name}": value.grad for part in PARTS for name, value in getattr(published, part).named_parameters()
    }
    after = flat_state(published)
    # Batch norm removes what these biases add. Their gradients are rounding errors, whose sign decides Adam's step.
    idle = ("discriminator.seg.0.bias", "discriminator.dec_head.0.bias")
    for prefix, found, tolerance in (("grad/", gradients, 1e-3), ("after1/", after, 1e-4)):
        stored = tensors(golden, prefix)
        assert len(stored) > 10
        for key, expected in stored.items():
            name, _, rows = key.removesuffix("]").partition("[:")
            if name not in idle:
                assert_near(expected.numpy(), found[name][: int(rows)] if rows else found[name], tolerance)
    largest = max(value.abs().max() for name, value in gradients.items() if name not in idle)
    assert max(gradients[name].abs().max() for name in idle) < 1e-4 * largest

    published._train(False)
    for name in idle:  # running statistics don't follow a step of these at once
        after[name].copy_(torch.from_numpy(golden[f"after1/{name}"]))
    scores = published.score(TinyBatch(torch.zeros(2, 3, 32, 48)))
    assert_near(golden["after1_eval_map"][:, 0], scores.map, 1e-4)
    assert_near(golden["after1_eval_logit"], scores.image, 1e-4)


# ---------------------------------------------------------------- laws of the parts


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.tuples(st.integers(1, 4), st.integers(2, 5)), st.integers(1, 3))
def test_noise_goes_where_the_masks_are(count, size, channels):
    """Each row of noise lands on one place of the masks, in their order; all else is 0."""
    masks = (torch.rand(count, *size) > 0.5).float()
    noise = torch.rand(int(masks.sum()), channels) + 1
    found = scatter(noise, masks)
    assert found.shape == (count, channels, *size)
    assert torch.equal(found.movedim(1, 3)[masks > 0], noise)
    assert torch.equal((found != 0).all(dim=1), masks > 0)


def test_about_half_of_the_masks_are_empty_and_a_higher_threshold_makes_them_smaller() -> None:
    """The published shares: one in two is emptied, more are empty by chance; VisA's threshold makes smaller blobs."""
    torch.manual_seed(0)
    masks, smaller = draw_masks(400, (64, 64), 0.2), draw_masks(400, (64, 64), 0.6)
    assert 0.4 < masks.amax((1, 2)).mean() < 0.55
    assert 0.005 < smaller.mean() < 0.2 * masks.mean() < 0.05


@pytest.mark.parametrize("empty", [False, True])
def test_hinges_are_means_over_their_own_places(empty: bool) -> None:
    """As by boolean indexing; without anomalous places their mean is 0, not NaN."""
    torch.manual_seed(0)
    found, masks = torch.randn(2, 5, 6), (torch.rand(2, 5, 6) > 0.7).float() * (not empty)
    good, anomalous = hinges(found, masks, 0.5)
    torch.testing.assert_close(good, (found[masks == 0] + 0.5).clamp_min(0).mean())
    expected = torch.zeros(()) if empty else (0.5 - found[masks == 1]).clamp_min(0).mean()
    torch.testing.assert_close(anomalous, expected)


def test_focal_loss_is_that_of_its_paper_and_stays_finite() -> None:
    """-(1 - p)^4 log p for the probability p of the right answer, also where p rounds to 0."""
    logits = torch.linspace(-6, 6, 13, dtype=torch.float64)
    targets = (torch.arange(13) % 2).double()
    right = torch.where(targets > 0, torch.sigmoid(logits), 1 - torch.sigmoid(logits))
    torch.testing.assert_close(focal(logits, targets), -((1 - right) ** 4 * right.log()).mean())
    assert focal(torch.tensor([-300.0]), torch.ones(1)).item() == pytest.approx(300)


def test_the_head_that_scores_images_does_not_train_the_map() -> None:
    """The gradient of the logits doesn't reach the head of the map."""
    detector = small()
    features = enlarge(TinyBackbone((4, 6))(torch.rand(2, 3, 32, 48)), 2)
    _, logits = detector.discriminator(features, features)
    logits.sum().backward()
    assert all(each.grad is None for each in detector.discriminator.seg.parameters())
    assert all(each.grad.abs().sum() > 0 for each in detector.discriminator.fc_score.parameters())


@pytest.mark.parametrize("head_input", ["adapted", "raw"])
def test_the_image_head_sees_what_the_option_says(head_input: str) -> None:
    """Only with "adapted", the adaptor learns from the loss of the images' scores."""
    detector = small(head_input=head_input)
    features = enlarge(TinyBackbone((4, 6))(torch.rand(2, 3, 32, 48)), 2)
    masks = torch.zeros(4, *features.shape[2:])
    _, logits = detector.scores_of_noisy(features, masks, torch.zeros(0, 10))
    logits.sum().backward()
    assert (detector.feature_adaptor.projection.weight.grad is not None) == (head_input == "adapted")
    one = detector.score(TinyBatch(torch.rand(1, 3, 32, 48)))
    assert torch.isfinite(one.image).all()


def test_learning_rates_fall_twice() -> None:
    """To two fifths after 240 and 270 of 300 epochs, whatever the rounding of the shares."""
    options = SuperSimpleNetOptions()
    assert [decay(epoch, options) for epoch in (0, 239, 240, 269, 270, 299)] == [1, 1, 0.4, 0.4, 0.4**2, 0.4**2]
    for total in range(10, 200, 10):
        factors = [decay(epoch, replace(options, epochs=total)) for epoch in range(total)]
        assert [epoch for epoch in range(1, total) if factors[epoch] < factors[epoch - 1]] == [0.8 * total, 0.9 * total]


# ---------------------------------------------------------------- the detector


@pytest.mark.slow
def test_it_keeps_the_rules_of_a_method() -> None:
    """Every check of check-method passes with the small backbone."""
    checks.check_method("supersimplenet", changes={"size": (64, 64), "hidden": 16, "head_channels": 4})


def test_training_learns_and_reports() -> None:
    """The loss falls, both groups of parameters have their own rates, and ten epochs are evaluated."""
    detector = small(epochs=20, lr=5e-3, adaptor_lr=1e-3)
    reports = train(detector, TinyImages())
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert [report.number for report in reports if report.milestone] == list(range(2, 21, 2))
    assert [group["lr"] for group in detector.optimizer.param_groups] == pytest.approx([1e-3 * 0.16, 5e-3 * 0.16])
    assert not detector.discriminator.training


def test_a_trained_detector_finds_noise_on_features() -> None:
    """Images with noise on their features score higher than those without."""
    detector = small(epochs=40, lr=5e-3, adaptor_lr=1e-3, noise=0.3)
    train(detector, TinyImages())
    features = enlarge(detector.backbone(torch.rand(6, 3, 32, 48, generator=torch.Generator().manual_seed(9))), 2)
    masks = torch.stack((torch.zeros(6, *features.shape[2:]), torch.ones(6, *features.shape[2:]))).flatten(0, 1)
    with torch.no_grad():
        found, logits = detector.scores_of_noisy(features, masks, 0.3 * torch.randn(int(masks.sum()), 10))
    assert found[6:].mean() > found[:6].mean() + 0.3
    assert (logits[6:] > logits[:6]).all()


def test_the_same_seed_gives_the_same_scores() -> None:
    """All randomness comes from the seeded generators."""
    assert_the_same_seed_gives_the_same_scores(small)


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    assert_a_resumed_training_ends_in_the_same_numbers(small, tmp_path)


def test_an_image_scores_alone_as_in_a_batch_at_any_size() -> None:
    """No other image matters, even at a size that no stride divides."""
    assert_an_image_scores_alone_as_in_a_batch(small(), torch.rand(3, 3, 37, 54))


def test_bf16_stays_near_float32_and_makes_no_ties() -> None:
    """Scores in bf16 are within a few percent of their spread, and are float32 themselves."""
    images = torch.rand(40, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        exact, rough = (small(amp=amp).score(TinyBatch(images)) for amp in ("off", "bf16"))
    for expected, actual in ((exact.image, rough.image), (exact.map, rough.map)):
        assert actual.dtype == torch.float32
        assert (actual - expected).abs().max() < 0.2 * expected.std() + 0.05
    assert len(rough.image.unique()) == 40


def test_no_memory_is_an_error_and_not_a_smaller_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a batch would have other statistics."""
    assert_no_memory_is_an_error(small(), "scores_of_noisy", monkeypatch)


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    assert_a_loss_that_is_not_finite_ends_the_training(small(), "supersimplenet")


def test_a_checkpoint_that_does_not_fit_is_refused(golden: np.lib.npyio.NpzFile, published: SuperSimpleNet) -> None:
    """A missing part, a missing parameter and another width are each named."""
    state = tensors(golden, "state/")
    with pytest.raises(CheckpointError, match="wanted 'discriminator' of a SuperSimpleNet"):
        published.load_state_dict({key: value for key, value in state.items() if key.startswith("feature")})
    with pytest.raises(CheckpointError, match=r"'discriminator\.fc_score\.bias': found nothing"):
        published.load_state_dict({key: value for key, value in state.items() if key != "discriminator.fc_score.bias"})
    with pytest.raises(CheckpointError, match=r"'feature_adaptor\.projection\.bias': found shape 8, wanted shape 10"):
        small().load_state_dict(state)


def test_an_authors_file_is_scored_by_a_command(tiny_data: Path, tmp_path: Path) -> None:
    """A flat state dict, as the authors save it, is a checkpoint of adbench test; one without a head is refused."""
    words = ["-p", "cpu", "--size", "64", "--amp", "off", "--device", "cpu", "-o", "hidden=8", "-o", "head_channels=2"]
    made = build(replace(PRESETS["cpu"].options, size=(64, 64), amp="off", hidden=8, head_channels=2), CPU)
    flat = flat_state(made)
    torch.save(flat, tmp_path / "whole.pt")
    torch.save({name: value for name, value in flat.items() if "fc_score" not in name}, tmp_path / "headless.pt")

    data = ["-d", "folder", "--data-root", tiny_data, "-c", "nuts"]
    whole, headless = (
        adbench("test", "-m", "supersimplenet", "--checkpoint", tmp_path / f"{name}.pt", *data, *words)
        for name in ("whole", "headless")
    )
    assert whole.exit_code == 0, whole.output
    assert "image AUROC" in whole.stdout
    assert headless.exit_code == 2
    assert "fc_score" in headless.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("upscale", 0), ("noise", 0.0), ("threshold", 1.5), ("margin", -0.1), ("epochs", 0), ("decay_at", (1.2,))],
)
def test_values_that_cannot_work_are_refused(name: str, value: object) -> None:
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of supersimplenet"):
        check(replace(SMALL, **{name: value}), owner="supersimplenet")


def test_presets_are_the_published_set_up_and_listing_needs_no_torch() -> None:
    """The paper's sizes and schedule, VisA's threshold, and the authors' numbers of the last epoch."""
    (method,) = adbench_methods()
    paper = method.presets["paper"]
    assert paper.options == SuperSimpleNetOptions()
    assert (paper.options.size, paper.options.layers, paper.options.epochs) == ((256, 256), (2, 3), 300)
    assert paper.resolve("visa", "pcb1").threshold == 0.6
    assert paper.resolve("mvtec", "screw").threshold == 0.2
    assert PRESETS["quick"].options == replace(paper.options, epochs=60)
    assert {row.policy for row in method.published} == {"last"}
    assert len(method.published) == 203
    screw = [row.value for row in method.published if (row.class_name, row.metric) == ("screw", "image_auroc")]
    assert screw == pytest.approx([0.9293])
    assert_listing_needs_no_torch("supersimplenet")
