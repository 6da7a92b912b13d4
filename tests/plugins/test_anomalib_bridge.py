"""anomalib's models are offered only where anomalib is, and listing them imports neither it nor torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from adbench_plugins import anomalib_bridge
from adbench_plugins.anomalib_bridge.models import MODELS
from adbench_plugins.anomalib_bridge.options import TrainedOptions, options_of
from adbench_plugins.anomalib_bridge.presets import presets

from adbench.api import OptionError, PluginError
from adbench.api import options as options_module

LISTING = """
import sys
from adbench_plugins import anomalib_bridge as bridge
methods = [bridge.method_of(entry) for entry in bridge.MODELS]
print(len(methods), *sorted({"torch", "anomalib", "lightning", "timm"} & set(sys.modules)))
"""


def test_without_anomalib_nothing_is_offered(monkeypatch):
    """The plugin is there, and silent."""
    monkeypatch.setattr(anomalib_bridge, "find_spec", lambda name: None)
    assert anomalib_bridge.adbench_methods() == []


def test_another_release_is_refused(monkeypatch):
    """The message says which one is wanted: the models and options of others differ."""
    monkeypatch.setattr(anomalib_bridge, "find_spec", lambda name: object())
    monkeypatch.setattr(anomalib_bridge, "installed", lambda: "1.2.0")
    with pytest.raises(PluginError, match=r"found release 1\.2\.0, wanted 2\.7\.x"):
        anomalib_bridge.adbench_methods()


def test_each_model_is_a_method_and_listing_them_imports_no_torch(monkeypatch):
    """Names begin with "anomalib:"; each has the three presets."""
    monkeypatch.setattr(anomalib_bridge, "find_spec", lambda name: object())
    monkeypatch.setattr(anomalib_bridge, "installed", lambda: "2.7.0")
    methods = anomalib_bridge.adbench_methods()
    assert [method.name for method in methods] == [f"anomalib:{model.name}" for model in MODELS]
    assert len({method.name for method in methods}) == len(methods) > 30
    assert all(sorted(method.presets) == ["cpu", "paper", "quick"] for method in methods)
    found = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(len(MODELS))]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_options_can_be_read_and_stored(model):
    """Every preset of every model passes the checks of options and comes back from JSON as it was."""
    kind = options_of(model)
    for preset in presets(model).values():
        options_module.check(preset.options, owner=model.name)
        stored = options_module.to_json(preset.options)
        assert options_module.from_json(kind, stored, owner=model.name) == preset.options
    names = [name for name, _, _ in model.options]
    assert set(names) < set(options_module.option_types(kind))
    assert not set(names) & set(options_module.option_types(TrainedOptions))  # an option of adbench hides none


def test_quick_and_cpu_train_for_fewer_epochs():
    """Presets change nothing else but the network and the batch size."""
    chosen = {model.name: presets(model) for model in MODELS}["stfpm"]
    paper, quick, cpu = (chosen[name].options for name in ("paper", "quick", "cpu"))
    assert (paper.max_epochs, quick.max_epochs, cpu.max_epochs) == (100, 20, 10)
    assert replace(quick, max_epochs=100) == paper
    assert replace(cpu, max_epochs=100, batch_size=32, backbone="resnet18", layers=paper.layers) == paper


def test_options_out_of_range_are_refused():
    """The message names the option."""
    (model,) = (each for each in MODELS if each.name == "stfpm")
    with pytest.raises(OptionError, match="option validation of anomalib:stfpm"):
        options_module.check(options_of(model)(validation=1.0), owner="anomalib:stfpm")
    stored = {**options_module.to_json(options_of(model)()), "layers": 3}
    with pytest.raises(OptionError, match="option layers of anomalib:stfpm"):
        options_module.from_json(options_of(model), stored, owner="anomalib:stfpm")
