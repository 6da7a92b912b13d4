"""The commands about thresholds: run --target-false-alarms, threshold and drift."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import ONE, TINY, adbench, line_of, only_run, run_tiny

from adbench.cli import values
from adbench.results import result_file, score_log
from adbench.results.run_files import read_good_scores
from adbench.results.score_log import LoggedScore
from adbench.util.errors import OptionError


@pytest.fixture(scope="module")
def held(tiny_data, tmp_path_factory) -> tuple[Path, str]:
    """Results of a run with three images held out, and what it printed; tests must not change them."""
    results = tmp_path_factory.mktemp("held")
    words = (*ONE, "--holdout", "0.5", "--target-false-alarms", "25%")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["adbench", "run", *words])  # where the stored command comes from
        done = run_tiny(tiny_data, results, *words, "--format", "json")
    assert done.exit_code == 0, done.stderr
    return results, done.stdout


@pytest.fixture
def copied(held, tmp_path) -> Path:
    """A copy of these results that a test may change."""
    shutil.copytree(held[0], tmp_path / "results")
    return tmp_path / "results"


def threshold(results: Path, *words: object, run: str = "tiny"):
    return adbench("threshold", run, "--results", results, *words)


def rows_of(done) -> list[dict]:
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)[-1]["rows"]


def test_a_run_prints_what_is_promised_beside_what_was_done(held):
    """Its last table has a row for images and one for pixels, with the promise and the rates of the test set."""
    metrics, promises = json.loads(held[1])
    assert metrics["rows"][0]["promised_false_alarm_rate"] == 0.25
    for row, of in zip(promises["rows"], ("images", "pixels"), strict=True):
        assert (row["of"], row["class"], row["target"], row["promised"], row["good_images"]) == (
            of, "bolts", 0.25, 0.25, 3,
        )  # fmt: skip
        assert row["threshold"] is not None
        assert row["false_alarm_rate"] is not None
    assert "at most 25% of new good images like the 3" in " ".join(promises["notes"])


def test_the_leaderboard_shows_the_promise_where_thresholds_are_asked_for(held):
    """People see the column with --threshold."""
    words = ("--results", held[0], "--plugin", TINY)
    assert "promised" in adbench("leaderboard", *words, "--threshold").stdout
    assert "promised" not in adbench("leaderboard", *words).stdout


def test_the_threshold_of_a_stored_run_is_shown_and_set(copied):
    """Without an option it is shown; a target and a value are stored, and say what they are."""
    assert rows_of(threshold(copied, "--format", "json"))[0]["target"] == 0.25
    few, _ = rows_of(threshold(copied, "--target", "1%", "--format", "json"))
    assert (few["promised"], few["rule"]) == (0.25, "highest of 3 held-out scores (1% needs 99)")
    assert "1% needs 99 good images and there are 3" in " ".join(threshold(copied).stdout.split())
    by_hand, pixels = rows_of(threshold(copied, "--value", "0.5", "--format", "json"))
    assert (by_hand["threshold"], by_hand["rule"], pixels["target"]) == (0.5, "set by hand", 0.01)
    assert result_file.read(only_run(copied) / "result.json").threshold.value == 0.5


def commands_of(results: Path) -> list[str]:
    """What ``show`` says that sets the threshold, after the run's own command."""
    done = adbench("show", "tiny", "--results", results, "--format", "json", "--plugin", TINY)
    return json.loads(done.stdout)["threshold_commands"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), []),
        (("--target", "25%"), []),
        (("--target", "12.5%"), ["--target 12.5%"]),
        (("--value", "0.125"), ["--value 0.125"]),
    ],
)
def test_show_says_which_command_sets_the_threshold(held, copied, words, said):
    """A run whose threshold is its own command's needs no other; the others bring a fresh run to the same one."""
    if words:
        assert threshold(copied, *words).exit_code == 0
    commands = commands_of(copied)
    place = "/".join(only_run(copied).parts[-4:])
    assert commands == [f"adbench threshold {place} {each} --results {copied}" for each in said]
    changed = result_file.read(only_run(copied) / "result.json").threshold
    shutil.rmtree(copied)
    shutil.copytree(held[0], copied)
    for command in commands:
        assert adbench(*shlex.split(command)[1:]).exit_code == 0
    assert result_file.read(only_run(copied) / "result.json").threshold == changed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "5"), "found '5', wanted a share such as 1% or 0.01. Did you mean 5%?"),
        (("--target", "x"), "found 'x', wanted a share"),
        (("--target", "1%", "--value", "2"), "found both, wanted one of them"),
        (("--value", "nan"), "found nan, wanted a finite number"),
        (("--class", "nuts"), "no such class of run 'tiny', wanted one of bolts"),
    ],
)
def test_mistakes_are_told_in_one_line(held, words, message):
    """They exit with 2, and change nothing."""
    done = threshold(held[0], *words)
    assert done.exit_code == 2
    assert message in line_of(done)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--folds", 3), "--folds: found no --target-false-alarms"),
        (("--folds", 3, "--holdout", 0.1, "--target-false-alarms", "1%"), "--folds and --holdout: found both"),
        (("--target-false-alarms", "0"), "--target-false-alarms: found '0'"),
    ],
)
def test_options_of_run_that_do_not_fit_are_told(tiny_data, tmp_path, words, message):
    """Before anything is trained."""
    done = run_tiny(tiny_data, tmp_path, *ONE, *words)
    assert (done.exit_code, message in line_of(done)) == (2, True)


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.01", 0.01), (" 0.5 % ", 0.005), ("7%", 0.07), ("1e-3", 0.001), (None, None)]
)
def test_a_share_is_typed_in_percent_or_as_a_number(text, share):
    """Both are the decimal number that was typed."""
    assert values.share(text, "--target") == share


