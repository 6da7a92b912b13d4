"""The commands that share results: what they print, and how they end."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from made_repositories import bare, git, names_in, own_settings, subjects, tree
from made_results import make_result
from runs import adbench
from shared_runs import contents, put, store

from adbench.results.records import Identity

STORED = "folder/bolts/a/r1"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(output: str) -> list[dict]:
    return [row for table in json.loads(output) for row in table["rows"]]


def test_merge_copies_and_counts(tmp_path):
    """A row for each folder; the exit code is 0, and nothing is on standard error."""
    store(tmp_path / "one")
    store(tmp_path / "two")
    store(tmp_path / "two", "b")
    done = adbench("results", "merge", "one", "two", "--format", "json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [(row["source"], row["added"], row["there"]) for row in rows(done.stdout)] == [("one", 1, 0), ("two", 1, 1)]
    assert contents(tmp_path / "results") == contents(tmp_path / "two")
    table = adbench("results", "merge", "one", "two").stdout
    assert "there already" in table
    assert "replaced" not in table


def test_conflicts_end_with_1(tmp_path):
    """Both files are named on standard error, and programs get the reason as a row."""
    store(tmp_path / "results")
    store(tmp_path / "other", image=0.5)
    done = adbench("results", "merge", "other", "--format", "json")
    assert done.exit_code == 1
    assert f"Warning: Conflict: other/{STORED}/result.json and results/{STORED}/result.json are" in done.stderr
    assert rows(done.stdout)[-1]["kind"] == "conflict"
    done = adbench("results", "merge", "other", "--prefer", "theirs")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "replaced" in done.stdout


def test_wrong_folders_are_refused(tmp_path):
    """A file, a missing folder, the target itself, and one without runs, with what may be meant."""
    store(tmp_path / "repo" / "results")
    (tmp_path / "a.zip").write_bytes(b"x")
    for words, text in (
        (["a.zip"], "adbench results import reads archives"),
        (["missing"], "no such folder"),
        (["repo/results", "--into", "repo/results"], "into which runs are to be copied"),
        (["repo"], "Did you mean repo/results?"),
    ):
        done = adbench("results", "merge", *words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert text in done.stderr.replace("\\", "/")


def test_archive_and_import(tmp_path):
    """The chosen runs come back equal; the path of the file is the only line on standard output."""
    store(tmp_path / "results")
    store(tmp_path / "results", "b")
    store(tmp_path / "results", "b", "nuts", "r9")
    done = adbench("results", "archive", "-m", "b", "-c", "bolts", "-o", "b.zip")
    assert (done.exit_code, done.stdout) == (0, "b.zip\n")
    assert "Packed 1 run (3 files" in done.stderr
    done = adbench("results", "import", "b.zip", "--results", "got", "--format", "json")
    assert (done.exit_code, [row["added"] for row in rows(done.stdout)]) == (0, [1])
    kept = contents(tmp_path / "results")
    assert contents(tmp_path / "got") == {name: kept[name] for name in kept if "bolts/b/" in name}
    for words in (["r9"], ["-c", "nuts"], ["--all"]):
        assert adbench("results", "archive", *words, "-o", "b.zip", "--force").exit_code == 0


def test_archive_refuses(tmp_path):
    """No choice, an unknown method, a file that is there, and the ending of another kind of archive."""
    store(tmp_path / "results")
    (tmp_path / "b.zip").write_bytes(b"mine")
    for words, text in (
        (["-o", "a.zip"], "wanted RUN, -d DATASET, -c CLASS, -m METHOD or --all"),
        (["-m", "c", "-o", "a.zip"], "unknown method among the results in results 'c'"),
        (["--all", "-o", "b.zip"], "give --force"),
        (["--all", "-o", "runs.tar"], "found the ending '.tar', wanted .zip"),
    ):
        done = adbench("results", "archive", *words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert text in done.stderr
    assert (tmp_path / "b.zip").read_bytes() == b"mine"


def test_stale_runs_stay_here_unless_asked_for(tmp_path):
    """Elsewhere, without the method's code, they would count as unchecked."""
    store(tmp_path / "results")
    stale = replace(make_result("b"), run="r2", identity=Identity("data", "code", numerics=0))
    put(tmp_path / "results", stale)
    done = adbench("results", "archive", "--all", "-o", "a.zip")
    assert done.exit_code == 0
    assert "1 stale run left out; --stale takes them along" in done.stderr
    assert "Packed 1 run " in done.stderr
    done = adbench("results", "archive", "--all", "--stale", "-o", "b.zip")
    assert "Packed 2 runs " in done.stderr
    done = adbench("results", "archive", "-m", "b", "-o", "c.zip")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "found 1 stale run. Compute them again" in done.stderr


