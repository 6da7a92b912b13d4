"""Results on disk: complete and exact."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from runs import posix_only

from adbench.api.scores import METRIC_NAMES, Metrics
from adbench.results import result_file, serialization, store
from adbench.results.records import Best, EpochRecord, Result
from adbench.results.store import ImageScore, RunFolder, read_all
from adbench.util.errors import CheckpointError, ResultError, TaskError, UnknownNameError

SCORES = [ImageScore("bolts/test/good/ä 1.png", 0, "good", 0.1), ImageScore("bolts/test/cut/2.png", 1, "cut", 1 / 3)]
EPOCHS = [EpochRecord(1, 2, 1.5, 1e-4, 0.5), EpochRecord(2, 2, 1.25, 1e-4, 0.25, Metrics(image_auroc=0.75))]


def folder_for(root: Path, result: Result) -> RunFolder:
    return RunFolder(root, result.dataset, result.class_name, result.method, result.run)


def save(root: Path, result: Result) -> RunFolder:
    folder = folder_for(root, result)
    folder.write_result(result, SCORES, EPOCHS)
    return folder


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


# ---------------------------------------------------------------- all runs


def test_read_all_finds_and_filters(tmp_path):
    """All finished runs are found, whatever their names, and can be filtered."""
    made = [make_result(method, name) for method in ("msflow", "cflow") for name in ("metal nut", "a/b", "零件")]
    for result in made:
        save(tmp_path, result)
    unfinished = RunFolder(tmp_path, "folder", "bolts", "msflow", "paper-seed9")
    unfinished.save_checkpoint("state", {"epoch": 1})

    def names(**filters):
        library = read_all(tmp_path, **filters)
        assert library.problems == ()
        return {(result.method, result.class_name) for result in library.results}

    assert names() == {(result.method, result.class_name) for result in made}
    assert names(method="cflow", class_name="a/b") == {("cflow", "a/b")}
    assert len(names(dataset="folder")) == 6
    with pytest.raises(UnknownNameError, match="Did you mean 'metal nut'"):
        read_all(tmp_path, class_name="metal nuts")


def test_unreadable_results_are_reported(tmp_path):
    """Broken, newer and copied results are left out with a sentence each; the others are read."""
    good = save(tmp_path, make_result())
    text = (good.path / "result.json").read_text(encoding="utf-8")
    for number, content in enumerate(
        [
            "not json",
            "[]",
            text.replace('"schema": 1', '"schema": 2'),
            text.replace('"seed": 0', '"seed": "zero"'),
            text.replace('"seed": 0,', ""),
            text,
        ]
    ):
        path = good.path.with_name(f"run{number}") / "result.json"
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
    library = read_all(tmp_path)
    assert len(library.results) == 1
    problems = "\n".join(library.problems)
    assert len(library.problems) == 6
    assert "run2" in problems
    assert "newer adbench" in problems
    assert "Result.seed is a text, wanted a whole number" in problems
    assert "Result has no field 'seed'" in problems
    assert "a copy of run" in problems
    assert "Result is a list, wanted an object" in problems


def test_nothing_there_gives_a_hint(tmp_path):
    """For an empty or missing folder the message says how to make the first result."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ResultError, match="adbench run"):
            read_all(folder)
    with pytest.raises(ResultError, match="no such file"):
        folder_for(tmp_path, make_result()).read_result()


def test_unknown_fields_are_passed_over(tmp_path):
    """A result of the same schema with an additional field is read."""
    folder = save(tmp_path, make_result())
    path = folder.path / "result.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "later": 1}), encoding="utf-8")
    assert make_result() == replace(folder.read_result(), files={}, digest=None)


def test_neither_store_nor_report_imports_torch():
    """Reading results is quick: torch is imported only for checkpoints."""
    modules = "sys, adbench.results.store, adbench.report, adbench.report.render.terminal"
    program = f"import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert result_file.SCHEMA == 1


def test_a_result_fits_its_files_though_another_machine_writes_the_same_run(tmp_path, monkeypatch):
    """Without a common lock both write the epoch curve, with other seconds; in the end the result is of all files."""
    folder, other = folder_for(tmp_path, make_result()), folder_for(tmp_path, make_result())
    write, writes = store.RunFolder._write, []

    def interrupted(self: RunFolder, name: str, text: str) -> str:
        if self is folder and name == "result.json":
            writes.append(name)
            if len(writes) == 1:
                other.write_result(make_result(), SCORES, [replace(each, seconds=9.5) for each in EPOCHS])
        return write(self, name, text)

    monkeypatch.setattr(store.RunFolder, "_write", interrupted)
    folder.write_result(make_result(), SCORES, EPOCHS)
    assert len(writes) == 2
    assert result_file.fits_its_files(folder.path / "result.json")


@posix_only
def test_a_result_that_is_a_link_to_nowhere_is_named(tmp_path):
    """It is left out by name, as another unreadable result, and not in silence."""
    save(tmp_path, make_result())
    lost = save(tmp_path, make_result("lost")).path / "result.json"
    lost.unlink()
    lost.symlink_to("nowhere")
    found = read_all(tmp_path)
    assert (len(found.results), len(found.problems)) == (1, 1)
    assert str(lost) in found.problems[0]


def test_stored_runs_come_in_a_natural_order(tmp_path):
    """Presets come first, then changes by the value of their numbers, whatever the digests of the folders are."""
    values = [10.0, 0.5, 2.0, 1e-5, 0.05]
    made = [make_result("m", overrides={"noise": value}) for value in values]
    made += [make_result("m", preset="cpu"), make_result("m", seed=1), make_result("m")]
    for number, result in enumerate(made):
        save(tmp_path, replace(result, run=f"{number}"))
    found = [(run.preset, run.overrides.get("noise"), run.seed) for run in read_all(tmp_path).results]
    presets = [("paper", None, 0), ("paper", None, 1), ("cpu", None, 0)]
    assert found == [*presets, *(("paper", value, 0) for value in sorted(values))]
