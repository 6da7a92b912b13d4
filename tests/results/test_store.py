"""Results on disk: complete and exact."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from saved_results import EPOCHS, SCORES, folder_for, save

from adbench.api.scores import METRIC_NAMES, Metrics
from adbench.results import serialization, store
from adbench.results.records import Best, EpochRecord, Result
from adbench.results.store import ImageScore, RunFolder
from adbench.util.errors import CheckpointError, ResultError, TaskError

# ---------------------------------------------------------------- JSON

finite = st.floats(allow_nan=False, allow_infinity=False)


option_values = st.one_of(
    st.none(), st.booleans(), st.integers(), finite, st.text(), st.lists(st.integers()).map(tuple)
)


fraction = st.floats(0, 1)


metrics = st.builds(Metrics, **{name: st.none() | fraction for name in METRIC_NAMES})


@settings(max_examples=40, deadline=None)
@given(
    overrides=st.dictionaries(st.text(), option_values),
    measured=metrics,
    best=st.lists(st.builds(Best, st.text(), fraction, st.integers())).map(tuple),
    skipped=st.lists(st.text(st.characters())).map(tuple),
    rate=st.none() | st.floats(0, allow_infinity=False),
)
def test_result_survives_the_disk(tmp_path_factory, overrides, measured, best, skipped, rate):
    """A result that is read equals the written one: every float bit, tuple, None, text and nested record."""
    result = make_result(overrides=overrides)
    result = replace(
        result,
        run="one",
        metrics=measured,
        oracle=best,
        skipped=skipped,
        timing=replace(result.timing, images_per_second=rate),
        options={"size": [64, 64], "amp": "off", "weights": None},
    )
    folder = save(tmp_path_factory.mktemp("results"), result)
    assert result == replace(folder.read_result(), files={}, digest=None)


def test_surrogates_in_paths_survive():
    """A path with bytes that are not text is still valid JSON, and reads back."""
    result = replace(make_result(), skipped=("bad\udc80name.png",))
    text = serialization.to_text(result).encode("utf-8", "backslashreplace").decode("utf-8")
    assert result == serialization.from_text(Result, text)


def test_nan_is_written_as_null(tmp_path):
    """No file contains NaN, which strict JSON readers refuse."""
    result = make_result(image=math.nan)
    result = replace(result, timing=replace(result.timing, fit=math.inf))
    folder = folder_for(tmp_path, result)
    folder.write_result(result, [ImageScore("a.png", 0, "good", math.nan)], [EpochRecord(1, 1, math.nan, None, 0.0)])
    text = "".join(path.read_text(encoding="utf-8") for path in folder.path.iterdir())
    assert "nan" not in text.lower()
    assert "infinity" not in text.lower()
    read = folder.read_result()
    assert read.metrics.image_auroc is None
    assert math.isnan(read.timing.fit)


def test_canonical_text_knows_no_order_and_no_number_type():
    """Digests don't depend on the order of keys, or on 2 against 2.0, but they do on True against 1."""
    assert serialization.canonical({"a": 2.0, "b": (1, 2)}) == serialization.canonical({"b": [1, 2], "a": 2})
    assert serialization.canonical(True) != serialization.canonical(1)
    assert serialization.canonical(math.inf) == "null"
    assert serialization.canonical({"a": math.inf}) == '{"a":"inf"}'


# ---------------------------------------------------------------- files


