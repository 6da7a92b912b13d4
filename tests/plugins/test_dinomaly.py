"""Dinomaly against the numbers of the authors' program, and the laws of its parts."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adbench_plugins.dinomaly import PRESETS, DinomalyOptions, adbench_methods, build
from adbench_plugins.dinomaly.model import Dinomaly, LinearAttention, damping_factors
from adbench_plugins.token_decoder import fused, joined, position_distances, smoothed
from adbench_plugins.token_groups import TokenGroups
from flow_doubles import assert_near, golden_file, tensors, train
from token_doubles import CPU, FixedBatch, FixedImages, tiny_groups

from adbench import BackboneEntry, BuildContext, Network, backbones, checks
from adbench.api import maps
from adbench.api.options import check
from adbench.backbones import vit
from adbench.data.images import Batch
from adbench.util.errors import OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = DinomalyOptions(size=(32, 48), amp="off", batch_size=3, blocks=4, ramp=4, epochs=3, warmup=2, map_size=(32, 32))
LAYERS = (3, 4, 5, 6, 7, 8, 9, 10)


def make(options: DinomalyOptions = SMALL, seed: int = 0) -> Dinomaly:
    torch.manual_seed(seed)
    return Dinomaly(options, CPU, tiny_groups())


# ---------------------------------------------------------------- golden numbers


@pytest.fixture(scope="module")
def golden():
    """A DINOv2 of width 16 with four heads and four registers, for images of 56 x 56 pixels."""
    return golden_file("dinomaly_small.npz")


@pytest.fixture(scope="module")
def encoder(golden, tmp_path_factory) -> TokenGroups:
    """The golden encoder as timm's network, loaded from a file with DINOv2's names."""
    timm = pytest.importorskip("timm")
    path = tmp_path_factory.mktemp("dinov2") / "encoder.pt"
    torch.save(tensors(golden, "state/encoder."), path)

    def build(layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
        net = timm.models.vision_transformer.VisionTransformer(
            img_size=70, patch_size=14, embed_dim=16, depth=10, num_heads=4, init_values=1.0, reg_tokens=4,
            no_embed_class=True, dynamic_img_size=True, num_classes=0,
        )  # fmt: skip
        net.pretrained_cfg = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
        vit.load_file(net, "golden", path)
        return vit.network("golden", net, vit.BlockOptions(tokens="all", positions="dinov2"), layers)

    entry = BackboneEntry("golden", "DINOv2 of width 16", build)
    return TokenGroups(backbones.load("golden", layers=LAYERS, device=CPU, offered={"golden": entry}))


def golden_detector(archive, encoder: TokenGroups, **changes: object) -> Dinomaly:
    """The golden bottleneck and decoder, loaded from an authors' checkpoint with its encoder."""
    options = replace(DinomalyOptions(size=(56, 56), amp="off", map_size=(64, 64)), **changes)
    detector = Dinomaly(options, CPU, encoder, heads=4)
    detector.load_state_dict(tensors(archive, "state/"))
    return detector


def golden_features(archive, encoder: TokenGroups) -> list[torch.Tensor]:
    return encoder(torch.from_numpy(archive["image"]))


class GoldenDropout(torch.nn.Module):
    """Drops as the program did, with the same three masks in each step of training."""

    def __init__(self, archive) -> None:
        super().__init__()
        self.kept = [torch.from_numpy(archive[f"dropout_keep_{place}"]).float() for place in range(3)]
        self.place = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        kept = self.kept[self.place % 3]
        self.place += 1
        return x * kept / 0.8


def our_name(key: str) -> str:
    """The network's name of "0.0.fc1.weight" or "1.3.norm1.bias" in the golden file."""
    part, rest = key.split(".", 1)
    return f"{('bottleneck', 'decoder')[int(part)]}.{rest}"


