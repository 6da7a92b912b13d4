"""Thresholds: their source, their effect, and how results and checkpoints store them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_class
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from runs import ONE, TINY, adbench, job_for, made_method, only_run, registry_of, run_one, run_tiny

from adbench import Epoch, Scores
from adbench.data.splits import FEWEST, split
from adbench.results import store
from adbench.run import checkpoint, trial
from adbench.stats import thresholds

lists = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20)


# ---------------------------------------------------------------- the rule


@settings(max_examples=100, deadline=None)
@given(lists, st.floats(0.01, 100), st.floats(-1e6, 1e6), st.sampled_from(["training", "held-out", "validation"]))
def test_a_threshold_follows_the_unit_and_the_zero_of_the_scores(values, scale, shift, source):
    """In another unit, or with a constant added, the same images are called defective; it is always above the mean."""
    scores = np.array(values)
    moved = scores * scale + shift
    assume(min(scores.std() / np.abs(scores).max(initial=1), moved.std() / np.abs(moved).max(initial=1)) > 1e-5)
    found, other = (thresholds.suggest(each, source=source) for each in (scores, moved))
    assert found is not None and other is not None  # noqa: PT018
    assert found[0] > scores.mean()
    assert other[0] == pytest.approx(found[0] * scale + shift, abs=1e-6 * moved.std())
    assert other[1] == found[1]


@pytest.mark.parametrize("constant", [0.0, 100.0, -2000.0, 1e5])
def test_training_scores_plus_a_constant_suggest_the_same(constant):
    """In float32 a large constant leaves fewer digits of the scores; the threshold still moves along."""
    scores = np.random.default_rng(4).normal(3, 0.5, 40)
    plain, _ = thresholds.suggest(scores, source="training")
    moved, _ = thresholds.suggest((scores + constant).astype(np.float32), source="training")
    assert moved - constant == pytest.approx(plain, abs=0.02)


@settings(max_examples=100, deadline=None)
@given(st.integers(3, 12), st.floats(0.05, 1), st.floats(12, 1e6), st.integers(0, 2**32 - 1))
def test_one_odd_image_does_not_lift_the_threshold_above_the_maximum(count, width, far, seed):
    """Among few held-out images, one that scores far above all others moves the threshold at most to its score."""
    scores = np.random.default_rng(seed).uniform(0, width, count)
    scores[0] = width * (1 + far)
    value, rule = thresholds.suggest(scores, source="held-out")
    assert value <= scores[0]
    assert count > 9 or rule.endswith("cut to the highest, an outlier")


def test_few_images_of_one_kind_get_a_threshold_above_them_all():
    """Normal scores are seldom cut: the highest of few is no bound for the next good image."""
    draw = np.random.default_rng(2)
    for count in (3, 6, 20):
        cut = [
            thresholds.suggest(draw.normal(size=count), source="held-out")[1].endswith("outlier") for _ in range(400)
        ]
        assert np.mean(cut) < 0.14


def test_the_rule_is_given_with_its_source():
    """The rule gives mean plus three sample standard deviations, the number of images and their source."""
    value, rule = thresholds.suggest(np.array([1.0, 2.0, 3.0]), source="held-out")
    assert value == pytest.approx(2 + 3)
    assert rule == "mean + 3 sd of 3 held-out scores"
    assert thresholds.suggest(np.array([1.0, 2.0, 3.0]), source="training")[1].endswith("of 3 training scores")


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 2.0], [7.615] * 60, [0.0] * 9, [5000.0, 5000.0, 5000.0005]])
@pytest.mark.parametrize("source", ["training", "held-out", "validation"])
def test_scores_that_say_nothing_suggest_nothing(scores, source):
    """Too few images, or scores that are equal except for the rounding of float32, suggest nothing."""
    assert thresholds.suggest(np.array(scores), source=source) is None


def test_the_rates_are_of_the_good_and_of_the_defective():
    """A score above the threshold is defective, one at it is good; without images of a kind its rate is undefined."""
    labels = np.array([False, False, False, False, True, True])
    scores = np.array([0.0, 1.0, 1.0, 2.0, 1.0, 3.0])
    found = thresholds.judge(1.0, "rule", labels, scores)
    assert (found.value, found.rule, found.false_alarm_rate, found.miss_rate) == (1.0, "rule", 0.25, 0.5)
    assert thresholds.judge(1.0, "", labels[:4], scores[:4]).miss_rate is None
    assert thresholds.judge(1.0, "", labels[4:], scores[4:]).false_alarm_rate is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.floats(0, 0.5))
def test_a_split_loses_nothing_and_holds_out_enough_or_none(count, share):
    """Every image is trained on or held out, in order; enough for a threshold are held out, or none."""
    kept, held = split(range(count), share)
    assert sorted(kept + held) == list(range(count))
    assert list(kept) == sorted(kept)
    assert list(held) == sorted(held)
    if share and count >= 2 * FEWEST:
        assert len(held) == max(FEWEST, round(share * count))
        assert kept
    else:
        assert held == ()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-1.0, "every good test image"),
        (0.5, None),
        (2.5, None),
        (3.0, "every defective test image"),
        (9.0, "every def"),
    ],
)
def test_a_threshold_that_decides_nothing_says_so(value, reason):
    """A threshold that calls all good images defective, or lies above every score, is useless; others are not."""
    found = thresholds.judge(value, "", np.array([False, False, True, True]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert (found.useless is None) == (reason is None)
    assert reason is None or reason in found.useless


def test_a_threshold_above_all_of_a_good_test_set_is_not_useless():
    """Without defective images there is nothing to miss."""
    assert thresholds.judge(2.0, "", np.array([False, False]), np.array([0.0, 1.0])).useless is None


def test_a_checkpoint_gives_back_a_promise_and_the_threshold_of_pixels():
    """All that a threshold with a promise says comes back from a checkpoint's fields, whatever promised it."""
    scores = np.arange(30.0)
    for folds, source in ((None, "held-out"), (5, "cross-validated")):
        found = thresholds.with_promise(scores, 0.1, source=source, highest=scores / 7, folds=folds)
        judged = thresholds.judge_all(found, np.array([False, True]), np.array([0.0, 40.0]), np.array([0.0, 9.0]))
        assert (judged.promise, judged.pixel.promise) == (found.promise, found.pixel.promise)
        assert (judged.pixel.false_alarm_rate, judged.pixel.miss_rate) == (0, 0)
        fields = thresholds.to_checkpoint(judged, 1)
        assert set(fields) <= set(thresholds.CHECKPOINT_FIELDS)
        assert thresholds.from_checkpoint(fields) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold_promise", [1]),
        ("threshold_promise", {"target": 0.1}),
        ("threshold_promise", {"target": 0.1, "expected": 0.1, "bound": 0.1, "images": 2.5}),
        ("threshold_promise", {"target": 0.1, "expected": 0.1, "bound": 0.1, "images": 0}),
        ("threshold_promise", {"target": 0.1, "expected": 0.1, "bound": 5.0, "images": 9}),
        ("threshold_promise", {"target": float("inf"), "expected": 0.1, "bound": 0.1, "images": 9}),
        ("pixel_threshold", 3.0),
        ("pixel_threshold", {"threshold": [float("nan"), "rule"]}),
    ],
)
def test_a_broken_promise_of_a_checkpoint_is_refused(name, value):
    """Files come from other people: a field of another type is an error, and not a threshold."""
    with pytest.raises(ValueError, match=r"threshold|nan"):
        thresholds.from_checkpoint({"threshold": [1.0, "rule"], name: value})


