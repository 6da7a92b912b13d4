"""Runs in one file: the same bytes for the same content."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import ZipFile

import pytest
from shared_runs import save_checkpoint, store, store_joint

from adbench.results.sharing import archive
from adbench.results.sharing.imports import import_archives
from adbench.results.sharing.manifest import MANIFEST
from adbench.results.sharing.merge import merge
from adbench.results.sharing.scan import Take, scan
from adbench.util.errors import ResultError


def pack(results: Path, path: Path, take: Take | None = None) -> Path:
    return archive.write(scan(results, take).runs, path).path


def test_the_same_content_gives_the_same_bytes(tmp_path):
    """Times, the place and the order of the runs don't count."""
    store(tmp_path / "one")
    store_joint(tmp_path / "one")
    merge([scan(tmp_path / "one")], tmp_path / "two")
    for path in (tmp_path / "two").rglob("*.*"):
        os.utime(path, (10**9, 10**9))
    first = pack(tmp_path / "one", tmp_path / "1.zip").read_bytes()
    written = archive.write(scan(tmp_path / "two").runs[::-1], tmp_path / "2.zip")
    assert written.path.read_bytes() == first
    assert (written.files, written.bytes) == (11, len(first))


def test_it_unpacks_as_a_folder_of_results(tmp_path):
    """Any program for zip files shows the runs; the manifest is last."""
    place = store(tmp_path / "results")
    save_checkpoint(place / "last.pt")
    with ZipFile(pack(tmp_path / "results", tmp_path / "a.zip", Take(checkpoints=False))) as opened:
        names = opened.namelist()
        opened.extractall(tmp_path / "by hand")
    assert names == [f"results/folder/bolts/a/r1/{name}.{end}" for name, end in (
        ("epochs", "csv"), ("result", "json"), ("scores", "csv"))] + [MANIFEST]  # fmt: skip
    assert len(scan(tmp_path / "by hand" / "results").runs) == 1


def test_the_checkpoint_of_several_classes_is_there_once(tmp_path):
    """And comes back as one file with two names."""
    store_joint(tmp_path / "results")
    path = pack(tmp_path / "results", tmp_path / "a.zip")
    with ZipFile(path) as opened:
        assert [name for name in opened.namelist() if name.endswith(".pt")] == ["results/folder/bolts/joint/j1/last.pt"]
    import_archives([path], tmp_path / "got")
    one, other = (tmp_path / f"got/folder/{name}/joint/j1/last.pt" for name in ("bolts", "nuts"))
    assert one.samefile(other)
    assert one.read_bytes() == (tmp_path / "results/folder/nuts/joint/j1/last.pt").read_bytes()


def test_a_name_that_not_every_system_takes_is_refused(tmp_path):
    """Overlays are named after images; the older file stays."""
    place = store(tmp_path / "results")
    (place / "maps").mkdir()
    (place / "maps" / "a:b.png").write_bytes(b"picture")
    path = pack(tmp_path / "results", tmp_path / "a.zip", Take(maps=False))
    before = path.read_bytes()
    with pytest.raises(ResultError, match=r"a:b\.png.*Leave out --maps"):
        pack(tmp_path / "results", path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".tmp")] == []


def test_a_run_that_changes_meanwhile_is_refused(tmp_path):
    """Its files may be of two computations."""
    place = store(tmp_path / "results")
    runs = scan(tmp_path / "results").runs
    (place / "scores.csv").write_text("other")
    with pytest.raises(ResultError, match="another content"):
        archive.write(runs, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """The message has the file and the reason."""
    store(tmp_path / "results")
    with pytest.raises(ResultError, match=r"missing.a\.zip can't be written: found No such file"):
        pack(tmp_path / "results", tmp_path / "missing" / "a.zip")