@pytest.mark.parametrize("text", ["", "%", "1", "100%", "-1%", "nan", "inf%", "1%%", "1,5%"])
def test_what_is_no_share_is_refused(text):
    """A share is above 0 and below 1."""
    with pytest.raises(OptionError, match="--target"):
        values.share(text, "--target")


# ---------------------------------------------------------------- drift


def log(results: Path, path: Path, scores, *, run: str | None = None, class_name: str = "bolts") -> Path:
    """A log with these scores."""
    name = only_run(results).name if run is None else run
    records = [
        LoggedScore("2024-05-01T12:00:00Z", f"{number}.png", class_name, float(each), None, None, name)
        for number, each in enumerate(scores)
    ]
    score_log.append(path, records)
    return path


def drift(results: Path, path: Path, *words: object, run: object = "tiny"):
    return adbench("drift", run, path, "--results", results, *words)


def stored_scores(results: Path) -> np.ndarray:
    run = only_run(results)
    found = read_good_scores(run, result_file.read(run / "result.json"))
    return np.array([each.score for each in found])


def test_drift_is_told_window_by_window_and_fails_where_asked_for(held, tmp_path):
    """Scores between the stored ones are no drift; far higher ones are, in their window; only then the code is 1."""
    results, _ = held
    good = np.random.default_rng(0).choice(stored_scores(results), 60)
    quiet = drift(results, log(results, tmp_path / "quiet", good), "--fail-on-drift")
    assert quiet.exit_code == 0, quiet.stderr
    assert "as the good ones" in quiet.stdout
    assert "No drift." in quiet.stderr
    moved = log(results, tmp_path / "moved", [*good[:30], *(good[:30] + 9)])
    shown = drift(results, moved, "--window", 30, "--format", "json", "--level", "30%")
    assert [row["drifted"] for row in rows_of(shown)] == [False, True]
    assert drift(results, moved, "--window", 30, "--level", "30%", "--fail-on-drift").exit_code == 1


def test_a_log_of_good_images_takes_the_place_of_the_stored_scores(held, tmp_path):
    """It may have far more images; a copied folder of the run needs no folder of results."""
    results, _ = held
    draw = np.random.default_rng(1)
    known, new = (
        log(results, tmp_path / "good", draw.normal(9, 1, 99)),
        log(results, tmp_path / "new", draw.normal(9, 1, 50)),
    )
    elsewhere = shutil.copytree(only_run(results), tmp_path / "elsewhere")
    found = drift(tmp_path / "none", new, "--good", known, "--ignore-alarms", "--format", "json", run=elsewhere)
    assert [row["drifted"] for row in rows_of(found)] == [False]


def test_an_image_that_is_logged_again_counts_once(held, tmp_path):
    """A second ``predict --watch`` logs what is there once more: that is no new evidence."""
    results, _ = held
    good = np.random.default_rng(0).choice(stored_scores(results), 40)
    once = rows_of(drift(results, log(results, tmp_path / "once", good), "--format", "json"))
    for _ in range(4):
        log(results, tmp_path / "often", good)
    often = drift(results, tmp_path / "often", "--format", "json")
    assert rows_of(often) == once
    assert "120 of 160 records repeat an image" in often.stderr


def test_a_log_of_another_run_is_refused(held, tmp_path):
    """The error names the runs in it."""
    done = drift(held[0], log(held[0], tmp_path / "log", [1.0], run="other"))
    assert done.exit_code == 2
    assert "found records of other (bolts), wanted those of " in line_of(done)


def test_training_scores_are_no_reference(tiny_data, tmp_path):
    """New images are never like images that were trained on; the error says what helps."""
    assert run_tiny(tiny_data, tmp_path, *ONE).exit_code == 0
    done = drift(tmp_path, log(tmp_path, tmp_path / "log", [1.0] * 9))
    assert done.exit_code == 2
    assert "Give a log of good images with --good" in line_of(done)
