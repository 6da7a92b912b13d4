"""Jobs by an executor: the numbers of this process, each message once, and what happens to jobs that don't end."""

from __future__ import annotations

from dataclasses import replace

import made_executors
import made_trackers
import pytest
from made_executors import Here
from runs import TINY, scores_of

from adbench.api import Package, UsageError
from adbench.api import registry as plugins
from adbench.results.store import RunFolder
from adbench.run import plan as suite
from adbench.run.dispatch import Where, run_on
from adbench.run.watch import Board, Watch

pytestmark = pytest.mark.usefixtures("one_thread")


class Heard(Board):
    """Records what a board is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.counts: list[object] = []
        self.epochs: list[int] = []

    def note(self, message):
        self.notes.append(message)

    def expect(self, tasks):
        self.counts.append(tasks)

    def of(self, job):
        board = self

        class One(Watch):
            def epoch(self, record):
                board.epochs.append(record.number)

            def stop(self):
                board.counts.append(f"{job.class_name} stopped")

        self.counts.append(job.class_name)
        return One()

    def ended(self):
        self.counts.append("ended")


def registry_with(executor: Here, **changes) -> plugins.Registry:
    found = plugins.load([TINY])
    return replace(found, executors={"here": made_executors.entry(executor, **changes)})


def jobs_on(registry, data, results, **changes):
    """Two epochs of tiny on both classes."""
    tiny = registry.method("tiny")
    settings = {"classes": ["bolts", "nuts"], "preset": "cpu", "device": "cpu", "plugin_files": (TINY,), **changes}
    own = {"epochs": 2, **settings.pop("options", {})}
    made = suite.Plan(methods=[tiny], overrides={"tiny": own}, dataset=registry.dataset("folder"), data_root=data,
                      results=results, **settings)  # fmt: skip
    return made.jobs()


def run(executor, data, results, board=None, where=None, **changes):
    registry = registry_with(executor)
    return list(run_on(where or Where("here"), jobs_on(registry, data, results, **changes), registry, board=board))


def folder_of(outcome) -> RunFolder:
    job, result = outcome.job, outcome.result
    return RunFolder(job.results, result.dataset, result.class_name, result.method, result.run)


@pytest.fixture(scope="module")
def here(tiny_data, tmp_path_factory):
    """The outcomes of both jobs in this process, by class."""
    registry = plugins.load([TINY])
    jobs = jobs_on(registry, tiny_data, tmp_path_factory.mktemp("here"))
    return {outcome.job.class_name: outcome for outcome in suite.run_here(jobs, registry)}


def assert_same(outcomes, here):
    """The outcomes have the metrics and scores of those in this process."""
    assert [outcome.error for outcome in outcomes] == [None, None]
    for outcome in outcomes:
        own = here[outcome.job.class_name]
        assert (outcome.result.metrics, outcome.result.run) == (own.result.metrics, own.result.run)
        assert scores_of(folder_of(outcome)) == scores_of(folder_of(own))


def test_an_executor_gives_the_numbers_of_this_process(here, tiny_data, tmp_path):
    """Scores and names of runs are the same; progress is heard; what is done is not sent again."""
    executor, board = Here(), Heard()
    assert_same(run(executor, tiny_data, tmp_path, board), here)
    assert board.epochs == [1, 2, 1, 2]
    assert board.counts == [2, "bolts", "bolts stopped", "ended", "nuts", "nuts stopped", "ended"]
    assert len([line for line in board.notes if "for each of 2 tasks" in line]) == 1
    assert [task.title for task in executor.tasks] == ["tiny · folder/bolts · seed 0", "tiny · folder/nuts · seed 0"]
    assert (executor.closed, list(tmp_path.glob("executor"))) == (1, [])
    again = Here()
    assert [outcome.reused for outcome in run(again, tiny_data, tmp_path)] == [True, True]
    assert again.tasks == []


def test_a_machine_without_the_results_sends_them_back(here, tiny_data, tmp_path):
    """Without a shared folder the files of runs come back whole, and a run that the command has is not sent again."""
    board = Heard()
    assert_same(run(Here(same_machine=False, apart=True), tiny_data, tmp_path, board), here)
    assert f"node7: no shared {tmp_path}; results are sent back." in board.notes
    again = run(Here(same_machine=False, apart=True), tiny_data, tmp_path)
    assert [outcome.reused for outcome in again] == [True, True]


def test_what_a_killed_command_left_beside_its_results_goes(tiny_data, tmp_path):
    """The mark by which workers know the folder is removed by the next command, and then the folder, too."""
    left = tmp_path / "executor" / f".token-{'0' * 32}.tmp"
    left.mkdir(parents=True)
    assert [outcome.error for outcome in run(Here(), tiny_data, tmp_path, options={"epochs": 1})] == [None, None]
    assert not list(tmp_path.glob("executor"))


def test_trackers_need_results_that_all_machines_share(tiny_data, tmp_path):
    """Files of a tracker can't be sent back, so ``--track`` is refused before any job is sent."""
    executor = Here(same_machine=False, apart=True)
    registry = replace(registry_with(executor), trackers={"recorder": made_trackers.entry(made_trackers.Recorder())})
    with pytest.raises(
        UsageError, match=r"--track: found machines that don't see .*: node7, wanted results in a folder"
    ):
        list(run_on(Where("here"), jobs_on(registry, tiny_data, tmp_path, track=("recorder",)), registry))
    assert executor.tasks == []


