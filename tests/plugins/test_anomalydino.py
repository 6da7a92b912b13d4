"""AnomalyDINO against the authors' program and anomalib, and the laws of its bank."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from adbench_plugins.anomalydino import MASKED, PRESETS, AnomalyDINOOptions, adbench_methods, build
from adbench_plugins.anomalydino.model import AnomalyDINO
from flow_doubles import TinyBackbone, TinyBatch, TinyImages, assert_near, golden_file, train

from adbench import checks
from adbench.api import BuildContext, CheckpointError, OptionError, TaskError, maps
from adbench.api.options import check
from adbench.data.images import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = AnomalyDINOOptions(size=(32, 48), amp="off", batch_size=3, layers=(1, 2), sigma=1.0)
CASES = {
    "plain": {},
    "mask": {"mask": "program"},
    "maskref": {"mask": "program", "mask_references": True},
    "l2": {"metric": "euclidean"},
    "k3": {"neighbours": 3},
}


def make(options: AnomalyDINOOptions = SMALL, context: object = CPU) -> AnomalyDINO:
    return AnomalyDINO(options, context, TinyBackbone())


def fitted(options: AnomalyDINOOptions = SMALL, images: TinyImages | None = None) -> AnomalyDINO:
    detector = make(options)
    train(detector, images or TinyImages())
    return detector


# ---------------------------------------------------------------- golden numbers


class Given:
    """Golden tokens as the features of a batch, or of the training images."""

    def __init__(self, name: str) -> None:
        archive = golden_file("anomalydino_small.npz")
        grid = tuple(archive["grid"].tolist())
        self.layer = torch.from_numpy(archive[name]).mT.unflatten(2, grid)  # (B, C, h, w)
        self.size = tuple(archive["size"].tolist())

    def features(self, backbone: object) -> list[torch.Tensor]:
        """The tokens, whatever the backbone."""
        return [self.layer]


class GivenImages:
    """Training images with golden tokens, two at a time."""

    def __len__(self) -> int:
        return 3

    def features(self, backbone: object) -> Iterator[list[torch.Tensor]]:
        """The tokens of the references."""
        return ([part] for part in Given("ref_tokens").layer.split(2))


def golden_detector(**changes: object) -> AnomalyDINO:
    """Fitted on the golden references."""
    options = replace(AnomalyDINOOptions(size=(70, 84), amp="off"), **changes)
    detector = AnomalyDINO(options, CPU, SimpleNamespace(channels=(24,), strides=(14,)))
    train(detector, GivenImages())
    return detector


@pytest.mark.parametrize(("case", "changes"), CASES.items())
def test_golden_distances_maps_and_scores(case, changes):
    """Those of the authors' program: with and without masks, in both metrics, and for three neighbours."""
    archive = golden_file("anomalydino_small.npz")
    detector = golden_detector(**changes)
    batch = Given("test_tokens")

    distances = detector.distances(detector.tokens(batch.features(None)))
    scores = detector.score(batch)

    assert_near(archive[f"{case}_dists"], distances, 1e-5)
    assert_near(archive[f"{case}_score"], scores.image, 1e-5)
    kept = archive[f"{case}_map"]  # of the first images alone
    assert_near(kept, scores.map[: len(kept)], 1e-5)


@pytest.mark.parametrize(("case", "changes"), [("plain", {}), ("mask", {"mask": "grid", "mask_references": True})])
def test_golden_scores_of_anomalib(case, changes):
    """Its masks grow on the grid; its maps are enlarged to the nearest token and smoothed with another border."""
    archive = golden_file("anomalydino_small.npz")
    detector = golden_detector(**changes)
    distances = detector.distances(detector.tokens(Given("test_tokens").features(None)))

    large = maps.upsample(distances, (44, 52), mode="nearest")  # images of 46 x 55, in patches of 4 x 4
    smooth = maps.gaussian(large, 4, radius=16, border="mirror")[:, None]
    padded = torch.nn.functional.pad(smooth, (1, 2, 1, 1), mode="replicate")[:, 0]

    assert_near(archive[f"al_{case}_score"], maps.top_mean(distances, 0.01), 1e-5)
    assert_near(archive[f"al_{case}_map"], padded, 1e-5)


