"""Backbones of plugins: found by their hook, listed with their origin, identified by their code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import torch
from runs import adbench, only_run
from torch import nn

from adbench import BackboneEntry, BuildContext, Network, hookimpl
from adbench.api import registry as plugins
from adbench.api.options import BackboneOptions
from adbench.backbones import registry
from adbench.results.run_files import folder_of
from adbench.results.store import read_all
from adbench.run import check_method
from adbench.run.reopen import Reopener
from adbench.util.errors import OptionError, PluginError, SizeError, TaskError, UnknownNameError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
STRIPES = Path(__file__).parents[1] / "striped_backbone.py"
SAMPLE = Path(__file__).parents[2] / "docs" / "sample_plugin" / "adbench_sample.py"


@pytest.fixture
def plugin(tmp_path) -> Path:
    """A copy of the plugin, which a test may edit."""
    return Path(shutil.copy(STRIPES, tmp_path / "stripes.py"))


def edit(plugin: Path, old: str = "SCALE = 1.0", new: str = "SCALE = 1.5") -> None:
    text = plugin.read_text()
    assert old in text
    plugin.write_text(text.replace(old, new))


def entry_of(plugin: Path) -> BackboneEntry:
    return plugins.load([plugin]).backbones["stripes"]


def loaded(entry: BackboneEntry, **changes) -> registry.Backbone:
    return registry.load(entry.name, **{"layers": (2, 1), "device": CPU, "offered": {entry.name: entry}, **changes})


def test_a_plugins_network_becomes_a_backbone(plugin):
    """It is frozen, normalises, and has the channels and strides that its builder gives."""
    backbone = loaded(entry_of(plugin))
    images = torch.rand(2, 3, 32, 48)
    found = backbone(images)
    net = backbone.network
    expected = net((images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
                   / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))  # fmt: skip
    assert backbone.channels == (6, 4)
    assert backbone.strides == (8, 4)
    assert [tuple(each.shape[1:]) for each in found] == [(6, 4, 6), (4, 8, 12)]
    for wanted, each in zip(expected, found, strict=True):
        torch.testing.assert_close(each, wanted)
        assert not each.requires_grad
    with pytest.raises(SizeError, match="multiples of 8"):
        backbone(images[..., :30, :])
    with pytest.raises(OptionError, match="layers of stripes"):
        loaded(entry_of(plugin), layers=(3,))


def test_it_has_trainable_copies_and_takes_weights(plugin, tmp_path):
    """Copies begin with its weights or with random ones by the seed; a file gives other weights."""
    entry = entry_of(plugin)
    backbone = loaded(entry)
    copy = backbone.trainable_copy()
    assert set(copy.state_dict()) == {"first.weight", "first.bias", "second.weight", "second.bias"}
    assert torch.equal(copy.state_dict()["first.weight"], backbone.network.first.weight)
    torch.manual_seed(3)
    expected = nn.Conv2d(3, 4, 4, 4).weight
    torch.manual_seed(3)
    assert torch.equal(backbone.trainable_copy(pretrained=False).state_dict()["first.weight"], expected)
    torch.save({key: value + 1 for key, value in copy.state_dict().items()}, tmp_path / "w.pt")
    assert loaded(entry, weights=tmp_path / "w.pt").weights_hash != backbone.weights_hash


def test_loading_it_draws_nothing_from_torchs_generator(plugin):
    """Its builder may draw random values; the run's generator stays as it was."""
    before = torch.get_rng_state()
    loaded(entry_of(plugin)).trainable_copy()
    assert torch.equal(before, torch.get_rng_state())


def test_its_code_is_in_its_key(plugin):
    """Another computation gives another key, so cached features of old code are never used; a comment does not."""
    key = loaded(entry_of(plugin)).key
    edit(plugin, "SCALE = 1.0", "SCALE = 1.0  # as ever")
    assert loaded(entry_of(plugin)).key == key
    edit(plugin, "self.second(first).relu()", "self.second(first).sigmoid()")
    assert loaded(entry_of(plugin)).key != key


