"""FrEIA is imported without the warnings that its source gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """
import sys, warnings
import torch, torch.nn.functional, scipy.special, scipy.stats  # compiled already
sys.pycache_prefix = FOLDER
warnings.simplefilter("always")
import FrEIA_MODULE
assert "FrEIA.modules" in sys.modules
"""


def warnings_of(module: str, folder: Path) -> str:
    """What importing a module says on standard error, if FrEIA is not compiled yet and every warning is shown."""
    code = SHOW.replace("FOLDER", repr(str(folder))).replace("FrEIA_MODULE", module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stderr.splitlines() if "FrEIA" in line)


@pytest.mark.slow
def test_compiling_freia_says_nothing(tmp_path):
    """Its invalid escapes are warned of when it is imported directly, and not through our module."""
    assert "invalid escape sequence" in warnings_of("FrEIA.modules", tmp_path / "one")
    assert warnings_of("adbench_plugins.freia", tmp_path / "two") == ""
