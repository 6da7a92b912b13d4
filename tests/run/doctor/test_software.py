"""The doctor's checks of Python and packages."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from adbench.run import installation
from adbench.run.doctor import software, tested
from adbench.run.doctor.finding import Asked, Finding
from adbench.util import installed
from adbench.util.installed import Needed


def statuses(found) -> dict[str, str]:
    return {each.check: each.status for each in found}


def test_every_requirement_has_a_tested_version():
    """The table names all that adbench always needs, and nothing below the lowest version that is taken."""
    for needed in installed.needs():
        if not needed.extra:
            assert needed.name in tested.TESTED
            assert needed.allows(tested.TESTED[needed.name] + ".99")


def test_packages_are_green_red_and_yellow_by_their_versions():
    """Missing and too old or new ones are red with pip's line, untested ones yellow, the others one green line."""
    versions = {"numpy": "1.20", "torch": "99.0", "scipy": "1.17.1", "anomalib": "2.9"}
    needed = [
        Needed("numpy", "1.26"), Needed("torch", "2.6"), Needed("scipy", "1.11"), Needed("gone", "1.0"),
        Needed("anomalib", "2.7", "2.8"),
    ]  # fmt: skip
    found = list(software.judged(needed, versions.get))
    assert statuses(found) == {
        "numpy": "red", "torch": "yellow", "gone": "red", "anomalib": "red", "packages": "green"
    }  # fmt: skip
    lines = {each.check: each for each in found}
    assert "numpy>=1.26" in lines["numpy"].remedy
    assert "torch>=2.6,==2.14.*" in lines["torch"].remedy
    assert lines["gone"].found == "not installed"
    assert lines["packages"].found == "scipy 1.17.1: as tested"


def test_a_missing_tracker_is_no_fault(monkeypatch):
    """Without wandb, which stopped the authors' program, the line is green and says how to get it."""
    monkeypatch.setattr(
        installation, "needs", lambda: [Needed("wandb", "0.17", extra="wandb"), Needed("timm", extra="timm")]
    )
    monkeypatch.setattr(installed, "version_of", {"timm": "1.0.31"}.get)
    (line,) = software.optional(Asked())
    assert line == Finding(
        "optional packages", "green",
        "timm 1.0.31; without the extras wandb, which are needed only where asked for",
        "For one of them: adbench install wandb --yes",
    )  # fmt: skip


def test_another_adbench_is_red_with_its_remedy(monkeypatch):
    """The line is the one that each command prints as a warning."""
    (here,) = software.adbench(Asked())
    assert here.status == "green"
    other = SimpleNamespace(version="0.1.11", entry_points=[], read_text=lambda name: "adbench/run.py,,")
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: other)
    monkeypatch.setattr(installed, "version_of", lambda name: "0.1.0")
    (line,) = software.adbench(Asked())
    assert (line.check, line.status) == ("adbench", "red")
    assert "0.1.11 is installed as well" in line.found
    assert line.remedy.startswith("pip uninstall adbench")


@pytest.mark.parametrize(("version", "status"), [("3.9.2", "red"), ("3.11.9", "green"), ("3.99.0", "yellow")])
def test_python_is_judged_by_its_version(monkeypatch, version, status):
    """Below the lowest one of the metadata is red, above the tested ones yellow."""
    monkeypatch.setattr("platform.python_version", lambda: version)
    (line,) = software.python(Asked())
    assert line.status == status
