"""Archives are taken as a whole, by the rules of merging."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_runs import contents, store

from adbench.results.sharing import archive
from adbench.results.sharing.imports import import_archives
from adbench.results.sharing.scan import scan
from adbench.util.errors import ResultError


@pytest.fixture
def archives(tmp_path) -> list[Path]:
    """Two archives of one run each."""
    for name in ("a", "b"):
        store(tmp_path / name, name)
    return [archive.write(scan(tmp_path / name).runs, tmp_path / f"{name}.zip").path for name in ("a", "b")]


def test_several_archives_are_taken_together(archives, tmp_path):
    """A second time all is there already."""
    target = tmp_path / "results"
    done = import_archives(archives, target)
    assert [(each.what, each.run.source) for each in done.outcomes] == [("added", path) for path in archives]
    assert contents(target) == {**contents(tmp_path / "a"), **contents(tmp_path / "b")}
    assert [each.what for each in import_archives(archives, target).outcomes] == ["same", "same"]


def test_beside_a_damaged_one_none_is_taken(archives, tmp_path):
    """The damaged one is named, and the folder of the results isn't even made."""
    archives[1].write_bytes(archives[1].read_bytes()[:-9])
    with pytest.raises(ResultError, match=r"b\.zip"):
        import_archives(archives, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_conflict_names_the_archive(archives, tmp_path):
    """And no temporary folder."""
    place = store(tmp_path / "results", image=0.1)
    done = import_archives(archives, tmp_path / "results")
    assert done.failed
    (found,) = done.left_out
    assert f"{archives[0] / 'folder/bolts/a/r1/result.json'} and {place / 'result.json'}" in found.reason
    assert ".tmp" not in found.reason


def test_a_dry_run_writes_nothing(archives, tmp_path):
    """It finds out the same."""
    done = import_archives(archives, tmp_path / "results", dry_run=True)
    assert [each.what for each in done.outcomes] == ["added", "added"]
    assert not (tmp_path / "results").exists()
