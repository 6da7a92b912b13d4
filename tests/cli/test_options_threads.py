"""``--threads``: its values, where it is stored, and that waiting threads sleep."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from runs import ONE, adbench, adbench_process, line_of, only_run, run_tiny

from adbench.cli.main import NO_SPINNING


def test_asked_for_is_stored_and_put_back(tiny_data, tmp_path):
    """``--threads 2`` is in the result and in the task's line; afterwards the process has its old number."""
    before = torch.get_num_threads()
    done = run_tiny(tiny_data, tmp_path, *ONE, "--threads", "2")
    assert done.exit_code == 0
    assert json.loads((only_run(tmp_path) / "result.json").read_text())["environment"]["threads"] == 2
    assert ", 2 threads" in done.stderr
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "99999999"])
def test_a_number_that_is_none_is_refused(tiny_data, tmp_path, text):
    """One line says what was found and what was wanted."""
    done = run_tiny(tiny_data, tmp_path, *ONE, "--threads", text)
    assert done.exit_code == 2
    assert f"'{text}'" in line_of(done)
    assert "auto" in line_of(done)


@pytest.mark.parametrize("command", ["run", "test", "check-method", "heatmaps", "report"])
def test_every_command_that_computes_has_the_option(command):
    """Commands that train or score take ``--threads``."""
    assert "--threads" in adbench(command, "--help").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is what torch ships for Linux")
@pytest.mark.slow
def test_threads_that_wait_sleep(tiny_data, tmp_path, monkeypatch):
    """The OpenMP library that torch loads reports that it doesn't spin."""
    for name in NO_SPINNING:  # an earlier test may have started the command in this process
        monkeypatch.delenv(name, raising=False)
    words = ("run", "-m", "random", "-d", "folder", "--data-root", tiny_data, "-c", "bolts", "-p", "paper")
    done = adbench_process(*words, cwd=tmp_path, OMP_DISPLAY_ENV="verbose")
    assert done.returncode == 0, done.stderr
    assert "GOMP_SPINCOUNT = '0'" in done.stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
    own = adbench_process(*words, cwd=tmp_path, OMP_DISPLAY_ENV="verbose", OMP_WAIT_POLICY="ACTIVE")
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in own.stderr  # what the user has set stays
    assert "GOMP_SPINCOUNT = '0'" not in own.stderr
