"""UniAD against the numbers of the authors' program, and the laws of its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.uniad import BACKBONE, PRESETS, UniADOptions, adbench_methods
from adbench_plugins.uniad.model import UniAD, as_tokens, jittered, learning_rate
from adbench_plugins.uniad.network import Reconstruction, neighbours
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
)

from adbench import checks
from adbench.api.options import check
from adbench.util.errors import CheckpointError, OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

SMALL = UniADOptions(
    size=(32, 48), amp="off", batch_size=3, stride=4, width=16, heads=2, hidden=24, blocks=2, window=3, lr=1e-3,
    epochs=4,
)  # fmt: skip


class NamedBackbone(TinyBackbone):
    """Random features, with what names them in a cache."""

    key, weights_hash = "tiny", "0123"


def small(seed: int = 0, **changes: object) -> UniAD:
    torch.manual_seed(seed)
    return UniAD(replace(SMALL, **changes), CPU, NamedBackbone())


# ---------------------------------------------------------------- the authors' numbers


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("uniad_small.npz")


@pytest.fixture
def published(golden: np.lib.npyio.NpzFile) -> UniAD:
    """The small model of the golden file, loaded as an authors' checkpoint, which has the backbone as well."""
    options = replace(
        UniADOptions(),
        size=(48, 48),
        amp="off",
        stride=8,
        width=16,
        heads=4,
        hidden=32,
        blocks=2,
        window=3,
        dropout=0.0,
    )
    stored = [torch.from_numpy(golden[f"feat{level}"]) for level in range(4)]
    detector = UniAD(options, CPU, StoredBackbone(stored))
    own = {f"module.reconstruction.{name}": value for name, value in tensors(golden, "state/").items()}
    detector.load_state_dict({"epoch": 3, "state_dict": {**own, "module.backbone._bn0.weight": torch.ones(1)}})
    return detector


def tokens_first(tokens: torch.Tensor) -> torch.Tensor:
    """(B, N, D) -> (N, B, D), the program's order."""
    return tokens.transpose(0, 1)


@torch.no_grad()
def test_restored_features_are_the_authors(published: UniAD, golden: np.lib.npyio.NpzFile) -> None:
    """Aligned features, mask, positions, and what projection, encoder and decoder make of them."""
    features, network = published.backbone(torch.empty(0)), published.reconstruction
    assert_near(golden["feature_align"], features[0])
    assert_near(golden["neighbor_mask"], network.mask.float())
    assert_near(golden["pos_embed"], network.pos_embed())
    projected = network.input_proj(as_tokens(features))
    assert_near(golden["eval_tokens_projected"], tokens_first(projected))
    encoded = network.transformer.encoder(projected, network.pos_embed(), network.mask)
    assert_near(golden["eval_encoder_out"], tokens_first(encoded))
    decoded = network.transformer.decoder(encoded, network.pos_embed(), network.mask)
    assert_near(golden["eval_decoder_out"], tokens_first(decoded))
    restored = published.restore(as_tokens(features))
    assert_near(golden["eval_feature_rec"], restored.mT.unflatten(2, (6, 6)))


@torch.no_grad()
def test_maps_and_scores_are_the_authors(published: UniAD, golden: np.lib.npyio.NpzFile) -> None:
    """The map of lengths, its highest region, and the map's mean and deviation, which the program scores CIFAR by."""
    scores = published.score(TinyBatch(torch.zeros(2, 3, 48, 48)))
    assert_near(golden["eval_pred"][:, 0], scores.map)
    assert_near(golden["eval_score_max_avgpool16"], scores.image)
    assert_near(golden["eval_score_mean"], scores.map.mean((1, 2)))
    assert_near(golden["eval_score_std_np"], scores.map.std((1, 2), correction=0))


def test_a_training_step_is_the_authors(published: UniAD, golden: np.lib.npyio.NpzFile, monkeypatch) -> None:
    """What is restored from jittered features, the loss, all gradients and their norm, and a step of AdamW."""
    features, network = published.backbone(torch.empty(0)), published.reconstruction
    noise = torch.from_numpy(golden["jitter_randn"]).transpose(0, 1)
    network.train()
    tokens = as_tokens(features)
    restored = published.restore(jittered(tokens, noise, 20.0))
    assert_near(golden["train_feature_rec"], restored.mT.unflatten(2, (6, 6)))
    published.losses(tokens, noise).mean().backward()
    stored = tensors(golden, "grad_unclipped/")
    assert stored.keys() == dict(network.named_parameters()).keys()
    for name, parameter in network.named_parameters():
        assert_near(stored[name].numpy(), parameter.grad, 1e-4)
    norms = [torch.linalg.vector_norm(parameter.grad) for parameter in network.parameters()]
    assert_near(golden["gradnorm_before_clip"], torch.linalg.vector_norm(torch.stack(norms)))

    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    monkeypatch.setattr("adbench_plugins.uniad.model.torch.randn_like", lambda _: noise)
    assert_near(golden["train_loss"], published.step(features))
    after = tensors(golden, "after1/")
    for name, value in network.named_parameters():
        changes = [without_key_bias(name, each - before[name]) for each in (after[name], value.detach())]
        assert_near(changes[0].numpy(), changes[1], 5e-3)


