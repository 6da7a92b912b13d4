"""Weights of vision transformers: whose files are known, and which are refused."""

from __future__ import annotations

import pytest
import torch
from vit_networks import CPU, DINOV2, REGISTERS, SMALL, create, images

from adbench.backbones import registry, vit
from adbench.util.errors import WeightsError

timm = pytest.importorskip("timm")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_weights_count_as_a_whole_and_options_by_name(load, weights_of, tmp_path):
    """The digest covers all blocks, whichever are used; norm, tokens and positions change the key."""
    keys = {load(SMALL, **changes).key for changes in (
        {}, {"norm": True}, {"tokens": "class"}, {"tokens": "all"}, {"positions": "dinov2"}, {"layers": (3,)},
    )}  # fmt: skip
    assert len(keys) == 6
    assert "/layers2/zeros/none/off/timm=" in load(SMALL).key
    assert load(SMALL).weights_hash == load(SMALL, layers=(6, 1), norm=True).weights_hash
    state = torch.load(weights_of(SMALL), weights_only=True)
    state["blocks.5.mlp.fc1.weight"] += 1
    torch.save(state, tmp_path / "other.pt")
    assert load(SMALL, weights=tmp_path / "other.pt").weights_hash != load(SMALL).weights_hash


def test_released_weights_come_back(load):
    """A transformer gives its memory back, too, and is built again for the next images."""
    backbone, given = load(SMALL), images(32, 32)
    before = backbone(given)[0]
    backbone.release_weights()
    assert list(backbone.parameters()) == []
    assert torch.equal(backbone(given)[0], before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {key: value for key, value in state.items() if "blocks.3" not in key}, r"no blocks\.3\."),
        (lambda state: {**state, "blocks.6.norm1.weight": torch.zeros(64)}, r"also blocks\.6\.norm1\.weight"),
        (lambda state: {**state, "reg_token": torch.zeros(1, 4, 64)}, "also reg_token"),
        (lambda state: {**state, "norm.bias": torch.zeros(65)}, r"norm\.bias of shape \(65,\) instead of \(64,\)"),
        (lambda state: {**state, "patch_embed.proj.weight": torch.zeros(64, 3, 14, 14)}, r"\(64, 3, 14, 14\)"),
        (lambda state: {"layer1.weight": torch.zeros(3)}, "no cls_token"),
    ],
)
def test_weights_of_another_network_are_refused(change, message, weights_of, tmp_path):
    """A file that lacks something, has something of another shape, or something else as well, is an error."""
    torch.save(change(torch.load(weights_of(SMALL), weights_only=True)), tmp_path / "wrong.pt")
    with pytest.raises(WeightsError, match=message):
        registry.load(SMALL, weights=tmp_path / "wrong.pt", layers=(1,), device=CPU)


@pytest.mark.parametrize("name", [SMALL, "timm:test_vit3"])
def test_weights_without_a_head_are_enough(name, weights_of, load, tmp_path):
    """A file without the parameters after the last block's norm gives the same backbone."""
    state = torch.load(weights_of(name), weights_only=True)
    bare = {key: value for key, value in state.items() if not key.startswith(("head", "attn_pool"))}
    torch.save({"model": {f"module.{key}": value for key, value in bare.items()}}, tmp_path / "bare.pt")
    assert len(bare) < len(state)
    assert load(name, weights=tmp_path / "bare.pt").key == load(name).key


def test_weights_in_half_precision_are_read(weights_of, load, tmp_path):
    """They are used as float32."""
    state = torch.load(weights_of(SMALL), weights_only=True)
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / "half.pt")
    found = load(SMALL, weights=tmp_path / "half.pt")(images(32, 32))[0]
    torch.testing.assert_close(found, load(SMALL)(images(32, 32))[0], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("name", [DINOV2, REGISTERS])
def test_names_of_dinov2_are_known(name, load, tmp_path):
    """A file with DINOv2's own names and token layout gives the same features as one with timm's."""
    own = create(name, num_classes=0).state_dict()
    original = {**own, "mask_token": torch.zeros(1, 384)}
    if name == REGISTERS:  # its class token has a position, and timm's has that added
        of_class = torch.randn(1, 1, 384, generator=torch.Generator().manual_seed(2))
        original["register_tokens"] = original.pop("reg_token")
        original["cls_token"] = own["cls_token"] - of_class
        original["pos_embed"] = torch.cat([of_class, own["pos_embed"]], 1)
    torch.save(original, tmp_path / "dinov2.pt")
    given = images(28, 42)
    found = load(name, weights=tmp_path / "dinov2.pt", tokens="all")(given)
    for expected, each in zip(load(name, tokens="all")(given), found, strict=True):
        torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-4)


