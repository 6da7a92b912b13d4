"""Runs the program git. What it prints is in English and comes back; questions about passwords go to the terminal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import TaskError, UsageError

_OWN = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE",
)  # fmt: skip
"""Variables that name another repository, as in one of its hooks."""

_SETTINGS = {"core.quotePath": "false", "core.longPaths": "true", "advice.detachedHead": "false"}


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        """What git said, in the line that is about the reason."""
        lines = [line.strip() for line in (self.errors or self.output).splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
        return next(iter(reasons or lines[-1:]), f"exit code {self.code}")


class Git:
    """Commands in one folder.

    Args:
        folder: where they run.
        settings: of git, for these commands alone.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder, self.settings = folder, {**_SETTINGS, **(settings or {})}

    def ask(self, *words: str, text: str | None = None) -> Done:
        """Run a command, whether it succeeds or not.

        Args:
            words: of the command, without "git".
            text: what it reads.

        Raises:
            UsageError: there is no git, or the folder is missing.
        """
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        environment = {name: value for name, value in os.environ.items() if name not in _OWN}
        environment |= {"LC_ALL": "C", "LANGUAGE": "C"}
        try:
            done = subprocess.run(
                ["git", *settings, *words], cwd=self.folder, env=environment, input=text or "", capture_output=True,
                encoding="utf-8", errors="replace", check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise UsageError(f"{self.folder}", found="no such folder") from error
            hint = "Install it from https://git-scm.com, or share a file: adbench results archive"
            raise UsageError("the program git", found="none on this machine", hint=hint) from error
        return Done(done.returncode, done.stdout, done.stderr)

    def run(self, *words: str, text: str | None = None) -> str:
        """Run a command, and return what it prints.

        Raises:
            UsageError: there is no git.
            TaskError: the command fails; the message has git's reason.
        """
        done = self.ask(*words, text=text)
        if done.code:
            raise TaskError(f"git {words[0]}", found=done.last_line)
        return done.output.strip()

    def setting(self, name: str) -> str:
        """The value of a setting of the user or of the repository; "" if it isn't set."""
        done = self.ask("config", "--get", name)
        return "" if done.code else done.output.strip()
