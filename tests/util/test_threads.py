"""The number of threads: what the machine has free, and how training steps choose it. No test measures time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_results import make_result, records_of
from runs import ONE, Notes, adbench, adbench_process, job_for, line_of, made_method, only_run, run_one, run_tiny

from adbench import Epoch, report
from adbench.report.render import render
from adbench.util import threads
from adbench.util.threads import LONGEST_GAP, RECENT, TIMED, WARM_UP, Load, ThreadTuner, ThreadUse, candidates

BATCH = 8

Pace = Callable[[int], float]
"""Seconds per image with so many threads."""


class Training:
    """A training in a world where only the number of threads moves the clock."""

    def __init__(self, numbers: tuple[int, ...], start: int, pace: Pace, **words: object) -> None:
        self.now, self.threads, self.pace, self.chosen = 0.0, 0, pace, []
        self.used: list[int] = []
        self.free = start
        self.tuner = ThreadTuner(
            numbers,
            start,
            set_threads=self._set,
            free=lambda: self.free,
            clock=lambda: self.now,
            chosen=self.chosen.append,
        )
        self.tuner.adopt(**words)

    def _set(self, number: int) -> None:
        self.threads = number

    def epoch(self, batches: list[int]) -> None:
        """One epoch, and an evaluation after it."""
        self.tuner.begin()
        at_start, done = self.threads, 0
        for images in batches:
            number = at_start if self.tuner._per_epoch else self.threads
            self.used.append(number)
            self.now += images * self.pace(number)
            done += images
            self.tuner.step(done)
        self.tuner.end()
        self.now += 1000.0  # an evaluation is no part of a step

    def steps(self, count: int) -> None:
        self.epoch([BATCH] * count)


def trial_length(numbers: int) -> int:
    return numbers * (WARM_UP + TIMED)


# ---------------------------------------------------------------- the tuner


@given(
    paces=st.lists(st.integers(1, 100), min_size=2, max_size=5, unique=True),
    start=st.integers(0, 4),
    length=st.integers(1, 9),
)
def test_ends_at_the_fastest_number(paces, start, length):
    """Whatever the paces, the start and the length of an epoch: training goes on with the fastest number."""
    numbers = tuple(range(1, len(paces) + 1))
    training = Training(numbers, numbers[start % len(numbers)], lambda number: float(paces[number - 1]))
    while len(training.used) < trial_length(len(numbers)):
        training.epoch([BATCH] * length)
    fastest = numbers[paces.index(min(paces))]
    assert training.tuner.choice == fastest
    training.steps(1)
    assert training.used[-1] == fastest
    assert training.chosen == [fastest]


@given(paces=st.tuples(st.integers(1, 100), st.integers(1, 100)).filter(lambda pair: pair[0] != pair[1]))
def test_looks_again_when_steps_become_slower(paces):
    """Where a settled training becomes slow, it ends at what is faster now, and says so."""
    first, second = paces
    training = Training((1, 2), 2, lambda number: 10.0 if number == 2 else 11.0)
    training.steps(100)
    assert training.tuner.choice == 2
    training.pace = lambda number: 100.0 * (first if number == 1 else second)
    training.steps(2 * LONGEST_GAP)
    assert training.tuner.choice == (1 if first < second else 2)
    assert training.chosen == [2, training.tuner.choice]


def test_a_pace_that_stays_is_not_timed_again():
    """A steady training has one trial; its every other step is taken with the fastest number."""
    training = Training((1, 2), 2, lambda number: 1.0 / number)
    training.steps(500)
    assert training.used.count(1) == WARM_UP + 1  # half as fast: hopeless after one timed step
    assert training.chosen == [2]


def test_a_slow_down_of_all_numbers_is_timed_less_and_less_often():
    """A machine that becomes slower and slower for all numbers costs few trials."""
    training = Training((1, 2), 2, lambda number: (1.0 + len(training.used) / 50) / number)
    training.steps(3000)
    assert set(training.chosen) == {2}
    assert training.used.count(1) < 60


def test_looks_again_when_cores_become_free():
    """The choice of a busy time doesn't outlive it: where the load falls, all numbers are timed again."""
    training = Training((1, 2), 1, lambda number: float(number))
    training.steps(40)
    assert training.tuner.choice == 1
    training.pace, training.free = lambda number: 1.0 if number == 1 else 0.5, 2
    training.steps(40)
    assert training.tuner.choice == 2