def test_the_rule_says_what_was_promised_or_what_is_missing():
    """It names the share, the images and the folds; with too few images, how many it needs."""
    rules = [
        thresholds.with_promise(np.arange(count), 0.01, source=source, highest=np.arange(count), folds=folds)
        for count, source, folds in ((99, "held-out", None), (23, "validation", None), (99, "cross-validated", 5))
    ]
    assert [each.rule for each in rules] == [
        "conformal 1% of 99 held-out scores",
        "highest of 23 validation scores (1% needs 99)",
        "conformal 1% of 99 cross-validated scores (5 folds)",
    ]
    assert rules[0].pixel.rule == "conformal 1% of 99 held-out images' highest pixels"


def test_training_scores_promise_nothing():
    """A fitted method scores them too low, so they are refused."""
    with pytest.raises(ValueError, match="training"):
        thresholds.with_promise(np.arange(9), 0.1, source="training")


def test_a_checkpoint_gives_back_its_threshold_with_its_scale():
    """What a run wrote comes back; files without a scale have the first."""
    judged = thresholds.judge(0.5, "the rule", np.array([False, True]), np.array([0.7, 0.9]))
    assert judged.useless is not None
    assert thresholds.from_checkpoint(thresholds.to_checkpoint(judged, 2)) == thresholds.Stored(
        0.5, "the rule", judged.useless, 2
    )
    assert thresholds.from_checkpoint({"threshold": [0.5, "r"]}) == thresholds.Stored(0.5, "r")
    assert thresholds.from_checkpoint({"threshold": []}) is None
    assert thresholds.from_checkpoint(thresholds.to_checkpoint(None, 1)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold": [1.0]},
        {"threshold": ["a", "b"]},
        {"threshold": 0.5},
        {"threshold": [float("nan"), "r"]},
        {"threshold": [True, "r"]},
        {"threshold": [0.5, None]},
        {"threshold": [10**400, "r"]},
        {"threshold": [0.5, "r"], "score_scale": "2"},
        {"threshold": [0.5, "r"], "threshold_useless": 3},
    ],
)
def test_an_odd_threshold_is_refused(fields):
    """A checkpoint may come from anybody."""
    with pytest.raises(ValueError, match=r"."):
        thresholds.from_checkpoint(fields)


