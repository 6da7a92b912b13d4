"""The doctor tells the released FrEIA from a changed copy."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from adbench.run.doctor import freia
from adbench.run.doctor.finding import Asked


@pytest.fixture
def fresh(monkeypatch):
    """FrEIA is imported anew in the test, and the one from before is back afterwards."""
    ours = [name for name in sys.modules if name.partition(".")[0] == freia.NAME]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == freia.NAME]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def copy(tmp_path, monkeypatch, fresh) -> Path:
    """A copy of the package that comes before it on Python's path."""
    package = freia._package_folder()
    assert package is not None
    place = tmp_path / freia.NAME
    shutil.copytree(package, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return place


def change(package: Path) -> None:
    """Change the scale of the coupling's outputs, as a copy of FrEIA in a paper's program might."""
    path = package / "modules" / "all_in_one_block.py"
    source = path.read_text()
    assert "a *= 0.1" in source
    path.write_text(source.replace("a *= 0.1", "a *= 0.2"))


def test_the_released_package_is_green():
    """Its files are those of its distribution, and the small flow gives the stored numbers."""
    (line,) = freia.check(Asked())
    assert line.status == "green", line.found
    assert freia.difference(freia.small_flow()) < freia.CLOSE


def test_a_changed_copy_in_front_of_the_package_is_red(copy):
    """The line names both folders, and which one to remove; the copy's numbers would be others as well."""
    change(copy)
    (line,) = freia.check(Asked())
    assert line.status == "red"
    assert str(copy) in line.found
    assert "not from the package" in line.found
    assert f"Remove or rename {copy}" in line.remedy
    assert freia.difference(freia.small_flow()) > 1e-3


def test_a_copy_without_a_package_is_red(copy, monkeypatch):
    """Where only a copy is there, the package is to be installed as well."""
    monkeypatch.setattr(freia, "_package_folder", lambda: None)
    (line,) = freia.check(Asked())
    assert line.status == "red"
    assert "pip install" in line.remedy


def test_a_package_that_was_changed_in_place_is_red(copy, monkeypatch):
    """Its files no longer have the recorded digests; without records its numbers say it."""
    change(copy)
    monkeypatch.setattr(freia, "_package_folder", lambda: copy)
    (line,) = freia.check(Asked())
    assert line.status == "red"
    assert "computes other numbers than FrEIA 0.2" in line.found
    assert "--force-reinstall" in line.remedy
    monkeypatch.setattr(freia, "changed_files", lambda: ["FrEIA/modules/all_in_one_block.py"])
    (line,) = freia.check(Asked())
    assert "its files were changed: FrEIA/modules/all_in_one_block.py" in line.found


def test_recorded_digests_find_a_changed_file(tmp_path, monkeypatch):
    """A file whose content is not what pip recorded is named, and so is one that is gone."""
    from importlib.metadata import FileHash, PackagePath

    def recorded(name: str, digest: str) -> PackagePath:
        path = PackagePath(name)
        path.hash = FileHash(f"sha256={digest}")
        path.dist = type("Dist", (), {"locate_file": staticmethod(lambda each: tmp_path / each)})()
        return path

    (tmp_path / "a.py").write_text("")
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    files = [recorded("a.py", empty), recorded("a.py", "x" + empty[1:]), recorded("gone.py", empty)]
    monkeypatch.setattr(freia.metadata, "files", lambda name: files)
    assert freia.changed_files() == ["a.py", "gone.py (missing)"]


def test_no_freia_is_red_with_the_line_that_installs_it(monkeypatch):
    """Without it the flows can't be built."""
    monkeypatch.setattr(freia, "find_spec", lambda name: None)
    (line,) = freia.check(Asked())
    assert line.found == "not installed"
    assert "pip install" in line.remedy


def test_numbers_that_are_none_differ_infinitely():
    """NaN and a missing value are no small difference."""
    known = {key: list(values) for key, values in freia.KNOWN.items()}
    assert freia.difference(known) == 0
    assert freia.difference({**known, "output": [float("nan")] * len(known["output"])}) == float("inf")
    assert freia.difference({**known, "log-Jacobian": []}) == float("inf")
