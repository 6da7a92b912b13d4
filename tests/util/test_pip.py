"""The pip lines that adbench prints and runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from runs import posix_only

from adbench.util import pip
from adbench.util.errors import TaskError, UsageError


@posix_only
def test_the_line_is_safe_in_a_shell():
    """Bounds are quoted, since > and < are the shell's own, and the Python is the running one."""
    assert pip.line(["timm>=1.0"]) == f"{sys.executable} -m pip install 'timm>=1.0'"


def test_pip_runs_with_this_python_and_prints_to_standard_error(monkeypatch):
    """Standard output is for results; what pip prints goes to standard error."""
    ran = []

    def run(words, *, stdout, check):
        ran.append((words, stdout))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(pip, "is_importable", lambda name: True)
    pip.install(["timm>=1.0"])
    assert ran == [(pip.command(["timm>=1.0"]), 2)]


def test_a_pip_that_fails_or_is_missing_is_an_error(monkeypatch):
    """Both errors say what to do."""
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1))
    monkeypatch.setattr(pip, "is_importable", lambda name: True)
    with pytest.raises(TaskError, match="exit code 1"):
        pip.install(["timm"])
    monkeypatch.setattr(pip, "is_importable", lambda name: False)
    with pytest.raises(UsageError, match="ensurepip"):
        pip.install(["timm"])