def test_a_threshold_of_pixels_has_none_below_it():
    """One of 5000 levels is refused, and so is one of two."""
    for levels in (2, 5000):
        fields: dict = {"threshold": [0.5, "r"]}
        for _ in range(levels):
            fields = {"threshold": [0.5, "r"], "pixel_threshold": fields}
        with pytest.raises(ValueError, match="pixel_threshold a dict"):
            thresholds.from_checkpoint(fields)


# ---------------------------------------------------------------- in a run


def test_a_result_holds_the_threshold_of_its_training_images(tiny, tiny_data, tmp_path):
    """The value comes from the last model's scores of training images; the rates are those of the test set."""
    seen = []

    def score(detector, batch):
        maps = batch.images.mean(dim=1)
        seen.append(maps.amax(dim=(1, 2)))
        return Scores(seen[-1], maps)

    method = made_method(lambda detector, images: iter([Epoch(1, 1)]), score)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    train = torch.cat(seen[2:4]).double().numpy()  # after two batches of test images, in two of training ones
    expected = thresholds.suggest(train, source="training")
    assert (result.threshold.value, result.threshold.rule) == (pytest.approx(expected[0]), expected[1])
    assert (result.threshold.false_alarm_rate, result.threshold.miss_rate) == (0, 0)
    assert folder.read_result() == result


def test_a_threshold_changes_no_other_number(tiny, tiny_data, tmp_path, monkeypatch):
    """Scoring the training images at the end doesn't change metrics and scores."""
    with_one, _ = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "with"))
    monkeypatch.setattr(thresholds, "suggest", lambda *_, **__: None)
    without, _ = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "without"))
    assert with_one.threshold is not None
    assert without.threshold is None
    assert with_one.metrics == without.metrics


@pytest.mark.parametrize("break_off", [False, True])
def test_the_last_checkpoint_carries_the_threshold(tiny, tiny_data, tmp_path, monkeypatch, break_off):
    """``adbench test`` says how many it calls wrong, also after a break before the result was stored."""
    job = job_for(tiny, tiny_data, tmp_path)
    if break_off:
        with monkeypatch.context() as patch:

            def stop(*_):
                raise KeyboardInterrupt

            patch.setattr(store.RunFolder, "write_result", stop)
            with pytest.raises(KeyboardInterrupt):
                run_one(tiny, job)
    result, folder = run_one(tiny, job)
    again = trial.run(job, registry_of(tiny), checkpoint.read(folder.path / "last.pt"))
    assert again.threshold == result.threshold is not None


def test_a_fit_that_ends_early_has_a_threshold_too(tiny_data, tmp_path):
    """The checkpoint of the last epoch has it, though the epoch was saved as an oracle before."""

    def fit(detector, images):
        yield Epoch(1, 9)

    method = made_method(fit)
    job = job_for(method, tiny_data, tmp_path)
    result, folder = run_one(method, job)
    assert result.threshold is not None
    assert trial.run(job, registry_of(method), checkpoint.read(folder.path / "last.pt")).threshold == result.threshold


def test_held_out_images_are_not_trained_on(tiny, tiny_data, tmp_path):
    """--holdout trains on fewer images, takes the threshold from the others, and is a separate run."""
    counts = []

    def fit(detector, images):
        counts.append(len(images))
        yield Epoch(1, 1)

    method = made_method(fit)
    plain, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    held, _ = run_one(method, job_for(method, tiny_data, tmp_path, holdout=0.5))
    assert counts == [6, 3]
    assert (plain.train_images, held.train_images) == (6, 3)
    assert (plain.held_out_images, held.held_out_images) == (0, 3)
    assert held.threshold.rule.startswith("mean + 3 sd of 3 held-out scores")
    assert plain.threshold.rule == "mean + 3 sd of 6 training scores"
    assert held.fingerprint == plain.fingerprint  # the same data, so that they stand on one board
    assert held.run != plain.run
    assert "holdout0.5" in held.run
    assert (plain.protocol.holdout, held.protocol.holdout) == (0, 0.5)


