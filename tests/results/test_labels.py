"""Labels: what may be one, and that storing one moves nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result

from adbench.api.scores import Metrics
from adbench.results import labels
from adbench.results.records import EpochRecord
from adbench.results.run_files import folder_of, lock_of
from adbench.results.store import RunFolder
from adbench.util.errors import OptionError, ResultError, TaskError


@settings(max_examples=40)
@given(st.text(max_size=80))
def test_a_checked_label_is_printable_short_and_checks_again(text):
    """Any text is either refused or becomes a label that is its own."""
    try:
        found = labels.checked(text)
    except OptionError:
        assert len(text.strip()) > 60 or not text.strip().isprintable()
        return
    assert found == text.strip() == labels.checked(found)
    assert found.isprintable()
    assert len(found) <= 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * 61, "--label: found 61 characters, wanted up to 60 printable characters."),
        ("two\nlines", r"--label: found 'two\nlines', wanted up to 60 printable characters."),
        ("red \x1b[31m", r"found 'red \x1b[31m'"),
    ],
)
def test_what_is_no_label_is_refused(text, said):
    """One line names what was found, with control characters as escapes."""
    with pytest.raises(OptionError) as caught:
        labels.checked(text)
    assert said in str(caught.value)


def test_storing_a_label_moves_nothing_else(tmp_path):
    """Numbers, digest and name stay, and so do fields of a newer adbench that this one doesn't know."""
    made = make_result(image=0.1 + 0.2)
    folder = RunFolder(tmp_path, made.dataset, made.class_name, made.method, made.run)
    stored = folder.write_result(made, [], [EpochRecord(4, 4, None, None, 1.0, Metrics(image_auroc=0.3))])
    path = folder.path / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_tomorrow": [1]}))
    before = json.loads(path.read_text())
    labelled = labels.store(folder, "ätzend, zu hell")
    assert (labelled.label, labelled.digest, labelled.run) == ("ätzend, zu hell", stored.digest, stored.run)
    assert json.loads(path.read_text(encoding="utf-8")) == {**before, "label": "ätzend, zu hell"}
    assert labels.store(folder, "").label == ""


def test_a_label_waits_for_the_model_of_its_class(tmp_path):
    """While a process has the lock of the model's first class, no class gets a label; a gone one is not made again."""
    protocol = replace(make_result().protocol, setting="multi-class", classes=("bolts", "nuts"))
    made = replace(make_result(), class_name="nuts", protocol=protocol)
    folder, first = folder_of(tmp_path, made), lock_of(tmp_path, made)
    folder.write_result(made, [], [])
    with lock_of(tmp_path, made).lock(), pytest.raises(TaskError, match="another process"):
        labels.store(folder, "x", lock=first)
    assert labels.store(folder, "x", lock=first).label == "x"
    assert first.path == tmp_path / made.dataset / "bolts" / made.method / made.run
    assert not first.path.parent.parent.exists()


def test_a_run_without_a_result_has_no_label(tmp_path):
    """An unfinished run is refused, and nothing is written."""
    with pytest.raises(ResultError, match="no such file"):
        labels.store(RunFolder(tmp_path, "d", "c", "m", "r"), "x")
    assert list(tmp_path.iterdir()) == []