def test_csv_files(tmp_path):
    """Scores and epochs are plain UTF-8 CSV with every digit; undefined values are empty."""
    folder = save(tmp_path, make_result())
    with (folder.path / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [score.path for score in SCORES]
    assert [row["defect"] for row in rows] == ["good", "cut"]
    assert [float(row["score"]) for row in rows] == [0.1, 1 / 3]
    with (folder.path / "epochs.csv").open(encoding="utf-8", newline="") as stream:
        epochs = list(csv.DictReader(stream))
    assert list(epochs[0]) == ["number", "total", "loss", "learning_rate", "seconds", *METRIC_NAMES]
    assert [row["image_auroc"] for row in epochs] == ["", "0.75"]
    assert float(epochs[0]["learning_rate"]) == 1e-4


@pytest.mark.parametrize("survivors", range(4))
def test_a_crash_between_writes_leaves_no_finished_run(tmp_path, monkeypatch, survivors):
    """A run that was killed before the last file was renamed has no result, keeps its state and can be finished."""
    result = make_result()
    folder = folder_for(tmp_path, result)
    folder.save_checkpoint("state", {"epoch": 3})
    renamed, left = os.replace, [survivors]

    def replace_until_killed(source, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        renamed(source, target)

    monkeypatch.setattr(os, "replace", replace_until_killed)
    if survivors < 3:
        with pytest.raises(KeyboardInterrupt):
            folder.write_result(result, SCORES, EPOCHS)
        assert not folder.is_finished()
        assert folder.load_checkpoint("state") == {"epoch": 3}
        monkeypatch.setattr(os, "replace", renamed)
    folder.write_result(result, SCORES, EPOCHS)
    assert folder.is_finished()
    assert {path.name for path in folder.path.iterdir()} == {"result.json", "scores.csv", "epochs.csv"}


def test_a_half_written_checkpoint_does_not_replace_the_older(tmp_path):
    """What can't be saved raises, and the older file is still whole."""
    folder = folder_for(tmp_path, make_result())
    folder.save_checkpoint("state", {"weight": torch.ones(3)})
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        folder.save_checkpoint("state", {"weight": torch.zeros(3), "bad": lambda: None})
    assert torch.equal(folder.load_checkpoint("state")["weight"], torch.ones(3))
    assert [path.name for path in folder.path.iterdir()] == ["state.pt"]


def test_checkpoint_round_trip(tmp_path):
    """Tensors, numbers, texts, lists and dicts read back; a missing file is None."""
    folder = folder_for(tmp_path, make_result())
    assert folder.load_checkpoint("last") is None
    payload = {"state": {"w": torch.arange(4.0)}, "epoch": 3, "options": {"size": [64, 64]}, "name": "ä"}
    folder.save_checkpoint("last", payload)
    loaded = folder.load_checkpoint("last", torch.device("cpu"))
    assert torch.equal(loaded["state"].pop("w"), payload["state"].pop("w"))
    assert payload == loaded


def test_checkpoints_run_no_code(tmp_path):
    """A checkpoint that would run code when unpickled is refused, with the file's name."""
    folder = folder_for(tmp_path, make_result())
    folder.path.mkdir(parents=True)
    torch.save({"evil": subprocess.Popen}, folder.path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        folder.load_checkpoint("last")


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    """A failed write is an error with the path and a hint, and leaves no half-written file."""

    def no_space(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    folder = folder_for(tmp_path, make_result())
    with pytest.raises(ResultError, match=r"scores\.csv.*No space left.*--results"):
        folder.write_result(make_result(), SCORES, EPOCHS)
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("tensor", [torch.ones(100), torch.ones(200_000)], ids=["small", "large"])
def test_a_checkpoint_without_space_on_the_disk_says_why(tmp_path, monkeypatch, tensor):
    """The message names the file and what the system said, not a source file of torch; nothing half is left."""
    folder = RunFolder(tmp_path, "demo", "a", "tiny", "run")
    folder.save_checkpoint("last", {"weight": torch.zeros(2)})
    monkeypatch.setattr(store.files, "write", _onto_a_full_disk)
    with pytest.raises(ResultError, match=r"last\.pt can't be written: found No space left on device\. Free") as caught:
        folder.save_checkpoint("last", {"weight": tensor})
    assert "inline_container" not in str(caught.value)
    assert torch.equal(folder.load_checkpoint("last")["weight"], torch.zeros(2))


def _onto_a_full_disk(_, fill):
    """Write where there is space for 512 bytes."""

    class Full(io.RawIOBase):
        space = 512

        def writable(self):
            return True

        def write(self, data):
            self.space -= len(data)
            if self.space < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(data)

    fill(Full())


def test_discard_keeps_the_lock(tmp_path):
    """--force starts with an empty folder, but keeps other processes out of the run."""
    result = make_result()
    folder = save(tmp_path, result)
    folder.save_checkpoint("last", {"epoch": 1})
    with folder.lock():
        folder.discard()
        assert not folder.is_finished()
        assert {path.name for path in folder.path.iterdir()} <= {".lock"}
        with pytest.raises(TaskError), folder_for(tmp_path, result).lock():
            pass
    folder_for(tmp_path / "nowhere", result).discard()


def test_what_a_killed_run_left_is_swept(tmp_path):
    """The next look cleans up after a kill between the result and the removal of its state, or during a write."""
    folder = save(tmp_path, make_result())
    folder.save_checkpoint("last", {"epoch": 1})
    whole = {path.name for path in folder.path.iterdir()}
    folder.save_checkpoint("state", {"epoch": 1})
    (folder.path / f".last.pt-{'0' * 32}.tmp").write_bytes(b"half")
    folder.sweep()
    assert {path.name for path in folder.path.iterdir()} - {".lock"} == whole


def test_the_state_of_an_unfinished_run_is_not_swept(tmp_path):
    """Without a result, the run resumes from the state."""
    folder = folder_for(tmp_path, make_result())
    folder.save_checkpoint("state", {"epoch": 1})
    (folder.path / f".last.pt-{'0' * 32}.tmp").write_bytes(b"half")
    folder.sweep()
    assert {path.name for path in folder.path.iterdir()} - {".lock"} == {"state.pt"}


def test_nothing_is_swept_while_another_process_computes(tmp_path):
    """A run computed again with --force has both a result and a state for a moment."""
    result = make_result()
    folder = save(tmp_path, result)
    folder.save_checkpoint("state", {"epoch": 1})
    with folder_for(tmp_path, result).lock():
        folder.sweep()
    assert folder.load_checkpoint("state") == {"epoch": 1}
    with folder.lock():
        folder.sweep()
    assert folder.load_checkpoint("state") is None


def test_two_processes_never_compute_the_same_run(tmp_path):
    """A second process gets an error at once; a killed process leaves no lock."""
    folder = RunFolder(tmp_path, "demo", "brick", "msflow", "cpu-seed0")
    program = (
        "import sys, time; from pathlib import Path; from adbench.results.store import RunFolder\n"
        f"with RunFolder(Path({str(tmp_path)!r}), 'demo', 'brick', 'msflow', 'cpu-seed0').lock():\n"
        "    print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline().strip() == "locked"
            with pytest.raises(TaskError, match=r"msflow on demo/brick.*another process"), folder.lock():
                pass
        finally:
            other.kill()
            other.wait()
    with folder.lock():
        pass
