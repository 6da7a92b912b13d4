"""What identifies a run: the contents of its images, of files that options name, and of its code."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import make_result, records_of
from runs import TINY, adbench
from stored_place import made

from adbench import report
from adbench.api import registry as plugins
from adbench.api.data import Dataset, Sample, Task
from adbench.api.options import BackboneOptions
from adbench.results.records import Identity
from adbench.results.store import read_all
from adbench.run import engine, plan, standing
from adbench.run.identity import Identifier, backbone_codes
from adbench.run.job import Job, run_name
from adbench.run.resolved import prepare
from adbench.run.standing import Inspector
from adbench.run.tasks import load_tasks
from adbench.util import digests, numerics
from adbench.util.errors import DataError, ResultError, WeightsError


def test_weights_count_by_their_content(tmp_path, monkeypatch):
    """The same file by another path is the same run; another file under the same path is another run."""
    monkeypatch.chdir(tmp_path)
    Path("w.pth").write_bytes(b"one")
    Path("copy.pth").write_bytes(b"one")
    task = Task("folder", "bolts", tmp_path, (Sample(tmp_path / "w.pth"),), ())
    registry = plugins.load([TINY])

    def name(weights: str) -> str:
        job = Job("tiny", "cpu", (("weights", weights),), BackboneOptions(weights=weights), "folder", "bolts", tmp_path)
        return run_name(job, replace(Identifier(registry).of(job, [task]), data="d"), amp="off")

    first = name("w.pth")
    assert first == name("./w.pth") == name(str(tmp_path / "w.pth")) == name("copy.pth")
    Path("w.pth").write_bytes(b"two")
    assert name("w.pth") != first
    with pytest.raises(WeightsError, match=r"weights file gone.pth: found no such file"):
        name("gone.pth")


READER = """
from dataclasses import dataclass
from pathlib import Path
from adbench import BackboneOptions, Detector, Epoch, Method, Scores, hookimpl

@dataclass(frozen=True)
class ReaderOptions(BackboneOptions):
    size: tuple[int, int] = (64, 64)

class Reader(Detector):
    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        maps = batch.images.mean(dim=1) * float(Path(self.options.weights).read_text())
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)

@hookimpl
def adbench_methods():
    return [Method("reader", "reads its weights", Reader, ReaderOptions)]
