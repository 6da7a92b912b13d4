"""Runs of several folders come into one, whole or not at all, and conflicts are named."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from runs import posix_only
from shared_runs import contents, save_checkpoint, store, store_joint

from adbench.results import result_file
from adbench.results.sharing.merge import Merged, merge
from adbench.results.sharing.scan import Take, scan
from adbench.util import files
from adbench.util.errors import ResultError


def merged(target: Path, *sources: Path, **options) -> Merged:
    return merge([scan(source) for source in sources], target, **options)


def whats(done: Merged) -> list[str]:
    return [each.what for each in done.outcomes]


def metric(place: Path) -> float | None:
    return result_file.read(place / "result.json").metrics.image_auroc


@pytest.fixture
def sources(tmp_path) -> tuple[Path, Path]:
    """Two folders of results, with one run in common and a model of several classes."""
    for name in ("one", "two"):
        store(tmp_path / name)
    store(tmp_path / "one", run="r2")
    store(tmp_path / "two", "b")
    store_joint(tmp_path / "two")
    return tmp_path / "one", tmp_path / "two"


def test_runs_are_copied_and_those_in_common_are_one(sources, tmp_path):
    """Files are equal to the bytes, the sources stay, a second time nothing changes, and nothing else is left."""
    before = [contents(source) for source in sources]
    target = tmp_path / "results"
    assert whats(merged(target, *sources)) == ["added", "same", "added", "added", "added"]
    assert contents(target) == {**before[0], **before[1]}
    assert [contents(source) for source in sources] == before
    assert [path.name for path in target.iterdir()] == ["folder"]
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert whats(merged(target, *sources)) == ["same"] * 5
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == times


def test_a_checkpoint_that_classes_share_is_copied_once(sources, tmp_path):
    """Both names are links to one file, as the run stored them."""
    target = tmp_path / "results"
    merged(target, *sources)
    one, other = (target / f"folder/{name}/joint/j1/last.pt" for name in ("bolts", "nuts"))
    assert one.samefile(other)
    assert not one.samefile(sources[1] / "folder/bolts/joint/j1/last.pt")


def test_a_dry_run_says_the_same_and_writes_nothing(sources, tmp_path):
    """Not even the folder of the results."""
    target = tmp_path / "results"
    assert whats(merged(target, *sources, dry_run=True)) == ["added", "same", "added", "added", "added"]
    assert not target.exists()


def test_a_conflict_is_named_with_both_files_and_left_out(tmp_path):
    """The run that is there stays, the others come, and --prefer decides."""
    target, other = tmp_path / "results", tmp_path / "other"
    ours, theirs = store(target), store(other, image=0.5)
    store(other, "b")
    before = contents(target)
    done = merged(target, other)
    assert (done.failed, whats(done), [each.kind for each in done.left_out]) == (True, ["added"], ["conflict"])
    for text in (str(ours / "result.json"), str(theirs / "result.json"), "image_auroc 0.5 and 0.9", "--prefer"):
        assert text in done.left_out[0].reason
    assert contents(target).items() >= before.items()
    done = merged(target, other, prefer="ours")
    assert (done.failed, whats(done), metric(ours)) == (False, ["kept", "same"], 0.9)
    assert whats(merged(target, other, prefer="theirs", dry_run=True)) == ["replaced", "same"]
    done = merged(target, other, prefer="theirs")
    assert (done.failed, whats(done), metric(ours)) == (False, ["replaced", "same"], 0.5)
    assert whats(merged(target, other)) == ["same", "same"]


def test_sources_in_conflict_are_both_left_out(tmp_path):
    """No order of folders decides in silence which number is right; with --prefer the first or the last one counts."""
    one, two, target = tmp_path / "one", tmp_path / "two", tmp_path / "results"
    store(one, image=0.1)
    store(two, image=0.2)
    done = merged(target, one, two)
    assert (whats(done), len(done.left_out)) == ([], 1)
    assert str(one) in done.left_out[0].reason
    assert str(two) in done.left_out[0].reason
    assert not target.exists()
    for prefer, value in (("ours", 0.1), ("theirs", 0.2)):
        place = tmp_path / prefer
        merged(place, one, two, prefer=prefer)
        assert metric(place / "folder/bolts/a/r1") == value


def test_one_class_in_conflict_leaves_the_model_out(tmp_path):
    """The classes of one model are never mixed from two trainings."""
    target, other = tmp_path / "results", tmp_path / "other"
    _, nuts = store_joint(target)
    store_joint(other, image=0.5)
    shutil.rmtree(nuts)
    done = merged(target, other)
    assert (whats(done), [each.kind for each in done.left_out]) == ([], ["conflict"])
    assert not nuts.exists()
    merged(target, other, prefer="theirs")
    assert [metric(target / f"folder/{name}/joint/j1") for name in ("bolts", "nuts")] == [0.5, 0.5]


def test_equal_numbers_of_another_computation_are_the_same_run(tmp_path):
    """Ours stays as it is, with its label and its time."""
    target, other = tmp_path / "results", tmp_path / "other"
    store(target, label="mine")
    store(other, finished="2025-01-01T00:00:00+00:00")
    before = contents(target)
    assert whats(merged(target, other)) == ["same"]
    assert contents(target) == before


def test_what_a_copy_lacks_is_added(tmp_path):
    """A checkpoint and maps come later; those of another computation don't, as they may not fit."""
    full, target = tmp_path / "full", tmp_path / "results"
    place = store(full)
    save_checkpoint(place / "last.pt")
    (place / "maps/cut").mkdir(parents=True)
    (place / "maps/cut/1.png").write_bytes(b"picture")
    merge([scan(full, Take(checkpoints=False, maps=False))], target)
    assert len(contents(target)) == 3
    assert whats(merged(target, full, dry_run=True)) == ["completed"]
    assert whats(merged(target, full)) == ["completed"]
    found = contents(target)
    found.pop("folder/bolts/a/r1/.lock", None)
    assert found == contents(full)
    assert whats(merged(target, full)) == ["same"]
    store(tmp_path / "again", finished="2025")
    assert whats(merged(tmp_path / "again", full)) == ["same"]
    assert len(contents(tmp_path / "again")) == 3


