"""A checkpoint that doesn't bring its detector back is reported when it is written."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from runs import Notes, adbench, job_for, metrics_of, run_one

from adbench import Detector, Epoch, Method, Scores
from adbench.run import verify


class Whole(Detector):
    """Learns the mean colour of good images."""

    def __init__(self, options, device):
        super().__init__(options, device)
        self.jitter = torch.rand(()) * 50

    def fit(self, images):
        self.keep(torch.stack([batch.images.mean((0, 2, 3)) for batch in images]).mean(0))
        yield Epoch(1, 1)

    def keep(self, mean):
        self.mean = mean

    def score(self, batch):
        maps = (batch.images - self.mean_colour()[:, None, None]).abs().mean(1) + self.jitter
        return Scores(maps.amax((1, 2)), maps)

    def mean_colour(self):
        return self.mean


class InAList(Whole):
    """Keeps its mean where ``state_dict`` doesn't look."""

    def keep(self, mean):
        self.means = [mean]

    def mean_colour(self):
        return self.means[0]


class InNumPy(InAList):
    """Keeps it in an array, and has it saved as such."""

    def state_dict(self):
        return {"jitter": self.jitter, "means": [np.asarray(mean) for mean in self.means]}


class Rounded(Whole):
    """Keeps its mean in a type that doesn't hold it."""

    def state_dict(self):
        return {"mean": (self.mean * 10).round().byte()}

    def load_state_dict(self, state):
        self.mean = state["mean"] / 10


class Redrawn(Whole):
    """Draws a part again with the run's seed, which the checkpoint holds, instead of saving it."""

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


class Unsteady(Whole):
    """Scores otherwise each time."""

    def score(self, batch):
        found = super().score(batch)
        return Scores(found.image + torch.rand(()), found.map)


def notes_of(kind, data, folder):
    method = Method("made", "", kind)
    watch = Notes()
    result, stored = run_one(method, job_for(method, data, folder), watch=watch)
    assert stored.is_finished()
    return result, [note for note in watch.notes if "last.pt" in note]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (InAList, "loading it breaks off with AttributeError: 'InAList' object has no attribute 'means'"),
        (InNumPy, "holds more than tensors"),
        (Rounded, "the detector that is built from it gives other scores"),
    ],
)
def test_a_state_that_loses_a_part_is_told_by_the_run(tiny_data, tmp_path, kind, reason):
    """The results are stored as they are; a note says that the checkpoint can't be used, and why."""
    result, notes = notes_of(kind, tiny_data, tmp_path)
    assert result.metrics.image_auroc is not None
    (note,) = notes
    assert note.startswith("made bolts: the checkpoint last.pt can't be used: ")
    assert reason in note
    assert note.endswith("adbench check-method made says more.")


@pytest.mark.parametrize("kind", [Whole, Unsteady, Redrawn])
def test_a_whole_state_is_no_news(tiny_data, tmp_path, kind):
    """Nothing is said of a checkpoint that is right, nor where scores differ by themselves."""
    assert notes_of(kind, tiny_data, tmp_path)[1] == []


def test_verifying_changes_no_number(tiny_data, tmp_path, monkeypatch):
    """With and without it, results and scores are the same."""
    found = []
    for share in (1.0, -1e9):
        monkeypatch.setattr(verify, "TIME_SHARE", share)
        folder = tmp_path / str(share)
        result, _ = notes_of(Whole, tiny_data, folder)
        found.append(result.metrics)
    assert found[0] == found[1]


def test_it_is_left_out_where_it_takes_long(tmp_path):
    """Building must be short against the task, and the file not too large."""
    path = tmp_path / "last.pt"
    path.write_bytes(b"x")
    now = verify.time.monotonic()
    assert verify.is_worth_it(path, began=now - 100, building=4.0)
    assert not verify.is_worth_it(path, began=now - 10, building=4.0)


def test_methods_of_adbench_lose_nothing(tiny_data, tmp_path):
    """A run of PaDiM says nothing of its checkpoint."""
    done = adbench("run", "-m", "padim", "-p", "cpu", "-d", "folder", "--data-root", tiny_data, "-c", "bolts", "--size",
                   "64", "-o", "dimensions=8", "--results", tmp_path, "--format", "json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "last.pt" not in done.stderr
    assert json.loads(done.stdout)
    assert metrics_of(next(tmp_path.glob("folder/bolts/padim/*")))
