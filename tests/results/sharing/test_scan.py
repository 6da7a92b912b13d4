"""Finished and intact runs are found; all others are named."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from filelock import FileLock
from runs import posix_only
from shared_runs import contents, save_checkpoint, store, store_joint

from adbench.results import result_file
from adbench.results.sharing.scan import Take, scan


def left_out(found) -> list[tuple[str, str]]:
    return [(each.kind, each.place.name) for each in found.left_out]


def test_runs_are_found_with_their_files(tmp_path):
    """Each run has its files; checkpoints and maps on request, and nothing that isn't the run's."""
    place = store(tmp_path)
    save_checkpoint(place / "last.pt")
    (place / "maps").mkdir()
    for name in ("notes.txt", "state.pt", "tracking.json", ".lock", "maps.npz", "maps/cut.png"):
        (place / name).write_bytes(b"x")
    (tmp_path / "report").mkdir()
    before = contents(tmp_path)
    core = ("epochs.csv", "result.json", "scores.csv")
    for take, more in (
        (Take(checkpoints=False, maps=False), ()),
        (Take(maps=False), ("last.pt",)),
        (Take(), ("last.pt", "maps.npz", "maps/cut.png")),
    ):
        (run,) = scan(tmp_path, take).runs
        assert run.text == "folder/bolts/a/r1"
        assert run.parts[0].files == tuple(sorted((*core, *more)))
        assert run.bytes == sum((place / name).stat().st_size for name in (*core, *more))
    assert contents(tmp_path) == before


def test_the_classes_of_one_model_are_one_run(tmp_path):
    """It has a part for each class, in their order; one whose other class is missing is unfinished."""
    places = store_joint(tmp_path)
    (run,) = scan(tmp_path).runs
    assert [part.result.class_name for part in run.parts] == ["bolts", "nuts"]
    assert run.text == "folder/bolts+nuts/joint/j1"
    shutil.rmtree(places[1])
    found = scan(tmp_path)
    assert (found.runs, left_out(found)) == ((), [("unfinished", "j1")])
    assert "no intact result of nuts" in found.left_out[0].reason


DAMAGE = {
    "numbers": ("result.json", b'"image_auroc": 0.9', b'"image_auroc": 0.8'),
    "half": ("result.json", b'"schema"', b""),
    "newer": ("result.json", b'"schema": 1', b'"schema": 99'),
    "scores": ("scores.csv", b"0.125", b"0.126"),
    "curve": ("epochs.csv", b"1.5", b"1.6"),
    "other file": ("result.json", b'"scores.csv"', b'"../../secret"'),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_runs_are_named(tmp_path, name):
    """Changed numbers, changed files, and digests of files that are none of a result's."""
    store(tmp_path, run="whole")
    place = store(tmp_path)
    file, old, new = DAMAGE[name]
    data = (place / file).read_bytes()
    assert data.count(old) >= 1
    (place / file).write_bytes(data.replace(old, new))
    found = scan(tmp_path)
    assert [run.parts[0].result.run for run in found.runs] == ["whole"]
    assert left_out(found) == [("damaged", "r1")]
    assert str(place) in found.left_out[0].reason


@pytest.mark.parametrize("name", ["scores.csv", "epochs.csv"])
def test_missing_files_are_named(tmp_path, name):
    """A result without a file that its run stored is no whole run."""
    place = store(tmp_path)
    (place / name).unlink()
    found = scan(tmp_path)
    assert left_out(found) == [("damaged", "r1")]
    assert f"{name}: found no such file" in found.left_out[0].reason


def test_a_damaged_checkpoint_is_named(tmp_path):
    """Without checkpoints the run is intact."""
    place = store(tmp_path)
    save_checkpoint(place / "last.pt")
    data = bytearray((place / "last.pt").read_bytes())
    data[data.index(b"\x80?\x00\x00")] ^= 1  # within the tensor
    (place / "last.pt").write_bytes(data)
    found = scan(tmp_path)
    assert left_out(found) == [("damaged", "r1")]
    assert "--no-checkpoints" in found.left_out[0].reason
    assert len(scan(tmp_path, Take(checkpoints=False)).runs) == 1


def test_a_damaged_measurement_is_named(tmp_path):
    """Speeds have a digest, too."""
    place = store(tmp_path)
    (place / "speed.json").write_text("{}")
    assert left_out(scan(tmp_path)) == [("damaged", "r1")]


def test_unfinished_and_running_ones_are_named(tmp_path):
    """A killed run has a state and no result; one in progress holds its lock, of several classes the first one's."""
    killed = tmp_path / "folder" / "bolts" / "a" / "killed"
    killed.mkdir(parents=True)
    (killed / "state.pt").write_bytes(b"state")
    store(tmp_path, run="busy")
    first, _ = store_joint(tmp_path)
    with FileLock(first / ".lock"), FileLock(tmp_path / "folder/bolts/a/busy/.lock"):
        found = scan(tmp_path)
    assert found.runs == ()
    assert sorted(left_out(found)) == [("busy", "busy"), ("busy", "j1"), ("unfinished", "killed")]
    assert len(scan(tmp_path).runs) == 2


@posix_only
def test_links_are_not_followed(tmp_path):
    """A linked folder, at any level, and a linked file within a run are named; a pipe doesn't block."""
    other = store(tmp_path / "other")
    results = tmp_path / "results"
    store(results, run="own")
    (results / "linked").symlink_to(tmp_path / "other" / "folder")
    (results / "folder/bolts/a/r2").symlink_to(other)
    place = store(results, run="r3")
    (place / "scores.csv").unlink()
    (place / "scores.csv").symlink_to(other / "scores.csv")
    place = store(results, run="r4")
    os.mkfifo(place / "last.pt")
    found = scan(results)
    assert [run.parts[0].result.run for run in found.runs] == ["own"]
    assert sorted(left_out(found)) == [("damaged", "r3"), ("damaged", "r4"), ("link", "linked"), ("link", "r2")]


def test_chosen_results_alone_are_looked_at(tmp_path):
    """Of a model of several classes all are taken; a folder of another name is not lost in silence."""
    store(tmp_path)
    renamed = store(tmp_path, run="r2")
    _, second = store_joint(tmp_path)
    chosen = [result_file.read(place / "result.json") for place in (second, renamed)]
    renamed.rename(renamed.with_name("mine"))
    found = scan(tmp_path, chosen=chosen)
    assert [run.text for run in found.runs] == ["folder/bolts+nuts/joint/j1"]
    assert left_out(found) == [("damaged", "r2")]


def test_results_of_an_older_adbench_are_checked_by_their_scores(tmp_path):
    """They have no digests; scores that don't give the result's metrics are refused."""
    place = store(tmp_path, image=1.0)
    content = json.loads((place / "result.json").read_text())
    content = {key: value for key, value in content.items() if key not in ("files", "digest")}
    content |= {"test_images": 2, "last_epoch": 3}
    (place / "result.json").write_text(json.dumps(content))
    assert len(scan(tmp_path).runs) == 1
    text = (place / "scores.csv").read_text()
    (place / "scores.csv").write_text(text.replace("0.125", "0.9"))
    assert left_out(scan(tmp_path)) == [("damaged", "r1")]
