"""Runs on images of more than 8 bits: one range for all of them, from training to new images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import TINY, adbench, only_run, run_tiny

from adbench.run.predict import load
from adbench.util.errors import UsageError


@pytest.fixture(scope="module")
def deep_data(tiny_data, tmp_path_factory) -> Path:
    """The tiny class as a camera of 10 bits saves it, in files of 16; its defects are brighter than 10 bits."""
    root = tmp_path_factory.mktemp("deep")
    for path in (tiny_data / "bolts").rglob("*.png"):
        to = root / path.relative_to(tiny_data)
        to.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            if "ground_truth" in path.parts:
                image.save(to)
            else:
                grey = np.asarray(image.convert("L")).astype(np.uint16) * 4
                Image.fromarray(np.where(grey > 580, 1500, grey).astype(np.uint16)).save(to)
    return root


@pytest.fixture(scope="module")
def ran(deep_data, tmp_path_factory):
    """A run on it: what it said, and the folder of its results."""
    results = tmp_path_factory.mktemp("results")
    return run_tiny(deep_data, results, "-o", "epochs=1"), results


def test_the_range_is_found_said_and_recorded(ran):
    """One line says it with what is clipped; the protocol and the checkpoint have it."""
    said, results = ran
    assert said.exit_code == 0, said.stderr
    assert "folder/bolts: 0 is black and 1023 white in images of more than 8 bits, by the training images" in (
        " ".join(said.stderr.split())
    )
    assert "values beyond are clipped in 4 test images" in " ".join(said.stderr.split())
    result = json.loads((only_run(results) / "result.json").read_text())
    assert result["protocol"]["levels"] == {"black": 0.0, "white": 1023.0}
    assert result["protocol"]["levels_by"] == "the training images"
    assert "range" not in result["run"]
    shown = adbench("show", only_run(results).name, "--results", results)
    assert "levels 0:1023 by the training images" in " ".join(shown.stdout.split())


def test_new_images_are_read_in_the_same_range(ran, deep_data):
    """Files, arrays and images of Pillow get the scores of the run."""
    _, results = ran
    folder = only_run(results)
    stored = (folder / "scores.csv").read_text().splitlines()[1:]
    predictor = load(folder, plugin_files=[TINY], device="cpu")
    for line in stored[:2] + stored[-2:]:
        path, *_, score = line.split(",")
        array = np.asarray(Image.open(deep_data / path))
        found = predictor.predict([deep_data / path, array, Image.fromarray(array)])
        assert [each.score for each in found] == pytest.approx([float(score)] * 3, rel=1e-5)
        assert {each.is_clipped for each in found} == {bool(array.max() > 1023)}


def test_a_range_of_the_user_is_a_run_of_its_own(ran, deep_data):
    """It stands in the names of run and variant, and both runs stay current."""
    _, results = ran
    other = run_tiny(deep_data, results, "-o", "epochs=1", "--range", "0:4095")
    assert other.exit_code == 0, other.stderr
    assert "clipped" not in other.stderr
    (named,) = [path for path in (results / "folder/bolts").glob("*/*") if "range" in path.name]
    assert json.loads((named / "result.json").read_text())["protocol"]["levels_by"] == "--range"
    listed = adbench("list", "runs", "--results", results, "--plugin", TINY, "--format", "json")
    assert "range=0:4095" in listed.stdout
    assert "stale" not in listed.stdout
    again = adbench("evaluate", named, "--results", results, "--plugin", TINY, "--eval-size", "native")
    assert again.exit_code == 0, again.stderr


def test_the_checkpoint_is_tested_in_its_range(ran, deep_data):
    """``adbench test`` gives the metrics of the run, though the tested folder has other training images."""
    _, results = ran
    command = ("test", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", deep_data, "--format", "json")
    tested = adbench(*command, "--checkpoint", only_run_found(results) / "last.pt")
    assert tested.exit_code == 0, tested.stderr
    stored = json.loads((only_run_found(results) / "result.json").read_text())
    assert json.loads(tested.stdout)[0]["rows"][0]["image_auroc"] == pytest.approx(stored["metrics"]["image_auroc"])


def only_run_found(results: Path) -> Path:
    """The run whose range was found."""
    (folder,) = [
        path for path in (results / "folder/bolts").glob("*/*") if not ("range" in path.name or "native" in path.name)
    ]
    return folder


def test_a_run_file_may_give_the_range(deep_data, tmp_path):
    """It names the same run as the option."""
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f"data = {{name = 'folder', root = '{deep_data.as_posix()}'}}\nmethods = ['tiny']\nrange = '0:900'\n"
        f"plugin = '{TINY.as_posix()}'\nresults = 'results'\n",
        encoding="utf-8",
    )
    by_file = adbench("run", suite, "--dry-run", "--format", "json")
    by_option = run_tiny(deep_data, tmp_path / "results", "--range", "0:900", "--dry-run", "--format", "json")
    (named,) = {json.loads(each.stdout)[0]["rows"][0]["run"] for each in (by_file, by_option)}
    assert "range" in named


def test_a_model_of_several_classes_has_one_range(deep_data, tiny_data, tmp_path):
    """Both classes of a multi-class run have the levels of all their training images, and 8 bits stay as they are."""
    shutil.copytree(deep_data / "bolts", tmp_path / "data/bolts")
    shutil.copytree(tiny_data / "nuts", tmp_path / "data/nuts")
    shutil.copytree(deep_data / "bolts", tmp_path / "data/screws")
    for path in (tmp_path / "data/screws/train/good").iterdir():
        values = np.asarray(Image.open(path)) * np.uint16(4)
        Image.fromarray(values).save(path)
    done = run_tiny(tmp_path / "data", tmp_path / "results", "-o", "epochs=1", "--setting", "multi-class")
    assert done.exit_code == 0, done.stderr
    levels = {
        path.parts[-4]: json.loads(path.read_text())["protocol"]["levels"]
        for path in (tmp_path / "results").glob("*/*/*/*/result.json")
    }
    both = {"black": 0.0, "white": 4095.0}
    assert levels == {"bolts": both, "nuts": None, "screws": both}


def test_a_range_for_images_of_8_bits_is_a_mistake(tiny_data, tmp_path):
    """Nothing would be read with it."""
    said = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--range", "0:4095")
    assert said.exit_code != 0
    assert "--range 0:4095: found images of 8 bits" in said.stderr


def test_a_model_of_8_bits_refuses_deeper_images(tiny_data, deep_data, tmp_path):
    """Unless the user says what is white."""
    assert run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1").exit_code == 0
    command = ("predict", only_run(tmp_path), deep_data / "bolts/test/good", "--plugin", TINY)
    refused = adbench(*command)
    assert refused.exit_code == 1
    assert "such as --range 0:4095" in " ".join(refused.stderr.split())
    model = load(command[1], plugin_files=[TINY])
    with pytest.raises(UsageError, match=r"image 0: found more than 8 bits.*levels=\(BLACK, WHITE\)"):
        model.predict(np.full((8, 8), 900, np.uint16))
    taken = adbench(*command, "--range", "0:50")
    assert taken.exit_code == 0, taken.stderr
    assert "3 clipped (with values beyond 0:50)" in taken.stderr
    assert "nearly black" not in taken.stderr
    dark = adbench(*command, "--range", "0:60000")
    assert "3 nearly black (read with 0:60000; --range gives another one)." in " ".join(dark.stderr.split())
    for given, flag in (("0:50", "clipped"), ("0:60000", "dark"), ("0:4095", "")):
        rows = adbench(*command, "--range", given, "--format", "jsonl").stdout.splitlines()
        assert [json.loads(row)["flag"] for row in rows] == [flag] * 3
        shown = adbench(*command, "--range", given).stdout.splitlines()[1:]
        assert [line.endswith(f"  ({flag})" if flag else ".png") for line in shown] == [True] * 3
        model = load(command[1], plugin_files=[TINY], levels=tuple(map(int, given.split(":"))))
        assert [each.flag for each in model.predict(np.full((8, 8), 900, np.uint16))] == [flag]