def test_what_slowed_training_down_may_be_over():
    """A slow-down that ends before the trial does leaves the choice: the present number is timed anew, and last."""
    training = Training((1, 2), 2, lambda number: 10.0 if number == 2 else 11.0)
    training.steps(40)
    training.pace = lambda number: 100.0
    training.steps(RECENT)
    training.pace = lambda number: 10.0 if number == 2 else 11.0
    training.steps(40)
    assert training.chosen == [2, 2]


def test_smaller_batches_say_nothing():
    """The last batch of an epoch has another pace, which takes no part in a comparison."""
    training = Training((1, 2), 2, lambda number: 1.0 / number)
    training.tuner.begin()
    for _ in range(20):
        done = 0
        for images in (BATCH, 1):
            training.now += images * training.pace(training.threads) * (1 if images == BATCH else 100)
            done += images
            training.tuner.step(done)
    assert training.tuner.choice == 2
    assert training.tuner.use.pace == 0.5


def test_whole_epochs_are_timed_where_a_change_waits_for_the_next_one():
    """With worker threads of its own a method takes a number per epoch, and the number holds for all of it."""
    training = Training((1, 2, 4), 4, lambda number: {1: 3.0, 2: 1.0, 4: 2.0}[number], per_epoch=True)
    for _ in range(6):
        training.steps(5)
    assert training.used == [4] * 5 + [2] * 5 + [1] * 5 + [2] * 15
    assert training.chosen == [2]


def test_an_evaluation_has_the_best_number_so_far():
    """Training may pause within a trial; what is scored then doesn't suffer from the number on trial."""
    training = Training((1, 2), 2, lambda number: 1.0 / number, per_epoch=True)
    training.steps(3)
    training.tuner.begin()
    assert training.threads == 1
    training.tuner.end()
    assert training.threads == 2


def test_a_single_number_is_never_left():
    """With ``--threads N`` there is no trial, however slow steps become."""
    training = Training((3,), 3, lambda number: 1.0 + len(training.used))
    training.steps(200)
    assert set(training.used) == {3}
    assert training.chosen == []
    assert training.tuner.use == ThreadUse(3, None, {3: 200 * BATCH})


def test_a_resumed_training_takes_over_the_choice():
    """The state's number is used from the first step on, its pace is what later ones are held against."""
    training = Training((1, 2), 2, lambda number: 1.0, use=ThreadUse(1, 1.0, {1: 800, 2: 32}))
    training.steps(30)
    assert set(training.used) == {1}
    slow = Training((1, 2), 2, lambda number: 9.0 / number, use=ThreadUse(1, 1.0, {1: 800, 2: 32}))
    slow.steps(60)
    assert slow.tuner.choice == 2
    assert slow.tuner.use.images[1] >= 800


def test_a_choice_of_another_machine_is_timed_anew():
    """A state from a machine with more cores names a number that is none of these."""
    training = Training((1, 2), 2, lambda number: float(number), use=ThreadUse(16, 1.0, {16: 800}))
    training.steps(trial_length(2))
    assert training.tuner.choice == 1
    assert training.tuner.use.most_used == 16


# ---------------------------------------------------------------- the machine


@given(cores=st.integers(1, 256), busy=st.floats(0, 300), share=st.floats(0.1, 1.0))
def test_threads_find_free_cores(cores, busy, share):
    """There is at least one thread, no more than cores, and never more than half a core of them is taken."""
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


