"""The packages that a method and the backbones of its presets need, and how pip gets those that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from ..api.backbone_table import TIMM_PREFIX, package_of
from ..api.method import Method
from ..api.registry import Registry
from ..api.requirements import Package
from ..util.installed import is_importable, needs


def packages_of(method: Method) -> tuple[Package, ...]:
    """The packages that a method's declaration names, and those of the backbones in its presets."""
    found = {package.name: package for package in method.requirements.packages}
    for name, preset in method.presets.items():
        for package in _of_backbone(str(getattr(preset.options, "backbone", "")), name):
            found.setdefault(package.name, package)
    return tuple(found.values())


def missing(method: Method) -> tuple[Package, ...]:
    """Those of ``packages_of`` that are not installed."""
    return tuple(package for package in packages_of(method) if not is_importable(package.name))


def backbones_of(registry: Registry, prefix: str = "") -> list[str]:
    """The backbones that presets of methods name, in their order; only those whose names begin with ``prefix``."""
    options = [preset.options for method in registry.methods.values() for preset in method.presets.values()]
    names = dict.fromkeys(str(getattr(each, "backbone", "")) for each in options)
    return [name for name in names if name and name.startswith(prefix)]


def _of_backbone(backbone: str, preset: str) -> Iterator[Package]:
    purpose = f"the backbone {backbone} of the preset {preset}"
    if backbone.startswith(TIMM_PREFIX):
        bounds = [each.text for each in needs() if each.extra == "timm" and each.name == "timm"]
        yield Package("timm", bounds[0] if bounds else "timm", purpose)
    elif package := package_of(backbone):
        yield Package(package.replace("-", "_"), package, purpose)
