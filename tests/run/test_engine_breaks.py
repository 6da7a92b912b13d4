"""One task resumes after a break, and ends in the same numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from runs import Notes, curve_of, files_in, job_for, made_method, run_one, scores_of

from adbench import Detector, Epoch, Method, Scores
from adbench.api.scores import METRIC_NAMES
from adbench.results import store
from adbench.run import saving, session
from adbench.util.errors import TaskError


def stopped(method: Method, job, watch=None) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_one(method, job, watch)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_a_run_broken_off_in_any_epoch_ends_in_the_same_numbers(tiny, tiny_data, tmp_path, monkeypatch, stop_at):
    """A run that is stopped and started again resumes after its last finished epoch, and ends as an unbroken one."""
    broken = job_for(tiny, tiny_data, tmp_path / "broken", stop_at=stop_at, eval_every=1)
    stopped(tiny, broken)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    watch = Notes()
    result, folder = run_one(tiny, broken, watch)
    whole, whole_folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "whole", stop_at=stop_at, eval_every=1))
    assert watch.notes == ([f"tiny bolts: going on after epoch {stop_at - 1}"] if stop_at > 1 else [])
    assert watch.announced == [(stop_at - 1, 4)]
    assert watch.epochs == list(range(stop_at, 5))
    assert result.metrics == whole.metrics
    assert result.oracle == whole.oracle
    assert scores_of(folder) == scores_of(whole_folder)
    same = ("number", "loss", "learning_rate", *METRIC_NAMES)
    pairs = zip(curve_of(folder), curve_of(whole_folder), strict=True)
    assert all(row[name] == other[name] for row, other in pairs for name in same)
    assert "state.pt" not in files_in(folder.path)


def test_states_are_saved_so_rarely_that_they_cost_little(tiny, tiny_data, tmp_path, monkeypatch):
    """After a save of 30 seconds there is none in a run of that length, not even after the last epoch."""
    saved = []
    plain = store.RunFolder.save_checkpoint

    def slow(folder, name, payload):
        if name == "state":
            saved.append(payload["epoch"])
            later = saving.time.monotonic() + 30
            monkeypatch.setattr(saving.time, "monotonic", lambda: later)
        plain(folder, name, payload)

    monkeypatch.setattr(store.RunFolder, "save_checkpoint", slow)
    run_one(tiny, job_for(tiny, tiny_data, tmp_path))
    assert saved == [1]


def test_a_run_broken_off_while_it_is_stored_is_not_trained_again(tiny, tiny_data, tmp_path, monkeypatch):
    """If everything is trained and nothing stored, the second start scores again and writes the result."""

    def stop(*_):
        raise KeyboardInterrupt

    job = job_for(tiny, tiny_data, tmp_path / "broken")
    with monkeypatch.context() as patch:
        patch.setattr(store.RunFolder, "write_result", stop)
        stopped(tiny, job)
    watch = Notes()
    result, folder = run_one(tiny, job, watch)
    whole, whole_folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "whole"))
    assert watch.epochs == []
    assert (result.metrics, result.last_epoch, result.oracle) == (whole.metrics, 4, whole.oracle)
    assert scores_of(folder) == scores_of(whole_folder)


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("saved", [1, 2])
def test_a_method_that_cannot_go_on_starts_again(tiny_data, tmp_path, saved, announces):
    """A method that always counts from 1 starts again with a note, and ends as if it had not been stopped."""
    stopping = [True]

    def build(options, device):
        return Forgetful(options, device)

    class Forgetful(Detector):
        def __init__(self, options, device):
            super().__init__(options, device)
            self.level = torch.zeros(1)

        def fit(self, images):
            if announces:
                yield Epoch(0, 3)
            for epoch in range(3):
                for batch in images:
                    self.level = self.level + batch.images.mean() * torch.rand(1)
                if epoch == saved and stopping:
                    raise KeyboardInterrupt
                yield Epoch(epoch + 1, 3, loss=1.0)

        def score(self, batch):
            maps = (batch.images.mean(dim=1) - self.level).abs()
            return Scores(maps.mean(dim=(1, 2)), maps)

    method = Method("made", "", build)
    job = job_for(method, tiny_data, tmp_path / "broken")
    stopped(method, job)
    stopping.clear()
    watch = Notes()
    _, folder = run_one(method, job, watch)
    _, whole = run_one(method, job_for(method, tiny_data, tmp_path / "whole"))
    assert any("does not go on from a saved state. Starting again" in note for note in watch.notes)
    assert watch.epochs == [1, 2, 3]
    assert scores_of(folder) == scores_of(whole)


def of_no_number(value):
    if isinstance(value, dict):
        return {key: of_no_number(each) for key, each in value.items()}
    return value * float("nan") if isinstance(value, torch.Tensor) and value.is_floating_point() else value


DAMAGE = {
    "other parts": lambda state: {**state, "detector": {"other": {}}},
    "fields missing": lambda state: {key: value for key, value in state.items() if key != "random"},
    "no numbers": lambda state: {**state, "detector": of_no_number(state["detector"])},
    "a later epoch": lambda state: {**state, "epoch": 4},
    "an epoch of text": lambda state: {**state, "epoch": "2"},
    "another clock": lambda state: {**state, "fit_seconds": 1e9},
    "a later epoch, by adbench 0.1": lambda state: {**undigested(state), "epoch": 4},
    "short random state, by adbench 0.1": lambda state: {
        **undigested(state), "random": {**state["random"], "numpy": ["MT19937", torch.zeros(3), 0, 0, 0.0]}
    },
    "other shapes, by adbench 0.1": lambda state: {
        **undigested(state), "detector": {**state["detector"], "model": {"weight": torch.zeros(1)}}
    },
}  # fmt: skip


def undigested(state):
    return {key: value for key, value in state.items() if key != "digest"}


FAST = ("a flipped bit", "other parts", "fields missing", "a later epoch, by adbench 0.1")
"""One of each kind; the others are slow tests."""


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(each, marks=() if each in FAST else pytest.mark.slow)
        for each in ("no checkpoint", "a flipped bit", *DAMAGE)
    ],
)
def test_a_state_that_cannot_be_used_costs_only_its_epochs(tiny, tiny_data, tmp_path, monkeypatch, damage):
    """An unreadable, unfitting or changed state is discarded with a note, and the run starts again."""
    monkeypatch.delenv("TINY_SURVIVES", raising=False)
    job = job_for(tiny, tiny_data, tmp_path, stop_at=3)
    stopped(tiny, job)
    (path,) = Path(tmp_path).rglob("state.pt")
    state = torch.load(path, weights_only=True)
    if damage == "no checkpoint":
        path.write_bytes(b"garbage")
    elif damage == "a flipped bit":
        data = path.read_bytes()
        weight = data.index(state["detector"]["model"]["weight"].numpy().tobytes())
        path.write_bytes(data[: weight + 3] + bytes([data[weight + 3] ^ 2]) + data[weight + 4 :])
    else:
        torch.save(DAMAGE[damage](state), path)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    watch = Notes()
    run_one(tiny, job, watch)
    assert watch.notes == ["tiny bolts: the saved state cannot be used. Starting again."]
    assert watch.epochs == [1, 2, 3, 4]


def test_a_state_of_adbench_0_1_is_gone_on_from(tiny, tiny_data, tmp_path, monkeypatch):
    """It has no digest, and is used as it is."""
    monkeypatch.delenv("TINY_SURVIVES", raising=False)
    job = job_for(tiny, tiny_data, tmp_path, stop_at=3)
    stopped(tiny, job)
    (path,) = Path(tmp_path).rglob("state.pt")
    torch.save(undigested(torch.load(path, weights_only=True)), path)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    watch = Notes()
    run_one(tiny, job, watch)
    assert watch.notes == ["tiny bolts: going on after epoch 2"]


def test_memory_that_runs_out_while_a_state_is_loaded_costs_no_state(tiny, tiny_data, tmp_path, monkeypatch):
    """The state is intact; another device or a free machine can still resume from it."""
    monkeypatch.delenv("TINY_SURVIVES", raising=False)
    job = job_for(tiny, tiny_data, tmp_path, stop_at=3)
    stopped(tiny, job)

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(session, "set_random_state", full)
        with pytest.raises(torch.OutOfMemoryError):
            run_one(tiny, job)
    assert list(Path(tmp_path).rglob("state.pt"))


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_vanishes_in_mid_run_is_an_error(tiny_data, tmp_path, again):
    """If the folder is removed, or removed and made again, no result without its checkpoint is stored."""

    def fit(detector, images):
        for number in (1, 2):
            for _ in images:
                pass
            if number == 2:
                (lock,) = tmp_path.rglob(".lock")
                shutil.rmtree(tmp_path / "folder")
                if again:
                    lock.parent.mkdir(parents=True)
                    lock.touch()
            yield Epoch(number, 2)

    method = made_method(fit)
    with pytest.raises(TaskError, match=r"made on folder/bolts.* was removed during the run.* Run it again"):
        run_one(method, job_for(method, tiny_data, tmp_path))
    assert not list(tmp_path.rglob("result.json"))
    assert not list(tmp_path.rglob("*.pt"))
