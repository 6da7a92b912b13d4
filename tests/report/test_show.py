"""All about one run fits a terminal of 80 columns, and is safe there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import make_result

from adbench.api.registry import Registry
from adbench.api.scores import METRIC_NAMES, Threshold
from adbench.report import show
from adbench.results.records import Result
from adbench.run.standing import Standing

NOTHING = Registry({}, {})


def shown(*run: Result, results: Path, states: tuple[str, ...] = ("current",)) -> show.Shown:
    standings = [Standing(state, ("code changed",) if state == "stale" else ()) for state in states]
    return show.of_run(run, standings, results, NOTHING, run[0].variant)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_terminal_but_for_paths_and_the_command(tmp_path, width):
    """Long facts are folded under their labels; what people copy stays in one line."""
    result = replace(make_result(), command="adbench run " + "-o key=value " * 20)
    lines = show.to_text(shown(result, results=tmp_path), width).splitlines()
    whole = [line for line in lines if line.startswith("command") or str(tmp_path) in line]
    assert len(whole) == 2
    assert max(len(line) for line in lines if line not in whole) <= width
    labels = [line[: show.LABEL].strip() for line in lines]
    assert [label for label in labels if label] == [
        "folder", "state", "changes", "images", "threshold", "time", "model", "protocol", "environment", "files",
        "command",
    ]  # fmt: skip


def test_control_characters_are_escapes(tmp_path):
    """Names come from other people: neither the text nor the JSON may drive a terminal."""
    result = make_result(overrides={"name": "\x1b[31m\x9b"})
    found = shown(result, results=tmp_path)
    assert r"\x1b[31m\x9b" in show.to_text(found, 80)
    text = show.to_json_text(found)
    assert "\x9b" not in text
    assert json.loads(text)["changes"][0]["value"] == "\x1b[31m\x9b"


def test_thresholds_and_their_lack_are_explained(tmp_path):
    """A useless threshold, none from too few scores, and none without images each have their reason."""
    useless = replace(make_result(), threshold=Threshold(1.0, "mean + 3 sd of 10 training scores", 1.0, 0.0))
    zero_shot = make_result(setting="zero-shot")
    for result, said in (
        (useless, "100.00 % false alarms, 0.00 % missed; useless, since it calls every good test image defective."),
        (make_result(), "none: the training scores are too few, or all equal."),
        (zero_shot, "none: a zero-shot method sees no good image"),
        (replace(make_result(), held_out_images=3), "none: the held-out scores are all equal."),
    ):
        assert said in show.to_text(shown(result, results=tmp_path), 500)


def test_the_state_of_a_run_is_that_of_its_worst_class(tmp_path):
    """One class with other images makes the whole model stale."""
    runs = [make_result(class_name=name, setting="multi-class", classes=("a", "b")) for name in "ab"]
    found = shown(*runs, results=tmp_path, states=("current", "stale"))
    assert (found.state, found.reason) == ("stale", "code changed")


def test_metrics_are_all_eight_with_their_mean(tmp_path):
    """A mean counts the classes in which a metric is defined."""
    runs = [make_result(class_name="a", image=0.8), make_result(class_name="b", image=0.9, aupro=None)]
    table = show.metrics_table(shown(*runs, results=tmp_path, states=("current", "current")))
    assert [column.key for column in table.columns] == ["class", *METRIC_NAMES]
    (footer,) = table.footers
    assert footer.class_name == "mean (2)"
    assert footer.metrics.image_auroc == pytest.approx(0.85)
    assert footer.metrics.aupro == 0.85


def test_a_label_and_the_run_that_was_evaluated_again_are_named(tmp_path):
    """Both stand there only where there are any."""
    plain = show.to_text(shown(make_result(), results=tmp_path), 80)
    assert "label " not in plain
    assert "evaluated " not in plain
    result = replace(make_result(), label="new lamp", evaluated_from="cpu-seed0-1a2b3c4d")
    lines = show.to_text(shown(result, results=tmp_path), 80).splitlines()
    assert "label        new lamp" in lines
    assert "evaluated    again, from the checkpoint of cpu-seed0-1a2b3c4d" in lines