def test_the_commands_take_and_show_it(tiny_data, tmp_path):
    """With run --holdout, leaderboard --threshold and test a user sees how good the threshold is."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1", "--holdout", "0.5")
    assert done.exit_code == 0
    shown = adbench("leaderboard", "--results", tmp_path, "--threshold", "--by-class")
    assert "false alarms" in shown.stdout
    said = " ".join(shown.stdout.split())
    assert "Kept from training for the threshold: 3 of 6 training images (bolts)." in said
    assert "; --holdout 0.5;" in said
    words = ("-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data)
    tested = adbench("test", *words, "--checkpoint", only_run(tmp_path) / "last.pt")
    assert "misses" in tested.stdout
    assert run_tiny(tiny_data, tmp_path, "--holdout", "0.9").exit_code == 2
    assert Path(only_run(tmp_path)).name.startswith("paper-seed0-holdout0.5-")


@pytest.mark.parametrize(
    ("value", "said"),
    [(-1e9, "it calls every good test image defective"), (1e9, "it is above the score of every defective test image")],
)
def test_a_run_says_that_its_threshold_is_useless(tiny_data, tmp_path, monkeypatch, value, said):
    """Training images with far too low or high scores give a useless threshold: the run's own output says so."""
    monkeypatch.setattr(thresholds, "suggest", lambda *_, **__: (value, "mean + 3 sd of 6 training scores"))
    done = run_tiny(tiny_data, tmp_path, *ONE)
    assert done.exit_code == 0, done.stderr
    wanted = f"The suggested threshold of bolts is useless, since {said}. "
    wanted += "Run with --holdout 0.1, or --target-false-alarms 1%."
    assert wanted in " ".join(done.stdout.split())
    saved = torch.load(only_run(tmp_path) / "last.pt", weights_only=True)
    assert thresholds.from_checkpoint(saved).useless == said


def test_a_run_counts_ties(tiny_data, tmp_path):
    """The result counts images that share a score, and a note under the run's table gives the number."""
    plugin = tmp_path / "coarse.py"
    plugin.write_text(COARSE)
    done = adbench("run", "-m", "coarse", "--plugin", plugin, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
                   "--size", "32", "--results", tmp_path / "results")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    tested = adbench("test", "-m", "coarse", "--plugin", plugin, "-d", "folder", "--data-root", tiny_data,
                     "--checkpoint", only_run(tmp_path / "results") / "last.pt")  # fmt: skip
    for shown in (done.stdout, tested.stdout):
        assert "Test images that share a score: 7 of 7 images (bolts). A tie counts half" in " ".join(shown.split())


def test_scores_are_kept_in_float64(tiny_data, tmp_path):
    """Scores that float32 would make equal stay different, in the result's files and in its metrics."""

    def score(detector, batch):
        maps = batch.images.mean(dim=1)
        return Scores(image=1e6 + 1e-4 * maps.amax(dim=(1, 2)).double(), map=maps)

    method = made_method(lambda detector, images: iter([Epoch(1, 1)]), score)
    plain = made_method(lambda detector, images: iter([Epoch(1, 1)]))
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path / "far"))
    wanted, _ = run_one(plain, job_for(plain, tiny_data, tmp_path / "near"))
    assert result.tied_images == 0
    assert result.metrics == wanted.metrics


def test_too_few_training_images_are_all_trained_on(tmp_path):
    """If holding out enough would take more than half, none is held out, and the run says so."""
    make_class(tmp_path / "data", "bolts", train=5)
    done = run_tiny(tmp_path / "data", tmp_path / "results", "-o", "epochs=1", "--holdout", "0.4")
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "Too few to keep any from training for the threshold (at least 3, at most half): 5 training images" in said


COARSE = """
from adbench import Detector, Epoch, Method, Options, Scores, hookimpl

class Coarse(Detector):
    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        maps = batch.images.mean(dim=1)
        return Scores(image=maps.amax(dim=(1, 2)).round(), map=maps)

@hookimpl
def adbench_methods():
    return [Method("coarse", "scores that are 0 or 1", Coarse, Options)]
"""
