"""INP-Former against the numbers of the authors' program, and the laws of its parts."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from adbench_plugins.inp_former import PRESETS, INPFormerOptions, adbench_methods
from adbench_plugins.inp_former.model import INPFormer, mining_factors, nearest_distances
from adbench_plugins.inp_former.network import Extractor, PrototypeBlock, PrototypeDecoder
from adbench_plugins.token_decoder import fused, joined, position_distances, smoothed
from adbench_plugins.token_groups import group_means
from flow_doubles import assert_near, golden_file, tensors, train
from token_doubles import CPU, FixedBatch, FixedImages, tiny_groups

from adbench import checks
from adbench.api import maps
from adbench.api.options import check
from adbench.data.images import Batch
from adbench.util.errors import OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = INPFormerOptions(size=(32, 48), amp="off", batch_size=3, blocks=4, epochs=3, warmup=2, map_size=(32, 32))


def make(options: INPFormerOptions = SMALL, seed: int = 0) -> INPFormer:
    torch.manual_seed(seed)
    return INPFormer(options, CPU, tiny_groups(tokens=False))


# ---------------------------------------------------------------- golden numbers


@pytest.fixture(scope="module")
def golden():
    """Width 16, four heads, six prototypes, 4 x 4 positions after a class token and four registers."""
    return golden_file("inp-former_small.npz")


def golden_features(archive) -> list[torch.Tensor]:
    """The stored outputs of encoder blocks 2 to 9, as two groups of maps."""
    layers = [torch.from_numpy(archive[f"enc_block_{block}"]) for block in range(2, 10)]
    return group_means([layer[:, 5:].mT.unflatten(2, (4, 4)) for layer in layers], 2)


def golden_detector(archive) -> INPFormer:
    """The golden networks, loaded from an authors' checkpoint."""
    options = INPFormerOptions(size=(56, 56), amp="off", map_size=(64, 64))
    detector = INPFormer(options, CPU, SimpleNamespace(channels=16, groups=2), heads=4)
    detector.load_state_dict(tensors(archive, "state/"))
    return detector


def test_prototypes_and_coherence_are_those_of_the_authors_program(golden):
    """The fused positions, the prototypes of each image, and the distance of each position to the nearest."""
    detector, sequence = golden_detector(golden), fused(golden_features(golden))
    assert_near(golden["fused"], sequence)
    outputs, prototypes = detector.network(sequence)
    assert_near(golden["agg_prototype"], prototypes)
    distances = nearest_distances(sequence, prototypes)
    assert_near(golden["eval_distance"].reshape(2, 16), distances)
    assert_near(golden["eval_gather_loss"], distances.mean())
    nearest = torch.nn.functional.cosine_similarity(sequence[:, :, None], prototypes[:, None], dim=3).argmax(2)
    assert torch.equal(torch.from_numpy(golden["eval_cluster_index"]).view(2, 16), nearest)
    assert len(outputs) == 8


def test_restored_groups_are_those_of_the_authors_program(golden):
    """Bottleneck, the first block, and both groups."""
    detector, features = golden_detector(golden), golden_features(golden)
    network, sequence = detector.network, fused(features)
    code = network.bottleneck[0](sequence)
    assert_near(golden["bottleneck_out"], code)
    assert_near(golden["decoder0_out"], network.decoder[0](code, torch.from_numpy(golden["agg_prototype"])))
    for group, found in enumerate(detector.restore(features)):
        assert_near(golden[f"eval_en{group}"], features[group])
        assert_near(golden[f"eval_de{group}"], found, 2e-5)


def test_maps_and_scores_are_those_of_the_authors_program(golden):
    """At the size of the images, and smoothed at 64 x 64; an image's score is the mean of its 40 highest pixels."""
    detector, features = golden_detector(golden), golden_features(golden)
    with torch.no_grad():
        levels = [position_distances(*pair) for pair in zip(features, detector.restore(features), strict=True)]
        scores = detector.score(FixedBatch(features, (56, 56)))
    whole = joined(levels, (56, 56))
    assert_near(golden["eval_map_cropsize"].reshape(2, 56, 56), whole, 2e-5)
    expected = golden["eval_map_64_smoothed"].reshape(2, 64, 64)
    assert_near(expected, smoothed(whole, (64, 64)), 2e-5)
    assert_near(maps.upsample(torch.from_numpy(expected), (56, 56)).numpy(), scores.map, 2e-5)
    assert_near(golden["eval_image_score"].ravel(), scores.image, 2e-5)


def test_training_is_that_of_the_authors_program(golden):
    """Both losses, gradients that are weighted by distances, and a step of the optimiser."""
    detector, features = golden_detector(golden), golden_features(golden)
    network, maps_of, restored = detector.network.train(), detector.restored_maps, []

    def watched(outputs, given) -> list[torch.Tensor]:
        restored[:] = maps_of(outputs, given)
        for each in restored:
            each.retain_grad()
        return restored

    detector.restored_maps = watched
    loss = detector.losses(*features).mean()
    loss.backward()
    assert_near(golden["loss_total"], loss)
    assert float(golden["loss_total"]) == pytest.approx(
        float(golden["loss_cos"]) + 0.2 * float(golden["loss_gather"]), rel=1e-5
    )
    for group, each in enumerate(restored):
        assert_near(golden[f"grad_de{group}"], each.grad, 1e-4)
    stored = tensors(golden, "grad_unclipped/")
    assert len(stored) > 30
    for key, expected in stored.items():
        assert_near(expected.numpy(), network.get_parameter(key).grad, 1e-4)
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
    assert_near(golden["gradnorm_before_clip"], norm, 1e-4)
    detector.optimizer.step()
    for key, expected in tensors(golden, "after1/").items():
        used = (
            16 if key == "aggregation.0.attn.kv.bias" else 0
        )  # a key's bias has no effect in a softmax, so no gradient
        assert_near(expected[used:].numpy(), network.get_parameter(key)[used:], 1e-4)


