"""A run that is killed or stopped, and resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from runs import TINY, adbench, adbench_process, files_in, metrics_of, only_run, posix_only, run_tiny

from adbench.results import store


@posix_only
def test_a_killed_run_goes_on_and_ends_in_the_same_numbers(tiny_data, tmp_path, monkeypatch):
    """After SIGKILL in the second class the first is kept, and the same command ends as an unbroken run."""
    monkeypatch.setenv("TINY_SURVIVES", "1")
    results, whole = tmp_path / "results", tmp_path / "whole"
    assert run_tiny(tiny_data, results, "-o", "kill_at=3", "-c", "bolts").exit_code == 0
    kept = (only_run(results) / "result.json").read_bytes()
    killed = adbench_process(
        "run", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-o", "kill_at=3",
        cwd=tmp_path, TINY_SURVIVES="",
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert "= tiny · folder/bolts" in killed.stderr
    assert "state.pt" in files_in(only_run(results, "nuts"))
    again = run_tiny(tiny_data, results, "-o", "kill_at=3")
    assert again.exit_code == 0, again.stderr
    assert "= tiny · folder/bolts" in again.stderr
    assert "tiny nuts: going on after epoch" in again.stderr
    assert (only_run(results) / "result.json").read_bytes() == kept
    assert run_tiny(tiny_data, whole, "-o", "kill_at=3").exit_code == 0
    for name in ("bolts", "nuts"):
        broken, unbroken = only_run(results, name), only_run(whole, name)
        assert metrics_of(broken) == metrics_of(unbroken)
        assert (broken / "scores.csv").read_bytes() == (unbroken / "scores.csv").read_bytes()
        assert broken.name == unbroken.name


def test_ctrl_c_stops_with_130_and_says_how_to_go_on(tiny_data, tmp_path, monkeypatch):
    """After Ctrl-C the finished tasks are counted, and the same command reaches the same end."""
    stopped = run_tiny(tiny_data, tmp_path, "-o", "stop_at=3")
    assert stopped.exit_code == 130
    assert stopped.stdout == ""
    assert stopped.stderr.splitlines()[-1] == "Stopped with 0 of 2 tasks done; the same command goes on from here."
    assert "Traceback" not in stopped.stderr
    monkeypatch.setenv("TINY_SURVIVES", "1")
    again = run_tiny(tiny_data, tmp_path, "-o", "stop_at=3")
    assert again.exit_code == 0
    assert "going on after epoch" in again.stderr


def test_ctrl_c_in_a_forced_run_says_not_to_force_again(tiny_data, tmp_path):
    """The same command with --force would discard finished work; the message says so."""
    stopped = run_tiny(tiny_data, tmp_path, "-o", "stop_at=3", "--force")
    assert "the same command without --force goes on from here" in stopped.stderr


def test_ctrl_c_in_any_other_command_is_130_too(ran, monkeypatch):
    """Ctrl-C while results are read ends in one word."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "read_all", stop)
    done = adbench("leaderboard", "--results", ran)
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Stopped.\n")


@pytest.mark.slow
@posix_only
def test_sigterm_is_as_good_as_ctrl_c(tiny_data, tmp_path):
    """SIGTERM, as sent by a cluster, stops cleanly with a hint to resume, also where Ctrl-C is ignored."""
    plugin = tmp_path / "waiting.py"
    plugin.write_text(
        TINY.read_text().replace("raise KeyboardInterrupt", "import time; print('waiting', flush=True); time.sleep(60)")
    )
    command = [sys.executable, "-m", "adbench", "run", "-m", "tiny", "--plugin", plugin, "-d", "folder",
               "-c", "bolts", "--data-root", tiny_data, "-o", "stop_at=2"]  # fmt: skip
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "waiting\n"
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped with 0 of 1 tasks done; the same command goes on from here." in errors


@posix_only
def test_sigterm_while_results_are_read_is_ctrl_c(ran, monkeypatch):
    """A command that only looks at results stops with the same word and exit code."""

    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(store, "read_all", kill)
    before = signal.getsignal(signal.SIGTERM)
    done = adbench("leaderboard", "--results", ran)
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Stopped.\n")
    assert signal.getsignal(signal.SIGTERM) is before


@posix_only
@pytest.mark.parametrize("place", ["adbench.data.image_store.open_store", "adbench.report.page.write"])
def test_sigterm_before_and_after_training_says_how_far_it_got(tiny_data, tmp_path, monkeypatch, place):
    """While images are opened and while the report is drawn; a second SIGTERM does no harm."""

    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(place, kill)
    stopped = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--report", "-o", "epochs=1")
    assert (stopped.exit_code, stopped.stdout) == (130, "")
    done = 1 if place.endswith("write") else 0
    last = f"Stopped with {done} of 1 tasks done; the same command goes on from here."
    assert stopped.stderr.splitlines()[-1] == last
    assert "Traceback" not in stopped.stderr
