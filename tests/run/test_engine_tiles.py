"""Runs on tiles: the same numbers where a tile is the whole image, and whole images everywhere else."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_class
from image_doubles import Backbone
from made_trackers import Recorder, entry
from PIL import Image
from runs import (
    Notes,
    adbench,
    job_for,
    made_method,
    metrics_of,
    one_epoch,
    only_run,
    registry_of,
    resolve,
    run_one,
    run_tiny,
    scores_of,
)

from adbench import Epoch, Scores
from adbench.backbones.feature_cache import FeatureCache
from adbench.data import image_store
from adbench.data.framing import Framing
from adbench.data.tiling import Grid
from adbench.run import engine, map_file
from adbench.run.predict import load
from adbench.run.reopen import Reopener
from adbench.run.tracking import Trackers
from adbench.util.errors import DataError

TILES = ("--tile", "32x48", "--overlap", "8")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """One class of images of several sizes, with masks."""
    root = tmp_path_factory.mktemp("photos")
    made = make_class(root, "bolts")
    for number, path in enumerate(sorted(made.glob("*/*/*.png"))):
        if number % 2 and "ground_truth" not in path.parts and "spot" not in path.parts:
            Image.open(path).resize((100, 60)).save(path)
    return root


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory) -> Path:
    """The results of a run of tiny on tiles, which tests must not change."""
    results = tmp_path_factory.mktemp("trained")
    words = ("-c", "bolts", "-o", "epochs=2", *TILES, "--holdout", "0.5", "--save-maps", "--report")
    done = run_tiny(photos, results, *words)
    assert done.exit_code == 0, done.stderr
    assert "tiny:epochs=2,overlap=8,tile=32x48" in done.stdout
    return results


def test_a_tile_of_the_whole_image_changes_no_number(tiny_data, tmp_path):
    """With --size 64 and tiles of 64, scores, metrics, curve and threshold are those of the run without tiles."""
    words = ("-c", "bolts", "-o", "epochs=2", "--size", "64", "--holdout", "0.5")
    for name, more in (("whole", ()), ("tiles", ("--tile", "64"))):
        assert run_tiny(tiny_data, tmp_path / name, *words, *more).exit_code == 0
    whole, tiles = only_run(tmp_path / "whole"), only_run(tmp_path / "tiles")
    for file in ("scores.csv", "thresholds.csv"):
        assert (tiles / file).read_bytes() == (whole / file).read_bytes()
    assert metrics_of(tiles) == metrics_of(whole)
    found, wanted = (json.loads((folder / "result.json").read_text()) for folder in (tiles, whole))
    for key in ("threshold", "oracle", "segf1_threshold", "held_out_images", "train_images", "test_images"):
        assert found[key] == wanted[key], key
    assert whole.name != tiles.name


def test_the_score_of_an_image_is_the_highest_of_its_tiles(tiny_data, tmp_path):
    """Each tile is scored alone, as an image of the tile's size; maps are joined at the image's own size."""
    seen = []

    def score(_, batch):
        seen.append(tuple(batch.images.shape[1:]))
        maps = batch.images.mean(dim=1)
        return Scores(image=maps.mean(dim=(1, 2)), map=maps)

    method = made_method(one_epoch, score)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path, size=(32, 32), tile=(32, 32), overlap=8))
    assert set(seen) == {(3, 32, 32)}
    rows = [line.split(",") for line in scores_of(folder).splitlines()[1:]]
    for row in rows:
        pixels = np.asarray(Image.open(next(tiny_data.rglob(row[0]))))
        tiles = Grid((80, 80), (32, 32), 8).cut(pixels)
        assert float(row[-1]) == pytest.approx(max(tile.mean() for tile in tiles) / 255, abs=1e-5)
    assert len(rows) == result.test_images == 7
    assert (result.protocol.mask_size, result.protocol.tile, result.protocol.overlap) == ("native", (32, 32), 8)
    assert result.metrics.pixel_auroc == pytest.approx(1, abs=0.01)


def test_tiles_of_one_image_stay_together(tiny_data, tmp_path):
    """A method trains on every tile; what it holds out for itself are all tiles of some images."""
    sizes = []

    def fit(detector, images):
        kept, held_out = images.split(0.5)
        sizes.append((len(images), len(kept), len(held_out), detector.context.train_images))
        owners = [set((part._rows // 9).tolist()) for part in (kept, held_out)]
        assert not owners[0] & owners[1]
        assert sum(len(batch) for batch in images) == len(images)
        yield Epoch(1, 1)

    method = made_method(fit)
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path, size=(32, 32), tile=(32, 32), overlap=8))
    assert sizes == [(54, 27, 27, 54)]
    assert (result.train_images, result.protocol.validation) == (6, 0.5)


def test_new_images_get_the_scores_of_the_run(photos, trained, tmp_path, tiny_method):
    """adbench.load and test cut and join as the run did; a map has the image's own size."""
    run = only_run(trained)
    stored = {
        line.split(",")[0]: float(line.split(",")[-1]) for line in (run / "scores.csv").read_text().splitlines()[1:]
    }
    model = load(run, plugin_files=[tiny_method], device="cpu")
    paths = [next(photos.rglob(name)) for name in stored]
    for found, wanted in zip(model.predict(paths), stored.values(), strict=True):
        assert found.score == pytest.approx(wanted, rel=1e-4)
        assert found.map is not None
        assert found.map.shape == found.size
        assert found.full_map().tolist() == found.map.tolist()
    words = ("--plugin", tiny_method, "-d", "folder", "--data-root", photos, "--results", trained, "--format", "json")
    done = adbench("test", "-m", "tiny", "--checkpoint", run, *words)
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)[0]["rows"]
    assert row["image_auroc"] == metrics_of(run)["image_auroc"]
    assert row["pixel_auroc"] == pytest.approx(metrics_of(run)["pixel_auroc"], abs=1e-5)