def test_damaged_runs_are_left_out_of_an_archive(tmp_path):
    """The others are packed, and the exit code is 1."""
    store(tmp_path / "results")
    place = store(tmp_path / "results", "b")
    (place / "scores.csv").write_text("other")
    done = adbench("results", "archive", "--all", "-o", "a.zip")
    assert (done.exit_code, done.stdout) == (1, "a.zip\n")
    assert "Warning: " in done.stderr
    assert "b/r1/scores.csv doesn't fit its result" in done.stderr.replace("\\", "/")


def test_a_bad_archive_is_one_message(tmp_path):
    """It is the user's to put right: exit code 2, and nothing is made."""
    (tmp_path / "a.zip").write_bytes(b"text")
    done = adbench("results", "import", "a.zip")
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "archive a.zip: found no zip file that can be read" in done.stderr
    assert not (tmp_path / "results").exists()


# ---------------------------------------------------------------- publishing

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_publish_commits_and_says_so(tmp_path, monkeypatch):
    """By default all runs; a second time there is nothing to add, which is no error."""
    own_settings(tmp_path, monkeypatch)
    store(tmp_path / "results")
    place = bare(tmp_path / "board")
    done = adbench("publish", "--to", "board", "--no-site", "--dry-run", "--format", "json")
    assert (done.exit_code, rows(done.stdout)[0]["added"]) == (0, 1)
    assert list((place / "refs" / "heads").iterdir()) == []
    done = adbench("publish", "--to", "board", "--no-site")
    assert done.exit_code == 0, done.stderr
    assert "to the branch main of board." in done.stderr
    assert "results/folder/bolts/a/r1/scores.csv" in names_in(place)
    done = adbench("publish", "--to", place.as_uri(), "--no-site")
    assert (done.exit_code, subjects(place)) == (0, ["Add 1 run of a on folder"])
    assert f"Nothing to add: 1 run is in {place.as_uri()} already." in done.stderr
    assert f"Runs merged into {place.as_uri()}" in done.stdout.replace("\n", "")


@pytest.mark.slow
@needs_git
def test_publish_builds_the_site(tmp_path, monkeypatch):
    """As adbench site does, in the chosen folder and under the chosen heading; one that is missing is added later."""
    own_settings(tmp_path, monkeypatch)
    store(tmp_path / "results")
    place = bare(tmp_path / "board")
    assert adbench("publish", "--to", "board", "--no-site").exit_code == 0
    done = adbench("publish", "--to", "board", "--site", "page", "--title", "Our board")
    assert done.exit_code == 0, done.stderr
    assert subjects(place)[0] == "Build the site"
    assert "page/index.html" in names_in(place)
    assert "Our board" in git(place, "show", "main:page/index.html")


@needs_git
def test_publish_names_the_folder_of_the_site_that_is_in_use(tmp_path, monkeypatch):
    """With docs/ of its own a repository gets no commit, and a dry run says so; no path of the clone is named."""
    own_settings(tmp_path, monkeypatch)
    store(tmp_path / "results")
    repository = tree(tmp_path / "board")
    (repository / "docs").mkdir()
    (repository / "docs" / "index.md").write_text("mine")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "docs")
    before = git(repository, "rev-parse", "HEAD")
    for words in ((), ("--dry-run",)):
        found = adbench("publish", "--to", repository, *words)
        assert found.exit_code == 2, found.stderr
        said = " ".join(found.stderr.split())
        assert "--site docs: found index.md" in said
        assert "--no-site" in said
        assert "clone" not in said
    assert git(repository, "rev-parse", "HEAD") == before


@needs_git
def test_publish_of_a_conflict_ends_with_1(tmp_path, monkeypatch):
    """The other chosen runs are added."""
    own_settings(tmp_path, monkeypatch)
    store(tmp_path / "results")
    place = bare(tmp_path / "board")
    assert adbench("publish", "--to", "board", "--no-site").exit_code == 0
    store(tmp_path / "other", image=0.5)
    store(tmp_path / "other", "b")
    store(tmp_path / "other", "c")
    done = adbench("publish", "--to", "board", "--no-site", "--results", "other", "-m", "a,b")
    assert (done.exit_code, subjects(place)[0]) == (1, "Add 1 run of b on folder")
    assert "Warning: Conflict: other/folder/bolts/a/r1/result.json and board/results/folder" in done.stderr


@needs_git
def test_publish_without_a_repository_is_refused(tmp_path):
    """One message with what makes one."""
    store(tmp_path / "results")
    done = adbench("publish", "--to", "board")
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "--to board: found no such folder, wanted a git repository. git init --bare makes one" in done.stderr
