"""``adbench reproduce`` on a miniature in MVTec's layout, with a method whose numbers are known."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import known_method
import pytest
from conftest import make_class
from runs import adbench

from adbench.results import store

PLUGIN = Path(known_method.__file__)


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory) -> Path:
    """Two of the 15 classes, in the folder that the archive unpacks; tests must not change it."""
    root = tmp_path_factory.mktemp("data") / "mvtec_anomaly_detection"
    for name in ("bottle", "screw"):
        make_class(root, name)
    return root.parent


def reproduce(data: Path, results: Path, *words: object):
    where = ("-d", "mvtec", "--data-root", data, "--results", results, "--device", "cpu")
    return adbench("reproduce", "known", "--plugin", PLUGIN, *where, *words)


def ledger_of(folder: Path) -> dict:
    return json.loads((folder / "ledger.json").read_text(encoding="utf-8"))


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def lines(ledger: dict, metric: str, policy: str) -> dict[str, tuple]:
    return {
        row["class_name"]: (row["ours"], row["published"], row["flagged"])
        for row in (*ledger["rows"], *ledger["means"])
        if (row["metric"], row["policy"]) == (metric, policy)
    }


def test_a_reproduction_is_a_run_and_a_comparison(mvtec, tmp_path, monkeypatch):
    """Classes are run with the preset paper and set beside the numbers; a gap of exactly 0.5 points is not flagged."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/adbench", "reproduce", "known", "-d", "mvtec"])
    done = reproduce(mvtec, tmp_path, "-c", "bottle,screw", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        "Warning: Only the mean over the 15 classes of mvtec is published for AUPRO (last): "
        "there will be no gap with 2 of them."
    )
    found = ledger_of(only(tmp_path / "ledger"))
    assert lines(found, "image_auroc", "last") == {
        "bottle": (1.0, 0.995, False),
        "screw": (1.0, pytest.approx(0.994), True),
        "mean": (1.0, pytest.approx(0.9945), True),
    }
    assert lines(found, "image_auroc", "oracle")["bottle"] == (1.0, 1.0, False)
    pixel = lines(found, "pixel_auroc", "unknown")
    assert pixel["screw"][1:] == (None, False)
    assert (found["complete"], found["preset"], found["seeds"], found["dataset_classes"]) == (True, "paper", [0], 15)
    assert found["command"] == "adbench reproduce known -d mvtec"
    (aupro,) = (row for row in found["means"] if row["metric"] == "aupro")
    assert aupro["gap"] is None  # the published mean is over 15 classes
    stored = store.read_all(tmp_path).results
    assert [run["run"] for run in found["runs"]] == [run.run for run in stored]
    assert found["data"] == {run.class_name: run.identity.data for run in stored}
    summary, *_ = json.loads(done.stdout)
    assert [(row["metric"], row["policy"], row["above"]) for row in summary["rows"]][:2] == [
        ("image_auroc", "last", "1 of 2"),
        ("image_auroc", "oracle", "0 of 2"),
    ]


def test_the_page_lies_beside_the_ledger_and_a_second_time_nothing_is_computed(mvtec, tmp_path):
    """--output chooses the folder; the second ledger has the same numbers."""
    words = ("-c", "bottle", "--seeds", "0,1", "--output", tmp_path / "out")
    assert reproduce(mvtec, tmp_path / "results", *words).exit_code == 0
    first, page = ledger_of(tmp_path / "out"), (tmp_path / "out" / "ledger.md").read_text(encoding="utf-8")
    assert page.startswith("# known on mvtec: our numbers beside the published ones\n\nComplete: 1 of 15 classes.")
    assert re.search(r"\| bottle \| 100.00 \| 99.50 \| \+0.50 \| within 0.5 \|", page)
    again = reproduce(mvtec, tmp_path / "results", *words)
    assert again.stderr.count("already there, nothing to compute") == 2
    assert ledger_of(tmp_path / "out")["rows"] == first["rows"]
    assert first["seeds"] == [0, 1]


def test_a_stopped_reproduction_goes_on(mvtec, tmp_path, monkeypatch):
    """Ctrl-C leaves no ledger; the same command keeps the finished class and goes on in the other one."""
    monkeypatch.setenv("KNOWN_STOPS", "screw")
    stopped = reproduce(mvtec, tmp_path, "-c", "bottle,screw")
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1] == "Stopped with 1 of 2 tasks done; the same command goes on from here."
    assert not (tmp_path / "ledger").exists()
    monkeypatch.delenv("KNOWN_STOPS")
    done = reproduce(mvtec, tmp_path, "-c", "bottle,screw")
    assert done.exit_code == 0, done.stderr
    assert "= known · mvtec/bottle" in done.stderr
    assert "known screw: going on after epoch 1" in done.stderr
    found = ledger_of(only(tmp_path / "ledger"))
    assert lines(found, "image_auroc", "last")["screw"] == (1.0, pytest.approx(0.994), True)