def test_a_lost_job_is_named_and_the_others_go_on(tiny_data, tmp_path):
    """The error says which worker died and how, and that the same command goes on."""
    lost, other = run(Here(loses=[0]), tiny_data, tmp_path, options={"epochs": 1})
    assert "tiny · folder/bolts · seed 0 was lost" in str(lost.error)
    assert "worker 3 (process 77) was killed by SIGKILL" in str(lost.error)
    assert other.error is None


def test_the_error_of_a_job_comes_with_its_traceback(tiny_data, tmp_path):
    """An error in training keeps its type and text; where it was raised is in its cause."""
    (broken,) = run(Here(), tiny_data, tmp_path, options={"epochs": 1, "fail_class": "bolts"}, classes=["bolts"])
    assert str(broken.error).startswith("this class fails on purpose")
    assert isinstance(broken.error, UsageError)
    assert "tiny_method.py" in str(broken.error.__cause__)


def test_a_job_that_starts_again_is_told(tiny_data, tmp_path):
    """If an executor runs a task twice, since its worker died, the user learns it, and the result is one."""
    board = Heard()
    (first,) = run(Here(twice=True), tiny_data, tmp_path, board, options={"epochs": 1}, classes=["bolts"])
    assert first.error is None
    assert "tiny · folder/bolts · seed 0: its worker is gone; started again in process" in "\n".join(board.notes)


def test_another_machine_must_have_the_plugin_and_the_data(tiny_data, tmp_path, monkeypatch):
    """A plugin file that differs, and a data root that is missing, end the command before any job is sent."""
    plugin = tmp_path / "tiny_method.py"
    plugin.write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    executor = Here(same_machine=False)
    registry = registry_with(executor)
    jobs = jobs_on(registry, tiny_data, tmp_path / "results", plugin_files=(plugin,))
    check = executor.check

    def elsewhere(task):
        plugin.write_text("# another one", encoding="utf-8")
        yield from check(task)

    monkeypatch.setattr(executor, "check", elsewhere)
    with pytest.raises(UsageError, match=r"machines that can't run these jobs: found another plugin file .*on node7"):
        list(run_on(Where("here"), jobs, registry))
    assert executor.tasks == []
    monkeypatch.setattr("adbench.run.parcel.Path.exists", lambda path: path != tiny_data)
    with pytest.raises(UsageError, match=r"no data root .*\(on node7\).*Copy it there"):
        run(Here(same_machine=False), tiny_data, tmp_path / "results")


def test_each_job_gets_its_share_of_threads(tiny_data, tmp_path):
    """With threads "auto" a job gets the executor's number, and a number that the user gave stays."""
    for share, asked, used in ((1, "auto", 1), (1, 2, 2)):
        (made,) = run(Here(threads=share), tiny_data, tmp_path / str(asked), threads=asked, options={"epochs": 1},
                      classes=["bolts"])  # fmt: skip
        assert made.result.environment.threads == used


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        (Where("hree"), "unknown executor 'hree'"),
        (Where("here", address="auto"), "--address: found --executor here"),
        (Where(workers=2), "--workers: found --executor local, wanted --executor processes"),
        (Where("here", options={"color": "red"}), "unknown option of the executor here 'color'"),
        (Where("here", gpus_per_job=2), "A job has one GPU"),
    ],
)
def test_what_an_executor_has_no_use_for_is_refused(where, problem):
    """A wrong name, and options that only another executor takes, are mistakes of the command."""
    found = plugins.load()
    mine = replace(found, executors={**found.executors, "here": made_executors.entry(Here())})
    with pytest.raises(UsageError) as error:
        where.check(mine)
    assert problem in str(error.value)


def test_a_missing_package_and_a_single_gpu_by_number_are_refused(tiny_data, tmp_path):
    """The line that installs the package is in the message; which GPU a job gets is the executor's choice."""
    registry = registry_with(Here(), packages=[Package("no_such_package", "no-such>=1", "runs jobs")])
    with pytest.raises(UsageError, match='pip install "no-such>=1"'):
        Where("here").check(registry)
    with pytest.raises(UsageError, match="Set CUDA_VISIBLE_DEVICES"):
        run(Here(), tiny_data, tmp_path, device="cuda:1")


def test_an_executor_that_cannot_start_is_a_mistake_of_the_command(tiny_data, tmp_path):
    """Any error of ``make`` is told with the name of the executor."""
    registry = registry_with(Here())

    def broken(request):
        raise RuntimeError("no cluster")

    jobs = jobs_on(registry, tiny_data, tmp_path)
    broken_registry = replace(registry, executors={"here": replace(registry.executors["here"], make=broken)})
    with pytest.raises(UsageError, match="--executor here can't start: found RuntimeError: no cluster"):
        list(run_on(Where("here"), jobs, broken_registry))