def test_maps_galleries_and_other_sizes_see_whole_images(photos, trained, tmp_path, tiny_method):
    """Overlays of all test images are there; another evaluation size needs no training; raw maps need one size."""
    run = only_run(trained)
    assert len(list((run / "maps").rglob("*/*.png"))) == 7
    assert "Worst misses" in (trained / "report" / "index.html").read_text(encoding="utf-8")
    words = ("--results", trained, "--plugin", tiny_method)
    raw = adbench("heatmaps", run, "--raw", *words)
    assert (raw.exit_code, "sizes from 60x100 to 80x80" in raw.stderr) == (2, True), raw.stderr
    shutil.copytree(trained, tmp_path / "copied")
    done = adbench("evaluate", run.name, "--eval-size", "40x40", "--results", tmp_path / "copied", *words[2:])
    assert done.exit_code == 0, done.stderr
    assert "masks 40x40" in " ".join(done.stdout.split())


def test_a_file_would_score_a_single_tile(trained, tmp_path, tiny_method):
    """Export is refused with the reason; a measured speed is that of a tile, and is not stored."""
    words = (only_run(trained), "--results", trained, "--plugin", tiny_method)
    done = adbench("export", *words, "-o", tmp_path / "model.pt2")
    assert (done.exit_code, "cut into tiles" in done.stderr) == (2, True), done.stderr
    done = adbench("speed", *words, "--seconds", "0.01", "--largest-batch", "1", "--size", "32x48")
    assert (done.exit_code, "times of single tiles" in done.stderr) == (0, True)
    assert not (only_run(trained) / "speed.json").exists()


