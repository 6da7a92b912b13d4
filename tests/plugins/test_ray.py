"""Ray: the numbers of local with two workers of which one is killed, and what is refused."""

from __future__ import annotations

import pytest
from made_executors import task
from runs import TINY, adbench, posix_only

from adbench.api import ExecutorRequest, UsageError

ray = pytest.importorskip("ray", reason="needs ray: pip install -e .[ray]")

KILLED = 'epoch + 1 == self.options.kill_at and not os.environ.get("TINY_SURVIVES")'


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """The file of tiny, which kills its worker with ``kill_at`` once in all; and the mark that it leaves then."""
    folder = tmp_path_factory.mktemp("once")
    mark = folder / "mark"
    first = f"not os.path.exists({str(mark)!r}) and not open({str(mark)!r}, 'x').close()"
    once = f"epoch + 1 == self.options.kill_at and {first}"
    source = TINY.read_text(encoding="utf-8")
    assert KILLED in source
    plugin = folder / "tiny_once.py"
    plugin.write_text(source.replace(KILLED, once), encoding="utf-8")
    return plugin, mark


@pytest.mark.slow
@posix_only
def test_two_workers_of_which_one_is_killed_give_the_numbers_of_local(tiny_data, killed_once, tmp_path):
    """A job whose worker dies is started again, goes on, and all scores are those of ``local``, bit by bit."""
    plugin, mark = killed_once
    words = ("-d", "folder", "--data-root", tiny_data, "-m", "tiny,random", "--plugin", plugin, "-p", "cpu",
             "--seeds", "0,1", "-o", "tiny.kill_at=2", "--threads", 1)  # fmt: skip
    spread = adbench("run", *words, "--results", tmp_path / "spread", "--executor", "ray", "--workers", 2)
    assert spread.exit_code == 0, spread.stderr
    assert mark.is_file()
    again = [line for line in spread.stderr.splitlines() if "its worker is gone; started again in process" in line]
    assert len(again) == 1
    assert again[0].startswith("tiny · folder/")
    assert "going on after epoch 1" in spread.stderr
    local = adbench("run", *words, "--results", tmp_path / "local")
    assert local.exit_code == 0, local.stderr
    files = sorted((tmp_path / "local").glob("*/*/*/*/scores.csv"))
    assert len(files) == 8
    for path in files:
        assert (tmp_path / "spread" / path.relative_to(tmp_path / "local")).read_bytes() == path.read_bytes()
    assert not list((tmp_path / "spread").glob("executor"))


@pytest.mark.slow
def test_tasks_on_a_running_cluster_are_checked_on_each_machine_and_heard(monkeypatch):
    """With an address, each machine is asked once before; a task's messages are all there when it ends."""
    from adbench_plugins.executors.ray import Ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        executor = Ray(ExecutorRequest(2, 2, 0, False, address=cluster.address, options={"cpus": "1"}))
        assert (executor.same_machine, executor.threads) == (False, 1)
        assert [value for _, value in executor.check(task(-1, "b'fine'"))] == [b"fine", b"fine"]
        heard: list[tuple[int, bytes]] = []
        ends = list(executor.run([task(0, "send(b'a') or b'x'"), task(1, "1 / 0")], lambda *told: heard.append(told)))
        assert {end.number: end.value for end in ends} == {0: b"x", 1: None}
        assert "ZeroDivisionError" in next(end.lost for end in ends if end.number == 1)
        assert heard == [(0, b"a")]
        executor.close()
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_a_mistake_of_the_command():
    """The message says what was wanted; nothing hangs."""
    from adbench_plugins.executors.ray import Ray

    with pytest.raises(UsageError, match=r"--executor ray: found .*, wanted a running Ray cluster"):
        Ray(ExecutorRequest(1, 2, 0, address="auto"))


MAILBOXES = """[each for each in __import__('psutil').process_iter(['cmdline', 'ppid'])
    if each.info['ppid'] == __import__('os').getppid() and 'Mailbox' in ' '.join(each.info['cmdline'] or [])]"""
MAILBOX_DIES = f"""[each.kill() or each.wait() for each in next(
    found for _ in range(600) for found in [{MAILBOXES}] if found or __import__('time').sleep(0.1))]"""
"""Waits until the mailbox has started, and kills it."""


@pytest.mark.slow
@posix_only
def test_a_mailbox_that_dies_loses_messages_alone(tmp_path):
    """Where the process that keeps the workers' messages is killed, all tasks end, and later messages are heard."""
    from adbench_plugins.executors.ray import Ray

    executor = Ray(ExecutorRequest(2, 2, 0, False, workers=1, store=tmp_path))
    heard: list[tuple[int, bytes]] = []
    later = "(__import__('time').sleep(5), [(send(b'%d' % n), __import__('time').sleep(0.2)) for n in range(10)])"
    tasks = [task(0, f"b'%d' % len({MAILBOX_DIES})"), task(1, f"({later}, b'y')[-1]")]
    try:
        ends = list(executor.run(tasks, lambda *told: heard.append(told)))
    finally:
        executor.close()
    assert [(end.number, end.value) for end in ends] == [(0, b"1"), (1, b"y")]
    assert heard[-1] == (1, b"9")


@pytest.mark.slow
def test_a_cluster_that_runs_here_is_not_taken_without_its_address(monkeypatch, tmp_path):
    """Without --address a cluster of the command's own starts, where another one is at work on this machine."""
    from adbench_plugins.executors.ray import Ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        executor = Ray(ExecutorRequest(1, 2, 0, False, workers=2, store=tmp_path))
        assert ray.get_runtime_context().gcs_address != cluster.address
        assert [end.value for end in executor.run([task(0, "b'x'")], lambda *told: None)] == [b"x"]
        executor.close()
    finally:
        cluster.shutdown()