"""


def test_runs_find_each_other_by_the_content_of_their_weights(place, monkeypatch):
    """The same content by another path is the stored run, with another seed the same row; other content is not."""
    monkeypatch.chdir(place.folder)
    place.plugin.write_text(READER)
    shutil.rmtree(place.results)

    def run(*words: object) -> str:
        command = ("run", "-m", "reader", "--plugin", place.plugin, "-d", "folder", "--data-root", place.data)
        done = adbench(*command, "--results", place.results, "--device", "cpu", *words)
        assert done.exit_code == 0, done.stderr
        return done.stderr

    Path("w.pth").write_text("1.0")
    run("--weights", "w.pth")
    assert "already there" in run("--weights", "./w.pth")
    run("--weights", place.folder / "w.pth", "--seed", 1)
    (table,) = report.leaderboard(read_all(place.results).results)
    assert [row["seeds"] for row in records_of(table)] == [2]
    Path("w.pth").write_text("-1.0")
    assert "already there" not in run("--weights", "w.pth")
    (table,) = report.leaderboard(read_all(place.results).results)
    rows = records_of(table)
    assert sorted(row["seeds"] for row in rows) == [1, 2]
    assert all(row["variant"].startswith("reader:weights=") for row in rows)
    assert rows[0]["pixel_auroc"] == pytest.approx(1 - rows[1]["pixel_auroc"])


def test_an_edit_within_a_second_that_keeps_the_length_is_run(place):
    """Python's bytecode cache goes by length and second, so it would run the old code under the new name."""
    times = place.plugin.stat()
    before = plugins.load([place.plugin]).method("tiny").summary
    place.plugin.write_text(place.plugin.read_text().replace(before, before.upper()))
    os.utime(place.plugin, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert plugins.load([place.plugin]).method("tiny").summary == before.upper()


def test_the_images_of_a_class_are_looked_at_once_for_all_its_stored_runs(place, monkeypatch):
    """A start with several seeds and finished methods reads each file's times once."""
    place.run("--seeds", "0,1,2")
    looked: list[Path] = []
    original = digests.signature
    monkeypatch.setattr(digests, "signature", lambda path: looked.append(path) or original(path))
    assert place.run("--seeds", "0,1,2").stderr.count("already there") == 3
    images = [path for path in looked if path.suffix == ".bmp"]
    assert len(images) == len(set(images)) == 16


def test_images_that_change_while_other_tasks_run_stop_their_task(place):
    """The images found at the start name the run, so they must be those that are trained on."""
    registry = plugins.load([place.plugin])
    options = registry.method("tiny").options(epochs=1)
    task = registry.dataset("folder").load(place.data, "bolts")
    job = Job("tiny", "cpu", (), options, "folder", "bolts", place.data, device="cpu", results=place.folder / "new")
    resolved = prepare(job, [task], Identifier(registry).of(job, [task]))
    place.write_mask(1, 44)
    with pytest.raises(DataError, match="files that changed since the run began"):
        engine.run(resolved, registry)
    assert not resolved.folder.is_finished()


def test_the_same_weights_by_two_paths_are_one_row():
    """Content names them, so two seeds are averaged."""
    results = [
        replace(
            made(seed, backbone="resnet18", overrides={"weights": path}, options={"weights": path}),
            identity=Identity("same", "one", 1, {"weights": "f" * 32}),
        )
        for seed, path in enumerate(("w.pth", "./w.pth"))
    ]
    (table,) = report.leaderboard(results)
    assert [(row["variant"], row["seeds"]) for row in records_of(table)] == [("m:weights=0123456789ab", 2)]


# ---------------------------------------------------------------- suites


def test_classes_of_one_name_in_two_data_sets_keep_their_own_images(tiny_data, tmp_path):
    """A suite over several data sets must not score one's class on the other's images."""
    folder = plugins.load([TINY]).dataset("folder")
    other = tmp_path / "other"
    shutil.copytree(tiny_data / "nuts", other / "bolts")
    again = Dataset("again", "", folder.classes, lambda root, name: replace(folder.load(other, name), dataset="again"))
    loaded = plugins.load([TINY])
    registry = plugins.Registry(loaded.methods, {"folder": folder, "again": again}, (), loaded.origins)
    jobs = [
        Job("tiny", "cpu", (), loaded.method("tiny").options(epochs=1), dataset, "bolts", tiny_data,
            device="cpu", results=tmp_path / "results")
        for dataset in ("folder", "again")
    ]  # fmt: skip
    tasks = load_tasks(jobs, registry)
    roots = [tasks[name, "bolts", tiny_data, None, (), False].root for name in ("folder", "again")]
    assert roots == [tiny_data, other]
    first, second = (outcome.result for outcome in plan.run_here(jobs, registry))
    assert (first.dataset, second.dataset) == ("folder", "again")
    assert first.identity.data != second.identity.data
    assert first.content != second.content


def test_there_must_be_something_to_sort_out():
    """No results are no error here; only stale ones are."""
    assert standing.sort([]).results == ()
    newer = replace(make_result(), identity=Identity("d", "c", numerics.NUMERICS + 1))
    with pytest.raises(ResultError, match="1 stale run"):
        standing.sort(Inspector(plugins.Registry({}, {})).inspect([newer]))


@pytest.mark.parametrize(
    ("backbone", "name"),
    [("resnet18", "cpu-seed0-77304fa1"), ("timm:test_resnet", "cpu-seed0-bc5c624f")],
)
def test_runs_of_an_older_adbench_keep_their_names(backbone, name):
    """A stored run with a backbone of adbench is found again: what the identity holds of plugins' changes no name."""
    options = BackboneOptions(backbone=backbone, amp="off")
    job = Job(
        method="padim", preset="cpu", overrides=(("backbone", backbone),), options=options, dataset="folder",
        class_name="bolts", data_root=Path("data"),
    )  # fmt: skip
    files = backbone_codes(plugins.load(), vars(options))
    assert run_name(job, Identity("d" * 32, "c" * 16, 1, files), amp="off") == name


def test_layers_of_transformers_are_no_longer_strides(place):
    """Runs of adbench 0.1 with one of timm's transformers are stale: their layers meant something else."""
    (run,) = read_all(place.results).results
    options = {**run.options, "backbone": "timm:vit_tiny_patch16_224"}
    inspector = Inspector(plugins.load([place.plugin]))
    assert inspector.standing(run).state == "current"
    assert inspector.standing(replace(run, options=options)).reason == "the backbone's code changed"
    files = backbone_codes(inspector.registry, options)
    known = replace(run, options=options, identity=replace(run.identity, files=files))
    assert inspector.standing(known).state == "current"
