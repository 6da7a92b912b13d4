"""Training steps choose the fastest number of threads. No test measures time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runs import Notes, job_for, made_method, run_one

from adbench import Epoch
from adbench.run.thread_tuner import LONGEST_GAP, RECENT, TIMED, WARM_UP, ThreadTuner, ThreadUse
from adbench.util import threads

BATCH = 8

Pace = Callable[[int], float]
"""Seconds per image with this number of threads."""


class Training:
    """A training in which only the number of threads moves the clock."""

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
        """Run one epoch and an evaluation after it."""
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


@given(
    paces=st.lists(st.integers(1, 100), min_size=2, max_size=5, unique=True),
    start=st.integers(0, 4),
    length=st.integers(1, 9),
)
def test_ends_at_the_fastest_number(paces, start, length):
    """For any speeds, start and length of an epoch, training ends with the fastest number."""
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
    """If a settled training becomes slow, it changes to the number that is faster now, with a message."""
    first, second = paces
    training = Training((1, 2), 2, lambda number: 10.0 if number == 2 else 11.0)
    training.steps(100)
    assert training.tuner.choice == 2
    training.pace = lambda number: 100.0 * (first if number == 1 else second)
    training.steps(2 * LONGEST_GAP)
    assert training.tuner.choice == (1 if first < second else 2)
    assert training.chosen == [2, training.tuner.choice]


def test_a_pace_that_stays_is_not_timed_again():
    """A steady training has one trial; all its other steps use the fastest number."""
    training = Training((1, 2), 2, lambda number: 1.0 / number)
    training.steps(500)
    assert training.used.count(1) == WARM_UP + 1  # half as fast: hopeless after one timed step
    assert training.chosen == [2]


def test_a_slow_down_of_all_numbers_is_timed_less_and_less_often():
    """A machine that becomes slower and slower for all numbers causes few trials."""
    training = Training((1, 2), 2, lambda number: (1.0 + len(training.used) / 50) / number)
    training.steps(3000)
    assert set(training.chosen) == {2}
    assert training.used.count(1) < 60


def test_looks_again_when_cores_become_free():
    """A choice made under load doesn't outlast it: if the load falls, all numbers are timed again."""
    training = Training((1, 2), 1, lambda number: float(number))
    training.steps(40)
    assert training.tuner.choice == 1
    training.pace, training.free = lambda number: 1.0 if number == 1 else 0.5, 2
    training.steps(40)
    assert training.tuner.choice == 2


def test_what_slowed_training_down_may_be_over():
    """A slow-down that ends before the trial keeps the choice: the present number is timed anew, and last."""
    training = Training((1, 2), 2, lambda number: 10.0 if number == 2 else 11.0)
    training.steps(40)
    training.pace = lambda number: 100.0
    training.steps(RECENT)
    training.pace = lambda number: 10.0 if number == 2 else 11.0
    training.steps(40)
    assert training.chosen == [2, 2]


def test_smaller_batches_say_nothing():
    """The last batch of an epoch has another pace, which is not compared."""
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
    """A method with its own worker threads takes a number per epoch, and keeps it for the whole epoch."""
    training = Training((1, 2, 4), 4, lambda number: {1: 3.0, 2: 1.0, 4: 2.0}[number], per_epoch=True)
    for _ in range(6):
        training.steps(5)
    assert training.used == [4] * 5 + [2] * 5 + [1] * 5 + [2] * 15
    assert training.chosen == [2]


def test_an_evaluation_has_the_best_number_so_far():
    """Training may pause within a trial; the evaluation doesn't use the number on trial."""
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
    """The first step uses the state's number, and later paces are compared with the state's."""
    training = Training((1, 2), 2, lambda number: 1.0, use=ThreadUse(1, 1.0, {1: 800, 2: 32}))
    training.steps(30)
    assert set(training.used) == {1}
    slow = Training((1, 2), 2, lambda number: 9.0 / number, use=ThreadUse(1, 1.0, {1: 800, 2: 32}))
    slow.steps(60)
    assert slow.tuner.choice == 2
    assert slow.tuner.use.images[1] >= 800


def test_a_choice_of_another_machine_is_timed_anew():
    """A state from a machine with more cores has a number that isn't possible here."""
    training = Training((1, 2), 2, lambda number: float(number), use=ThreadUse(16, 1.0, {16: 800}))
    training.steps(trial_length(2))
    assert training.tuner.choice == 1
    assert training.tuner.use.most_used == 16


# ---------------------------------------------------------------- a run


def drawing_fit(seen: list[object]) -> Callable[..., Iterator[Epoch]]:
    """A fit that records its data and the generator's state."""

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
    """A resumed run counts the images of both parts, and stores the number that most were trained with."""
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
    """The state has the choice; the resumed run makes no trial and uses no other number."""
    monkeypatch.setattr(ThreadTuner, "use", property(lambda _: ThreadUse(2, 1e9, {2: 100})))
    job = job_for(tiny, tiny_data, tmp_path, threads="auto", stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_one(tiny, job)
    monkeypatch.undo()
    monkeypatch.setattr(threads, "this_machine", lambda: machine)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    numbers: list[int] = []
    really = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda number: (numbers.append(number), really(number)))
    result, _ = run_one(tiny, job)
    assert result.environment.threads == 2
    start, end = numbers[: numbers.index(2)], numbers[numbers.index(2) + 1 :]
    assert set(start) <= {1}  # the free core
    assert len(end) <= 1  # the number before the run, put back
