"""How often states are saved, and that a checkpoint has the content of the moment of its save."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from adbench.results.store import RunFolder
from adbench.run import saving
from adbench.run.saving import FREE_SECONDS, STATE_BYTES, TIME_SHARE, Saver, SavingPolicy, on_cpu, total_bytes
from adbench.util.errors import ResultError

CPU, GPU = torch.device("cpu"), torch.device("cuda")
GB = 10**9


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    return clock


def trained(clock: Clock, epochs: int, size: int, epoch_seconds: float, save_seconds: float) -> list[int]:
    """The epochs after which a training saves its state."""
    policy, saved = SavingPolicy(clock.now), []
    for epoch in range(1, epochs + 1):
        clock.now += epoch_seconds
        if policy.due(epoch, epochs, size):
            saved.append(epoch)
            clock.now += save_seconds
            policy.saved(size, save_seconds)
    return saved


def seconds(low: float, high: float) -> st.SearchStrategy[float]:
    """Seconds in steps of 1/1024, so that sums and products are exact and the bound needs no tolerance."""
    return st.integers(max(1, int(low * 1024)), int(high * 1024)).map(lambda steps: steps / 1024)


@given(
    epochs=st.integers(1, 300),
    size=st.integers(0, 40 * GB),
    epoch_seconds=seconds(0.01, 5000),
    save_seconds=seconds(0.001, 60),
)
@example(epochs=2, size=0, epoch_seconds=1100.0, save_seconds=60.0)  # no bytes, but no save for nothing
@example(epochs=2, size=1, epoch_seconds=1100.0, save_seconds=60.0)
def test_saves_take_a_twentieth_of_the_time_and_a_bounded_number_of_bytes(epochs, size, epoch_seconds, save_seconds):
    """The bound holds for any state and epoch, except for the first save, whose cost is unknown."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(saving, "time", clock)
        saved = trained(clock, epochs, size, epoch_seconds, save_seconds)
    spent, total = save_seconds * len(saved), clock.now - 1000
    assert len(saved) <= 1 or spent <= TIME_SHARE * total + FREE_SECONDS
    assert size * len(saved) <= max(STATE_BYTES, size)


def test_small_states_are_saved_after_every_epoch(clock: Clock) -> None:
    """If a state has a few megabytes, a break costs one epoch."""
    assert trained(clock, 12, 30 * 10**6, epoch_seconds=2.0, save_seconds=0.05) == list(range(1, 13))


def test_large_states_are_spread_over_a_long_training(clock: Clock) -> None:
    """With MSFlow's state of 1.4 GB and epochs of minutes, 100 epochs have 14 saves, the last one at the end."""
    saved = trained(clock, 100, int(1.4 * GB), epoch_seconds=300.0, save_seconds=4.0)

    assert len(saved) == 14
    assert saved[-1] == 100
    assert max(after - before for before, after in zip([0, *saved], saved, strict=False)) <= 8


def test_a_short_training_saves_no_large_state(clock: Clock) -> None:
    """12 epochs of half a second cost less to repeat than 1.4 GB to write."""
    assert trained(clock, 12, int(1.4 * GB), epoch_seconds=0.5, save_seconds=1.5) == []


# ---------------------------------------------------------------- writing


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path, "set", "class", "method", "run")
    folder.path.mkdir(parents=True)
    return folder


def test_a_gpu_goes_on_while_a_checkpoint_is_written(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the content of the moment of the save, without later training."""
    go_on, plain = threading.Event(), RunFolder.save_checkpoint

    def slow(*arguments: object) -> None:
        assert go_on.wait(30)
        plain(*arguments)

    monkeypatch.setattr(RunFolder, "save_checkpoint", slow)
    saver, weight = Saver(folder, GPU), torch.ones(3)
    saver.save(["last", "other"], {"epoch": 1, "parts": [{"weight": weight}, (weight[1:],)]})
    weight.zero_()
    go_on.set()
    saver.wait()
    saver.close()

    for name in ("last", "other"):
        loaded = folder.load_checkpoint(name)
        assert loaded is not None
        first, (second,) = loaded["parts"]
        assert first["weight"].tolist() == [1.0, 1.0, 1.0]
        assert second.tolist() == [1.0, 1.0]


def test_a_state_waits_for_nothing(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one state is written the next is not saved, so that training doesn't wait for the disk."""
    go_on, plain, states = threading.Event(), RunFolder.save_checkpoint, []

    def slow(folder: RunFolder, name: str, payload: dict[str, object]) -> None:
        assert go_on.wait(30)
        states.append(payload["epoch"])
        plain(folder, name, payload)

    monkeypatch.setattr(RunFolder, "save_checkpoint", slow)
    saver = Saver(folder, GPU)
    for epoch in (1, 2, 3):
        saver.save_state({"epoch": epoch}, epoch, 9)
    go_on.set()
    saver.wait()
    saver.save_state({"epoch": 4}, 4, 9)
    saver.close()

    assert states == [1, 4]


@pytest.mark.parametrize("device", [CPU, GPU])
def test_a_checkpoint_that_cannot_be_written_is_an_error(folder: RunFolder, device: torch.device) -> None:
    """It is raised at the latest when the run waits for its files, and names the file."""
    (folder.path / "last.pt").mkdir()
    saver = Saver(folder, device)

    def save_and_wait() -> None:
        saver.save(["last"], {"epoch": 1})
        saver.wait()

    with pytest.raises(ResultError, match=r"last\.pt can't be written"):
        save_and_wait()
    saver.save(["next"], {"epoch": 2})
    saver.wait()
    saver.close()
    assert folder.load_checkpoint("next") == {"epoch": 2}


def test_tensors_that_share_memory_still_do_in_a_copy() -> None:
    """A rotation and its inverse, which is its transpose, are counted, copied and written once."""
    matrix = torch.randn(4, 5)
    state = {"matrix": matrix, "inverse": matrix.T, "row": [matrix[2]], "bf16": torch.ones(3).bfloat16(), "n": 7}

    copied = on_cpu(state)

    assert total_bytes(state) == total_bytes(copied) == 4 * 20 + 6
    assert copied["n"] == 7
    assert copied["matrix"].data_ptr() == copied["inverse"].data_ptr() != matrix.data_ptr()
    for name in ("matrix", "inverse", "bf16"):
        assert torch.equal(copied[name], state[name])
    assert torch.equal(copied["row"][0], matrix[2])
