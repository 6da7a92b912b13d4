"""Outcomes of check-method are kept below the results: one of each code, set-up and machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_audit
from shared_runs import store

from adbench.results import audits, removal
from adbench.results.audits import Check
from adbench.results.store import read_all
from adbench.util.errors import ResultError

FAILED = (Check("a", "failed", "why"), Check("b", "passed"), Check("c", "failed"), Check("d", "skipped"))


def test_what_is_stored_is_read_back(tmp_path):
    """Also of a method whose name is no folder's, and with options that JSON changes."""
    made = make_audit("lib:a", overrides={"size": [64, 32], "lr": 1e-4})
    path = audits.write(tmp_path, made)
    assert path.parent.parent == tmp_path / "audits"
    assert audits.read_all(tmp_path) == ([made], [])
    assert audits.read_all(tmp_path, ["lib:a"]) == ([made], [])
    assert audits.read_all(tmp_path, ["lib"]) == ([], [])
    assert audits.read_all(tmp_path / "none") == ([], [])


def test_a_place_has_one_audit(tmp_path):
    """A new one replaces that of the same code, set-up and machine, however tuples were written."""
    first = make_audit(overrides={"size": (64, 64)})
    later = make_audit(overrides={"size": [64, 64]}, checked="2026-02-01T00:00:00+00:00")
    other = make_audit(code="1" * 16)
    for each in (first, later, other):
        audits.write(tmp_path, each)
    assert audits.read_all(tmp_path)[0] == [other, later]


def test_a_new_audit_replaces_those_of_older_code(tmp_path):
    """Those of other options, of another machine and of another package of the same method stay."""
    here = make_audit()
    others = [
        make_audit(overrides={"lr": 0.1}), make_audit(method_package="mine.py"),
        make_audit(environment=replace(here.environment, device_name="another")),
    ]  # fmt: skip
    for each in (here, *others):
        audits.write(tmp_path, each)
    new = make_audit(code="1" * 16, checked="2026-02-01T00:00:00+00:00", method_package="adbench-suite 0.2.0")
    audits.replace_older(tmp_path, new)
    assert {each.place for each in audits.read_all(tmp_path)[0]} == {each.place for each in (*others, new)}


def test_the_outcome_is_a_sentence():
    """It names what failed, and what was skipped."""
    assert make_audit().outcome == "1 check passed, 1 skipped (works on a GPU)"
    assert make_audit(checks=FAILED).outcome == "2 of 4 checks failed (a; c), 1 skipped (d)"
    assert make_audit(overrides={"size": [64, 32], "lr": 0.1}).variant == "a:cpu,size=64x32,lr=0.1"


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("skipped", "passed"), lambda text: text[:9], lambda _: "1"]
)
def test_a_changed_file_is_named(tmp_path, change):
    """An outcome that was not found doesn't get onto pages; checking again mends the file."""
    path = audits.write(tmp_path, make_audit())
    path.write_text(change(path.read_text()))
    found, ((place, problem),) = audits.read_all(tmp_path)
    assert (found, place) == ([], path)
    assert "Check again with adbench check-method" in problem
    audits.replace_older(tmp_path, make_audit())
    assert audits.read_all(tmp_path) == ([make_audit()], [])


def test_a_file_of_another_name_and_a_long_one_are_named(tmp_path):
    """A copy under another method's name is none of its audits, and no file fills the memory."""
    path = audits.write(tmp_path, make_audit())
    path.rename(path.with_name("copy.json"))
    path.write_bytes(b"1" * (audits.MOST_BYTES + 1))
    found, problems = audits.read_all(tmp_path)
    assert found == []
    assert ["an audit of a:cpu" in problem or "more than" in problem for _, problem in problems] == [True, True]


def test_links_are_not_followed(tmp_path):
    """Neither where audits are read nor where they are written."""
    elsewhere, linked = tmp_path / "elsewhere", tmp_path / "linked"
    audits.write(elsewhere, make_audit())
    linked.mkdir()
    (linked / "audits").symlink_to(elsewhere / "audits", target_is_directory=True)
    assert audits.read_all(linked) == ([], [])
    with pytest.raises(ResultError, match="is a link"):
        audits.write(linked, make_audit())


def test_a_folder_that_cant_be_written_is_an_error(tmp_path):
    """The message names the file."""
    (tmp_path / "audits").write_text("mine")
    with pytest.raises(ResultError, match="can't be written"):
        audits.write(tmp_path, make_audit())


@pytest.mark.parametrize("name", ["..", "x" * 500, "a/../b\\c", "", "\x00", "con", "<script>"])
def test_any_name_of_a_method_stays_within_the_folder(tmp_path, name):
    """An archive of somebody else may name any."""
    path = audits.write(tmp_path / "results", make_audit(name))
    assert path.resolve().parent.parent == (tmp_path / "results" / "audits").resolve()
    assert audits.read_all(tmp_path / "results", [name]) == ([make_audit(name)], [])


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    """JSON may have half a letter of UTF-16, which no file system takes."""
    with pytest.raises(ResultError, match="no file can have"):
        audits.write(tmp_path, make_audit("a\ud800"))
    assert audits.read_all(tmp_path, ["a\ud800"]) == ([], [])


def test_audits_are_no_runs(tmp_path):
    """Removing all runs of a method leaves its audits, and the list of runs doesn't show them."""
    store(tmp_path)
    path = audits.write(tmp_path, make_audit())
    assert len(read_all(tmp_path).results) == 1
    for run in removal.find(tmp_path, ["r1"]):
        removal.remove(run)
    assert removal.run_folders(tmp_path) == []
    assert path.is_file()
