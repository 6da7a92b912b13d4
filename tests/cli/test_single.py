"""One stored run: all about it on one screen, and its removal."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from made_results import make_result
from runs import TINY, adbench, line_of

from adbench.api.scores import METRIC_NAMES, Threshold
from adbench.cli import single
from adbench.results.run_files import folder_of

JOINT = {"setting": "multi-class", "classes": ("bolts", "nuts")}


def store(results: Path, class_name: str, run: str, **changes) -> Path:
    result = make_result("tiny", class_name, preset="cpu", **changes)
    result = replace(
        result, run=run, threshold=Threshold(1.25, "mean + 3 sd of 10 training scores", 0.1, None),
        command="adbench run -m tiny -d folder -c bolts -p cpu -o epochs=1",
    )  # fmt: skip
    folder = folder_of(results, result)
    folder.write_result(result, [], [])
    return folder.path


@pytest.fixture
def results(tmp_path) -> Path:
    """A run with a changed option, and a model of two classes."""
    place = store(tmp_path, "bolts", "cpu-seed0-11aa", overrides={"epochs": 1})
    (place / "maps").mkdir()
    (place / "maps" / "0.png").write_bytes(b"12345")
    for name in ("bolts", "nuts"):
        store(tmp_path, name, "cpu-multi-class-seed0-22bb", **JOINT)
    return tmp_path


# ---------------------------------------------------------------- show


def test_show_has_all_on_one_screen(results):
    """Metrics, the option that differs with the preset's value, threshold, times, protocol, files and command."""
    done = adbench("show", "11aa", "--results", results, "--plugin", TINY)
    assert (done.exit_code, done.stderr) == (0, "")
    for text in (
        "tiny:cpu,epochs=1 on folder, seed 0", "90.00", "95.00", "epochs=1 (cpu: 3)", "10 for training, 8 for testing",
        "1.25 (mean + 3 sd of 10 training scores): 10.00 % false alarms, - missed", "training 10.0 s", "40.0 images/s",
        "64x64 by stretch", "a processor", "result.json", "maps/ (1 file, 0.1 KB)", "unchecked",
        str(results / "folder/bolts/tiny/cpu-seed0-11aa"),
    ):  # fmt: skip
        assert text in done.stdout, text
    assert done.stdout.splitlines()[-1] == "command      adbench run -m tiny -d folder -c bolts -p cpu -o epochs=1"
    assert len(done.stdout.splitlines()) <= 24


def test_show_as_json_has_every_metric(results):
    """One object with all fields, for programs."""
    done = adbench("show", "11aa", "--results", results, "--plugin", TINY, "--format", "json")
    found = json.loads(done.stdout)
    assert found["changes"] == [{"option": "epochs", "value": "1", "preset": "3"}]
    (of_class,) = found["classes"]
    assert tuple(of_class["metrics"]) == METRIC_NAMES
    assert of_class["metrics"]["image_auroc"] == 0.9
    assert of_class["threshold"]["value"] == 1.25
    assert {"result.json", "scores.csv", "maps/0.png"} <= {file["name"] for file in of_class["files"]}
    assert (found["state"], found["protocol"]["size"]) == ("unchecked", [64, 64])
    assert found["command"].startswith("adbench run")


def test_show_without_the_method_still_has_the_changes(results):
    """The preset's values are left out where the method isn't there."""
    done = adbench("show", "11aa", "--results", results)
    assert done.exit_code == 0
    assert "changes      epochs=1\n" in done.stdout


def test_a_model_of_several_classes_is_one_run(results):
    """A part that fits one class shows all, with their mean."""
    done = adbench("show", "nuts/tiny", "--results", results)
    assert done.exit_code == 0
    for text in ("bolts", "nuts", "mean (2)", "multi-class: one model of bolts, nuts", "and 1 folder of other classes"):
        assert text in done.stdout
    found = json.loads(adbench("show", "nuts/tiny", "--results", results, "--format", "json").stdout)
    assert [each["class_name"] for each in found["classes"]] == ["bolts", "nuts"]