# ---------------------------------------------------------------- runs


def run(plugin: Path, data: Path, results: Path, *words: object):
    return adbench(
        "run", "-m", "sample", "--plugin", SAMPLE, "--plugin", plugin, "-d", "folder", "--data-root", data,
        "-c", "bolts", "-o", "backbone=stripes", "-o", "layers=1,2", "-o", "size=64", "-o", "amp=off",
        "--results", results, "--device", "cpu", *words,
    )  # fmt: skip


def states(plugin: Path | None, data: Path, results: Path) -> list[tuple[str, str]]:
    files = ("--plugin", SAMPLE, *(("--plugin", plugin) if plugin else ()))
    found = adbench("list", "runs", "--results", results, *files, "--data-root", data, "--format", "json")
    assert found.exit_code == 0, found.stderr
    return sorted((row["state"], row["reason"]) for row in json.loads(found.stdout)[0]["rows"])


def test_a_run_with_it_is_stale_once_its_code_changes(plugin, tiny_data, tmp_path):
    """A stored run is there already while the code is the same; then the same command computes it again."""
    results = tmp_path / "results"
    first = run(plugin, tiny_data, results)
    assert first.exit_code == 0, first.stderr
    stored = json.loads((only_run(results) / "result.json").read_text())
    assert stored["protocol"]["backbone"] == "stripes"
    assert list(stored["identity"]["files"]) == ["backbone.stripes"]
    assert "already there" in run(plugin, tiny_data, results).stderr
    assert states(plugin, tiny_data, results) == [("current", "")]
    assert states(None, tiny_data, results) == [("unchecked", "its backbone is not at hand")]
    path = only_run(results) / "result.json"
    path.write_text(json.dumps({**stored, "command": f"adbench run --plugin {plugin}"}))  # as outside pytest
    assert states(None, tiny_data, results) == [("current", "")]
    found = adbench(
        "test", "-m", "sample", "--plugin", SAMPLE, "--plugin", plugin, "-d", "folder", "--data-root", tiny_data,
        "-c", "bolts", "--checkpoint", only_run(results) / "last.pt", "--device", "cpu", "--format", "json",
    )  # fmt: skip
    assert found.exit_code == 0, found.stderr
    (result,) = read_all(results).results
    reopener = Reopener(plugins.load([SAMPLE, plugin]), [tiny_data], "cpu")
    assert reopener.model(folder_of(results, result)).detector.backbone.name == "stripes"
    edit(plugin)
    assert states(plugin, tiny_data, results) == [("stale", "the backbone's code changed")]
    again = run(plugin, tiny_data, results)
    assert again.exit_code == 0, again.stderr
    assert "the backbone's code changed" in " ".join(again.stderr.split())
    assert states(plugin, tiny_data, results) == [("current", ""), ("stale", "the backbone's code changed")]


def test_check_method_takes_it(plugin):
    """A method can be checked with a plugin's backbone."""
    changes = {"backbone": "stripes", "layers": (1, 2)}
    check_method.check_method("sample", plugin_files=[SAMPLE, plugin], changes=changes)


def test_a_method_gets_only_the_backbones_that_its_options_name(plugin):
    """The code of any other backbone would move a number unseen."""
    found = plugins.load([plugin])
    context = BuildContext(CPU)
    named = BackboneOptions(backbone="stripes", layers=(1,), size=(64, 64), amp="off")
    assert set(found.offering(context, named).backbones) == {"stripes"}
    assert registry.from_options(named, found.offering(context, named)).channels == (4,)
    assert found.offering(context, BackboneOptions()).backbones == {}
    with pytest.raises(UnknownNameError, match="--plugin FILE"):
        registry.from_options(named, context)


