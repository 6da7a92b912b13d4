"""What is kept of trackers' runs beside a run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.api import TrackerRun
from adbench.results.store import RunFolder
from adbench.run import tracker_runs

texts = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=30)
@given(st.dictionaries(texts, st.builds(TrackerRun, texts, texts)))
def test_what_is_written_is_read(tmp_path_factory, runs):
    """Any names, ids and places come back."""
    folder = RunFolder(tmp_path_factory.mktemp("runs"), "demo", "bolts", "tiny", "run")
    folder.path.mkdir(parents=True)
    tracker_runs.write(folder, runs)
    assert tracker_runs.read(folder) == runs


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"wandb": 1}', '{"wandb": {"id": "x"}}', "\x00\xff"])
def test_a_file_that_is_missing_or_damaged_stands_for_no_runs(tmp_path, text):
    """Trackers then start anew, and the run itself is not touched."""
    folder = RunFolder(tmp_path, "demo", "bolts", "tiny", "run")
    folder.path.mkdir(parents=True)
    if text is not None:
        (folder.path / tracker_runs.FILE).write_text(text, encoding="latin-1")
    assert tracker_runs.read(folder) == {}
