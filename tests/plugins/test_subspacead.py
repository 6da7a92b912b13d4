"""SubspaceAD against the authors' program, and its laws."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from adbench_plugins.subspacead import PRESETS, SubspaceADOptions, adbench_methods, build
from adbench_plugins.subspacead.model import MeanOfLayers, SubspaceAD
from flow_doubles import TinyBackbone, TinyBatch, TinyImages, assert_near, golden_file, train

from adbench import checks
from adbench.api import BuildContext, CheckpointError, OptionError, TaskError, maps
from adbench.api.options import check
from adbench.data.images import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = SubspaceADOptions(size=(32, 48), amp="off", batch_size=3, layers=(1, 2), join="concat", variance=0.9)
REFERENCES = 4


def make(options: SubspaceADOptions = SMALL, context: object = CPU) -> SubspaceAD:
    return SubspaceAD(options, context, TinyBackbone())


def fitted(options: SubspaceADOptions = SMALL, images: TinyImages | None = None) -> SubspaceAD:
    detector = make(options)
    train(detector, images or TinyImages())
    return detector


# ---------------------------------------------------------------- golden numbers


class GoldenBackbone:
    """Seven layers of golden hidden states without their prefix; its images are numbers of pictures."""

    channels, strides, key, weights_hash = (20,) * 7, (14,) * 7, "golden", ""

    def __call__(self, numbers: torch.Tensor) -> list[torch.Tensor]:
        """The layers of some pictures, each (B, 20, 8, 9)."""
        archive = golden_file("subspacead_small.npz")
        hidden = torch.from_numpy(archive["hidden"])[:, :, int(archive["n_prefix"]) :]
        grid = tuple(archive["grid"].tolist())
        return [layer[numbers].mT.unflatten(2, grid) for layer in hidden]


class GoldenBatch:
    """The golden test pictures."""

    size = (112, 112)

    def features(self, backbone: MeanOfLayers) -> list[torch.Tensor]:
        """Whatever the backbone makes of them."""
        return backbone(torch.arange(REFERENCES, 7))


class GoldenImages:
    """The golden references, three and one."""

    def features(self, backbone: MeanOfLayers) -> Iterator[list[torch.Tensor]]:
        """Whatever the backbone makes of them."""
        return (backbone(numbers) for numbers in torch.arange(REFERENCES).split(3))


def test_golden_tokens():
    """The mean of seven layers, without class token and registers."""
    detector = SubspaceAD(SubspaceADOptions(), CPU, GoldenBackbone())
    found = detector.tokens(detector.backbone(torch.arange(7)))
    assert_near(golden_file("subspacead_small.npz")["tokens"], found, 1e-6)


def test_golden_maps_and_image_scores():
    """From layers to the end: scores of tokens, the enlarged and smoothed map, the mean of its highest hundredth."""
    archive = golden_file("subspacead_small.npz")
    detector = SubspaceAD(SubspaceADOptions(), CPU, GoldenBackbone())
    train(detector, GoldenImages())

    tokens = detector.tokens(GoldenBatch().features(detector.backbone))
    scores = detector.score(GoldenBatch())

    assert_near(archive["ev99_scores"], detector.token_scores(tokens), 1e-5)
    kept = archive["ev99_map"]  # of the first picture alone
    raw = maps.upsample(detector.token_scores(tokens), GoldenBatch.size)
    assert_near(archive["ev99_map_raw"], raw[: len(kept)], 1e-5)
    assert_near(kept, scores.map[: len(kept)], 1e-5)
    assert_near(archive["ev99_image"], scores.image, 1e-5)


# ---------------------------------------------------------------- fit


class Turned(TinyImages):
    """Images that note how many turned copies are asked for, and how often they are used."""

    used = 0

    def augmented(self, *, rotation: float, copies: int, start: int) -> TinyImages:
        """Copies that differ each time."""
        self.asked = (rotation, copies, start)
        made = Turned(len(self))
        made.features = lambda backbone: self.turned(backbone)
        return made

    def turned(self, backbone: TinyBackbone) -> Iterator[list[torch.Tensor]]:
        """The next version."""
        self.used += 1
        yield backbone(self.images.roll(self.used, 3))


@pytest.mark.parametrize(
    ("setting", "rotations", "copies"), [("few-shot", 5, 5), ("few-shot", 0, 0), ("one-class", 5, 0)]
)
def test_few_images_are_also_turned(setting, rotations, copies):
    """With --shots each version of the copies is used once; otherwise there is none."""
    images = Turned(2)
    detector = make(replace(SMALL, rotations=rotations), BuildContext(CPU, setting=setting))
    train(detector, images)
    assert images.used == copies
    assert images.asked == ((180, copies, 0) if copies else None)


def test_no_image_is_an_error():
    """The message says what is missing."""
    with pytest.raises(TaskError, match="no training image"):
        train(make(), TinyImages(0))


def test_black_images_are_no_error():
    """They have no component: scores are distances from the mean, and finite."""
    images = TinyImages(3)
    images.images = torch.zeros_like(images.images)
    detector = fitted(images=images)
    assert float(detector.score(TinyBatch(images.images)).image.max()) < 1e-9
    assert torch.isfinite(detector.score(TinyBatch(torch.rand(2, 3, 32, 48))).image).all()


def test_fit_has_one_epoch_and_none_after_a_resume():
    """One epoch learns everything, and a state that holds it needs no other."""
    detector = make()
    detector.epoch = 1
    assert list(detector.fit(TinyImages())) == []


# ---------------------------------------------------------------- score


@pytest.mark.parametrize("score", ["residual", "mahalanobis", "cosine"])
def test_an_image_alone_scores_as_in_a_batch(score):
    """No other image matters, whichever the score."""
    detector = fitted(replace(SMALL, score=score, drop=1))
    pixels = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    together = detector.score(TinyBatch(pixels))
    for number, image in enumerate(pixels):
        alone = detector.score(TinyBatch(image[None]))
        torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-4, atol=1e-6)


def test_a_dropped_component_counts_as_left_out():
    """The residual grows by the square along it."""
    whole, dropped = fitted(), make(replace(SMALL, drop=1))
    dropped.load_state_dict(whole.state_dict())
    tokens = whole.tokens(whole.backbone(torch.rand(1, 3, 32, 48)))
    along = (tokens - whole.components.mean) @ whole.components.basis[:, 0]
    torch.testing.assert_close(dropped.token_scores(tokens), whole.token_scores(tokens) + along.square())


# ---------------------------------------------------------------- layers


def test_dropping_all_components_is_refused():
    """Nothing would be left to score with, and every score would be 0."""
    with pytest.raises(OptionError, match=r"drop: found 500 of \d+ components, wanted fewer"):
        fitted(replace(SMALL, drop=500))


def test_the_mean_of_unequal_layers_is_refused():
    """The message says what to do instead."""
    with pytest.raises(OptionError, match=r"4, 6, 9 channels.*join=concat"):
        make(replace(SMALL, join="mean"))


def test_the_mean_has_its_own_name_in_the_cache():
    """It gives its backbone's memory back, and keeps the precision of the features."""
    released = []
    layers = [torch.tensor([1.0]).bfloat16().view(1, 1, 1, 1), torch.tensor([3.0]).bfloat16().view(1, 1, 1, 1)]

    class Two:
        channels, strides, key, weights_hash = (1, 1), (14, 14), "two", "abc"

        def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
            return layers

        def release_weights(self) -> None:
            released.append(True)

    mean = MeanOfLayers(Two())
    (found,) = mean(torch.zeros(1, 3, 14, 14))
    assert (mean.key, mean.channels, mean.strides, mean.weights_hash) == ("two/mean", (1,), (14,), "abc")
    assert (float(found), found.dtype) == (2.0, torch.bfloat16)
    mean.release_weights()
    assert released == [True]