def test_a_run_file_and_a_dry_run_know_tiles(photos, trained, tmp_path, tiny_method):
    """The same keys stand in a run file, and give the same run, which is done."""
    path = tmp_path / "suite.toml"
    path.write_text(
        f'data = {{name = "folder", root = "{photos.as_posix()}"}}\nclasses = ["bolts"]\nmethods = ["tiny"]\n'
        'options = {epochs = 2}\ntile = "32x48"\noverlap = 8\nholdout = 0.5\n', encoding="utf-8",
    )  # fmt: skip
    done = adbench("run", path, "--plugin", tiny_method, "--results", trained, "--dry-run", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert [row["state"] for row in json.loads(done.stdout)[0]["rows"]] == ["done"]


def test_several_classes_at_once(tiny_data, tmp_path):
    """One model of all classes trains on the tiles of all, and scores images class by class."""
    done = run_tiny(tiny_data, tmp_path, "-o", "epochs=1", *TILES, "--size", "64", "--setting", "multi-class")
    assert done.exit_code == 0, done.stderr
    for name in ("bolts", "nuts"):
        found = json.loads((only_run(tmp_path, name) / "result.json").read_text())
        assert (found["train_images"], found["test_images"], found["protocol"]["resize_to"]) == (6, 7, [64, 64])


def test_a_stopped_run_goes_on(tiny_data, tmp_path, monkeypatch):
    """A run that was stopped between two epochs ends in the numbers of one that was not."""
    words = ("-c", "bolts", "-o", "epochs=3", *TILES)
    stopped = run_tiny(tiny_data, tmp_path / "stopped", *words, "-o", "stop_at=2")
    assert stopped.exit_code == 130
    monkeypatch.setenv("TINY_SURVIVES", "1")
    for name in ("stopped", "whole"):
        assert run_tiny(tiny_data, tmp_path / name, *words, "-o", "stop_at=2").exit_code == 0
    one, other = (only_run(tmp_path / name) for name in ("stopped", "whole"))
    assert (one / "scores.csv").read_bytes() == (other / "scores.csv").read_bytes()


def test_features_of_tiles_are_cached(photos, tmp_path, monkeypatch):
    """A backbone sees each tile once: later epochs and runs read its features."""
    monkeypatch.setattr(engine, "images_per_second", lambda *_: None)  # it measures without a cache
    backbone, folder = Backbone(), tmp_path / "features"

    def fit(detector, images):
        for _ in range(2):
            assert sum(len(features[0]) for features in images.features(backbone)) == len(images)
        yield Epoch(1, 1)

    def score(_, batch):
        maps = torch.nn.functional.interpolate(batch.features(backbone)[0].mean(1, keepdim=True), scale_factor=2)[:, 0]
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)

    method = made_method(fit, score)
    job = job_for(method, photos, tmp_path / "one", size=(32, 48), tile=(32, 48), overlap=8)
    tiles = image_store.rows_of([sample for _, sample in resolve(method, job).whole[0].used()], Framing.of(job.options))
    run_one(method, job, cache=FeatureCache(folder=folder))
    assert backbone.seen == tiles
    run_one(method, replace(job, results=tmp_path / "two"), cache=FeatureCache(folder=folder))
    assert backbone.seen == tiles


def test_trackers_see_whole_images(photos, tiny, tmp_path):
    """The images that a tracker gets are drawn in their own shape."""
    heard = Recorder()
    job = job_for(tiny, photos, tmp_path, size=(32, 48), tile=(32, 48), overlap=8, epochs=1, track=("recorder",))
    trackers = Trackers([entry(heard)], Notes())
    engine.run(resolve(tiny, job), registry_of(tiny), trackers=trackers)
    (told,) = heard.of("finished")
    assert {each.pixels.shape for each in told.images} <= {(80, 80, 3), (60, 100, 3)}
    assert len(told.images) == 4


def test_sizes_of_whole_images_make_a_grid(tiny_data, tmp_path):
    """With tiles, --grid over sizes is over those of the whole image, and its table has them."""
    words = ("-c", "bolts", "--grid", "-o", "size=48;64", "--tile", "32", "-o", "epochs=1", "--format", "json")
    done = run_tiny(tiny_data, tmp_path, *words)
    assert done.exit_code == 0, done.stderr
    assert "size=48x48" in done.stderr
    values = [row["value"] for table in json.loads(done.stdout) for row in table["rows"] if "value" in row]
    assert values == ["48x48", "64x64"]