def test_groups_are_those_of_the_authors_encoder(golden, encoder):
    """In timm's network with DINOv2's weights and positions: means of eight blocks with all tokens, and of four each.

    The grid of 5 x 5 positions is interpolated to 4 x 4.
    """
    features = golden_features(golden, encoder)
    sequence = torch.cat([fused(features[2:]), fused(features[:2])], dim=1)
    assert_near(golden["fused_in"], sequence)
    for group in range(2):
        assert_near(golden[f"eval_en{group}"], features[group])


def test_restored_groups_are_those_of_the_authors_program(golden, encoder):
    """Bottleneck, linear attention, the first block, and the groups from the last block to the first."""
    detector, sequence = golden_detector(golden, encoder), torch.from_numpy(golden["fused_in"])
    network = detector.network
    assert_near(golden["linattn_dec0_of_fused"], network.decoder[0].attn(sequence))
    code = network.bottleneck[0](sequence)
    assert_near(golden["eval_bottleneck"], code)
    assert_near(golden["eval_decoder0"], network.decoder[0](code))
    for group, found in enumerate(detector.restore(golden_features(golden, encoder))):
        assert_near(golden[f"eval_de{group}"], found, 2e-5)


def test_maps_and_scores_are_those_of_the_authors_program(golden, encoder):
    """At the size of the images, and smoothed at 64 x 64; an image's score is the mean of its 40 highest pixels."""
    features, detector = golden_features(golden, encoder), golden_detector(golden, encoder)
    with torch.no_grad():
        levels = [position_distances(*pair) for pair in zip(features, detector.restore(features), strict=False)]
        scores = detector.score(FixedBatch(features, (56, 56)))
    whole = joined(levels, (56, 56))
    assert_near(golden["eval_map_cropsize"].reshape(2, 56, 56), whole, 2e-5)
    expected = golden["eval_map_64_smoothed"].reshape(2, 64, 64)
    assert_near(expected, smoothed(whole, (64, 64)), 2e-5)
    assert_near(maps.upsample(torch.from_numpy(expected), (56, 56)).numpy(), scores.map, 2e-5)
    assert_near(golden["eval_image_score"].ravel(), scores.image, 2e-5)
    assert_near(golden["eval_image_score_max"].ravel(), maps.highest(smoothed(whole, (64, 64))), 2e-5)


def test_training_is_that_of_the_authors_program(golden, encoder):
    """Losses, damped gradients at the maps, gradients before they are clipped, and weights after three steps.

    Steps 0, 500 and 2000 damp nothing, 45 % and 90 % of the positions, with the program's dropout masks.
    """
    features, detector = golden_features(golden, encoder), golden_detector(golden, encoder)
    network, restore = detector.network.train(), detector.restore
    network.bottleneck[0].dropout = GoldenDropout(golden)
    restored: list[torch.Tensor] = []

    def watched(given: list[torch.Tensor]) -> list[torch.Tensor]:
        restored[:] = restore(given)
        for each in restored:
            each.retain_grad()
        return restored

    detector.restore = watched
    for number, step in enumerate((0, 500, 2000)):
        detector.begin_step(step)
        detector.optimizer.zero_grad()
        loss = detector.losses(*features).mean()
        loss.backward()
        assert_near(golden[f"loss_step{number}_it{step}"], loss)
        for group, each in enumerate(restored if number == 0 else []):
            assert_near(golden[f"train_de{group}"], each, 2e-5)
        if number == 1:
            for key, expected in tensors(golden, "step1_grad_unclipped/").items():
                assert_near(expected.numpy(), network.get_parameter(our_name(key)).grad, 1e-4)
            for group, each in enumerate(restored):
                assert_near(golden[f"step1_grad_de{group}"], each.grad, 1e-4)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        assert_near(golden[f"step{number}_gradnorm_before_clip"], norm, 1e-4)
        detector.optimizer.step()
        for key, expected in tensors(golden, f"after_step{number}/").items():
            assert_near(expected.numpy(), network.get_parameter(our_name(key)), 1e-4)
    network.eval()
    for group, found in enumerate(restore(features)):
        assert_near(golden[f"after3_eval_de{group}"], found, 1e-4)