def test_tokens_are_the_mean_of_blocks_without_the_final_norm(tmp_path):
    """Of a transformer with registers: neither they nor the class token count."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=(56, 84)).eval()
    whole = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0)
    state = {**net.state_dict(), "pos_embed": torch.zeros_like(whole.pos_embed)}  # then no interpolation matters
    torch.save(state, tmp_path / "random.pt")
    net.load_state_dict({"pos_embed": torch.zeros_like(net.pos_embed)}, strict=False)
    options = replace(PRESETS["quick"].options, size=(56, 84), weights=str(tmp_path / "random.pt"), amp="off")
    detector = build(options, BuildContext(CPU))
    images, seen = torch.rand(1, 3, 56, 84), []
    for block in net.blocks:
        block.register_forward_hook(lambda module, arguments, output: seen.append(output))
    with torch.no_grad():
        found = detector.tokens(detector.backbone(images))
        plain = detector.backbone.backbone
        net.forward_features((images - plain.mean) / plain.std)
    expected = torch.stack([seen[layer - 1] for layer in options.layers]).mean(0)[:, 5:]
    torch.testing.assert_close(found.flatten(1, 2), expected, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- state, options


def test_state_goes_into_a_fresh_detector():
    """The components survive a file, which holds only tensors."""
    detector, file = fitted(), io.BytesIO()
    torch.save(detector.state_dict(), file)
    file.seek(0)
    fresh = make()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    batch = TinyBatch(torch.rand(2, 3, 32, 48))
    assert torch.equal(detector.score(batch).map, fresh.score(batch).map)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("basis"), "mean, basis, variance of a fitted subspacead"),
        (lambda state: state.update(variance=torch.ones(99)), r"wanted \(C,\), \(C, K\), \(K,\)"),
    ],
)
def test_state_that_does_not_fit_is_refused(change, message):
    """What is missing or of another shape is named."""
    state = fitted().state_dict()
    change(state)
    with pytest.raises(CheckpointError, match=message):
        make().load_state_dict(state)


def test_a_detector_for_other_tokens_says_so():
    """Without a fit, and with tokens of another backbone."""
    with pytest.raises(CheckpointError, match="fitted"):
        make().score(TinyBatch(torch.rand(1, 3, 32, 48)))
    detector = fitted()
    detector.backbone = TinyBackbone((5,))
    with pytest.raises(CheckpointError, match="found 5 numbers, wanted 19"):
        detector.score(TinyBatch(torch.rand(1, 3, 32, 48)))


@pytest.mark.parametrize(
    ("name", "value"), [("variance", 0.0), ("variance", 1.5), ("components", -1), ("rotations", -1), ("drop", -1)]
)
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of subspacead"):
        check(replace(SMALL, **{name: value}), owner="subspacead")


def test_the_paper_preset_is_the_authors_set_up():
    """DINOv2-giant with registers, seven middle blocks, 30 turned copies but of transistors."""
    paper = PRESETS["paper"]
    assert paper.options == SubspaceADOptions()
    assert (paper.options.backbone, paper.options.size) == ("timm:vit_giant_patch14_reg4_dinov2", (672, 672))
    assert paper.options.layers == tuple(41 - place for place in range(18, 11, -1))  # of 41 hidden states, from the end
    assert (paper.options.rotations, paper.resolve("mvtec", "transistor").rotations) == (30, 0)


def test_the_cpu_preset_finds_a_defect():
    """With the real small backbone, a bright square stands out in the map, at its position."""
    detector = build(replace(PRESETS["cpu"].options, size=(96, 128), amp="off"), BuildContext(CPU))
    draw = torch.Generator().manual_seed(0)
    good = 0.4 + 0.1 * torch.rand(10, 3, 96, 128, generator=draw)
    train(detector, SimpleNamespace(features=lambda backbone: (backbone(part) for part in good[:8].split(4))))
    bad = good[9:].clone()
    bad[:, :, 30:50, 60:90] = 0.9
    with torch.no_grad():
        scores = detector.score(Batch.of(torch.cat((good[8:9], bad))))

    row, column = divmod(int(scores.map[1].argmax()), 128)
    assert scores.image[1] > 1.5 * scores.image[0]
    assert 25 <= row <= 55
    assert 55 <= column <= 95


def test_the_plugin_offers_subspacead_without_torch():
    """Listing the methods imports no torch; published numbers come with their shots."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("subspacead", ["cpu", "paper", "quick"])
    assert {each.shots for each in method.published if each.setting == "few-shot"} == {1, 2, 4}
    command = "import sys, adbench_plugins.subspacead as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    checks.check_method("subspacead")
