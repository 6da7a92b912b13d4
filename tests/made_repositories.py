"""Git repositories of results, for the tests of publishing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def git(folder: Path, *words: str) -> str:
    """Run git, and return what it prints."""
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def bare(path: Path) -> Path:
    """An empty repository without files."""
    path.mkdir()
    git(path, "init", "--quiet", "--bare", "--initial-branch", "main")
    return path


def tree(path: Path) -> Path:
    """A repository with a file that is committed."""
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch", "main")
    (path / "README.md").write_text("A board\n")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "-m", "Begin")
    return path


def names_in(repository: Path, branch: str = "main") -> list[str]:
    """The files of a branch."""
    return git(repository, "ls-tree", "-r", "--name-only", branch).splitlines()


def subjects(repository: Path, branch: str = "main") -> list[str]:
    """The first lines of all commits, the newest first."""
    return git(repository, "log", "--format=%s", branch).splitlines()


def own_settings(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Use settings of git that are no user's: an author alone. Returns their file."""
    path = folder / "gitconfig"
    path.write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n")
    patch.setenv("GIT_CONFIG_GLOBAL", str(path))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        patch.delenv(name, raising=False)
    return path
