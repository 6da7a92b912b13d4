"""Where weights come from, how they are loaded, and the messages if they can't be."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from conftest import random_network

from adbench.api.backbone_table import LITE0
from adbench.backbones import registry
from adbench.util.errors import WeightsError

CPU = torch.device("cpu")


def test_weights_file_round_trip(weight_files):
    """With a weights file, the outputs are those of torchvision's own network on normalised images."""
    path = weight_files("resnet18")
    net = random_network("resnet18").eval()
    net.load_state_dict(torch.load(path, weights_only=True))
    images = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        expected = net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x))))))
    found = registry.load("resnet18", layers=(2,), weights=path, device=CPU)(images)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrap", ["state_dict", "model", "module", "headless"])
def test_weights_file_as_training_programs_write_it(wrap, weight_files, tmp_path):
    """Wrapped, prefixed and headless state dicts give the same weights."""
    plain = torch.load(weight_files("resnet18"), weights_only=True)
    content = {
        "state_dict": {"epoch": 3, "state_dict": plain},
        "model": {"model": plain},
        "module": {f"module.{key}": value for key, value in plain.items()},
        "headless": {key: value for key, value in plain.items() if not key.startswith("fc.")},
    }[wrap]
    torch.save(content, tmp_path / "wrapped.pt")
    wanted = registry.load("resnet18", weights=weight_files("resnet18"), device=CPU).weights_hash
    assert registry.load("resnet18", weights=tmp_path / "wrapped.pt", device=CPU).weights_hash == wanted


def test_weights_file_with_missing_or_misshapen_keys(weight_files, tmp_path):
    """A file for another network is refused, and the message names the first keys."""
    with pytest.raises(WeightsError, match=r"no layer1\.0\.conv3\.weight, .* and \d+ more.*resnet50"):
        registry.load("resnet50", weights=weight_files("resnet18"), device=CPU)
    state = torch.load(weight_files("resnet18"), weights_only=True)
    state["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight of shape \(64, 64, 1, 1\) instead of"):
        registry.load("resnet18", weights=tmp_path / "odd.pt", device=CPU)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large"])
def test_a_backbone_is_its_own_whatever_becomes_of_the_file(name, weight_files, tmp_path):
    """Overwriting the weights file doesn't change a running backbone, even if the file is mapped into memory."""
    path = Path(shutil.copy(weight_files(name), tmp_path / "weights.pt"))
    backbone, images = registry.load(name, weights=path, device=CPU), torch.rand(1, 3, 64, 64)
    before = backbone(images)
    with path.open("r+b") as stream:
        stream.write(bytes(path.stat().st_size))
    for wanted, actual in zip(before, backbone(images), strict=True):
        assert torch.equal(actual, wanted)


def test_weights_are_not_in_memory_before_the_first_image(weight_files, tmp_path):
    """A backbone needs no file if all its features are cached; other weights under its name are an error."""
    path = Path(shutil.copy(weight_files("resnet18"), tmp_path / "weights.pt"))
    backbone = registry.load("resnet18", weights=path, device=CPU)
    assert list(backbone.parameters()) == []
    state = torch.load(path, weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, path)
    with pytest.raises(WeightsError, match=r"weights\.pt.*when the run began"):
        backbone(torch.rand(1, 3, 64, 64))
    torch.save(state, path)
    backbone(torch.rand(1, 3, 64, 64))
    assert len(list(backbone.parameters())) > 0


def test_a_backbone_without_weights_takes_no_memory_and_comes_back_the_same(weight_files):
    """After ``release_weights`` there are no weights until images come; their features are the same as before."""
    backbone, images = (
        registry.load("resnet18", weights=weight_files("resnet18"), device=CPU),
        torch.rand(1, 3, 64, 64),
    )
    before = backbone(images)
    backbone.release_weights()
    assert list(backbone.parameters()) == []
    for wanted, actual in zip(before, backbone(images), strict=True):
        assert torch.equal(actual, wanted)


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "list", "object"])
def test_weights_file_that_is_none(kind, weight_files, tmp_path):
    """A missing, cut or foreign file is refused with its path."""
    path = tmp_path / "weights.pt"
    if kind == "text":
        path.write_text("no weights here")
    elif kind == "cut":
        path.write_bytes(weight_files("resnet18").read_bytes()[:100_000])
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "object":
        torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"weights\.pt"):
        registry.load("resnet18", weights=path, device=CPU)


@pytest.mark.parametrize("failure", [URLError("no route"), TimeoutError(), RuntimeError("invalid hash value")])
def test_no_network_gives_three_hints(failure, monkeypatch, tmp_path):
    """If a download fails, the message lists three remedies, and no random weights are used."""

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsError) as caught:
        registry.load("wide_resnet50_2", device=CPU)
    message = str(caught.value)
    for part in ("Connect and try again", "--weights FILE", "wide_resnet50_2-95faca4d.pth", f"--backbone {LITE0}"):
        assert part in message


def test_download_is_checked_and_kept(monkeypatch, tmp_path, weight_files, capsys):
    """A download goes to torch's cache with its hash checked, is used from there, and prints nothing on stdout."""
    asked = []

    def fetch(url, dst, hash_prefix=None, progress=True):
        asked.append((url, hash_prefix))
        with open(dst, "wb") as stream:
            stream.write(weight_files("resnet18").read_bytes())

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    first = registry.load("resnet18", device=CPU)
    second = registry.load("resnet18", device=CPU)
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd")]
    assert first.weights_hash == second.weights_hash
    assert capsys.readouterr().out == ""


def test_file_digest_follows_the_content(tmp_path):
    """The same content under another name has the same digest; another content has another."""
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    first, second, third = (registry.file_digest(tmp_path / name) for name in "abc")
    assert first == second != third
    assert len(first) == 12
    with pytest.raises(WeightsError, match="--weights"):
        registry.file_digest(str(tmp_path / "missing"))
