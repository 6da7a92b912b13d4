"""Installs packages with pip, for the Python that runs adbench."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from collections.abc import Sequence

from .errors import TaskError, UsageError
from .installed import is_importable

STDERR = 2
"""The number of the open file for messages."""


def command(arguments: Sequence[str]) -> list[str]:
    """The words of ``python -m pip install ARGUMENTS`` with this Python."""
    return [sys.executable, "-m", "pip", "install", *arguments]


def line(arguments: Sequence[str]) -> str:
    """The same as a line for the shell."""
    words = command(arguments)
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def install(arguments: Sequence[str]) -> None:
    """Run pip; what it prints goes to standard error.

    Args:
        arguments: requirements such as "timm>=1.0", and options of ``pip install``.

    Raises:
        UsageError: this Python has no pip.
        TaskError: pip failed; its own message stands above.
    """
    if not is_importable("pip"):
        raise UsageError(
            f"{sys.executable}", found="no pip", hint=f"python -m ensurepip, or install with your own tool: "
            f"{' '.join(arguments)}",
        )  # fmt: skip
    done = subprocess.run(command(arguments), stdout=STDERR, check=False)
    importlib.invalidate_caches()
    if done.returncode:
        raise TaskError(
            f"pip install {' '.join(arguments)}", found=f"exit code {done.returncode}",
            hint="Read pip's message above; without a network, bring the wheels by hand: pip install FILE.whl",
        )  # fmt: skip
