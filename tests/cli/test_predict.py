"""The command ``predict``: rows on standard output, messages on standard error, and the exit code for scripts."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from PIL import Image
from runs import TINY, adbench, only_run, run_tiny

from adbench.api.scores import Threshold
from adbench.cli.main import app
from adbench.cli.predict import _say_threshold
from adbench.results import score_log
from adbench.run.predict import load


@pytest.fixture(scope="module")
def model(tiny_data, tmp_path_factory) -> Path:
    """A copied checkpoint of the tiny method, far from its results."""
    results = tmp_path_factory.mktemp("results")
    assert run_tiny(tiny_data, results, "-c", "bolts", "-o", "epochs=2").exit_code == 0
    return Path(shutil.copy(only_run(results) / "last.pt", tmp_path_factory.mktemp("copied") / "model.pt"))


@pytest.fixture
def images(tiny_data, tmp_path) -> Path:
    """A folder with a good and a defective image, a broken one and a note."""
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(tiny_data / "bolts/test/good/000.png", folder / "good.png")
    shutil.copy(tiny_data / "bolts/test/spot/000.png", folder / "spot.png")
    return folder


def predict(model, *words):
    return adbench("predict", model, *words, "--plugin", TINY, "--device", "cpu")


def test_a_folder_prints_a_row_per_image(model, images):
    """Verdict, score, threshold and path, in the order of the names; a score above the threshold is defective."""
    scores = [each.score for each in load(model, plugin_files=[TINY]).predict(sorted(images.iterdir()))]
    done = predict(model, images, "--threshold", sum(scores) / 2)
    assert done.exit_code == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["verdict", "score", "threshold", "image"]
    assert [row.split()[3] for row in rows] == [str(images / "good.png"), str(images / "spot.png")]
    assert [float(row.split()[1]) for row in rows] == pytest.approx(scores, rel=1e-5)
    above = [score > sum(scores) / 2 for score in scores]
    assert [row.split()[0] for row in rows] == ["defective" if each else "good" for each in above]
    assert sorted(above) == [False, True]
    assert done.stderr.splitlines()[-1].startswith("2 images, ")


def test_programs_read_csv_and_json_lines(model, images):
    """Both have the same values, with every digit."""
    words = (images, "--threshold", "0")
    rows = list(csv.DictReader(io.StringIO(predict(model, *words, "--format", "csv").stdout)))
    lines = [json.loads(line) for line in predict(model, *words, "--format", "jsonl").stdout.splitlines()]
    assert [float(row["score"]) for row in rows] == [line["score"] for line in lines]
    assert [line["verdict"] for line in lines] == ["defective", "defective"]
    assert all(line["error"] == "" for line in lines)


def test_a_list_on_standard_input_is_read(model, images):
    """A minus stands for the lines of standard input."""
    words = ["predict", str(model), "-", "--plugin", str(TINY), "--format", "jsonl"]
    done = CliRunner().invoke(app, words, input=f"{images / 'spot.png'}\n\n{images / 'good.png'}\n")
    assert [Path(json.loads(line)["path"]).name for line in done.stdout.splitlines()] == ["spot.png", "good.png"]


def test_unreadable_files_are_told_and_the_rest_goes_on(model, images):
    """The good ones are scored; the exit code is 1, and the reason is in the row for programs."""
    (images / "a.png").write_bytes(b"broken")
    (images / "notes.txt").touch()
    done = predict(model, images, images / "gone.png", "--format", "jsonl")
    assert done.exit_code == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["path"]).name for row in rows if row["error"]] == ["a.png", "gone.png"]
    assert [row["verdict"] for row in rows if row["error"]] == ["unreadable"] * 2
    assert len(rows) == 4
    assert "1 file passed over, no image by the suffix: notes.txt" in done.stderr
    assert "2 unreadable" in done.stderr


def test_scripts_learn_of_a_defect_by_the_exit_code(model, images):
    """It is 1 with a defective image and 0 without, where asked for."""
    assert predict(model, images, "--threshold", "-1", "--fail-on-anomaly").exit_code == 1
    assert predict(model, images, "--threshold", "-1").exit_code == 0
    assert predict(model, images, "--threshold", "1e9", "--fail-on-anomaly").exit_code == 0


def test_maps_are_written_in_the_shape_of_the_images(model, images, tmp_path):
    """One PNG per image, named in the row."""
    Image.open(images / "spot.png").resize((90, 50)).save(images / "wide.png")
    done = predict(model, images, "--maps", tmp_path / "maps", "--format", "jsonl")
    written = [Path(json.loads(line)["map"]) for line in done.stdout.splitlines()]
    assert [path.name for path in written] == ["good.png", "spot.png", "wide.png"]
    assert Image.open(tmp_path / "maps/wide.png").size == (90, 50)


@pytest.mark.parametrize("place", ["", "maps", ".."])
def test_maps_never_lie_among_the_images(model, images, place):
    """They would replace images of the same name, or be scored as images the next time."""
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    for words in ((images,), ("--watch", images, "--idle", "0"), (images / "spot.png",)):
        done = predict(model, *words, "--maps", images / place)
        allowed = words == (images / "spot.png",) and place == "maps"
        assert done.exit_code == (0 if allowed else 2), done.stderr
        assert allowed or "wanted a folder apart from the images" in done.stderr
    assert {path.name: path.read_bytes() for path in images.iterdir() if path.is_file()} == before


def test_masks_are_not_scored_unless_they_are_named(model, images, tiny_data):
    """Of a folder they are passed over in one line, also of a watched one; as files they are scored, which is said."""
    shutil.copy(tiny_data / "bolts/ground_truth/spot/000_mask.png", images / "spot_mask.png")
    for words in ((images,), (images / "*.png",), ("--watch", images, "--idle", "0.6")):
        done = predict(model, *words)
        assert [row.split()[3] for row in done.stdout.splitlines()[1:]] == [
            str(images / "good.png"), str(images / "spot.png")
        ]  # fmt: skip
        line = "1 mask passed over, beside an image or in a folder of masks: spot_mask.png"
        assert done.stderr.splitlines().count(line) == 1
    done = predict(model, images / "spot.png", images / "spot_mask.png")
    assert len(done.stdout.splitlines()) == 3
    assert "1 named file called as the mask of another one, but scored: spot_mask.png" in done.stderr


def test_a_folder_of_nothing_but_masks_is_refused_with_the_way_out(model, images):
    """The message says what was found in place of images."""
    (images / "ground_truth").mkdir()
    for path in images.glob("*.png"):
        path.rename(images / "ground_truth" / path.name)
    done = predict(model, images)
    assert (done.exit_code, "found no image but 2 masks" in done.stderr) == (2, True), done.stderr
    assert "Name the files or their folder to score them" in done.stderr
    assert len(predict(model, images / "ground_truth").stdout.splitlines()) == 3


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_threshold_is_a_finite_number(model, images, value):
    """Above NaN lies nothing, so every defect would be called good."""
    done = predict(model, images, "--threshold", value, "--fail-on-anomaly")
    assert (done.exit_code, "wanted a finite number" in done.stderr) == (2, True)


def test_scores_are_kept_in_a_log(model, images, tmp_path):
    """Two calls append; each line has what the row has, and the run that made the model."""
    log = tmp_path / "scores.jsonl"
    for _ in range(2):
        printed = predict(model, images, "--log", log, "--threshold", "0", "--format", "jsonl").stdout
    rows, logged = [json.loads(line) for line in printed.splitlines()], score_log.read(log)
    assert len(logged) == 4
    assert [(each.path, each.score, each.defective) for each in logged[2:]] == [
        (row["path"], row["score"], True) for row in rows
    ]
    assert all(each.class_name == "bolts" and each.run.startswith("paper-") for each in logged)
    assert predict(model, images, "--log", tmp_path / "no/folder.jsonl").exit_code == 2


def test_a_watched_folder_is_scored_until_nothing_arrives(model, images):
    """What is there is scored once, and --idle ends it."""
    done = predict(model, "--watch", images, "--idle", "0.6")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_a_watched_folder_stops_at_the_first_defect_where_asked(model, images):
    """A line can be halted at once."""
    done = predict(model, "--watch", images, "--fail-on-anomaly", "--threshold", "-1")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "IMAGES: found none, wanted files, folders, patterns or -"),
        (("a.png", "--watch", "."), "--watch and IMAGES: found both"),
        (("a.png", "--idle", "3"), "--idle: found no --watch"),
        (("*.nothing",), "found no file that fits this pattern"),
        ((__file__, "-c", "nuts"), "found 'nuts', wanted one of bolts"),
        (("a.png",), "image a.png: found no such file"),
        (("a.png", "b.png"), "all 2 images, the first a.png: found no such file"),
    ],
)
def test_mistakes_are_one_line(model, words, said):
    """Exit code 2, and what was wanted; where no image exists, no model is loaded for it."""
    done = predict(model, *words)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_an_unknown_run_is_one_line(tmp_path):
    """It names where runs are looked for."""
    done = adbench("predict", "nothing", __file__, "--results", tmp_path)
    assert done.exit_code == 2
    assert "run nothing: found no such file, and no such run" in done.stderr


def test_a_useless_threshold_is_told_in_a_whole_sentence(capsys):
    """The reason follows the colon as the stored threshold gives it."""
    stored = Threshold(1.0, "mean + 3 sd of 4 training scores", 1.0, 0.0)
    _say_threshold(SimpleNamespace(threshold=1.0, stored=stored), needed=False)
    said = " ".join(capsys.readouterr().err.split())
    assert "this threshold is useless: it calls every good test image defective. Train again" in said