def test_it_is_listed_with_its_origin(plugin):
    """``adbench list backbones`` shows it beside adbench's own."""
    found = adbench("list", "backbones", "--plugin", plugin, "--format", "json")
    rows = {row["backbone"]: row for row in json.loads(found.stdout)[0]["rows"]}
    assert rows["stripes"]["origin"] == "stripes.py"
    assert rows["stripes"]["weights"] == "a formula"
    assert rows["resnet18"]["origin"] == "adbench"


# ---------------------------------------------------------------- mistakes


def offer(monkeypatch, **offers: object) -> plugins.Registry:
    """Pretend that plugins which offer these are all that is installed."""

    class Point:
        dist = None

        def __init__(self, name: str, returned: object) -> None:
            self.name = self.value = self.module = name
            self.loaded = ModuleType(name)
            self.loaded.adbench_backbones = hookimpl(lambda: returned)

        def load(self) -> ModuleType:
            return self.loaded

    points = [Point(name, returned) for name, returned in offers.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    return plugins.load()


def entry(name: str, network: object = None) -> BackboneEntry:
    return BackboneEntry(name, "", lambda layers, weights, pretrained: network)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (entry("alone"), "a BackboneEntry alone, wanted a list of BackboneEntry: put it in brackets"),
        ([nn.Identity()], "a list with an Identity, wanted a list of BackboneEntry"),
        ([entry("")], "with the name '', wanted a text"),
        ([entry("resnet18")], "the backbone resnet18, which adbench has itself: rename it"),
        ([entry("timm:mine")], "the backbone timm:mine, which adbench has itself: rename it"),
    ],
)
def test_a_wrong_offer_is_named_and_skipped(monkeypatch, returned, reason):
    """Wrong types and names that adbench has itself are reported; other plugins go on."""
    found = offer(monkeypatch, odd=returned, good=[entry("fine")])
    assert list(found.backbones) == ["fine"]
    assert len(found.broken) == 1
    assert found.broken[0].startswith("plugin odd (unknown package) is skipped: adbench_backbones returned ")
    assert reason in found.broken[0]


def test_two_with_one_name_are_an_error(monkeypatch):
    """The order of installation must not decide which one runs."""
    with pytest.raises(PluginError, match=r"two plugins offer the backbone 'same': one .* and two"):
        offer(monkeypatch, one=[entry("same")], two=[entry("same")])


def test_a_builder_must_make_new_modules(plugin):
    """One module for all would be trained together with its copy."""
    net = entry_of(plugin).build((1,), None, True)
    backbone = loaded(entry("one", net), layers=(1,))
    with pytest.raises(TaskError, match="the same module again"):
        backbone.trainable_copy()


def test_a_network_that_takes_one_size_says_so():
    """Its assertion is reported as a wrong size, as for transformers whose positions can't be interpolated."""

    class Fixed(nn.Module):
        def forward(self, x):
            torch._assert(x.shape[2] == 24, f"Input height ({x.shape[2]}) doesn't match model (24)")
            return [x]

    backbone = loaded(BackboneEntry("fixed", "", lambda *_: Network(Fixed(), (3,), (1,))), layers=(1,))
    assert backbone(torch.rand(1, 3, 24, 24))[0].shape == (1, 3, 24, 24)
    with pytest.raises(OptionError, match=r"size 32x32 with backbone fixed: found Input height \(32\) doesn't match"):
        backbone(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Identity(), "build returned an Identity: wanted a Network"),
        (Network(nn.Identity(), (3, 3), (1, 1)), "found 2 channels and 2 strides, wanted 1, one for each layer"),
        (Network(nn.Identity(), (3,), (1,)), "returned: found a Tensor, wanted a list of 1"),
    ],
)
def test_what_its_builder_returns_is_checked(network, message):
    """A builder that returns no ``Network``, or a network that returns no list of maps, is refused with the reason."""
    with pytest.raises(TaskError, match=message):
        loaded(entry("odd", network), layers=(1,))(torch.rand(1, 3, 32, 32))