def test_the_state_of_a_killed_run_gives_way_to_its_result(tmp_path):
    """But not while a process is computing it."""
    target, other = tmp_path / "results", tmp_path / "other"
    store(other)
    place = target / "folder/bolts/a/r1"
    place.mkdir(parents=True)
    (place / "state.pt").write_bytes(b"state")
    with FileLock(place / ".lock"):
        done = merged(target, other)
        assert (whats(done), [each.kind for each in done.left_out], done.failed) == ([], ["busy"], False)
    assert whats(merged(target, other)) == ["added"]
    assert not (place / "state.pt").exists()


def test_a_damaged_run_that_is_there_is_not_touched(tmp_path):
    """It is named; --prefer theirs puts the intact one in its place."""
    target, other = tmp_path / "results", tmp_path / "other"
    place = store(target)
    store(other)
    (place / "result.json").write_text("{")
    done = merged(target, other)
    assert ([each.kind for each in done.left_out], done.failed) == (["conflict"], True)
    assert (place / "result.json").read_text() == "{"
    merged(target, other, prefer="theirs")
    assert metric(place) == 0.9


@posix_only
@pytest.mark.parametrize("level", ["folder", "folder/bolts", "folder/bolts/a", "folder/bolts/a/r1"])
def test_nothing_is_written_through_a_link(tmp_path, level):
    """A link in the target may lead anywhere."""
    target, other, outside = tmp_path / "results", tmp_path / "other", tmp_path / "outside"
    store(other)
    outside.mkdir()
    (target / level).parent.mkdir(parents=True)
    (target / level).symlink_to(outside)
    done = merged(target, other, prefer="theirs")
    assert ([each.kind for each in done.left_out], done.failed) == (["link"], True)
    assert list(outside.iterdir()) == []


