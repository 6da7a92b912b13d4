"""Vision transformers as backbones: blocks as maps, tokens, sizes, positions, and trainable copies."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import adbench
from vit_networks import CPU, DINOV2, REGISTERS, SMALL, TINY, create, images

from adbench import Detector, Epoch, Method, Scores
from adbench.api.options import BackboneOptions, Options
from adbench.backbones import registry, vit
from adbench.backbones.feature_cache import FeatureCache
from adbench.run import check_method
from adbench.util.errors import OptionError, SizeError

timm = pytest.importorskip("timm")
pytestmark = pytest.mark.usefixtures("one_thread")


def tokens_of(name: str, backbone: registry.Backbone, given: torch.Tensor) -> list[torch.Tensor]:
    """All tokens after each block of timm's own model, (B, P + N, C), and at the end those after its norm."""
    net = create(name, dynamic_img_size=True)
    seen: list[torch.Tensor] = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, arguments, output: seen.append(output))
    with torch.no_grad():
        seen.append(net.forward_features((given - backbone.mean) / backbone.std))
    return seen


@pytest.mark.parametrize(("name", "size", "patch"), [(SMALL, (48, 80), 16), (REGISTERS, (28, 56), 14)])
def test_blocks_are_layers_and_give_maps(name, size, patch, load):
    """Layer n is the output of block n without class token and registers, at any size and in the order asked for."""
    backbone = load(name, layers=(5, 2))
    given = images(*size)
    every = tokens_of(name, backbone, given)
    found = backbone(given)
    prefix = 1 if name == SMALL else 5
    grid = (size[0] // patch, size[1] // patch)
    for layer, maps in zip((5, 2), found, strict=True):
        expected = every[layer - 1][:, prefix:].mT.unflatten(2, grid)
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4)
    assert backbone.channels == tuple(maps.shape[1] for maps in found)
    assert backbone.strides == (patch, patch)
    assert backbone.multiple == patch
    assert len(backbone.network.net.blocks) == 5