def without_key_bias(name: str, values: torch.Tensor) -> torch.Tensor:
    """Leave out the keys' bias: it moves no attention, so its gradient is a rounding error, whose sign Adam follows."""
    if not name.endswith("in_proj_bias"):
        return values
    query, _, value = values.chunk(3)
    return torch.cat((query, value))


# ---------------------------------------------------------------- the transformer


def test_a_token_does_not_see_the_window_around_it() -> None:
    """On a grid that is no square, and up to its borders: those at most one row and two columns away, by definition."""
    rows, columns = 4, 7
    hidden = neighbours((rows, columns), 5).reshape(rows, columns, rows, columns)
    for row, column in ((0, 0), (1, 3), (3, 6)):
        for other_row in range(rows):
            for other_column in range(columns):
                near = abs(row - other_row) <= 2 and abs(column - other_column) <= 2
                assert hidden[row, column, other_row, other_column] == near


@torch.no_grad()
def test_restoring_does_not_copy() -> None:
    """What the decoder's first attention finds for a token is the same, whatever is in the window around it."""
    torch.manual_seed(0)
    network = Reconstruction(5, (6, 8), SMALL).eval()
    layer, tokens = network.transformer.decoder.layers[0], torch.randn(1, 48, 16)
    other = tokens.clone()
    near = network.mask[20]
    other[:, near] += 10
    query = layer.learned_embed.weight[None]
    found = [layer.added(layer.self_attn, query, query, each, each, network.mask)[0] for each in (tokens, other)]
    torch.testing.assert_close(found[0][20], found[1][20])
    assert near.sum() == 9
    assert not torch.allclose(found[0][22], found[1][22])


def test_linear_layers_start_as_in_the_program() -> None:
    """Xavier's uniform bounds and no bias; positions are drawn from 0 to 1."""
    torch.manual_seed(0)
    network = Reconstruction(30, (8, 8), replace(SMALL, width=64, hidden=128))
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    assert len(linear) == 2 + 2 * 3 + 2 * 4
    for module in linear:
        bound = (6 / sum(module.weight.shape)) ** 0.5
        assert 0.9 * bound < float(module.weight.detach().abs().max()) <= bound
        assert float(module.bias.detach().abs().max()) == 0
    columns = network.pos_embed.col_embed.weight.detach()
    assert 0 <= float(columns.min()) < 0.1
    assert 0.9 < float(columns.max()) < 1


# ---------------------------------------------------------------- the detector


@pytest.mark.slow
def test_it_keeps_the_rules() -> None:
    """Those of ``adbench check-method``, in both settings."""
    checks.check_method("uniad", changes={"width": 32, "hidden": 32})


def test_training_learns_and_reports() -> None:
    """The loss falls; the learning rate drops after four fifths of the epochs; every tenth epoch is a milestone."""
    detector = small(epochs=20, lr=3e-3)
    reports = train(detector, TinyImages())
    assert reports[-1].loss < 0.7 * reports[0].loss
    assert [report.number for report in reports if report.milestone] == [10, 20]
    rates = [report.learning_rate for report in reports]
    assert rates == pytest.approx([3e-3] * 16 + [3e-4] * 4)
    assert not detector.reconstruction.training


def test_the_published_learning_rate_drops_after_800_epochs() -> None:
    """From 1e-4 to 1e-5, counted from epoch 0."""
    rates = [learning_rate(epoch, UniADOptions()) for epoch in (0, 799, 800, 999)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])


def test_a_trained_detector_finds_a_defect() -> None:
    """A bright square on an image is where the map is highest, and the image's score is above those of good images."""
    images = TinyImages(count=12)
    images.images = 0.5 + 0.05 * (images.images - 0.5)
    detector = small(epochs=25, lr=3e-3, dropout=0.0)
    train(detector, images)
    bad = images.images[:1].clone()
    bad[:, :, 8:20, 24:36] += 0.4
    with torch.no_grad():
        good, found = (detector.score(TinyBatch(each)) for each in (images.images, bad))
    row, column = divmod(int(found.map[0].argmax()), 48)
    assert 6 <= row <= 22
    assert 22 <= column <= 38
    assert float(found.image) > 1.2 * float(good.image.max())


def test_a_resumed_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    assert_a_resumed_training_ends_in_the_same_numbers(small, tmp_path)


def test_parts_of_a_batch_give_the_same_step() -> None:
    """Jitter is drawn for the whole batch and gradients are clipped once: two micro-batches step as a whole batch."""
    whole, split = small(dropout=0.0), small(dropout=0.0)
    split.micro_batches.count = 2
    losses = []
    for detector in (whole, split):
        torch.manual_seed(3)
        losses.append(detector.step(detector.backbone(TinyImages().images)))
    torch.testing.assert_close(*losses)
    pairs = zip(whole.reconstruction.parameters(), split.reconstruction.parameters(), strict=True)
    for one, other in pairs:
        if one.grad.norm() > 1e-6:  # others have gradients of rounding errors, whose sign AdamW follows
            torch.testing.assert_close(one.data, other.data, rtol=1e-4, atol=1e-5)


