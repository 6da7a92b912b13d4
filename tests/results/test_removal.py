"""Runs are removed whole, by names that only one has, and never while a process computes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from made_results import make_result

from adbench.results import removal
from adbench.results.run_files import folder_of
from adbench.results.store import RunFolder
from adbench.util.errors import ResultError, TaskError, UnknownNameError, UsageError

JOINT = {"setting": "multi-class", "classes": ("bolts", "nuts")}


def store(results: Path, method: str, class_name: str, run: str, **changes) -> Path:
    """Store a made result, and return its folder."""
    result = replace(make_result(method, class_name, **changes), run=run)
    folder = folder_of(results, result)
    folder.write_result(result, [], [])
    return folder.path


@pytest.fixture
def results(tmp_path) -> Path:
    """A run of each of two methods on bolts, one of them on nuts, too, and a model of both classes; and a report."""
    store(tmp_path, "a", "bolts", "cpu-seed0-11aa")
    store(tmp_path, "b", "bolts", "cpu-seed0-22bb")
    store(tmp_path, "b", "nuts", "cpu-seed0-33bb")
    for name in ("bolts", "nuts"):
        store(tmp_path, "c", name, "cpu-multi-class-seed0-44cc", **JOINT)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("a page")
    return tmp_path


def names(results: Path) -> list[str]:
    return ["/".join(path.parts[-3:]) for path in removal.run_folders(results)]


@pytest.mark.parametrize("name", ["cpu-seed0-22bb", "22", "bolts/b", "folder/bolts/b/cpu-seed0-22bb"])
def test_a_run_is_found_by_any_part_that_only_it_has(results, name):
    """Names are those of ``adbench list runs``, or a part of DATASET/CLASS/METHOD/RUN."""
    (found,) = removal.find(results, [name])
    assert found.text == "folder/bolts/b/cpu-seed0-22bb"
    assert found.is_finished
    assert found.bytes > 100


def test_a_run_is_found_by_its_folder_and_a_file_in_it(results, monkeypatch):
    """A path as the shell completes it works."""
    monkeypatch.chdir(results)
    place = Path("folder/nuts/b/cpu-seed0-33bb")
    for name in (place, place / "result.json", f"./{place}/", place.parent, results / place):
        (found,) = removal.find(results, [str(name)])
        assert found.folders == (results / place,)


def test_names_in_a_result_that_no_folder_can_have_are_found(results):
    """The method "lib:a" lies in a folder of another name."""
    place = store(results, "lib:a", "bolts", "cpu-seed0-55dd")
    assert "lib:a" not in str(place)
    assert removal.find(results, ["bolts/lib:a"]) == removal.find(results, ["55dd"])


@pytest.mark.parametrize("name", ["bb", "cpu-seed0", "folder/bolts"])
def test_an_ambiguous_name_is_refused(results, name):
    """It is never resolved silently, and the runs that it fits are listed."""
    with pytest.raises(UsageError, match=r"[234] runs, wanted words that only one has\. Give .*bolts/b\b"):
        removal.find(results, [name])


def test_a_variant_is_found_and_no_unfinished_run_beside_it_is_forgotten(results):
    """Words pick finished runs; where a part of the folders fits an unfinished one as well, it is ambiguous."""
    assert removal.find(results, ["bolts/a"]) == removal.find(results, ["cpu-seed0-11aa"])
    unfinished = results / "folder/bolts/a/cpu-seed1-66ee"
    unfinished.mkdir()
    (unfinished / "state.pt").touch()
    with pytest.raises(UsageError, match=r"2 runs: .*66ee"):
        removal.find(results, ["bolts/a"])


def test_an_unknown_name_is_refused_with_the_nearest(results, tmp_path):
    """So are an empty one, and a folder without results."""
    with pytest.raises(UnknownNameError, match="Did you mean 'cpu-seed0-11aa'"):
        removal.find(results, ["cpu-seed0-11ab"])
    for name in ("", "/"):
        with pytest.raises(UnknownNameError):
            removal.find(results, [name])
    with pytest.raises(ResultError, match="no such folder"):
        removal.find(tmp_path / "missing", ["11aa"])


def test_the_classes_of_one_model_are_one_run(results):
    """A part that fits the folder of one class stands for all, and all go at once."""
    (run,) = removal.find(results, ["nuts/c"])
    assert run.text == "folder/bolts+nuts/c/cpu-multi-class-seed0-44cc"
    removal.remove(run)
    assert names(results) == ["bolts/a/cpu-seed0-11aa", "bolts/b/cpu-seed0-22bb", "nuts/b/cpu-seed0-33bb"]


def test_runs_of_classes_with_equal_names_are_not_one(results):
    """Only a model of several classes has several folders, whatever the runs are called."""
    place = store(results, "a", "nuts", "cpu-seed0-11aa")
    with pytest.raises(UsageError, match="2 runs"):
        removal.find(results, ["cpu-seed0-11aa"])
    (run,) = removal.find(results, [str(place)])
    assert run.folders == (place,)


def test_only_folders_of_runs_are_removed(results):
    """What else lies beside them stays: a report, other files, and the place to which a link leads."""
    kept = results / "folder" / "bolts" / "a" / "notes.txt"
    kept.write_text("mine")
    other = store(results / "elsewhere", "a", "bolts", "cpu-seed0-66ee")
    (results / "folder" / "bolts" / "a" / "linked").symlink_to(other)
    for run in removal.find(results, ["11aa", "22bb", "33bb", "44cc"]):
        removal.remove(run)
    assert names(results) == []
    assert kept.read_text() == "mine"
    assert (results / "report" / "index.html").exists()
    assert (other / "result.json").exists()
    assert not (results / "folder" / "nuts").exists()  # empty folders go
    with pytest.raises(UnknownNameError):
        removal.find(results, ["linked"])


def test_folders_of_other_programs_are_no_runs(tmp_path):
    """Others write "last.pt" four folders deep, too; neither that nor a result less or more deep is a run."""
    for place in ("runs/detect/train/weights/last.pt", "a/b/c/result.json", "a/b/c/d/e/state.pt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"mine")
    assert removal.run_folders(tmp_path) == []
    with pytest.raises(UnknownNameError):
        removal.find(tmp_path, ["weights"])


@pytest.mark.parametrize(("name", "fits"), [
    ("cpu-seed0-22bb", True), ("folder/bolts/b/cpu-seed0-22bb/", True), ("22bb", False), ("bolts/b", False),
])  # fmt: skip
def test_whole_names_may_be_required(results, name, fits):
    """A run's name or its folder is whole; a part of it, which fits one run now, is not."""
    if fits:
        assert removal.find(results, [name], whole=True) == removal.find(results, [name])
        return
    with pytest.raises(UsageError, match=r"a part of folder/bolts/b/cpu-seed0-22bb.*--yes"):
        removal.find(results, [name], whole=True)


