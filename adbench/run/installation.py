"""The packages that a method and the backbones of its presets need, or an extra of adbench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..api.backbone_table import TIMM_PREFIX, package_of
from ..api.method import Method
from ..api.registry import Registry
from ..api.requirements import Package
from ..util.errors import UnknownNameError
from ..util.installed import Needed, is_importable, needs, version_of


def packages_of(method: Method) -> tuple[Package, ...]:
    """The packages that a method's declaration names, and those of the backbones in its presets."""
    found = {package.name: package for package in method.requirements.packages}
    for name, preset in method.presets.items():
        for package in _of_backbone(str(getattr(preset.options, "backbone", "")), name):
            found.setdefault(package.name, package)
    return tuple(found.values())


def needed(name: str, registry: Registry) -> tuple[Package, ...]:
    """The packages of a method, or of an extra such as "wandb".

    Another library's methods, such as "anomalib:padim", are there only once the library is: before that they are known
    by their extra.

    Raises:
        UnknownNameError: there is neither a method nor an extra of this name.
    """
    found = registry.methods.get(name)
    if found is not None:
        return packages_of(found)
    extras = extras_of_adbench()
    extra = name.partition(":")[0]
    if extra not in extras:
        raise UnknownNameError("method or extra", name, [*registry.methods, *extras])
    purpose = f"the extra {extra} of adbench"
    return tuple(Package(each.name, each.text, purpose) for each in extras[extra])


def missing(packages: Sequence[Package]) -> tuple[Package, ...]:
    """The packages that are not installed, by the name to import or by that of the distribution."""
    return tuple(each for each in packages if not is_importable(each.name) and version_of(each.name) is None)


DEVELOPERS = ("test", "dev", "docs")
"""Extras that only those need who work on adbench."""


def extras_of_adbench() -> dict[str, list[Needed]]:
    """What each extra needs that users may want, by its name."""
    found: dict[str, list[Needed]] = {}
    for each in needs():
        if each.extra and each.extra not in DEVELOPERS:
            found.setdefault(each.extra, []).append(each)
    return found


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