def test_gradients_are_clipped() -> None:
    """Their norm over all parameters is at most the option's."""
    detector = small(clip_norm=0.01)
    detector.step(detector.backbone(TinyImages().images))
    norms = [torch.linalg.vector_norm(each.grad) for each in detector.reconstruction.parameters()]
    assert float(torch.linalg.vector_norm(torch.stack(norms))) == pytest.approx(0.01, rel=1e-3)


def test_an_image_scores_alone_as_in_a_batch_at_any_size() -> None:
    """No other image matters, even at a size that no stride divides: features are resized to the same grid."""
    assert_an_image_scores_alone_as_in_a_batch(small(), torch.rand(3, 3, 37, 54))


@torch.no_grad()
def test_bf16_stays_near_float32() -> None:
    """Scores in bf16 differ by a few percent of themselves, and are float32."""
    images = torch.rand(8, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    exact, rough = (small(amp=amp).score(TinyBatch(images)) for amp in ("off", "bf16"))
    assert rough.image.dtype == rough.map.dtype == torch.float32
    assert not torch.equal(rough.map, exact.map)
    torch.testing.assert_close(rough.image, exact.image, rtol=0.03, atol=0)


def test_a_loss_that_is_not_finite_is_a_task_error() -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    assert_a_loss_that_is_not_finite_ends_the_training(small(), "uniad")


# ---------------------------------------------------------------- state, options


def test_state_that_does_not_fit_is_refused(golden: np.lib.npyio.NpzFile) -> None:
    """Another method's state, and a transformer of other sizes."""
    with pytest.raises(CheckpointError, match="found flow, wanted 'reconstruction' of a UniAD model"):
        small().load_state_dict({"flow": {}})
    other = {f"reconstruction.{name}": value for name, value in tensors(golden, "state/").items()}
    with pytest.raises(CheckpointError, match=r"'reconstruction.input_proj.weight': found shape 16x21"):
        small().load_state_dict(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 15}, "option width of uniad: found 15, wanted a multiple of 2 and of the 2 heads"),
        ({"width": 18, "heads": 4}, "option width of uniad: found 18"),
        ({"window": 4}, "option window of uniad: found 4, wanted an odd number"),
        ({"window": 13}, "option window of uniad: found 13, which hides all of 8 x 12 tokens"),
        ({"window": 13}, "a side of 56 pixels or more"),
        ({"window": 3, "stride": 16}, "option window of uniad: found 3, which hides all of 2 x 3 tokens"),
    ],
)
def test_a_transformer_that_cannot_work_is_refused(changes: dict[str, object], message: str) -> None:
    """The message names the option."""
    with pytest.raises(OptionError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 1.0), ("jitter", -1.0), ("lr", 0.0), ("clip_norm", 0.0), ("decay_at", 1.5), ("blocks", 0)],
)
def test_values_that_cannot_work_are_refused(name: str, value: object) -> None:
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of uniad"):
        check(replace(SMALL, **{name: value}), owner="uniad")


def test_the_paper_preset_is_the_published_set_up() -> None:
    """EfficientNet-B4 at 224 x 224, 272 channels on 14 x 14 tokens, and the authors' transformer and optimiser."""
    paper = PRESETS["paper"].options
    assert paper == UniADOptions()
    assert (paper.backbone, paper.layers, paper.size, paper.interpolation) == (
        BACKBONE, (0, 1, 2, 3), (224, 224), "bilinear",
    )  # fmt: skip
    assert (paper.width, paper.heads, paper.hidden, paper.blocks, paper.window) == (256, 8, 1024, 4, 7)
    assert (paper.epochs, paper.batch_size, paper.lr, paper.weight_decay) == (1000, 8, 1e-4, 1e-4)
    with torch.device("meta"):
        network = Reconstruction(272, (14, 14), paper)
    assert sum(value.numel() for value in network.parameters()) == parameters(272, 196, 256, 1024, 4)


def parameters(channels: int, tokens: int, width: int, hidden: int, blocks: int) -> int:
    """Numbers of the paper's transformer on a square grid, counted part by part."""
    attention, norm = 4 * (width * width + width), 2 * width
    feed = 2 * width * hidden + hidden + width
    encoder, decoder = attention + feed + 2 * norm, 2 * attention + feed + 3 * norm + tokens * width
    ends = 2 * channels * width + channels + width + round(tokens**0.5) * width
    return ends + blocks * (encoder + decoder) + norm


def test_the_plugin_offers_uniad_without_torch() -> None:
    """Listing the methods imports no torch; published numbers are of several classes, and come with their policies."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("uniad", ["cpu", "paper", "quick"])
    assert method.settings == ("one-class", "multi-class")
    assert {(each.setting, each.policy) for each in method.published} == {
        ("multi-class", "oracle"), ("multi-class", "unknown"),
    }  # fmt: skip
    assert len(method.published) == 74
    assert_listing_needs_no_torch("uniad")