def test_the_lock_is_held_until_the_folder_is_gone(results, monkeypatch):
    """A process that begins the run anew meanwhile would lose its files."""
    place = results / "folder" / "bolts" / "a" / "cpu-seed0-11aa"
    held = []
    vanish = RunFolder.vanish

    def watched(folder: RunFolder) -> bool:
        try:
            FileLock(place / ".lock").acquire(timeout=0)
        except Timeout:
            held.append(True)
        return vanish(folder)

    monkeypatch.setattr(RunFolder, "vanish", watched)
    removal.remove(*removal.find(results, ["11aa"]))
    assert held == [True]
    assert not place.exists()


def test_a_run_in_progress_is_refused(results):
    """Nothing of it is removed while another process holds its lock; of several classes the first one has it."""
    lock = FileLock(results / "folder" / "bolts" / "c" / "cpu-multi-class-seed0-44cc" / ".lock")
    (run,) = removal.find(results, ["44cc"])
    with lock, pytest.raises(TaskError, match="computed by another process"):
        removal.remove(run)
    assert run.is_finished
    removal.remove(run)
    assert not any(folder.exists() for folder in run.folders)


def test_an_unfinished_or_damaged_run_is_removed(results):
    """A killed run has a state and no result; another has one that can't be read."""
    killed = results / "folder" / "bolts" / "d" / "cpu-seed0-77ff"
    killed.mkdir(parents=True)
    (killed / "state.pt").write_bytes(b"state")
    (results / "folder" / "bolts" / "a" / "cpu-seed0-11aa" / "result.json").write_text("{")
    found = removal.find(results, ["77ff", "11aa"])
    assert [run.is_finished for run in found] == [False, True]
    for run in found:
        removal.remove(run)
    assert [name for name in names(results) if "77ff" in name or "11aa" in name] == []