@pytest.mark.parametrize(("name", "said"), [("cpu", "2 runs"), ("nothing", "unknown run"), ("11ab", "unknown run")])
def test_show_refuses_what_no_run_or_several_have(results, name, said):
    """In one line, with exit code 2."""
    done = adbench("show", name, "--results", results)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in line_of(done)


# ---------------------------------------------------------------- rm


def folders(results: Path) -> list[str]:
    return sorted("/".join(path.parts[-5:-2]) for path in results.glob("*/*/*/*/result.json"))


def test_rm_removes_without_a_question_with_yes(results):
    """In a script; what was removed is said on standard error."""
    done = adbench("rm", "cpu-seed0-11aa", "nuts/tiny", "--yes", "--results", results)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "Removed folder/bolts/tiny/cpu-seed0-11aa.", "Removed folder/bolts+nuts/tiny/cpu-multi-class-seed0-22bb.",
    ]  # fmt: skip
    assert folders(results) == []


def test_rm_takes_no_part_of_a_name_where_nobody_can_answer(results):
    """A script must give the whole name, or --yes; then nothing else goes."""
    done = adbench("rm", "cpu-multi-class-seed0-22bb", "11aa", "--results", results)
    assert done.exit_code == 2
    assert "a part of folder/bolts/tiny/cpu-seed0-11aa" in line_of(done)
    assert len(folders(results)) == 3
    done = adbench("rm", "cpu-seed0-11aa", "--results", results)
    assert (done.exit_code, len(folders(results))) == (0, 2)


@pytest.mark.parametrize(("answer", "left"), [(True, 2), (False, 3)])
def test_rm_asks_on_a_terminal(results, monkeypatch, answer, left):
    """The runs are listed with their sizes; no means that nothing goes, and --yes that nothing is asked."""
    asked = []

    def confirm(text: str, **_: object) -> None:
        asked.append(text)
        if not answer:
            raise single.click.Abort

    monkeypatch.setattr(single, "is_terminal", lambda: True)
    monkeypatch.setattr(single.click, "confirm", confirm)
    done = adbench("rm", "11aa", "--results", results)
    assert asked == [f"Remove 1 run from {results}, with checkpoints and maps?"]
    assert "folder/bolts/tiny/cpu-seed0-11aa: " in done.stderr
    assert done.exit_code == (0 if answer else 1)
    assert len(folders(results)) == left
    adbench("rm", "22bb", "--yes", "--results", results)
    assert len(asked) == 1


def test_rm_refuses_an_ambiguous_name_before_anything_goes(results):
    """A name that is right beside one that isn't removes nothing."""
    done = adbench("rm", "11aa", "cpu", "--results", results)
    assert done.exit_code == 2
    assert "2 runs, wanted" in line_of(done)
    assert len(folders(results)) == 3


def test_rm_refuses_a_run_in_progress_and_goes_on(results):
    """The others are removed, and exit code 1 says that one was not."""
    place = results / "folder" / "bolts" / "tiny" / "cpu-multi-class-seed0-22bb"
    with FileLock(place / ".lock"):
        done = adbench("rm", "22bb", "11aa", "--yes", "--results", results)
    assert done.exit_code == 1
    assert "is being computed by another process" in done.stderr
    assert folders(results) == ["folder/bolts/tiny", "folder/nuts/tiny"]


@pytest.mark.parametrize("command", [("show",), ("threshold",), ("predict", "{images}"), ("label", "mine")])
def test_a_variant_names_a_run_in_every_command(ran, tmp_path, tiny_data, command):
    """An ambiguous one is refused with words that the same command then takes."""
    results = shutil.copytree(ran, tmp_path / "results")
    first, *rest = (word.format(images=tiny_data / "bolts/test/good/000.png") for word in command)
    more = ("--device", "cpu", "--plugin", TINY) if first == "predict" else ()
    refused = adbench(first, "folder/bolts/tiny", *rest, "--results", results, *more)
    assert (refused.exit_code, "found 2 runs, wanted words that only one has" in refused.stderr) == (2, True)
    word, _, _ = refused.stderr.partition("Give ")[2].partition(" or ")
    assert word.startswith("bolts/tiny:cpu")
    done = adbench(first, word, *rest, "--results", results, *more)
    assert done.exit_code == 0, done.stderr
