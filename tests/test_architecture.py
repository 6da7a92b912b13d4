"""The order of the wings: imports go down only, and no module is part of a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import adbench
import adbench.api

ROOT = Path(__file__).parents[1]
WINGS = ("util", "api", "backbones", "data", "metrics", "stats", "results", "run", "report", "cli")
"""Lowest first: a module imports from its own wing and from those before it."""

HANDED_IN = {"adbench_plugins", "adbench_datasets"}
"""The core never imports plugins and data sets; it loads them by their entry points."""


def imports() -> dict[str, set[str]]:
    """Each module of adbench with its imports, including those for type checking and within functions."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "adbench").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = list(parts[: len(parts) - node.level]) if node.level else []
                source = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
                found[name] |= {_module(source, alias.name) for alias in node.names}
    return found


def _module(source: str, name: str) -> str:
    """The module that ``from source import name`` imports: ``source.name`` if that is a module."""
    place = ROOT.joinpath(*source.split("."), name)
    is_module = source.startswith("adbench") and (place.with_suffix(".py").exists() or (place / "__init__.py").exists())
    return f"{source}.{name}" if is_module else source


def wing(module: str) -> str | None:
    """The wing of a module of adbench; None for the public modules outside the wings and for other packages."""
    package, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    return first if package == "adbench" and first in WINGS else None


def test_no_module_imports_upwards():
    """A module imports nothing from a wing above its own, nor from the public names at the top of the package."""
    upwards = [
        f"{module} -> {other}"
        for module, others in imports().items()
        for other in sorted(others)
        if (here := wing(module)) is not None
        and (
            ((there := wing(other)) is not None and WINGS.index(there) > WINGS.index(here))
            or (there is None and other.partition(".")[0] == "adbench")
        )
    ]
    assert upwards == []


def test_no_circle():
    """There is an order of modules in which each comes after those that it imports."""
    graph = {module: {other for other in others if other != module} for module, others in imports().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle: " + " -> ".join(error.args[1]))


def test_no_module_uses_private_names_of_another():
    """What begins with an underscore is used in its own module alone, by import or as an attribute of a module."""
    found = []
    for path in sorted(path for folder in ("adbench", "plugins", "datasets") for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [
            (node, alias)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("adbench"))
            for alias in node.names
        ]
        modules = {alias.asname or alias.name for _, alias in imported if alias.name.islower()}
        found += [f"{path.relative_to(ROOT)}: {alias.name}" for _, alias in imported if alias.name.startswith("_")]
        found += [
            f"{path.relative_to(ROOT)}: {node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
            if node.attr.startswith("_") and not node.attr.startswith("__")
        ]
    assert found == []


def imported_names(folder: str) -> list[tuple[Path, str, str]]:
    """The imports from adbench in a folder: file, module, name."""
    return [
        (path.relative_to(ROOT), node.module, alias.name)
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.parent.name != "tests"  # a plugin's own test calls adbench.checks
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "adbench"
        for alias in node.names
    ]


@pytest.mark.parametrize("folder", ["plugins", "datasets", "docs/sample_plugin"])
def test_plugins_import_the_public_api_alone(folder):
    """Built-in methods and data sets need nothing but ``adbench`` and ``adbench.api``, as any other plugin."""
    public = {"adbench": {*adbench.__all__, "backbones"}, "adbench.api": set(adbench.api.__all__)}
    found = imported_names(folder)
    assert found
    assert [each for each in found if each[2] not in public.get(each[1], ())] == []


def test_the_core_imports_no_plugin():
    """Built-in methods and data sets are loaded by entry points, like any others."""
    packages = {other.partition(".")[0] for others in imports().values() for other in others}
    assert packages & HANDED_IN == set()


def test_tests_mirror_the_tree():
    """Each test file of a wing lies where its module lies, and its name begins with the module's."""
    strays = []
    for path in sorted(path for wing in WINGS for path in (ROOT / "tests" / wing).rglob("test_*.py")):
        words = path.stem.removeprefix("test_").split("_")
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        folder = ROOT / "adbench" / path.parent.relative_to(ROOT / "tests")
        if not any((folder / f"{name}.py").exists() for name in names):
            strays.append(str(path.relative_to(ROOT)))
    assert strays == []
