"""What setup.cfg installs is all that there is: an editable install would hide a package that is left out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

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


# ---------------------------------------------------------------- what is built


PATTERNS = {"adbench": "adbench", "plugins": "adbench_plugins", "datasets": "adbench_datasets"}
"""Folders of the tree, and what a wheel calls them."""

NOT_PACKED = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis"}


def files_below(folder: Path) -> set[str]:
    """Paths of a folder's files relative to its parent, without caches."""
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not NOT_PACKED & set(path.parts) and path.suffix not in (".pyc", ".pyo")
    }


def left_out(folder: str, names: list[str]) -> set[str]:
    """What isn't a part of the project: caches anywhere, and beside README what was built, run or installed there."""
    made = {"build", "dist", "results"} if Path(folder) == ROOT else set()
    own = {name for name in names if name.startswith((".git", ".venv")) or name.endswith(".egg-info")}
    return (NOT_PACKED | made | own) & set(names)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A wheel and an sdist, made from a copy of the tree by the build backend, without a network."""
    copy, target = tmp_path_factory.mktemp("tree") / "adbench", tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, copy, ignore=left_out, ignore_dangling_symlinks=True)
    (copy / "results").mkdir()
    shutil.copy(ROOT / "results" / "README.md", copy / "results")
    for name in ("build_wheel", "build_sdist"):
        code = f"from setuptools import build_meta; build_meta.{name}({str(target)!r})"
        done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages(built):
    """Code, templates, style sheets and tables: what lies in the three folders, and nothing else."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    expected = {
        name.replace(folder, package, 1) for folder, package in PATTERNS.items() for name in files_below(ROOT / folder)
    }
    assert sorted(packed) == sorted(expected)


@pytest.mark.slow
def test_the_source_archive_has_the_whole_project(built):
    """Also docs, tests and benchmarks, so that what a packager unpacks can be tested and its site built."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames() if opened.getmember(name).isfile()}
    expected = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "setup.cfg"}
    expected |= {"pyproject.toml", "mkdocs.yml", "MANIFEST.in", "results/README.md"}
    for folder in (*PATTERNS, "benchmarks", "docs", "docsite", "tests"):
        expected |= files_below(ROOT / folder)
    made = {name for name in packed if "egg-info" in name or name == "PKG-INFO"}
    assert sorted(packed - made) == sorted(expected)
