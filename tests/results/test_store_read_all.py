"""All runs of a folder are found, in a natural order, and what can't be read is named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from made_results import make_result
from runs import posix_only
from saved_results import EPOCHS, SCORES, folder_for, save

from adbench.results import result_file, store
from adbench.results.store import RunFolder, read_all
from adbench.util.errors import ResultError, UnknownNameError


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
