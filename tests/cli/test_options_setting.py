"""The options of settings: --setting, --shots and --test-split of run, and the filter of leaderboard and compare."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from runs import ONE, TINY, adbench, line_of, run_tiny


@pytest.fixture(scope="module")
def several(tiny_data, tmp_path_factory) -> Path:
    """Results of the tiny method in every setting; tests must not change them."""
    results = tmp_path_factory.mktemp("several")
    for words in ((), ("--setting", "multi-class"), ("--shots", "2"), ("--setting", "zero-shot")):
        done = run_tiny(tiny_data, results, "-o", "epochs=1", *words)
        assert done.exit_code == 0, done.stderr
    return results


def board(results: Path, *words: str, command: str = "leaderboard") -> str:
    done = adbench(command, "--results", results, "--plugin", TINY, *words)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_all_settings_rank_side_by_side_and_can_be_chosen(several):
    """Leaderboard and compare show each setting as its own variant, or one alone with --setting."""
    (table,) = json.loads(board(several, "--format", "json"))
    assert {row["variant"]: row["setting"] for row in table["rows"]} == {
        "tiny:epochs=1": "one-class",
        "tiny:multi-class,epochs=1": "multi-class",
        "tiny:few-shot=2,epochs=1": "few-shot",
        "tiny:zero-shot,epochs=1": "zero-shot",
    }
    (row,) = csv.DictReader(io.StringIO(board(several, "--format", "csv", "--setting", "few-shot")))
    assert (row["setting"], row["variant"], row["classes"]) == ("few-shot", "tiny:few-shot=2,epochs=1", "2")
    shown = board(several, "tiny", "--setting", "multi-class", "--metric", "aupro", command="compare")
    assert "tiny:multi-class,epochs=1" in shown
    assert "few-shot" not in shown
    listed = json.loads(adbench("list", "runs", "--results", several, "--plugin", TINY, "--format", "json").stdout)
    assert {row["setting"] for row in listed[0]["rows"]} == {"one-class", "multi-class", "few-shot", "zero-shot"}


def test_a_setting_without_results_is_told(ran, tiny_method):
    """The error lists the stored settings."""
    found = adbench("leaderboard", "--results", ran, "--plugin", tiny_method, "--setting", "few-shot")
    assert (found.exit_code, line_of(found)) == (
        2, "Error: results of --setting few-shot: found those of one-class only."
    )  # fmt: skip


def test_a_multi_class_run_works_with_all_that_reads_results(several, tiny_data, tmp_path):
    """Report, heat maps and test use the results and the checkpoint of a class like those of any run."""
    (folder,) = (several / "folder/nuts/tiny").glob("*multi-class*")
    words = ("--data-root", tiny_data, "--plugin", TINY)
    assert adbench("report", "--results", several, *words, "--no-images", "-o", tmp_path / "page").exit_code == 0
    shown = adbench("heatmaps", folder, "--results", several, *words)
    assert shown.exit_code == 0, shown.stderr
    assert len(list((folder / "maps").glob("**/*.png"))) >= 7
    test = ("test", "-m", "tiny", "-d", "folder", "--results", several, *words, "--format", "json", "--checkpoint")
    tested = adbench(*test, folder / "last.pt")
    rows = json.loads(tested.stdout)[0]["rows"]
    stored = json.loads((folder / "result.json").read_text())["metrics"]
    assert [row["class"] for row in rows] == ["bolts", "nuts"]
    assert rows[1]["aupro"] == stored["aupro"]
    named = adbench(*test, "multi-class")
    assert [row["aupro"] for row in json.loads(named.stdout)[0]["rows"]] == [row["aupro"] for row in rows]


def test_what_a_setting_means_for_thresholds_and_oracles_is_said(several):
    """Zero-shot has no image for a threshold, and one model of several classes has one oracle epoch."""
    shown = " ".join(board(several, "--threshold", "--oracle").split())
    assert "No threshold for tiny:zero-shot,epochs=1: a zero-shot method sees no good image" in shown
    assert "One model of several classes has one epoch, the best by their mean: tiny:multi-class,epochs=1." in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--setting", "few-shot"), "--setting few-shot: found no --shots, wanted --shots K"),
        (("--setting", "zero-shot", "--shots", "2"), "--shots: found --setting zero-shot, wanted --setting few-shot"),
        (("--setting", "multi-class", "-c", "bolts"), "setting multi-class: found bolts, wanted two classes or more"),
        (("-m", "cflow", "--shots", "2"), "cflow does not support --setting few-shot, only one-class"),
        (("--shots", "7", *ONE), "found 6 training images, wanted at least the 7 of --shots"),
        (("--test-split", "private", *ONE), "unknown test split of folder/bolts 'private': wanted one of test"),
    ],
)
def test_what_contradicts_itself_is_one_error(tiny_data, tmp_path, words, message):
    """Exit code 2, with a sentence about what would be right; nothing is trained."""
    done = run_tiny(tiny_data, tmp_path, *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.rglob("result.json"))
