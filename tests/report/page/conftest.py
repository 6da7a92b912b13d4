"""Results for the tests of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import run_tiny


@pytest.fixture(scope="module")
def results(tiny_data, tmp_path_factory) -> Path:
    """Two methods on two classes, two seeds of each."""
    folder = tmp_path_factory.mktemp("results")
    done = run_tiny(tiny_data, folder, "-m", "tiny,random", "-p", "cpu", "--seeds", "0,1")
    assert done.exit_code == 0, done.stderr
    return folder
