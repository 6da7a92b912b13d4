"""Audits of methods go along with their runs: merged, archived, imported and published."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_repositories import bare, names_in, own_settings, subjects
from made_results import make_audit
from shared_runs import contents, store

from adbench.results import audits
from adbench.results import store as stored
from adbench.results.sharing import archive
from adbench.results.sharing.imports import import_archives
from adbench.results.sharing.merge import merge
from adbench.results.sharing.publish import publish
from adbench.results.sharing.scan import Take, scan

OLD, NEW = make_audit(), make_audit(checked="2026-02-01T00:00:00+00:00")


def folder_with(folder: Path, *found) -> Path:
    """A folder of results with a run of the method "a" and audits."""
    store(folder)
    for each in found:
        audits.write(folder, each)
    return folder


def test_a_merge_takes_new_and_newer_ones(tmp_path):
    """The newer of two stays, from whichever folder it comes, and a second merge takes none."""
    other = make_audit("b")
    target = folder_with(tmp_path / "results", OLD)
    sources = [folder_with(tmp_path / "x", NEW, other), folder_with(tmp_path / "y", OLD)]
    scans = [scan(each) for each in sources]
    tried = merge(scans, target, dry_run=True)
    assert audits.read_all(target)[0] == [OLD]
    done = merge(scans, target)
    assert done.audits == tried.audits
    assert {audit.method: source for source, audit in done.audits} == {"a": sources[0], "b": sources[0]}
    assert audits.read_all(target)[0] == [other, NEW]
    assert merge(scans, target).audits == ()
    assert merge([scan(folder_with(tmp_path / "z", OLD))], target).audits == ()


def test_a_folder_with_audits_alone_is_merged(tmp_path):
    """A machine may have checked a method and run none."""
    audits.write(tmp_path / "x", OLD)
    assert merge([scan(tmp_path / "x")], tmp_path / "results").audits == ((tmp_path / "x", OLD),)


def test_a_damaged_one_is_named(tmp_path):
    """It is left out, and the run is taken."""
    folder = folder_with(tmp_path / "x")
    path = audits.write(folder, OLD)
    path.write_text("{}")
    done = merge([scan(folder)], tmp_path / "results")
    assert [(each.kind, each.place) for each in done.left_out] == [("damaged", path)]
    assert (len(done.of("added")), done.audits) == (1, ())


def test_an_archive_has_those_of_its_methods(tmp_path):
    """They come back equal; the same content gives the same bytes, and an archive without any is as of before."""
    folder = folder_with(tmp_path / "x", make_audit("lib:é"), NEW)
    runs = stored.read_all(folder).results
    found = scan(folder, Take(), chosen=runs)
    assert found.audits == (NEW,)
    first = archive.write(found.runs, tmp_path / "1.zip", audits=found.audits).path
    again = archive.write(found.runs, tmp_path / "2.zip", audits=(NEW, NEW)).path
    assert first.read_bytes() == again.read_bytes()
    every = archive.write(found.runs, tmp_path / "3.zip", audits=scan(folder).audits).path
    assert len(import_archives([first], tmp_path / "one").audits) == 1
    assert audits.read_all(tmp_path / "one") == ([NEW], [])
    import_archives([every], tmp_path / "all")
    assert contents(tmp_path / "all") == contents(folder)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_an_audit_is_published(tmp_path, monkeypatch):
    """In one commit with the runs, or alone where these are there already."""
    own_settings(tmp_path, monkeypatch)
    place = bare(tmp_path / "board")
    folder = folder_with(tmp_path / "own", OLD)
    publish(scan(folder), str(place))
    assert subjects(place)[0] == "Add 1 run of a on folder, add 1 audit of a"
    audits.write(folder, make_audit("b"))
    publish(scan(folder), str(place))
    assert subjects(place)[0] == "Add 1 audit of b"
    assert any(name.startswith("results/audits/b/") for name in names_in(place))
    assert publish(scan(folder), str(place)).commit == ""