@pytest.fixture
def machine(monkeypatch) -> threads.Machine:
    """Two cores, of which other programs use 1.1 all the time."""
    now = iter(range(10, 10_000_000, 10))

    def look(_: threads.Machine) -> tuple[float, float, float]:
        seconds = next(now)
        return -1000.0 + seconds, 1.1 * seconds + 0.5 * seconds, 0.5 * seconds

    monkeypatch.setattr(threads.Machine, "_look", look)
    made = threads.Machine()
    made._allowed, made.cores, made.limit = (0, 1), 2, 2.0
    monkeypatch.setattr(threads, "this_machine", lambda: made)
    return made


def test_what_others_use_is_counted_without_ourselves(machine):
    """The load is all programs' without this one's; a busy machine is told once for each number."""
    assert machine.load() == Load(2, pytest.approx(1.1), 2.0)
    assert machine.load().free == 1
    assert machine.remark("training", 1) == "2 cores, 1.1 busy with other work: training with 1 thread."
    assert machine.remark("training", 1) is None
    assert machine.remark("training", 2) == "2 cores, 1.1 busy with other work: training with 2 threads."


def test_the_load_of_this_machine_can_be_read():
    """The real counters: no error, and numbers that can be."""
    load = threads.Machine().load()
    assert 1 <= load.cores <= (os.cpu_count() or 1)
    assert 0 <= load.busy <= (os.cpu_count() or 1)
    assert 0 < load.limit <= (os.cpu_count() or 1)


# ---------------------------------------------------------------- a run


@pytest.fixture
def torch_threads(monkeypatch) -> list[int]:
    """What torch is told, which is not done: a test must not depend on how busy the machine is."""
    told = [torch.get_num_threads()]
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: told[-1])
    return told


def drawing_fit(seen: list[object]) -> Callable[..., Iterator[Epoch]]:
    """A fit that writes down what it is handed and what the generator says then."""

    def fit(detector, images) -> Iterator[Epoch]:
        yield Epoch(detector.epoch, 12)
        for epoch in range(detector.epoch, 12):
            for batch in images:
                seen.append((epoch, batch.images.sum().item(), torch.rand(1).item()))
            yield Epoch(epoch + 1, 12, 0.5)

    return fit


def test_trials_are_steps_of_training(tiny_data, tmp_path, machine, torch_threads):
    """With trials training sees the same batches in the same order, each once, and draws the same random numbers."""
    seen: dict[str, list[object]] = {"auto": [], "fixed": []}
    notes = Notes()
    for name, choice in (("auto", "auto"), ("fixed", None)):
        method = made_method(drawing_fit(seen[name]))
        run_one(method, job_for(method, tiny_data, tmp_path / name, threads=choice, batch_size=3), notes)
        assert torch_threads[-1] == torch_threads[0]
    assert len(seen["fixed"]) == 12 * 2
    assert seen["auto"] == seen["fixed"]
    assert set(torch_threads) >= {1, 2}  # there was a trial
    assert notes.notes[0] == "2 cores, 1.1 busy with other work: training with 1 thread."


def test_the_number_that_most_of_training_used_is_in_the_result(tiny_data, tmp_path, machine, torch_threads):
    """A resumed run counts the images of both its parts, and stores the number that most were trained with."""
    broken = []

    def fit(detector, images) -> Iterator[Epoch]:
        for epoch in range(detector.epoch, 4):
            for _ in images:
                pass
            if epoch == 3 and not broken:
                broken.append(True)
                raise KeyboardInterrupt
            yield Epoch(epoch + 1, 4)

    method = made_method(fit)
    job = job_for(method, tiny_data, tmp_path, threads=3)
    with pytest.raises(KeyboardInterrupt):
        run_one(method, job)
    result, _ = run_one(method, replace(job, threads=1))  # the threads are no part of the run's name
    assert result.environment.threads == 3


