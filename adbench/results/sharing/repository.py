"""A git repository of results: what REPO names, a temporary clone of it, and the way back."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...util.errors import TaskError, UnknownNameError, UsageError, absent
from ...util.git import Done, Git

Kind = Literal["bare", "tree", "url"]

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|[^/\\:]{2,}:", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=:)//[^/@]*@")
_RACES = ("fetch first", "non-fast-forward", "stale info", "cannot lock ref", "failed to update ref", "incorrect old")
_CLONE = {"core.symlinks": "false", "core.autocrlf": "false"}
"""Settings of the clone: a link in the repository becomes a file, and bytes stay as they are."""


@dataclass(frozen=True)
class Remote:
    """A repository.

    Attributes:
        name: as the user typed it, without a password.
        kind: a folder without or with its files ("bare", "tree"), or an address ("url").
        address: for git.
        folder: of a local one.
    """

    name: str
    kind: Kind
    address: str
    folder: Path | None = None


def find(name: str) -> Remote:
    """The repository that a text names.

    Raises:
        UsageError: there is no git, no such folder, or it is no repository.
    """
    path = Path(name)
    if not path.is_dir():
        if _URL.match(name) and not path.exists():
            return Remote(_PASSWORD.sub("//", name), "url", name)
        hint = "git init --bare makes one; addresses are as for git clone"
        raise UsageError(f"--to {name}", found=absent(path, "folder"), wanted="a git repository", hint=hint)
    folder = path.resolve()
    git = Git(folder)
    bare = git.ask("rev-parse", "--is-bare-repository", "--git-dir")
    if bare.code:
        hint = "git init or git init --bare makes one"
        raise UsageError(f"--to {name}", found=bare.last_line, wanted="a git repository", hint=hint)
    if bare.output.split("\n")[0] == "true":
        if bare.output.split("\n")[1] != ".":
            raise UsageError(f"--to {name}", found="a folder within a repository", wanted="the repository itself")
        return Remote(name, "bare", folder.as_uri(), folder)
    top = Path(git.run("rev-parse", "--show-toplevel"))
    if not top.samefile(folder):
        raise UsageError(f"--to {name}", found=f"a folder within the repository {top}", wanted="the repository itself")
    return Remote(name, "tree", str(folder), folder)


class Clone:
    """A temporary clone in which a commit is made, and from which it goes to the repository.

    Args:
        remote: the repository.
        folder: where the clone is made.
        branch: to which to commit; None is that of the repository.

    Raises:
        UsageError: the repository can't be read, has no such branch, or git has no author.
    """

    def __init__(self, remote: Remote, folder: Path, branch: str | None = None) -> None:
        self.remote, self.folder = remote, folder
        self._depth = [] if remote.kind == "tree" else ["--depth", "1"]
        heads = self._heads()
        if branch is not None and heads and branch not in heads:
            raise UnknownNameError(f"branch of {remote.name}", branch, heads)
        chosen = ["--branch", branch] if branch and heads else []
        settings = [word for key, value in _CLONE.items() for word in ("-c", f"{key}={value}")]
        words = ["clone", "--quiet", "--no-tags", "--single-branch", *self._depth, *chosen, *settings]
        self._require(Git(folder.parent).ask(*words, "--", remote.address, str(folder)))
        self.git = Git(folder, self._author())
        if branch and not heads:
            self.git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        head = self.git.ask("symbolic-ref", "--short", "HEAD")
        if head.code:
            raise UsageError(
                f"--to {remote.name}", found="no branch that is checked out", hint="Choose one with --branch"
            )
        self.branch = head.output.strip()

    def _heads(self) -> list[str]:
        """The branches of the repository; none of an empty one."""
        done = Git(self.folder.parent).ask("ls-remote", "--heads", "--", self.remote.address)
        self._require(done)
        return [line.partition("\trefs/heads/")[2] for line in done.output.splitlines() if "\trefs/heads/" in line]

    def _require(self, done: Done) -> None:
        if done.code:
            hint = "Try git ls-remote with it; passwords and keys are git's matter"
            found = done.last_line.replace(self.remote.address, self.remote.name)
            raise UsageError(f"--to {self.remote.name} can't be read", found=found, hint=hint)

    def _author(self) -> dict[str, str]:
        """The author in the settings of a local repository, which the clone doesn't have; git must know one."""
        base = Git(self.remote.folder or self.folder)
        found = {name: value for name in ("user.name", "user.email") if (value := base.setting(name))}
        settings = {**found, "user.useConfigOnly": "true"}
        git = Git(self.folder, settings)
        if any(git.ask("var", f"GIT_{who}_IDENT").code for who in ("AUTHOR", "COMMITTER")):
            raise UsageError(
                "git has no author for the commit", found=" and ".join(found) or "neither user.name nor user.email",
                wanted="both user.name and user.email",
                hint='git config --global user.name "NAME", and git config --global user.email ADDRESS',
            )  # fmt: skip
        return settings

    def commit(self, folders: list[str], message: str) -> str:
        """Commit all files of some folders, without locks; "" if nothing has changed.

        Raises:
            TaskError: git refuses, for example by a hook.
        """
        paths = [*(f":(literal){name}" for name in folders), ":(exclude,glob)**/.lock"]
        self.git.run("add", "--all", "--force", "--", *paths)
        if not self.git.ask("diff", "--cached", "--quiet").code:
            return ""
        self.git.run("commit", "--quiet", "--file", "-", text=message)
        return self.git.run("rev-parse", "--short", "HEAD")

    def push(self) -> bool:
        """Send the commit to the repository; False if somebody else has sent one before.

        Raises:
            TaskError: the repository refuses it.
            UsageError: files of a local one were changed by hand.
        """
        if self.remote.kind == "tree" and self._is_checked_out():
            return self._forward()
        done = self.git.ask("push", "--porcelain", "origin", f"HEAD:refs/heads/{self.branch}")
        if not done.code:
            return True
        refused = [line for line in done.output.splitlines() if line.startswith("!")]
        if any(text in line for line in refused for text in _RACES):
            return False
        reason = refused[0].rpartition("\t")[2] if refused else done.last_line
        told = [line.removeprefix("remote:").strip() for line in done.errors.splitlines() if line.startswith("remote:")]
        found = "; ".join(dict.fromkeys([*filter(None, told[:1]), reason]))
        raise TaskError(f"{self.remote.name} refuses the commit", found=found, hint="Nothing was changed there")

    def refresh(self) -> None:
        """Forget the commit, and begin anew at what the repository has now. Raises ``TaskError``."""
        self.git.run("fetch", "--quiet", "--no-tags", *self._depth, "origin", f"refs/heads/{self.branch}")
        self.git.run("reset", "--quiet", "--hard", "FETCH_HEAD")
        self.git.run("clean", "--quiet", "-ffdx")

    # -- a repository with its files

    def _is_checked_out(self) -> bool:
        assert self.remote.folder is not None
        return Git(self.remote.folder).run("symbolic-ref", "--short", "HEAD") == self.branch

    def _forward(self) -> bool:
        """Move the branch and the files of a local repository forward, if no file there is in the way."""
        assert self.remote.folder is not None
        there, name = Git(self.remote.folder), f"refs/adbench/{secrets.token_hex(8)}"
        self.git.run("push", "--quiet", "origin", f"HEAD:{name}")
        try:
            done = there.ask("merge", "--quiet", "--ff-only", name)
        finally:
            there.ask("update-ref", "-d", name)
        if not done.code:
            return True
        if "fast-forward" in done.errors or "index.lock" in done.errors or "cannot lock ref" in done.errors:
            return False
        raise UsageError(
            f"--to {self.remote.name}", found=done.last_line.removeprefix("error: "),
            wanted="no changed files in the way", hint="Commit or remove them there first",
        )  # fmt: skip