# ---------------------------------------------------------------- parts


def test_the_best_restored_positions_of_the_batch_are_damped():
    """Of 32 positions a share of 0.9 leaves 3, as floating-point arithmetic has it; a share of 0 damps none."""
    distances = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0))
    for share, kept in ((0.0, 32), (0.45, 17), (0.9, 3), (1.0, 1)):
        factors = damping_factors(distances, share, 0.1)
        assert int((factors == 1).sum()) == kept
        assert float(distances[factors == 1].min()) >= float(distances.flatten().topk(kept).values[-1])
        assert torch.equal(factors[factors != 1], torch.full((32 - kept,), 0.1))


def test_the_share_of_damped_positions_rises_to_the_last():
    """In a straight line over the steps of ``ramp``, after which it stays."""
    detector = make(replace(SMALL, discarded=0.8, ramp=4))
    shares = []
    for step in range(7):
        detector.begin_step(step)
        shares.append(detector.share)
    assert shares == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_linear_attention_is_the_weighted_mean_of_all_values():
    """Computed the long way: weights of all pairs, positive, and divided by their sum."""
    torch.manual_seed(0)
    attention, x = LinearAttention(8, 2), torch.randn(2, 5, 8)
    q, k, v = attention.qkv(x).view(2, 5, 3, 2, 4).unbind(2)
    weights = torch.einsum("bihd,bjhd->bhij", torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1)
    assert float(weights.detach().min()) > 0
    mixed = torch.einsum("bhij,bjhd->bihd", weights / weights.sum(3, keepdim=True), v)
    torch.testing.assert_close(attention(x), attention.proj(mixed.flatten(2)))


def test_attention_survives_values_that_exp_rounds_to_zero():
    """Queries far below 0 have no weight anywhere; the result is finite where 0 / 0 would not be."""
    attention = LinearAttention(8, 2)
    with torch.no_grad():
        attention.qkv.bias[:8] = -200.0
    assert attention(torch.randn(1, 5, 8)).isfinite().all()


# ---------------------------------------------------------------- fit


def test_training_lowers_the_loss():
    """On a few random images; after each epoch nothing is dropped, so an image scores alone as in a batch."""
    detector = make(replace(SMALL, epochs=20, warmup=5, dropout=0.1))
    images = FixedImages()
    reports = train(detector, images)
    assert reports[-1].loss < 0.5 * reports[0].loss
    with torch.no_grad():
        together = detector.score(Batch.of(images.images))
        alone = detector.score(Batch.of(images.images[3:4]))
    torch.testing.assert_close(alone.map[0], together.map[3], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone.image[0], together.image[3], rtol=1e-4, atol=1e-6)


def test_a_resumed_training_ends_as_an_unbroken_one():
    """The optimiser's state is in the file, and the schedules follow from the epoch."""
    images, unbroken, broken = FixedImages(), make(), make()
    torch.manual_seed(3)
    train(unbroken, images)
    torch.manual_seed(3)
    train(broken, images, epochs=1)
    random, file = torch.get_rng_state(), io.BytesIO()
    torch.save(broken.state_dict(), file)
    file.seek(0)
    resumed = make(seed=9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.epoch = 1
    torch.set_rng_state(random)
    train(resumed, images)
    batch = Batch.of(images.images)
    with torch.no_grad():
        assert torch.equal(unbroken.score(batch).map, resumed.score(batch).map)


@pytest.mark.parametrize(
    ("setting", "changes", "expected"),
    [
        ("one-class", {}, 5000),
        ("multi-class", {}, 10000),
        ("multi-class", {"iterations": 70}, 70),
        ("one-class", {"iterations": 70, "epochs": 4}, 28),
    ],
)
def test_steps_follow_from_the_setting_unless_given(setting, changes, expected):
    """The program's scripts train twice as long for several classes; 7 batches make an epoch here."""
    detector = make(replace(SMALL, epochs=None))
    detector = Dinomaly(
        replace(SMALL, **{"epochs": None, **changes}), BuildContext(CPU, setting=setting), detector.backbone
    )
    assert detector.steps(7) == expected


def test_bf16_stays_near_float32():
    """The loss of the same images is within 1 %; it and the restored maps are float32, and attention's sums too."""
    features = make().backbone(FixedImages().images)
    expected, found = (make(replace(SMALL, amp=amp)) for amp in ("off", "bf16"))
    with torch.no_grad():
        losses = [detector.losses(*features) for detector in (expected, found)]
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-2, atol=1e-3)
    assert not torch.equal(*losses)