def test_a_resumed_run_reuses_the_choice(tiny, tiny_data, tmp_path, machine, torch_threads, monkeypatch):
    """The choice lies in the state; the resumed run makes no trial and tries no other number."""
    monkeypatch.setattr(ThreadTuner, "use", property(lambda _: ThreadUse(2, 1e9, {2: 100})))
    job = job_for(tiny, tiny_data, tmp_path, threads="auto", stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_one(tiny, job)
    monkeypatch.undo()
    monkeypatch.setattr(threads, "this_machine", lambda: machine)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    result, _ = run_one(tiny, job)
    assert result.environment.threads == 2
    assert told[-2:-1] == [2]  # before the number is put back


def test_asked_for_is_stored_and_put_back(tiny_data, tmp_path):
    """``--threads 2`` is in the result and in the line of the task; the process has its own number again."""
    before = torch.get_num_threads()
    done = run_tiny(tiny_data, tmp_path, *ONE, "--threads", "2")
    assert done.exit_code == 0
    assert json.loads((only_run(tmp_path) / "result.json").read_text())["environment"]["threads"] == 2
    assert ", 2 threads" in done.stderr
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "99999999"])
def test_a_number_that_is_none_is_refused(tiny_data, tmp_path, text):
    """One line says what was found and what is wanted."""
    done = run_tiny(tiny_data, tmp_path, *ONE, "--threads", text)
    assert done.exit_code == 2
    assert f"'{text}'" in line_of(done)
    assert "auto" in line_of(done)


@pytest.mark.parametrize("command", ["run", "test", "check-method", "heatmaps", "report"])
def test_every_command_that_computes_has_the_option(command):
    """What trains or scores takes ``--threads``."""
    assert "--threads" in adbench(command, "--help").stdout


def test_the_users_variables_count_without_the_option(monkeypatch):
    """OMP_NUM_THREADS and MKL_NUM_THREADS are for all programs; auto is for where neither is set."""
    for name in threads.NUMBER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert threads.default() == "auto"
    for name in threads.NUMBER_VARIABLES:
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert threads.default() is None


def test_the_option_beats_the_variables():
    """Torch, OpenMP and MKL have the number that was asked for, whatever the variables say."""
    program = (
        "from adbench.threads import using\n"
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


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is what torch ships for Linux")
def test_threads_that_wait_sleep(tiny_data, tmp_path):
    """The OpenMP library that torch loads says itself that it does not spin."""
    words = ("run", "-m", "random", "-d", "folder", "--data-root", tiny_data, "-c", "bolts", "-p", "paper")
    done = adbench_process(*words, cwd=tmp_path, OMP_DISPLAY_ENV="verbose")
    assert done.returncode == 0, done.stderr
    assert "GOMP_SPINCOUNT = '0'" in done.stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
    own = adbench_process(*words, cwd=tmp_path, OMP_DISPLAY_ENV="verbose", OMP_WAIT_POLICY="ACTIVE")
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in own.stderr  # what the user has set stays
    assert "GOMP_SPINCOUNT = '0'" not in own.stderr


# ---------------------------------------------------------------- tables


def on(method: str, number: int, device: str = "a processor") -> object:
    made = make_result(method)
    return replace(made, environment=replace(made.environment, threads=number, device_name=device))


@pytest.mark.parametrize("by_class", [False, True])
def test_timings_of_different_threads_are_marked(by_class):
    """Beside each timing stands its number of threads, where the numbers of a board differ."""
    same = report.leaderboard([on("a", 2), on("b", 2)], by_class=by_class)
    assert "timed on" not in render(same, "markdown")
    tables = report.leaderboard([on("a", 1), on("b", 2)], by_class=by_class)
    rows = {row["variant"]: row for table in tables for row in records_of(table)}
    assert rows["a"]["timed_on"] == "a processor, 1 thread"
    text = render(tables, "markdown")
    assert "timed on" in text
    assert "| 1 thread |" in text
    assert "| 2 threads |" in text


def test_timings_of_different_processors_are_marked():
    """The same number of threads on another machine is another column's worth of timing, too."""
    (table,) = report.leaderboard([on("a", 2), on("b", 2, "another")])
    assert "another, 2 threads" in render([table], "markdown")