@pytest.mark.parametrize(("count", "place"), [(1369, 0), (250, 1), (100, 2)])
def test_golden_mean_of_the_highest_hundredth(count, place):
    """Of all values, of the first 250 and of the first 100: 13, 2 and 1 of them."""
    archive = golden_file("anomalydino_small.npz")
    values = torch.from_numpy(archive["top_in"][:count])
    found = maps.top_mean(values[None, None], 0.01)
    torch.testing.assert_close(found, torch.from_numpy(archive["top_out"][place : place + 1]).to(found))


# ---------------------------------------------------------------- the bank


def test_the_bank_has_all_tokens_at_length_one():
    """Two layers end to end on the grid of the first one, for each of six images."""
    bank = fitted().state_dict()["bank"]
    assert bank.shape == (6 * 8 * 12, 19)
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(len(bank)))


def test_training_images_score_zero():
    """Their tokens are in the bank."""
    images = TinyImages(2)
    detector = fitted(images=images)
    assert float(detector.score(TinyBatch(images.images)).image.max()) < 1e-6
    other = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    assert float(detector.score(TinyBatch(other)).image.min()) > 1e-4


class Turned(TinyImages):
    """Images that take a transform, and note its key."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.keys: list[str] = []

    def augmented(self, transform, *, key: str, copies: int) -> TinyImages:
        """The images, changed."""
        self.keys.append(key)
        made = TinyImages(len(self))
        made.images = transform(self.images, torch.Generator())
        return made


@pytest.mark.parametrize(
    ("rotations", "setting", "views"),
    [("few-shot", "few-shot", 8), ("few-shot", "one-class", 1), ("always", "one-class", 8), ("never", "few-shot", 1)],
)
def test_few_images_are_also_turned(rotations, setting, views):
    """With --shots the bank has eight copies of each image, and its size is known before."""
    context = BuildContext(CPU, setting=setting, train_images=2)
    detector, images = make(replace(SMALL, rotations=rotations), context), Turned(2)
    train(detector, images)
    bank = detector.state_dict()["bank"]
    assert len(bank) == views * 2 * 8 * 12
    assert len(set(images.keys)) == views - 1
    assert detector.checkpoint_bytes() == bank.nbytes


def test_a_turned_image_is_no_anomaly():
    """A test image that is a reference upside down scores 0 only where references are turned."""
    images = Turned(1)
    upside_down = TinyBatch(images.images.flip(2, 3).roll((1, 1), (2, 3)))  # OpenCV turns about the pixel beside
    found = {}
    for rotations in ("always", "never"):
        detector = make(replace(SMALL, rotations=rotations))
        train(detector, images)
        found[rotations] = float(detector.score(upside_down).map.median())
    assert found["always"] < 0.1 * found["never"]


def test_no_image_is_an_error():
    """The message says what is missing."""
    with pytest.raises(TaskError, match="no training image"):
        train(make(), TinyImages(0))


@pytest.mark.parametrize("mask", ["grid", "program"])
@pytest.mark.parametrize("mask_references", [False, True])
def test_masks_that_hide_all_training_images_are_an_error(mask, mask_references):
    """With a threshold of another backbone all images would score 0, whatever is in them; the message names it."""
    options = replace(SMALL, mask=mask, mask_references=mask_references)
    with pytest.raises(TaskError, match=r"no foreground in any training image.*mask_threshold"):
        fitted(options)
    some = TinyImages()
    some.images[4, :, 8:24, 12:36] += 60.0  # a single one with a foreground is enough
    assert len(fitted(options, some).state_dict()["bank"])


# ---------------------------------------------------------------- score


@pytest.mark.parametrize("mask", ["none", "grid"])
def test_an_image_alone_scores_as_in_a_batch(mask):
    """No other image matters, for its mask neither."""
    detector = fitted(replace(SMALL, mask=mask, mask_threshold=0.1))
    pixels = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    together = detector.score(TinyBatch(pixels))
    for number, image in enumerate(pixels):
        alone = detector.score(TinyBatch(image[None]))
        torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-5, atol=1e-6)


def test_an_image_that_is_all_background_scores_zero():
    """As in the authors' program; nothing is compared."""
    detector = make(replace(SMALL, mask="grid"))
    detector.load_state_dict(fitted().state_dict())
    scores = detector.score(TinyBatch(torch.rand(2, 3, 32, 48)))
    assert scores.image.tolist() == [0, 0]
    assert float(scores.map.abs().max()) == 0


def test_state_goes_into_a_fresh_detector():
    """The bank survives a file, which holds only tensors."""
    detector, file = fitted(), io.BytesIO()
    torch.save(detector.state_dict(), file)
    file.seek(0)
    fresh = make()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    batch = TinyBatch(torch.rand(2, 3, 32, 48))
    assert torch.equal(detector.score(batch).map, fresh.score(batch).map)


