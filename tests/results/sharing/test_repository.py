"""Which repository a text names, and what is in the way of a commit to it."""

from __future__ import annotations

import shutil

import pytest
from made_repositories import bare, git, names_in, own_settings, tree

from adbench.results.sharing.repository import Clone, Remote, find
from adbench.util.errors import TaskError, UnknownNameError, UsageError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """The file of git's settings."""
    return own_settings(tmp_path, monkeypatch)


def test_folders_and_addresses_are_found(tmp_path):
    """A bare repository, one with its files, and what git clone takes."""
    one, two = bare(tmp_path / "a b"), tree(tmp_path / "two")
    assert find(str(one)) == Remote(str(one), "bare", one.resolve().as_uri(), one.resolve())
    assert find(str(two)) == Remote(str(two), "tree", str(two.resolve()), two.resolve())
    for address in ("https://example.org/a.git", "git@example.org:lab/a.git", "ssh://example.org/a"):
        assert find(address) == Remote(address, "url", address)


def test_what_is_no_repository_is_refused(tmp_path):
    """A missing folder, a file, a folder without a repository, and folders within one."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tree(tmp_path / "tree") / "inner").mkdir()
    bare(tmp_path / "bare")
    for name, text in (
        ("missing", "no such folder"), ("file", "a file"), ("empty", "not a git repository"),
        ("tree/inner", "a folder within the repository"), ("bare/refs", "a folder within a repository"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=text):
            find(str(tmp_path / name))


def test_the_branch_is_that_of_the_repository(tmp_path):
    """Another one must be there, except in an empty repository."""
    two = tree(tmp_path / "two")
    git(two, "branch", "board")
    assert Clone(find(str(two)), tmp_path / "c1").branch == "main"
    assert Clone(find(str(two)), tmp_path / "c2", "board").branch == "board"
    with pytest.raises(UnknownNameError, match=r"unknown branch of .*one of board, main"):
        Clone(find(str(two)), tmp_path / "c3", "other")
    assert Clone(find(str(bare(tmp_path / "one"))), tmp_path / "c4", "board").branch == "board"


def test_git_must_know_the_author(tmp_path, settings):
    """It is never guessed; a local repository may have one of its own."""
    settings.write_text("[user]\n\tname = Ann\n")
    one = bare(tmp_path / "one")
    with pytest.raises(UsageError, match=r"no author.*found user\.name, wanted both.*git config --global"):
        Clone(find(str(one)), tmp_path / "c1")
    git(one, "config", "user.email", "own@example.org")
    clone = Clone(find(str(one)), tmp_path / "c2")
    (clone.folder / "a").mkdir()
    (clone.folder / "a" / "b").write_text("x")
    assert clone.commit(["a"], "Message\n")
    assert clone.push()
    assert git(one, "log", "--format=%an %ae", "main") == "Ann own@example.org"


def test_an_address_that_leads_nowhere_is_named(tmp_path):
    """With what git says."""
    with pytest.raises(UsageError, match=r"--to file:///nowhere can't be read: found fatal: .*does not appear"):
        Clone(Remote("file:///nowhere", "url", "file:///nowhere"), tmp_path / "clone")


def test_a_password_in_an_address_is_not_shown(tmp_path):
    """Git gets it, and messages don't."""
    found = find("https://ann:secret@localhost:1/a.git")
    assert (found.name, found.address) == ("https://localhost:1/a.git", "https://ann:secret@localhost:1/a.git")
    with pytest.raises(UsageError, match=r"--to https://localhost:1/a\.git can't be read") as raised:
        Clone(found, tmp_path / "clone")
    assert "secret" not in str(raised.value)


def committed(clone: Clone, name: str) -> Clone:
    (clone.folder / "r").mkdir(exist_ok=True)
    (clone.folder / "r" / name).write_text("x")
    (clone.folder / "r" / ".lock").write_text("")
    assert clone.commit(["r"], "Message\n")
    return clone


@pytest.mark.parametrize("make", [bare, tree])
def test_a_commit_that_comes_second_is_made_anew(tmp_path, make):
    """Neither of the two is lost, and nothing is forced; locks are no results."""
    place = make(tmp_path / "repository")
    first, second = (committed(Clone(find(str(place)), tmp_path / name), name) for name in ("c1", "c2"))
    assert first.push()
    assert not second.push()
    second.refresh()
    assert committed(second, "c2").push()
    assert [name for name in names_in(place) if name != "README.md"] == ["r/c1", "r/c2"]
    if make is tree:
        assert (place / "r" / "c2").read_text() == "x"
        assert git(place, "status", "--porcelain") == ""
        assert git(place, "for-each-ref", "refs/adbench") == ""


def test_files_that_were_changed_by_hand_stay(tmp_path):
    """The commit is refused where it would write over them."""
    place = tree(tmp_path / "repository")
    (place / "r").mkdir()
    (place / "r" / "c1").write_text("mine")
    clone = committed(Clone(find(str(place)), tmp_path / "c1"), "c1")
    with pytest.raises(UsageError, match=r"would be overwritten.*Commit or remove them there"):
        clone.push()
    assert (place / "r" / "c1").read_text() == "mine"
    assert names_in(place) == ["README.md"]


def test_what_a_hook_says_is_in_the_message(tmp_path):
    """A repository may refuse a commit for reasons of its own."""
    place = bare(tmp_path / "repository")
    hook = place / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'only on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    clone = committed(Clone(find(str(place)), tmp_path / "c1"), "c1")
    with pytest.raises(TaskError, match=r"only on Mondays; .*hook declined"):
        clone.push()
