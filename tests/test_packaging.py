"""What setup.cfg installs is all that there is: an editable install would hide a package that is left out."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"adbench": "adbench", "adbench_plugins": "plugins", "adbench_datasets": "datasets"}


def declared() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_installed():
    """Each folder with Python files, also one without an ``__init__.py``, is named in setup.cfg, and no other one."""
    there = set()
    for package, folder in FOLDERS.items():
        for module in (ROOT / folder).rglob("*.py"):
            there.add(".".join((package, *module.parent.relative_to(ROOT / folder).parts)))
    assert sorted(declared()["options"]["packages"].split()) == sorted(there)


def test_every_plugin_is_an_entry_point():
    """Each folder of plugins/ with an ``__init__.py`` is offered under its name, and each entry point is a module."""
    lines = declared()["options.entry_points"]["adbench"].strip().splitlines()
    points = dict(line.split(" = ") for line in lines)
    for folder in (ROOT / "plugins").glob("*/__init__.py"):
        assert points[folder.parent.name.replace("_", "-")] == f"adbench_plugins.{folder.parent.name}"
    for module in points.values():
        package, *parts = module.split(".")
        path = ROOT.joinpath(FOLDERS[package], *parts)
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_data_files_of_plugins_are_installed():
    """The only files beside the code are published numbers, which setup.cfg names by a pattern."""
    others = {path.name for path in (ROOT / "plugins").glob("*/*") if path.suffix not in (".py", ".pyc")}
    assert others - {"__pycache__"} == {"published.csv"}
    assert declared()["options.package_data"]["adbench_plugins"].split() == ["*/published.csv"]