def test_the_last_block_with_and_without_the_final_norm(load):
    """``norm`` applies the final norm, as for methods that take the model's last tokens."""
    plain, normed = load(SMALL, layers=(6,)), load(SMALL, layers=(6,), norm=True)
    every = tokens_of(SMALL, plain, given := images(32, 48))
    torch.testing.assert_close(plain(given)[0].flatten(2).mT, every[5][:, 1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(normed(given)[0].flatten(2).mT, every[6][:, 1:], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(every[5], every[6], rtol=1e-2)


@pytest.mark.parametrize(("tokens", "count"), [("class", 1), ("all", 5)])
def test_tokens_come_after_the_maps(tokens, count, load):
    """On request each layer has its class token, or that and its registers, as (B, C, 1, P) after all maps."""
    backbone = load(REGISTERS, layers=(3, 1), tokens=tokens)
    every = tokens_of(REGISTERS, backbone, given := images(28, 42))
    found = backbone(given)
    assert [tuple(each.shape[1:]) for each in found] == [(384, 2, 3)] * 2 + [(384, 1, count)] * 2
    for layer, each in zip((3, 1), found[2:], strict=True):
        torch.testing.assert_close(each[:, :, 0].mT, every[layer - 1][:, :count], rtol=1e-4, atol=1e-4)


def test_tokens_are_cached_and_not_pooled(load, tmp_path):
    """The cache brings maps and tokens back as they were; a pool leaves tokens alone."""
    backbone = load(REGISTERS, tokens="all", pool="avg", amp="bf16")
    given = images(56, 56)
    expected = backbone(given)
    assert [tuple(each.shape[2:]) for each in expected] == [(2, 2), (1, 5)]
    assert {each.dtype for each in expected} == {torch.bfloat16}
    cache = FeatureCache(folder=tmp_path)
    table = cache.table("vit", 2, lambda rows: backbone(given[rows]), CPU)
    for wanted, found in zip(expected, table.gather(torch.arange(2)), strict=True):
        assert torch.equal(found, wanted)


def test_what_a_network_lacks_is_refused(load, weights_of):
    """Blocks, tokens, norms and padding that a network doesn't have are errors that say so."""
    cases = {
        "different blocks of 1 to 6": (SMALL, {"layers": (7,)}),
        "found 2,2": (SMALL, {"layers": (2, 2)}),
        "a transformer, which pads nothing": (SMALL, {"padding": "reflect"}),
        "none, class, all": (SMALL, {"tokens": "some"}),
        "timm, dinov2": (SMALL, {"positions": "dino"}),
        "no class token": ("timm:test_vit2", {"tokens": "class"}),
        "no norm after its last block": ("timm:test_vit2", {"norm": True}),
    }
    for message, (name, changes) in cases.items():
        with pytest.raises(OptionError, match=message):
            load(name, **changes)
    for changes in ({"norm": True}, {"tokens": "all"}, {"positions": "dinov2"}):
        for name in ("resnet18", "timm:test_resnet"):
            with pytest.raises(OptionError, match="Only vision transformers"):
                registry.load(name, weights="none.pt", device=CPU, **changes)


# ---------------------------------------------------------------- sizes


def test_a_size_that_does_not_fit_is_refused_with_the_nearest_ones(load, weights_of):
    """The error names the multiple and two sizes that fit; it is raised before an image is read."""
    backbone = load(DINOV2)
    with pytest.raises(SizeError, match=r"wanted multiples of 14\. Choose --size 28x56 or 42x56\.") as caught:
        backbone(images(30, 56))
    assert caught.value.multiple == 14
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.multiple) == (str(caught.value), 14)
    options = BackboneOptions(backbone=DINOV2, layers=(2,), weights=str(weights_of(DINOV2)), amp="off")
    with pytest.raises(SizeError, match="Choose --size 252x252 or 266x266"):
        registry.from_options(options, CPU)
    with pytest.raises(SizeError):
        backbone.trainable_copy()(images(30, 56))


def test_check_method_picks_a_size_that_fits():
    """A method whose backbone needs multiples of 14 is checked at the nearest ones to the usual size."""
    seen = []

    class Picky(Detector):
        def __init__(self, options: Options, context: Any) -> None:
            super().__init__(options, context)
            seen.append(options.size)
            if options.size[0] % 14 or options.size[1] % 14:
                raise SizeError("picky", options.size, 14)

        def fit(self, images: Any) -> Any:
            yield Epoch(1, 1)

        def score(self, batch: Any) -> Scores:
            return Scores(batch.images.mean((1, 2, 3)), batch.images.mean(1))

    results = check_method.run(Method("picky", "", Picky, Options))
    assert results[0].reason == "1 epoch at 98x126"
    assert set(seen) == {(96, 128), (98, 126)}


def test_a_method_runs_on_a_transformer(weights_of):
    """The sample of the guide passes its checks with a transformer's blocks."""
    sample = Path(__file__).parents[2] / "docs" / "sample_plugin" / "adbench_sample.py"
    changes = {"backbone": SMALL, "weights": str(weights_of(SMALL)), "layers": (2, 5)}
    check_method.check_method("sample", plugin_files=[sample], changes=changes)


def test_run_says_which_sizes_fit(weights_of, tiny_data, tmp_path):
    """``adbench run`` with a size that doesn't fit ends with exit code 2 and the sizes that do."""
    done = adbench(
        "run", "-m", "padim", "-d", "folder", "--data-root", tiny_data, "-c", "bolts", "--backbone", DINOV2,
        "--weights", weights_of(DINOV2), "-o", "layers=2", "--results", tmp_path, "--device", "cpu", "--size", "64",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "Choose --size 56x56 or 70x70" in " ".join(done.stderr.split())


# ---------------------------------------------------------------- positions


def cubic(values: np.ndarray, count: int, scale: float) -> np.ndarray:
    """Interpolate along the first axis by Keys' cubic kernel with a = -0.75, repeating the border."""
    places = (np.arange(count) + 0.5) / scale - 0.5
    base = np.floor(places).astype(int)
    total = np.zeros((count, *values.shape[1:]))
    for tap in range(-1, 3):
        away = np.abs(places - (base + tap))
        near = 1.25 * away**3 - 2.25 * away**2 + 1
        far = -0.75 * away**3 + 3.75 * away**2 - 6 * away + 3
        weights = np.where(away <= 1, near, np.where(away < 2, far, 0))
        total += weights[:, None, None] * values[np.clip(base + tap, 0, len(values) - 1)]
    return total


@settings(deadline=None, max_examples=20)
@given(
    old=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    new=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    prefix=st.integers(0, 2),
)
def test_dinov2_positions_are_bicubic_with_longer_sides(old, new, prefix):
    """Each side is scaled by (new + 0.1) / old without antialiasing; tokens before the grid stay."""
    embedding = torch.randn(1, prefix + old[0] * old[1], 3, generator=torch.Generator().manual_seed(1))
    found = vit.dinov2_positions(embedding, prefix, old, new)
    grid = embedding[0, prefix:].unflatten(0, old).double().numpy()
    rows = cubic(grid, new[0], (new[0] + 0.1) / old[0])
    expected = cubic(rows.swapaxes(0, 1), new[1], (new[1] + 0.1) / old[1]).swapaxes(0, 1)
    assert torch.equal(found[:, :prefix], embedding[:, :prefix])
    np.testing.assert_allclose(found[0, prefix:].numpy(), expected.reshape(-1, 3), atol=1e-4)


@pytest.mark.parametrize("name", [DINOV2, REGISTERS])
def test_positions_as_in_dinov2(name, load):
    """With ``positions="dinov2"`` the network runs with DINOv2's embedding; on its own grid there is no difference."""
    usual, changed = load(name), load(name, positions="dinov2")
    given = images(42, 70)
    net = create(name, num_classes=0, img_size=(42, 70))  # for this size alone
    own = create(name)
    prefix = 0 if name == REGISTERS else 1
    embedding = vit.dinov2_positions(own.pos_embed, prefix, (37, 37), (3, 5))
    net.load_state_dict({**own.state_dict(), "pos_embed": embedding}, strict=False)
    with torch.no_grad():
        (expected,) = net.forward_intermediates((given - usual.mean) / usual.std, indices=[1], intermediates_only=True)
    torch.testing.assert_close(changed(given)[0], expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(usual(given)[0], expected, rtol=1e-2)
    assert changed.network.net.patch_embed.grid_size == (37, 37)


def test_its_own_grid_needs_no_interpolation(load):
    """At the size of pretraining both kinds of positions give the same features."""
    side = create(SMALL).patch_embed.grid_size[0] * 16
    usual, changed = load(SMALL), load(SMALL, positions="dinov2")
    assert torch.equal(usual(images(side, side))[0], changed(images(side, side))[0])


# ---------------------------------------------------------------- trainable copies


@pytest.mark.parametrize("positions", ["timm", "dinov2"])
def test_a_transformer_has_trainable_copies(positions, load):
    """A copy gives its backbone's features and tokens, and gradients reach every parameter, positions included."""
    backbone = load(TINY, layers=(2, 1), tokens="all", norm=True, positions=positions)
    copy = backbone.trainable_copy()
    assert copy.training
    found = copy.eval()(given := images(48, 64))
    for expected, each in zip(backbone(given), found, strict=True):
        torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-4)
    sum(each.square().mean() for each in found).backward()
    assert [key for key, value in copy.named_parameters() if value.grad is None] == []
    assert copy.network.net.pos_embed.grad.abs().sum() > 0


def test_a_copys_names_are_timms_and_its_random_values_follow_the_seed(load):
    """The state dict loads into timm's model; without weights the seed decides."""
    backbone = load(SMALL, layers=(2,), norm=True)
    state = backbone.trainable_copy().state_dict()
    own = create(SMALL, num_classes=0)
    assert set(state) < set(own.state_dict())
    assert own.load_state_dict(state, strict=False).unexpected_keys == []

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return backbone.trainable_copy(pretrained=False).network.net.patch_embed.proj.weight.detach()

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    before = torch.get_rng_state()
    backbone.trainable_copy()
    assert torch.equal(before, torch.get_rng_state())
