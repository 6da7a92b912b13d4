"""The public names: few, documented, and light to import."""

from __future__ import annotations

import subprocess
import sys

import adbench


def test_public_names_are_few_and_sorted():
    """There are at most two dozen; each exists, none twice."""
    assert sorted(set(adbench.__all__)) == adbench.__all__
    assert len(adbench.__all__) <= 24
    assert [name for name in adbench.__all__ if not hasattr(adbench, name)] == []


def test_public_names_of_0_1_stay():
    """Names that plugins of adbench 0.1 import still exist."""
    old = "AdbenchError BackboneOptions Dataset Detector Epoch Method Options Sample Scores Task UsageError hookimpl"
    assert set(old.split()) <= set(adbench.__all__)


def test_public_names_have_docstrings():
    """Each has a docstring; hookimpl is pluggy's."""
    assert [name for name in adbench.__all__ if name != "hookimpl" and not getattr(adbench, name).__doc__] == []


def test_importing_them_is_light():
    """Neither torch nor NumPy is imported."""
    code = "import sys, adbench; sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