# ---------------------------------------------------------------- parts


def test_hard_positions_weigh_more():
    """By the third power of their distance, relative to the mean of the batch; 0 weighs all alike."""
    distances = torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])
    assert torch.equal(mining_factors(distances, 3.0), torch.tensor([[[0.125, 3.375]], [[1.0, 1.0]]]))
    assert torch.equal(mining_factors(distances, 0.0), torch.ones(2, 1, 2))


def test_a_distance_just_below_0_has_a_factor():
    """One minus a cosine that is rounded above 1 counts as 0, also where the exponent is no whole number."""
    found = mining_factors(torch.tensor([[[-1.2e-7, 4.0, 8.0]]]), 2.5)
    torch.testing.assert_close(found, torch.tensor([[[0.0, 1.0, 2**2.5]]]))


def test_a_block_has_no_way_around_the_prototypes():
    """With values of 0 nothing of the image is left, only the biases, the same at each position."""
    torch.manual_seed(0)
    block, prototypes = PrototypeBlock(8, 2), torch.randn(1, 3, 8)
    with torch.no_grad():
        block.attn.kv.weight[8:] = block.attn.kv.bias[8:] = 0
        found = block(torch.randn(1, 5, 8), prototypes)
    torch.testing.assert_close(found, found[:, :1].expand(1, 5, 8))


def test_prototypes_are_those_of_the_image_alone():
    """Of other images in the batch nothing comes in, and the order of positions does not matter."""
    torch.manual_seed(0)
    extract, queries, tokens = Extractor(8, 2), torch.randn(1, 3, 8), torch.randn(2, 6, 8)
    together = extract(queries.expand(2, -1, -1), tokens)
    torch.testing.assert_close(together[1:], extract(queries, tokens[1:]))
    torch.testing.assert_close(together, extract(queries.expand(2, -1, -1), tokens[:, torch.randperm(6)]))


def test_learned_tokens_start_normal_and_scales_at_one():
    """Linear layers start small, these two do not."""
    torch.manual_seed(0)
    network = PrototypeDecoder(64, 2, 2, 100)
    assert float(network.prototype_token.detach().std()) == pytest.approx(1.0, rel=0.05)
    assert all(torch.equal(block.attn.learn_scale, torch.ones(2, 1, 1)) for block in network.decoder)
    assert float(network.aggregation[0].attn.q.weight.detach().abs().max()) <= 0.03


# ---------------------------------------------------------------- fit


def test_training_lowers_the_loss():
    """On a few random images; an image scores alone as in a batch."""
    detector, images = make(replace(SMALL, epochs=20, warmup=5)), FixedImages()
    reports = train(detector, images)
    assert reports[-1].loss < 0.7 * reports[0].loss
    with torch.no_grad():
        together = detector.score(Batch.of(images.images))
        alone = detector.score(Batch.of(images.images[3:4]))
    torch.testing.assert_close(alone.map[0], together.map[3], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone.image[0], together.image[3], rtol=1e-4, atol=1e-6)


def test_a_resumed_training_ends_as_an_unbroken_one():
    """The optimiser's state is in the file, and the schedule follows from the epoch."""
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


def test_bf16_stays_near_float32():
    """The loss of the same images is within 1 %, and it is float32."""
    features = make().backbone(FixedImages().images)
    with torch.no_grad():
        losses = [make(replace(SMALL, amp=amp)).losses(*features) for amp in ("off", "bf16")]
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-2, atol=1e-3)
    assert not torch.equal(*losses)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "value"), [("prototypes", 0), ("coherence", -1.0), ("mining", -1.0), ("epochs", 0), ("lr", 0.0)]
)
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of inp-former"):
        check(replace(SMALL, **{name: value}), owner="inp-former")


def test_the_paper_preset_is_the_authors_set_up():
    """ViT-B/14 with registers, blocks 2 to 9 counted from 0, and the program's schedule."""
    paper = PRESETS["paper"].options
    assert paper == INPFormerOptions()
    assert (paper.size, paper.resize_to, paper.interpolation) == ((392, 392), (448, 448), "bilinear")
    assert (paper.backbone, paper.layers) == ("timm:vit_base_patch14_reg4_dinov2", (3, 4, 5, 6, 7, 8, 9, 10))
    assert (paper.lr, paper.final_lr, paper.warmup, paper.weight_decay) == (1e-3, 1e-4, 100, 1e-4)
    assert (paper.epochs, paper.batch_size) == (200, 16)
    assert (paper.prototypes, paper.coherence, paper.mining) == (6, 0.2, 3.0)
    assert make().steps(7) == 21


def test_the_plugin_offers_inp_former_without_torch():
    """Listing the methods imports no torch; published numbers come with their settings."""
    (method,) = adbench_methods()
    assert (method.name, method.settings) == ("inp-former", ("one-class", "multi-class", "few-shot"))
    assert len(method.published) == 44
    assert {each.policy for each in method.published} == {"last"}
    command = "import sys, adbench_plugins.inp_former as p; p.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``, with a short decoder."""
    checks.check_method("inp-former", changes={"blocks": 2})
