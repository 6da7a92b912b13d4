"""git runs in its own folder and in English, and its absence is one message."""

from __future__ import annotations

import shutil

import pytest

from adbench.util.errors import TaskError, UsageError
from adbench.util.git import Git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def test_commands_run_in_their_folder(tmp_path, monkeypatch):
    """Also within a hook of another repository, which names itself in the environment."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    git = Git(tmp_path, {"user.name": "ä b"})
    git.run("init", "--quiet")
    assert (tmp_path / ".git").is_dir()
    assert git.setting("user.name") == "ä b"
    assert git.setting("adbench.none") == ""
    assert git.run("hash-object", "--stdin", text="x\n") == "587be6b4c3f93f93c489c0111bba5596147a26cb"


def test_what_git_says_is_in_the_message(tmp_path, monkeypatch):
    """In English, whatever the language of the user."""
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    with pytest.raises(TaskError, match=r"git log: found fatal: not a git repository"):
        Git(tmp_path, {"core.bare": "false"}).run("log")
    assert Git(tmp_path).ask("rev-parse").code == 128


def test_without_git_there_is_a_hint(tmp_path, monkeypatch):
    """And a missing folder is not taken for a missing program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"the program git: found none on this machine\. Install it from https://git-scm"
    ):
        Git(tmp_path).run("status")
    with pytest.raises(UsageError, match="no such folder"):
        Git(tmp_path / "missing").run("status")
