"""The requested number of threads, and the machine's free cores. No test measures time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adbench.run.thread_tuner import candidates
from adbench.util import threads
from adbench.util.threads import Load


@given(cores=st.integers(1, 256), busy=st.floats(0, 300), share=st.floats(0.1, 1.0))
def test_threads_find_free_cores(cores, busy, share):
    """There is at least one thread, no more than cores, and at most half a core of them is taken."""
    load = Load(cores, busy, cores * share)
    assert 1 <= load.free <= cores
    assert load.free == 1 or load.free <= min(cores - busy, cores * share) + 0.5
    assert {1, cores, load.free} <= set(candidates(load)) <= set(range(1, cores + 1))


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/job/task\n", "sys/fs/cgroup/job/cpu.max": "400000 100000\n",
          "sys/fs/cgroup/job/task/cpu.max": "max 100000\n"}, 4.0),
        ({"proc/self/cgroup": "0::/job/task\n", "sys/fs/cgroup/job/cpu.max": "400000 100000\n",
          "sys/fs/cgroup/job/task/cpu.max": "200000 100000\n"}, 2.0),
        ({"proc/self/cgroup": "2:cpu,cpuacct:/docker/ab\n1:cpuset:/docker/ab\n",
          "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",  # a container sees its own group as the root
          "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 3.0),
        ({"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"proc/self/cgroup": "nonsense\n"}, None),
    ],
)  # fmt: skip
def test_the_quota_of_control_groups(tmp_path, files, quota):
    """Both versions are read at every level; the smallest limit counts."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert threads.cpu_quota(tmp_path) == quota


def test_what_others_use_is_counted_without_ourselves(machine):
    """The load is that of all other programs; a busy machine is reported once for each number."""
    assert machine.load() == Load(2, pytest.approx(1.1), 2.0)
    assert machine.load().free == 1
    assert machine.remark("training", 1) == "2 cores, 1.1 busy with other work: training with 1 thread."
    assert machine.remark("training", 1) is None
    assert machine.remark("training", 2) == "2 cores, 1.1 busy with other work: training with 2 threads."


def test_the_load_of_this_machine_can_be_read():
    """The real counters give no error and plausible numbers."""
    load = threads.Machine().load()
    assert 1 <= load.cores <= (os.cpu_count() or 1)
    assert 0 <= load.busy <= (os.cpu_count() or 1)
    assert 0 < load.limit <= (os.cpu_count() or 1)


@pytest.mark.usefixtures("torch_threads")
def test_independent_work_takes_all_processors_or_what_was_asked_for(monkeypatch):
    """Decoding and sorting use all processors, but no more than ``--threads N``."""
    monkeypatch.setattr(threads, "_processors", lambda: 6)
    assert [threads.workers(most) for most in (1, 4, 8)] == [1, 4, 6]
    with threads.using(2):
        assert threads.workers(8) == 2
        with threads.using(None):
            assert threads.workers(8) == 2
    assert threads.workers(8) == 6


def test_the_users_variables_count_without_the_option(monkeypatch):
    """OMP_NUM_THREADS and MKL_NUM_THREADS are for all programs; auto counts if neither is set."""
    for name in threads.NUMBER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert threads.default() == "auto"
    for name in threads.NUMBER_VARIABLES:
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert threads.default() is None


def test_the_option_beats_the_variables():
    """torch, OpenMP and MKL have the requested number, whatever the variables say."""
    program = (
        "from adbench.util.threads import using\n"
        "import torch\n"
        "with using(2):\n"
        "    print(torch.get_num_threads(), torch.__config__.parallel_info())\n"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True).stdout
    assert found.startswith("2 ")
    for line in found.splitlines():
        if "max_threads" in line or "get_num_threads" in line:
            assert line.split(":")[-1].strip() == "2", line
