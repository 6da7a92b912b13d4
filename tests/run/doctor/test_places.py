"""The doctor's checks of weights, data, cache and disk."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from runs import posix_only

from adbench.api import registry
from adbench.api.backbone_table import LITE0
from adbench.backbones import weight_files
from adbench.backbones.weight_files import WeightFile
from adbench.run.doctor import places
from adbench.run.doctor.finding import Asked


def by_check(found):
    return {each.check: each for each in found}


def test_weights_that_are_here_are_named(monkeypatch):
    """A missing Lite0 and a damaged file are red with the line that fetches them; others are only counted."""
    files = [WeightFile(LITE0, "here", ""), WeightFile("resnet18", "not here", "")]
    monkeypatch.setattr(weight_files, "find_all", lambda: files)
    monkeypatch.setattr(weight_files, "in_hub_cache", lambda: ["timm:a.b"])
    (line,) = places.weights(Asked())
    assert line.status == "green"
    assert line.found.startswith(f"here: {LITE0}, timm:a.b; 1 others")
    files[:] = [WeightFile(LITE0, "not here", ""), WeightFile("resnet18", "damaged", "")]
    found = list(places.weights(Asked()))
    assert [each.status for each in found] == ["red", "red", "green"]
    assert [each.remedy for each in found[:2]] == ["adbench weights get resnet18", f"adbench weights get {LITE0}"]


def test_data_roots_say_which_data_set_reads_them(tiny_data, tmp_path):
    """A folder is green with its classes, yellow where nothing recognises a class, red where it is missing."""
    asked = Asked(data_roots=(tiny_data, tmp_path, tmp_path / "gone"), registry=registry.load())
    found = list(places.data(asked))
    assert [each.status for each in found] == ["green", "yellow", "red"]
    assert "folder reads 2 classes" in found[0].found
    assert "no such folder" in found[2].found
    assert "ADBENCH_DATA" in found[2].remedy


def test_no_data_root_is_no_fault():
    """The demo needs none; the line says how to look at one."""
    (line,) = places.data(Asked())
    assert line.status == "green"
    assert "--data-root DIR" in line.remedy


def test_the_cache_is_green_yellow_or_red(tmp_path, monkeypatch):
    """Over its limit it is yellow with the command that prunes; a file in its place is red."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    assert by_check(places.cache_and_disk(Asked()))["cache"].status == "green"
    folder = tmp_path / "cache" / "features"
    folder.mkdir(parents=True)
    (folder / "some").write_bytes(b"x" * 1000)
    monkeypatch.setenv("ADBENCH_CACHE_LIMIT", "100")
    line = by_check(places.cache_and_disk(Asked()))["cache"]
    assert (line.status, line.remedy) == ("yellow", "adbench cache prune")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "file"))
    line = by_check(places.cache_and_disk(Asked()))["cache"]
    assert line.status == "red"
    assert "ADBENCH_CACHE" in line.remedy


@pytest.mark.parametrize(("free", "status"), [(10**8, "red"), (5 * 10**9, "yellow"), (10**11, "green")])
def test_little_space_is_said(tmp_path, monkeypatch, free, status):
    """A full disk is red; the place need not exist yet."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, used=0, free=free))
    (line,) = places.results(Asked(results=tmp_path / "new" / "results"))
    assert (line.check, line.status) == ("disk of the results", status)


@posix_only
def test_a_folder_that_cannot_be_written_is_red(tmp_path, monkeypatch):
    """The line has the system's reason."""

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(places.tempfile, "TemporaryFile", refuse)
    (line,) = places.results(Asked(results=tmp_path))
    assert (line.status, "Permission denied" in line.found) == ("red", True)
