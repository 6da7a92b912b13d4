"""Anomaly maps as files beside a run."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import make_class
from PIL import Image
from runs import TINY, adbench, job_for, made_method, only_run, registry_of, run_one, run_tiny

from adbench import Epoch, Scores
from adbench.api import registry
from adbench.api.data import Sample
from adbench.cli import stored
from adbench.data.framing import Framing
from adbench.data.image_store import Store
from adbench.results import run_files, store
from adbench.results.variants import Names
from adbench.run import heatmaps
from adbench.run.reopen import Reopener, Rescored
from adbench.util.errors import ResultError

ONE = ("-c", "bolts", "-o", "epochs=1")


@pytest.fixture(scope="module")
def results(tiny_data, tmp_path_factory) -> Path:
    """A run with its overlays."""
    folder = tmp_path_factory.mktemp("results")
    done = run_tiny(tiny_data, folder, *ONE, "--save-maps")
    assert done.exit_code == 0, done.stderr
    return folder


def test_save_maps_writes_an_overlay_of_every_test_image_and_their_scale(results):
    """Each is in the folder of its defect type, beside the image as it is; a small file explains the colours."""
    folder = only_run(results) / "maps"
    images = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    expected = [f"good/{number:03d}.png" for number in range(3)] + [f"spot/{number:03d}.png" for number in range(4)]
    assert images == ["_scale.png", *expected]
    drawn = np.asarray(Image.open(folder / "spot/000.png"))
    assert drawn.shape == (64, 64 + 4 + 64, 3)
    scale = json.loads((folder / "_scale.json").read_text())
    assert scale["low"] < scale["high"]
    assert scale["class"] == "bolts"
    white = (drawn == 255).all(axis=2)
    assert not white[:, :64].any()  # no line covers the image itself
    assert white[:, 68:].sum() > 20  # the outline


def test_overlays_keep_the_shape_of_the_image(tmp_path):
    """A wide image that the detector sees as a square is wide in its overlay, which then lies below the image."""
    place = make_class(tmp_path / "data", "bolts", train=2, good=1, bad=1)
    for path in place.rglob("*.png"):
        image = Image.open(path)
        image.resize((160, 80), Image.Resampling.NEAREST).save(path)
    done = run_tiny(tmp_path / "data", tmp_path / "results", *ONE, "--save-maps")
    assert done.exit_code == 0, done.stderr
    drawn = Image.open(only_run(tmp_path / "results") / "maps/spot/000.png")
    assert drawn.size == (128, 64 + 4 + 64)


def test_raw_maps_are_right_to_half_a_step(results, tiny_data):
    """The file says how to restore the maps, and they differ from the method's by no more than it says."""
    (result,) = store.read_all(results).results
    shown = adbench("heatmaps", result.run, "--raw", "--results", results, "--data-root", tiny_data, "--plugin", TINY)
    assert shown.exit_code == 0, shown.stderr
    place = only_run(results) / "maps.npz"
    assert shown.stdout.strip() == str(place)
    reopener = Reopener(registry.load([TINY]), [tiny_data], "cpu")
    folder = run_files.folder_of(results, result)
    scores = run_files.read_scores(folder, result)
    exact = reopener.score(result, folder, reopener.samples(result, [each.path for each in scores])).maps
    with np.load(place) as stored:
        maps = stored["low"] + stored["maps"] * stored["step"]
        assert stored["maps"].dtype == np.uint16
        assert stored["paths"].tolist() == [each.path for each in scores]
        assert stored["labels"].tolist() == [each.label for each in scores]
        assert stored["scores"] == pytest.approx([each.score for each in scores], rel=1e-4)
    assert np.abs(maps - exact).max() <= 0.51 * (exact.max() - exact.min()) / 65535


def test_maps_that_are_there_are_not_made_again(results, tiny_data):
    """The same command again keeps them; --force on either command makes them anew."""
    (result,) = store.read_all(results).results
    scale = only_run(results) / "maps" / "_scale.json"
    before = scale.stat().st_mtime_ns
    assert run_tiny(tiny_data, results, *ONE, "--save-maps").exit_code == 0
    words = ("heatmaps", result.run, "--results", results, "--plugin", TINY)
    assert adbench(*words).exit_code == 0  # without the images, which it doesn't need
    assert scale.stat().st_mtime_ns == before
    assert adbench(*words, "--force", "--data-root", tiny_data).exit_code == 0
    assert scale.stat().st_mtime_ns > before


