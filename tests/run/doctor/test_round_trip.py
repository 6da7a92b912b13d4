"""The doctor's self-check: train, save, reopen, score."""

from __future__ import annotations

import os

import pytest
import torch

from adbench.run import checkpoint, trial
from adbench.run.doctor import round_trip
from adbench.run.doctor.finding import Asked

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_tiny_detector_survives_the_way_of_run_and_test():
    """Its checkpoint scores the test images of a data loader as ``adbench test`` does, and nothing stays behind."""
    before = os.environ.get("ADBENCH_CACHE")
    (line,) = round_trip.check(Asked())
    assert line.status == "green", line.found
    assert "image AUROC 100 % both times" in line.found
    assert os.environ.get("ADBENCH_CACHE") == before


def test_a_step_that_breaks_is_red_with_its_reason(monkeypatch):
    """As in the authors' program, whose test mode unpacked three parts into two."""

    def unpack(*_, **__):
        image, label = (1, 2, 3)
        return image, label

    monkeypatch.setattr(trial, "score_all", unpack)
    (line,) = round_trip.check(Asked())
    assert line.status == "red"
    assert "too many values to unpack" in line.found


def test_other_scores_from_the_checkpoint_are_red(monkeypatch):
    """A checkpoint that comes back changed gives another metric."""
    read = checkpoint.read

    def changed(path, **words):
        saved = read(path, **words)
        saved.state["mean"] = torch.tensor([9.0, 9.0, 9.0])
        return saved

    monkeypatch.setattr(checkpoint, "read", changed)
    (line,) = round_trip.check(Asked())
    assert line.status == "red"
    assert "from the checkpoint" in line.found
