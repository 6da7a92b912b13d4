"""SLURM by submitit, tested with submitit's local cluster: numbers, lost jobs, and parameters."""

from __future__ import annotations

import pytest
from made_executors import task
from runs import TINY, adbench, posix_only

from adbench.api import ExecutorRequest, OptionError, UsageError

pytest.importorskip("submitit", reason="needs submitit: pip install -e .[slurm]")
from adbench_plugins.executors import slurm

pytestmark = posix_only


def request(tmp_path, **changes) -> ExecutorRequest:
    given = {"tasks": 4, "cores": 2, "gpus": 0, "store": tmp_path / "executor", **changes}
    return ExecutorRequest(**{"options": {"cluster": "local"}, **given})


def test_options_become_parameters_of_submitit(tmp_path):
    """A GPU for each job that wants one; the rest as SLURM names it."""
    options = {"partition": "gpu", "time": "90", "mem": "32", "cpus": "8", "setup": "module load cuda"}
    asked = request(tmp_path, options=options, workers=16)
    assert slurm.parameters(asked, "slurm", 8) == {
        "name": "adbench", "timeout_min": 90, "cpus_per_task": 8, "tasks_per_node": 1, "nodes": 1,
        "slurm_partition": "gpu", "gpus_per_node": 1, "mem_gb": 32, "slurm_setup": ["module load cuda"],
        "slurm_array_parallelism": 16,
    }  # fmt: skip
    for options, wants_gpu in (({"gres": "gpu:a100:1"}, True), ({}, False)):
        found = slurm.parameters(request(tmp_path, options=options, wants_gpu=wants_gpu), "slurm", 4)
        assert "gpus_per_node" not in found
        assert found["timeout_min"] == 24 * 60


def test_what_can_not_be_is_refused(tmp_path, monkeypatch):
    """Without SLURM the message names the way to try it; a time must be a number of minutes."""
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"no SLURM .*--executor-option cluster=local runs the jobs on this machine"):
        slurm.Slurm(request(tmp_path, options={}))
    with pytest.raises(OptionError, match="--executor-option time: found '1h', wanted a whole number"):
        slurm.Slurm(request(tmp_path, options={"cluster": "local", "time": "1h"}))


@pytest.mark.slow
def test_tasks_are_done_and_heard_and_a_killed_one_is_named(tmp_path):
    """Values and messages come back by files; a job that is killed says where its log is, and the log stays."""
    executor = slurm.Slurm(request(tmp_path, workers=2))
    kill = "__import__('os').kill(__import__('os').getpid(), 9)"
    tasks = [task(0, "(send(b'a'), send(b'b' * 5000), b'x')[2]"), task(1, kill), task(2, "1 / 0")]
    heard: list[tuple[int, bytes]] = []
    ends = {end.number: end for end in executor.run(tasks, lambda *told: heard.append(told))}
    executor.close()
    assert (ends[0].value, heard) == (b"x", [(0, b"a"), (0, b"b" * 5000)])
    assert ends[1].value is None
    assert "without a result" in ends[1].lost
    assert str(tmp_path / "executor") in ends[1].lost
    assert "ZeroDivisionError" in ends[2].lost
    assert list((tmp_path / "executor").glob("slurm-*"))


@pytest.mark.slow
def test_a_job_that_is_queued_again_goes_on(tiny_data, tmp_path):
    """The signal of preemption stops the training after its epoch, and the job ends in the scores of ``local``."""
    plugin = tmp_path / "tiny_preempted.py"
    mark = tmp_path / "mark"
    source = TINY.read_text(encoding="utf-8")
    old = "raise KeyboardInterrupt"
    assert old in source
    signal_once = (
        f"os.path.exists({str(mark)!r}) or (open({str(mark)!r}, 'x').close(), os.kill(os.getpid(), signal.SIGUSR2))"
    )
    plugin.write_text(source.replace(old, signal_once), encoding="utf-8")
    words = ("run", "-m", "tiny", "--plugin", plugin, "-d", "folder", "-c", "bolts", "--data-root", tiny_data, "-p",
             "cpu", "-o", "stop_at=2", "--threads", 1)  # fmt: skip
    spread = adbench(*words, "--results", tmp_path / "spread", "--executor", "slurm", "--executor-option",
                     "cluster=local")  # fmt: skip
    assert spread.exit_code == 0, spread.stderr
    assert mark.is_file()
    assert "its worker is gone; started again" in spread.stderr
    assert "going on after epoch 1" in spread.stderr
    local = adbench(*words, "--results", tmp_path / "local")
    assert local.exit_code == 0, local.stderr
    (made,), (other,) = ((tmp_path / name).glob("*/*/*/*/scores.csv") for name in ("spread", "local"))
    assert made.read_bytes() == other.read_bytes()
    assert not (tmp_path / "spread" / "executor").exists()