def test_maps_name_their_variant_as_tables_do(tiny_data, tmp_path):
    """Where runs differ in more than their changes, the board's names say so, and so do the maps of either command."""
    for words in ((), ("--eval-size", "32", "--save-maps")):
        assert run_tiny(tiny_data, tmp_path, *ONE, *words).exit_code == 0
    stored = store.read_all(tmp_path).results
    names = Names(stored)
    plain = next(run.run for run in stored if run.protocol.map_resampling is None)
    words = ("--results", tmp_path, "--data-root", tiny_data, "--plugin", TINY)
    assert adbench("heatmaps", plain, *words).exit_code == 0
    found = {}
    for run in stored:
        scale = json.loads((run_files.folder_of(tmp_path, run).path / "maps" / "_scale.json").read_text())
        found[names.of(run)] = scale["variant"]
    assert found == {name: name for name in ("tiny:epochs=1", "tiny:epochs=1,eval-size=32x32")}


@pytest.mark.slow
def test_two_processes_at_once_leave_whole_maps(results, tiny_data):
    """Each writes under its own temporary name and leaves nothing of it; the last one to finish wins."""
    (result,) = store.read_all(results).results
    words = ("heatmaps", result.run, "--results", results, "--plugin", TINY, "--force", "--data-root", tiny_data)
    command = [sys.executable, "-c", "from adbench.cli.main import main; main()", *map(str, words)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [each.wait() for each in running] == [0, 0], [each.stderr.read() for each in running]
    folder = only_run(results)
    assert len(list((folder / "maps").rglob("*.png"))) == result.test_images + 1  # and the scale
    assert not list(folder.glob(".maps*"))


def test_maps_of_other_scores_are_reported(results, tiny_data):
    """If the run's scores can't be reproduced, its maps may differ from those behind the scores."""
    (result,) = store.read_all(results).results
    scores = only_run(results) / "scores.csv"
    text = scores.read_text(encoding="utf-8")
    header, *rows = text.splitlines()
    column = header.split(",").index("score")
    moved = [row.split(",") for row in rows]
    for row in moved:
        row[column] = str(float(row[column]) + 1)
    scores.write_text("\n".join([header, *map(",".join, moved)]) + "\n", encoding="utf-8")
    record = only_run(results) / "result.json"
    whole = record.read_text(encoding="utf-8")
    old = {key: value for key, value in json.loads(whole).items() if key not in ("digest", "files")}
    record.write_text(json.dumps(old), encoding="utf-8")  # as adbench 0.1 wrote it
    words = ("heatmaps", result.run, "--results", results, "--plugin", TINY, "--force", "--data-root", tiny_data)
    done = adbench(*words)
    scores.write_text(text, encoding="utf-8")
    record.write_text(whole, encoding="utf-8")
    assert done.exit_code == 0
    assert "images got other scores, by up to 1" in " ".join(done.stderr.split())


def test_a_class_with_a_line_break_in_its_name_has_maps(tmp_path):
    """Such a name costs neither the maps nor the table after them."""
    make_class(tmp_path / "data", "a\nb")
    done = run_tiny(tmp_path / "data", tmp_path / "results", "-o", "epochs=1", "--save-maps", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert len(list(tmp_path.rglob("maps/spot/*.png"))) == 4
    assert json.loads(done.stdout)


def test_the_table_follows_when_maps_break(tiny_data, tmp_path, monkeypatch):
    """Any error while maps are drawn is one warning; the run is stored and shown."""

    def broken(*_, **__):
        raise ValueError("no such colour")

    monkeypatch.setattr(heatmaps, "overlay", broken)
    done = run_tiny(tiny_data, tmp_path, *ONE, "--save-maps", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert "maps of tiny:epochs=1 on folder/bolts can't be made: found ValueError: no such colour." in done.stderr
    assert json.loads(done.stdout)


def test_an_unknown_run_is_a_mistake_with_the_nearest_name(results):
    """One line, exit code 2, and only similar names."""
    (result,) = store.read_all(results).results
    done = adbench("heatmaps", f"{result.run[:-1]}x", "--results", results)
    assert done.exit_code == 2
    assert f"Did you mean '{result.run}'?" in done.stderr
    far = adbench("heatmaps", "zzz", "--results", results)
    assert far.exit_code == 2
    assert "See adbench list runs" in far.stderr


def test_runs_can_be_chosen_by_data_set_and_class(results, tiny_data):
    """-d, -c and --all choose among all stored runs; without any of them the command says what it wants."""
    words = ("--results", results, "--plugin", TINY, "--data-root", tiny_data)
    for chosen in (("-d", "folder"), ("-c", "bolts"), ("--all",)):
        done = adbench("heatmaps", *chosen, *words)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == f"{only_run(results) / 'maps'}\n"
    assert "'nuts'" in adbench("heatmaps", "-c", "nuts", *words).stderr
    none = adbench("heatmaps", *words)
    assert none.exit_code == 2
    assert "adbench heatmaps: found no run, wanted RUN, -d DATASET, -c CLASS or --all." in none.stderr


def test_a_run_can_be_named_by_its_digest_or_its_folder(results, tiny_data):
    """Both find the folder of the whole name, also as the checkpoint of ``adbench test``."""
    (result,) = store.read_all(results).results
    words = ("--results", results, "--plugin", TINY, "--data-root", tiny_data)
    digest, folder = result.run.rpartition("-")[2], only_run(results)
    places = {adbench("heatmaps", name, *words).stdout for name in (result.run, digest, folder)}
    assert places == {f"{folder / 'maps'}\n"}
    tried = [
        json.loads(
            adbench("test", "-m", "tiny", "-d", "folder", "--checkpoint", name, *words, "--format", "json").stdout
        )
        for name in (folder / "last.pt", folder, digest)
    ]
    assert tried[0] == tried[1] == tried[2]


def test_a_method_without_maps_says_so_and_the_run_stands(tiny_data, tmp_path):
    """There is nothing to write, and no half-written file."""

    def fit(self, images):
        yield Epoch(1, 1)

    method = made_method(fit, lambda self, batch: Scores(image=batch.images.amax(dim=(1, 2, 3))))
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    with pytest.raises(ResultError, match="makes none"):
        heatmaps.save(result, tmp_path, Reopener(registry_of(method), [tiny_data], "cpu"), "png")
    assert not (folder.path / "maps").exists()


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/test/good/0.png", "a/test/hole/0.jpg"], ["good/0.png", "hole/0.png"]),
        (["d/Images/Normal/0.JPG"], ["Normal/0.png"]),
        (["t/x/0.jpg", "t/y/0.jpg", "t/y/0.bmp"], ["x/0.png", "y/0.jpg.png", "y/0.bmp.png"]),
        (["0.png", "1.png"], ["0.png", "1.png"]),
        ([], []),
    ],
)
def test_overlays_are_named_after_their_images(paths, names):
    """The common folders are dropped, the rest stays, and no two images share a name."""
    assert heatmaps.file_names(paths) == names


def test_a_flat_map_is_kept_as_it_is(tmp_path):
    """If all values are equal, the step is zero, and nothing is divided by it."""
    maps = np.full((1, 4, 4), 2.5, np.float32)
    images = Store("", (Sample(Path("a.png")),), np.zeros((1, 4, 4, 3), np.uint8), None, ((4, 4),), "")
    rescored = Rescored(images, np.zeros(1, np.float32), maps, Framing((4, 4)))
    heatmaps._write_raw(tmp_path / "maps.npz", ["a.png"], rescored, maps)
    with np.load(tmp_path / "maps.npz") as stored:
        assert (stored["low"] + stored["maps"] * stored["step"] == 2.5).all()
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_a_path_is_printed_after_the_status_line_is_gone(results, tiny_data, monkeypatch):
    """Both may be on one terminal, where the path would stand behind the status."""
    (result,) = store.read_all(results).results
    events = []

    @contextmanager
    def status_line():
        events.append("shown")
        yield lambda text: None
        events.append("gone")

    monkeypatch.setattr(stored, "status_line", status_line)
    monkeypatch.setattr(stored, "print_path", lambda path: events.append("path"))
    words = ("--results", results, "--data-root", tiny_data, "--plugin", TINY, "--force")
    assert adbench("heatmaps", result.run, *words).exit_code == 0
    assert events == ["shown", "gone", "path"]