def test_state_that_does_not_fit_is_refused():
    """A missing bank and one of other tokens are named, and so is a detector without any."""
    with pytest.raises(CheckpointError, match=r"found no bank.*wanted rows of 19 numbers"):
        make().load_state_dict({})
    with pytest.raises(CheckpointError, match=r"found a bank of shape \(57, 6\).*wanted rows of 19 numbers"):
        make().load_state_dict({"bank": torch.zeros(57, 6)})
    with pytest.raises(CheckpointError, match="fitted"):
        make().score(TinyBatch(torch.rand(1, 3, 32, 48)))


def test_fit_has_one_epoch_and_none_after_a_resume():
    """One epoch learns everything, and a state that holds it needs no other."""
    detector = make()
    detector.epoch = 1
    assert list(detector.fit(TinyImages())) == []


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(("name", "value"), [("neighbours", 0), ("sigma", -1.0), ("mask_threshold", -1.0)])
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of anomalydino"):
        check(replace(SMALL, **{name: value}), owner="anomalydino")


def test_presets_are_the_authors_set_up():
    """DINOv2 ViT-S/14 at 448 x 448; the authors' classes are masked, and no other one."""
    paper = PRESETS["paper"]
    assert paper.options == AnomalyDINOOptions()
    assert (paper.options.backbone, paper.options.layers) == ("timm:vit_small_patch14_dinov2", (12,))
    assert paper.resolve("mvtec", "screw").mask == "grid"
    assert paper.resolve("mvtec", "bottle").mask == "none"
    assert {paper.resolve("visa", name).mask for name in MASKED["visa"]} == {"grid"}
    assert len(paper.per_class) == 5 + 12


def test_tokens_are_those_after_the_final_norm(tmp_path):
    """Of DINOv2 at another size: normed, with its own interpolation of positions, without the class token."""
    timm = pytest.importorskip("timm")
    from adbench.backbones.vit import dinov2_positions

    torch.manual_seed(0)
    net = timm.create_model("vit_small_patch14_dinov2", num_classes=0).eval()
    torch.nn.init.normal_(net.norm.bias)
    torch.save(net.state_dict(), tmp_path / "random.pt")
    options = replace(PRESETS["quick"].options, size=(56, 84), weights=str(tmp_path / "random.pt"), amp="off")
    detector = build(options, BuildContext(CPU))
    images = torch.rand(1, 3, 56, 84)
    with torch.no_grad():
        found = detector.tokens(detector.backbone(images))
        own = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=(56, 84)).eval()
        state = net.state_dict()
        state["pos_embed"] = dinov2_positions(state["pos_embed"], 1, (37, 37), (4, 6))
        own.load_state_dict(state)
        expected = own.forward_features((images - detector.backbone.mean) / detector.backbone.std)
    torch.testing.assert_close(found.flatten(1, 2), expected[:, 1:], rtol=1e-4, atol=1e-4)


def test_the_cpu_preset_finds_a_defect():
    """With the real small backbone, a bright square stands out in the map, at its position."""
    detector = build(replace(PRESETS["cpu"].options, size=(96, 128), amp="off"), BuildContext(CPU))
    draw = torch.Generator().manual_seed(0)
    good = 0.4 + 0.1 * torch.rand(10, 3, 96, 128, generator=draw)

    class Good(TinyImages):
        def features(self, backbone: object) -> Iterator[list[torch.Tensor]]:
            return (backbone(part) for part in good[:8].split(4))

    train(detector, Good(8))
    bad = good[9:].clone()
    bad[:, :, 30:50, 60:90] = 0.9
    with torch.no_grad():
        scores = detector.score(Batch.of(torch.cat((good[8:9], bad))))

    row, column = divmod(int(scores.map[1].argmax()), 128)
    assert scores.image[1] > 1.5 * scores.image[0]
    assert 25 <= row <= 55
    assert 55 <= column <= 95


def test_the_plugin_offers_anomalydino_without_torch():
    """Listing the methods imports no torch; published numbers come with their shots."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("anomalydino", ["cpu", "paper", "quick"])
    assert {each.shots for each in method.published if each.setting == "few-shot"} == {1, 2, 4}
    command = "import sys, adbench_plugins.anomalydino as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    checks.check_method("anomalydino")