def test_failed_tasks_are_named_in_the_ledger(mvtec, tmp_path, monkeypatch):
    """The exit code is 1; what was computed is compared, and the reason stands in both files."""
    monkeypatch.setenv("KNOWN_FAILS", "screw")
    done = reproduce(mvtec, tmp_path, "-c", "bottle,screw")
    assert done.exit_code == 1
    assert "1 of 2 tasks failed; the others are stored." in done.stderr
    found = ledger_of(only(tmp_path / "ledger"))
    assert not found["complete"]
    assert found["failed"] == {"known · mvtec/screw · seed 0": "this class fails on purpose."}
    assert list(lines(found, "image_auroc", "last")) == ["bottle", "mean"]
    page = (only(tmp_path / "ledger") / "ledger.md").read_text(encoding="utf-8")
    assert "this class fails on purpose" in page


def test_without_any_result_there_is_no_ledger(mvtec, tmp_path, monkeypatch):
    """If every task fails by the user's mistake the exit code is 2."""
    monkeypatch.setenv("KNOWN_FAILS", "bottle")
    assert reproduce(mvtec, tmp_path, "-c", "bottle").exit_code == 2
    assert not (tmp_path / "ledger").exists()


def test_a_class_without_masks_has_no_pixel_gap(mvtec, tmp_path):
    """Where a metric is not defined, ours is missing and nothing is flagged."""
    root = tmp_path / "data"
    shutil.copytree(mvtec / "mvtec_anomaly_detection" / "bottle", root / "bottle")
    shutil.rmtree(root / "bottle" / "ground_truth")
    done = reproduce(root, tmp_path / "results", "-c", "bottle", "--source", "quotation")
    assert done.exit_code == 0, done.stderr
    found = ledger_of(only(tmp_path / "results" / "ledger"))
    assert lines(found, "pixel_auroc", "unknown") == {"bottle": (None, 0.98, False), "mean": (None, None, False)}
    assert {row["metric"] for row in found["rows"]} == {"pixel_auroc"}


def test_few_shot_numbers_are_reproduced_in_their_setting(mvtec, tmp_path):
    """--shots compares with the numbers of as many shots."""
    done = reproduce(mvtec, tmp_path, "-c", "bottle", "--shots", 2)
    assert done.exit_code == 0, done.stderr
    found = ledger_of(only(tmp_path / "ledger"))
    assert (found["setting"], found["shots"], found["variant"]) == ("few-shot", 2, "known:few-shot=2")
    assert lines(found, "image_auroc", "last")["bottle"] == (1.0, 0.5, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-p", "cpu"), "--preset cpu: found no published set-up, wanted one of paper, paper-dark"),
        (("-p", "papr"), "unknown preset of known 'papr'"),
        (("--shots", "2", "-c", "screw"), "known on mvtec/screw: found none, wanted one of the classes bottle"),
        (("--shots", "3"), "published numbers of known on mvtec (few-shot, --shots 3): found none"),
        (("--source", "nowhere"), "--source 'nowhere': found no such source"),
        (("--weights", "x"), "no option 'weights' in known"),
        (("--setting", "multi-class"), "published numbers of known on mvtec (multi-class): found none"),
    ],
)
def test_mistakes_end_before_anything_is_trained(mvtec, tmp_path, words, text):
    """One line, exit code 2, and nothing stored."""
    done = reproduce(mvtec, tmp_path / "results", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_another_published_preset_is_taken(mvtec, tmp_path):
    """A preset that begins with paper- is a published set-up, too."""
    done = reproduce(mvtec, tmp_path, "-c", "bottle", "-p", "paper-dark")
    assert done.exit_code == 0, done.stderr
    assert ledger_of(only(tmp_path / "ledger"))["variant"] == "known:paper-dark"


def test_no_ledger_overwrites_that_of_another_question(mvtec, tmp_path):
    """Other classes, shots, presets and seeds have folders of their own."""
    for words in (
        ("-c", "bottle"),
        ("-c", "bottle,screw"),
        ("-c", "bottle", "--shots", 2),
        ("-c", "bottle", "--seed", 3),
    ):
        assert reproduce(mvtec, tmp_path, *words).exit_code == 0
    assert reproduce(mvtec, tmp_path, "-c", "bottle", "-p", "paper-dark").exit_code == 0
    assert {folder.name for folder in (tmp_path / "ledger").iterdir()} == {
        "known-mvtec-bottle", "known-mvtec-bottle+screw", "known-mvtec-few-shot-2-bottle",
        "known-mvtec-bottle-seeds-3", "known-mvtec-paper-dark-bottle",
    }  # fmt: skip