def test_maps_may_lie_in_a_file(photos, trained, tmp_path, tiny_method, monkeypatch):
    """Where maps are larger than what stays in memory, they are in a file, with the same numbers."""
    monkeypatch.setattr("adbench.run.map_file.IN_MEMORY", 0)
    words = ("-c", "bolts", "-o", "epochs=2", *TILES, "--holdout", "0.5")
    assert run_tiny(photos, tmp_path, *words).exit_code == 0
    assert metrics_of(only_run(tmp_path)) == metrics_of(only_run(trained))


def test_too_little_disk_for_maps_is_said_before_training(photos, tmp_path, monkeypatch):
    """The message has what is missing, and names the option that needs less."""
    monkeypatch.setattr("adbench.run.map_file.IN_MEMORY", 0)
    full = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr("adbench.run.map_file.shutil", full)
    done = run_tiny(photos, tmp_path, "-c", "bolts", *TILES, "-o", "kill_at=1")
    assert done.exit_code == 2
    assert "1.0 KB free of the" in done.stderr
    assert "Use a smaller --eval-size" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the space is taken as maps come")
@pytest.mark.parametrize(("number", "is_refused"), [(errno.ENOSPC, True), (errno.EOPNOTSUPP, False)])
def test_disk_space_of_maps_is_taken_at_once(number, is_refused, monkeypatch):
    """A disk that gets full later would kill the process; where the file system can't, maps are kept as they come."""
    monkeypatch.setattr(map_file, "IN_MEMORY", 0)

    def failing(*about: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", failing)
    if is_refused:
        with pytest.raises(DataError, match="No space left on device"):
            map_file.MapFile([(4, 5)])
    else:
        assert len(map_file.MapFile([(4, 5)])) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tile", "64", "--overlap", "64"), "option overlap of tiny: found 64, wanted less than the tile, 64x64."),
        (("--tile", "5000"), "option tile of tiny: found 5000x5000, wanted at most 4096 pixels each way."),
        (("--tile", "16"), "option tile of tiny: found 16x16, wanted at least 32 pixels each way."),
        (("--overlap", "8"), "option overlap of tiny: found 8, but no tile. Give --tile HxW as well."),
        (("--tile", "64", "--overlap", "-1"), "option overlap of tiny: found '-1', wanted a whole number, from 0 up."),
        (("--tile", "64", "--size", "128", "-o", "resize_to=256"), "found resize_to=256x256 as well"),
        (("--tile", "64", "--size", "128x48"), "option size of tiny: found 128x48, wanted at least the tile, 64x64."),
    ],
)
def test_tiles_that_fit_nothing_are_refused(tiny_data, tmp_path, words, message):
    """A mistake is said in a line before anything is decoded."""
    done = run_tiny(tiny_data, tmp_path, *words)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


def test_a_tile_that_the_backbone_does_not_take_is_refused(tiny_data, tmp_path):
    """The message speaks of the tile, and offers the nearest ones."""
    words = ("-d", "folder", "--data-root", tiny_data, "-c", "bolts", "--results", tmp_path)
    done = adbench("run", "-m", "rd4ad", "-p", "cpu", *words, "--tile", "70")
    assert done.exit_code == 2
    assert "wanted multiples of 64. Choose --tile 64x64 or 128x128." in done.stderr


def test_tiles_are_counted_without_decoding(photos, tiny, tmp_path):
    """A reopened run finds its tiles again; the size asked for with --size is that of the whole image."""
    job = job_for(tiny, photos, tmp_path, size=(32, 48), tile=(32, 48), overlap=8, resize_to=(64, 96), epochs=1)
    result, folder = run_one(tiny, job)
    reopener = Reopener(registry_of(tiny), [photos], "cpu")
    found = reopener.score(result, folder, list(reopener.task(result).test))
    assert found.maps is not None
    assert {tuple(each.shape) for each in found.maps} == {(64, 96)}
    assert len(found.store.images) == 7 * len(Grid((64, 96), (32, 48), 8))