def test_tokens_matter_and_may_be_missing():
    """Class token and registers change what is restored; without them the positions alone are restored."""
    detector = make()
    features = detector.backbone(FixedImages().images[:2])
    with torch.no_grad():
        whole, bare = detector.restore(features), detector.restore(features[:2])
    for group, features_of_group in enumerate(features[:2]):
        assert whole[group].shape == bare[group].shape == features_of_group.shape
    assert not torch.allclose(whole[0], bare[0], rtol=1e-3)


@pytest.mark.parametrize(("tokens", "count"), [("all", 4), ("none", 2)])
def test_a_transformer_of_timm_trains_and_scores(tokens, count, tmp_path):
    """From a file of its weights, with and without its class token; the network's width and heads follow from it."""
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pt")
    options = replace(
        SMALL, backbone="timm:test_vit", layers=(1, 2, 3, 4), weights=str(tmp_path / "vit.pt"), tokens=tokens, epochs=2
    )
    detector, images = build(options, BuildContext(CPU)), FixedImages(count=4)
    features = detector.backbone(images.images)
    assert [tuple(each.shape[1:]) for each in features] == [(64, 2, 3)] * 2 + [(64, 1, 1)] * (count - 2)
    assert detector.network.decoder[0].attn.heads == 1
    assert [report.number for report in train(detector, images)] == [1, 2]
    with torch.no_grad():
        assert detector.score(Batch.of(images.images)).map.isfinite().all()


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 1.0), ("discarded", 1.5), ("damping", -0.1), ("ramp", 0), ("iterations", 0), ("lr", 0.0)],
)
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of dinomaly"):
        check(replace(SMALL, **{name: value}), owner="dinomaly")


def test_the_paper_preset_is_the_authors_set_up():
    """ViT-B/14 with registers, blocks 2 to 9 counted from 0, and the program's schedule."""
    paper = PRESETS["paper"].options
    assert paper == DinomalyOptions()
    assert (paper.size, paper.resize, paper.resize_to, paper.interpolation) == (
        (392, 392), "stretch", (448, 448), "bilinear",
    )  # fmt: skip
    assert (paper.backbone, paper.layers, paper.tokens) == ("timm:vit_base_patch14_reg4_dinov2", LAYERS, "all")
    assert (paper.lr, paper.final_lr, paper.warmup, paper.weight_decay, paper.batch_size) == (2e-3, 2e-4, 100, 1e-4, 16)
    assert (paper.dropout, paper.discarded, paper.damping, paper.ramp) == (0.2, 0.9, 0.1, 1000)
    assert PRESETS["paper-real-iad"].options == replace(paper, dropout=0.4, iterations=50000)
    assert PRESETS["paper-real-iad"].settings == ("multi-class",)
    assert PRESETS["paper-large"].options.layers == (5, 7, 9, 11, 13, 15, 17, 19)


def test_the_plugin_offers_dinomaly_without_torch():
    """Listing the methods imports no torch; published numbers come with their settings."""
    (method,) = adbench_methods()
    assert (method.name, method.settings) == ("dinomaly", ("one-class", "multi-class"))
    assert len(method.published) == 126
    assert {(each.setting, each.policy) for each in method.published} >= {("multi-class", "last")}
    command = "import sys, adbench_plugins.dinomaly as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``, with a short decoder."""
    checks.check_method("dinomaly", changes={"blocks": 2})