def in_transformers(state: dict[str, torch.Tensor], of_class: torch.Tensor) -> dict[str, torch.Tensor]:
    """Timm's state dict with the names of the package transformers, which gives the class token a position."""
    replaced = {
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "blocks.": "encoder.layer.",
        "attn.proj": "attention.output.dense", "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1",
    }  # fmt: skip
    if any("w12" in key or "fc1_g" in key for key in state):
        raise ValueError("other names of timm than expected")
    found = {}
    for key, value in state.items():
        for own, theirs in replaced.items():
            key = key.replace(own, theirs)
        if "attn.qkv" in key:
            for part, values in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[key.replace("attn.qkv", f"attention.attention.{part}")] = values
        elif key in ("cls_token", "reg_token", "pos_embed", "norm.weight", "norm.bias"):
            names = {"reg_token": "register_tokens", "pos_embed": "position_embeddings"}
            is_norm = key.startswith("norm")
            found[f"layer{key}" if is_norm else f"embeddings.{names.get(key, key)}"] = value
        else:
            found[key] = value
    if "embeddings.register_tokens" in found:
        found["embeddings.cls_token"] = found["embeddings.cls_token"] - of_class
        found["embeddings.position_embeddings"] = torch.cat([of_class, found["embeddings.position_embeddings"]], 1)
    return {**found, "embeddings.mask_token": torch.zeros(1, 384)}


@pytest.mark.parametrize("prefix", ["", "dinov2_with_registers."])
@pytest.mark.parametrize("name", [DINOV2, REGISTERS])
def test_names_of_transformers_are_known(name, prefix, load, tmp_path):
    """A file of DINOv2 from the package transformers gives the same features as one with timm's names."""
    of_class = torch.randn(1, 1, 384, generator=torch.Generator().manual_seed(2))
    renamed = in_transformers(create(name, num_classes=0).state_dict(), of_class)
    torch.save({prefix + key: value for key, value in renamed.items()}, tmp_path / "transformers.pt")
    given = images(28, 42)
    found = load(name, weights=tmp_path / "transformers.pt", tokens="all")(given)
    for expected, each in zip(load(name, tokens="all")(given), found, strict=True):
        torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-4)


def test_gated_blocks_of_transformers_are_known():
    """DINOv2-giant's blocks have other names: one projection in, for the gate and what it gates, and one out."""
    given = {
        "embeddings.patch_embeddings.projection.weight": torch.zeros(4, 3, 14, 14),
        "encoder.layer.0.mlp.weights_in.weight": torch.zeros(8, 4),
        "encoder.layer.0.mlp.weights_out.bias": torch.zeros(4),
    }
    found = vit.from_transformers(given)
    assert set(found) == {"patch_embed.proj.weight", "blocks.0.mlp.w12.weight", "blocks.0.mlp.w3.bias", "mask_token"}
    assert vit.from_transformers({"blocks.0.norm1.weight": torch.zeros(4)}).keys() == {"blocks.0.norm1.weight"}


def test_a_file_of_transformers_that_lacks_something_is_refused(load, tmp_path):
    """A projection that is missing is an error, as any other missing part."""
    renamed = in_transformers(create(DINOV2, num_classes=0).state_dict(), torch.zeros(1, 1, 384))
    del renamed["encoder.layer.3.attention.attention.key.weight"]
    torch.save(renamed, tmp_path / "broken.pt")
    with pytest.raises(WeightsError, match=r"no blocks\.3\.attn\.qkv\.weight"):
        load(DINOV2, weights=tmp_path / "broken.pt")