def test_another_process_may_merge_the_same_at_once(sources, tmp_path):
    """The one that comes second finds the run there, and compares; with other numbers that is a conflict."""
    target = tmp_path / "results"
    done = merge(
        [scan(source) for source in sources], target, watch=lambda text: text[:4] == "copy" and merged(target, *sources)
    )
    assert whats(done) == ["same", "same", "same", "same", "same"]
    assert contents(target) == {**contents(sources[0]), **contents(sources[1])}
    rival = store(tmp_path / "rival", "c", image=0.3)
    store(tmp_path / "mine", "c")
    done = merge([scan(tmp_path / "mine")], target, watch=lambda _: shutil.copytree(
        rival, target / "folder/bolts/c/r1", dirs_exist_ok=True))  # fmt: skip
    assert [each.kind for each in done.left_out] == ["conflict"]


@pytest.mark.parametrize("number", [1, 2, 5, 8])
def test_a_full_disk_leaves_no_half_run(sources, tmp_path, monkeypatch, number):
    """What is there is intact, no temporary folder stays, and the next merge completes it."""
    target, calls, flush = tmp_path / "results", [], files.flush

    def full(stream) -> None:
        calls.append(stream)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(stream)

    monkeypatch.setattr(files, "flush", full)
    with pytest.raises(ResultError, match=r"can't be written: found No space left"):
        merged(target, *sources)
    monkeypatch.undo()
    assert [path.name for path in target.iterdir()] in ([], ["folder"])
    if target.joinpath("folder").exists():
        assert [each.kind for each in scan(target).left_out] in ([], ["unfinished"])
    merged(target, *sources)
    assert contents(target) == {**contents(sources[0]), **contents(sources[1])}


def test_a_run_that_changes_while_it_is_copied_is_left_out(tmp_path):
    """Its files may be of two computations."""
    place = store(tmp_path / "other")
    found = scan(tmp_path / "other")
    (place / "scores.csv").write_text("other")
    done = merge([found], tmp_path / "results")
    assert [each.kind for each in done.left_out] == ["damaged"]
    assert contents(tmp_path / "results") == {}


# ---------------------------------------------------------------- processes

PROGRAM = """
import sys
from pathlib import Path
from adbench.results.sharing.merge import merge
from adbench.results.sharing.scan import scan
found = [scan(Path(name)) for name in sys.argv[2:]]
print("ready", flush=True)
sys.stdin.readline()
merge(found, Path(sys.argv[1]))
"""


def start(target: Path, *sources: Path) -> subprocess.Popen[str]:
    """Start a process that is ready to merge."""
    words = [sys.executable, "-c", PROGRAM, str(target), *map(str, sources)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def many(tmp_path) -> Path:
    """Forty runs."""
    for number in range(40):
        store(tmp_path / "many", run=f"r{number}")
    return tmp_path / "many"


@pytest.mark.slow
def test_two_processes_merge_into_one_folder(many, tmp_path):
    """Both end well, and all runs are there, once and whole."""
    target = tmp_path / "results"
    processes = [start(target, many) for _ in range(2)]
    for process in processes:
        go(process)
    assert [process.wait(60) for process in processes] == [0, 0]
    assert contents(target) == contents(many)


@pytest.mark.slow
@posix_only
def test_a_killed_merge_leaves_whole_runs_alone(many, tmp_path):
    """Killed at any moment, each run is whole or absent, and the next merge removes what was left and completes it."""
    target, seen = tmp_path / "results", set()
    for least in (0, 1, 5, 12, 30):
        process = start(target, many)
        go(process)
        while process.poll() is None and len(list(target.glob("*/*/*/*/result.json"))) < least:
            time.sleep(0.001)
        process.kill()
        process.wait(60)
        found = scan(target) if target.exists() else None
        assert found is None or found.left_out == ()
        seen.add(0 if found is None else len(found.runs))
        runs = {path: data for path, data in contents(target).items() if not path.startswith(".")}
        assert runs.items() <= contents(many).items()
    merged(target, many)
    assert contents(target) == contents(many)
    assert [path.name for path in target.iterdir()] == ["folder"]
    assert len(seen) > 1
