"""Good or bad: where thresholds come from, what they do, and how they get into results and checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from runs import TINY, adbench, job_for, made_method, only_run, registry_of, run_one, run_tiny

from adbench import Epoch, Scores, store, thresholds, trial

lists = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20)


# ---------------------------------------------------------------- the rule


@settings(max_examples=50, deadline=None)
@given(lists, st.floats(0.1, 10), st.floats(-10, 10))
def test_a_threshold_is_above_the_mean_and_moves_with_the_unit(values, scale, shift):
    """In another unit the same pictures are called defective."""
    scores = np.array(values)
    found = thresholds.suggest(scores, held_out=False)
    moved = thresholds.suggest(scores * scale + shift, held_out=False)
    assume(found is not None and moved is not None and scores.std() > 1e-3)
    assert found[0] > scores.mean()
    assert moved[0] == pytest.approx(found[0] * scale + shift, rel=1e-6, abs=1e-6)


def test_the_rule_is_told_with_its_source():
    """Mean plus three sample standard deviations, of how many pictures, and whether training saw them."""
    value, rule = thresholds.suggest(np.array([1.0, 2.0, 3.0]), held_out=True)
    assert value == pytest.approx(2 + 3)
    assert rule == "mean + 3 sd of 3 held-out scores"
    assert thresholds.suggest(np.array([1.0, 2.0, 3.0]), held_out=False)[1].endswith("of 3 training scores")


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 2.0], [7.615] * 60, [0.0] * 9])
def test_scores_that_say_nothing_suggest_nothing(scores):
    """Too few pictures, or a method that knows them by heart."""
    assert thresholds.suggest(np.array(scores), held_out=False) is None


def test_held_out_scores_may_be_far_from_zero():
    """A method whose scores lie around 5000 knows no held-out picture by heart, however near they are."""
    scores = np.array([5000.0, 5002.0, 5004.0, 5003.0])
    assert thresholds.suggest(scores, held_out=False) is None
    assert thresholds.suggest(scores, held_out=True)[0] > 5004
    assert thresholds.suggest(np.full(4, 5000.0), held_out=True) is None


def test_the_rates_are_of_the_good_and_of_the_defective():
    """Above the threshold is defective, at it is good; without pictures of a kind its rate is not defined."""
    labels = np.array([False, False, False, False, True, True])
    scores = np.array([0.0, 1.0, 1.0, 2.0, 1.0, 3.0])
    found = thresholds.judge(1.0, "rule", labels, scores)
    assert (found.value, found.rule, found.false_alarm_rate, found.miss_rate) == (1.0, "rule", 0.25, 0.5)
    assert thresholds.judge(1.0, "", labels[:4], scores[:4]).miss_rate is None
    assert thresholds.judge(1.0, "", labels[4:], scores[4:]).false_alarm_rate is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.floats(0, 0.5))
def test_a_split_loses_nothing_and_never_all(count, share):
    """Every picture is trained on or held out, in order, and both parts are there if there can be two."""
    kept, held = thresholds.split(range(count), share)
    assert sorted(kept + held) == list(range(count))
    assert list(kept) == sorted(kept)
    assert list(held) == sorted(held)
    if share and count >= 2:
        assert min(thresholds.FEWEST, count // 2) <= len(held) <= max(thresholds.FEWEST, round(share * count))
        assert kept
    else:
        assert held == ()


# ---------------------------------------------------------------- in a run


def test_a_result_holds_the_threshold_of_its_training_pictures(tiny, tiny_data, tmp_path):
    """The value is that of the last model's scores of the training pictures; the rates are the test set's."""
    seen = []

    def score(detector, batch):
        maps = batch.pictures.mean(dim=1)
        seen.append(maps.amax(dim=(1, 2)))
        return Scores(seen[-1], maps)

    method = made_method(lambda detector, images: iter([Epoch(1, 1)]), score)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    train = torch.cat(seen[2:4]).double().numpy()  # after two batches of test pictures, in two of training ones
    expected = thresholds.suggest(train, held_out=False)
    assert (result.threshold.value, result.threshold.rule) == (pytest.approx(expected[0]), expected[1])
    assert (result.threshold.false_alarm_rate, result.threshold.miss_rate) == (0, 0)
    assert folder.read_result() == result


def test_a_threshold_changes_no_other_number(tiny, tiny_data, tmp_path, monkeypatch):
    """Scoring the training pictures at the end leaves metrics and scores as they are."""
    with_one, _ = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "with"))
    monkeypatch.setattr(thresholds, "suggest", lambda *_, **__: None)
    without, _ = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "without"))
    assert with_one.threshold is not None
    assert without.threshold is None
    assert with_one.metrics == without.metrics


@pytest.mark.parametrize("break_off", [False, True])
def test_the_last_checkpoint_carries_the_threshold(tiny, tiny_data, tmp_path, monkeypatch, break_off):
    """Adbench test says how many it calls wrong, also after a break before the result was stored."""
    job = job_for(tiny, tiny_data, tmp_path)
    if break_off:
        with monkeypatch.context() as patch:

            def stop(*_):
                raise KeyboardInterrupt

            patch.setattr(store.RunFolder, "write_result", stop)
            with pytest.raises(KeyboardInterrupt):
                run_one(tiny, job)
    result, folder = run_one(tiny, job)
    again = trial.run(job, registry_of(tiny), folder.path / "last.pt")
    assert again.threshold == result.threshold is not None


def test_a_fit_that_ends_early_has_a_threshold_too(tiny_data, tmp_path):
    """The checkpoint of the last epoch holds it although the epoch was saved as an oracle before."""

    def fit(detector, images):
        yield Epoch(1, 9)

    method = made_method(fit)
    job = job_for(method, tiny_data, tmp_path)
    result, folder = run_one(method, job)
    assert result.threshold is not None
    assert trial.run(job, registry_of(method), folder.path / "last.pt").threshold == result.threshold


def test_held_out_pictures_are_not_trained_on(tiny, tiny_data, tmp_path):
    """--holdout trains on fewer pictures, takes the threshold from the others, and is a run of its own."""
    counts = []

    def fit(detector, images):
        counts.append(len(images))
        yield Epoch(1, 1)

    method = made_method(fit)
    plain, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    held, _ = run_one(method, job_for(method, tiny_data, tmp_path, holdout=0.5))
    assert counts == [6, 3]
    assert (plain.train_images, held.train_images) == (6, 3)
    assert held.threshold.rule == "mean + 3 sd of 3 held-out scores"
    assert plain.threshold.rule == "mean + 3 sd of 6 training scores"
    assert held.fingerprint == plain.fingerprint  # the same data, so that they stand on one board
    assert held.run != plain.run
    assert "holdout0.5" in held.run
    assert (plain.protocol.holdout, held.protocol.holdout) == (0, 0.5)


def test_the_commands_take_and_show_it(tiny_data, tmp_path):
    """Run --holdout, leaderboard --threshold and test: a user sees what a verdict is worth."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1", "--holdout", "0.5")
    assert done.exit_code == 0
    shown = adbench("leaderboard", "--results", tmp_path, "--threshold", "--by-class")
    assert "false alarms" in shown.stdout
    assert "50% of the training pictures held out" in " ".join(shown.stdout.split())
    words = ("-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data)
    tested = adbench("test", *words, "--checkpoint", only_run(tmp_path) / "last.pt")
    assert "misses" in tested.stdout
    assert run_tiny(tiny_data, tmp_path, "--holdout", "0.9").exit_code == 2
    assert Path(only_run(tmp_path)).name.startswith("paper-seed0-holdout0.5-")
