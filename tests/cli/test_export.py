"""``adbench export`` writes a file that scores as its run does."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from runs import ONE, TINY, adbench, line_of, only_run, run_tiny


@pytest.fixture(scope="module")
def stored(tiny_data, tmp_path_factory):
    """A folder of results with one run of the tiny method."""
    results = tmp_path_factory.mktemp("results")
    done = run_tiny(tiny_data, results, *ONE)
    assert done.exit_code == 0, done.stderr
    return results


def export(stored, *words):
    return adbench("export", *words, "--plugin", TINY, "--results", stored)


def of_run(stored, data, *words):
    """Export the run; a run in this process has no command that names its images."""
    return export(stored, "tiny", "--to", "torch", "--data-root", data, *words)


def test_a_run_becomes_a_file(stored, tiny_data, tmp_path):
    """Its path is printed after the tables, and the file scores an image as it is decoded."""
    place = tmp_path / "a.pt2"
    done = of_run(stored, tiny_data, "-o", place)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(place)
    assert "image AUROC" in done.stdout
    score, found, verdict = torch.export.load(place).module()(torch.zeros((1, 70, 90, 3), dtype=torch.uint8))
    assert (score.shape, found.shape, verdict.dtype) == ((1,), (1, 64, 64), torch.bool)


@pytest.mark.slow
def test_programs_get_every_number(stored, tiny_data, tmp_path):
    """JSON has both tables, with the differences as fractions."""
    done = of_run(stored, tiny_data, "-o", tmp_path / "a.pt2", "--format", "json")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout[: done.stdout.rindex("]") + 1])
    assert "difference" in json.dumps(tables)


@pytest.mark.slow
def test_without_test_images_a_folder_is_asked_for(stored, tiny_data, tmp_path):
    """A copied checkpoint has no test images; those of a folder prove the file."""
    copied = shutil.copy(only_run(stored) / "last.pt", tmp_path / "model.pt")
    words = (copied, "--to", "torch", "-o", tmp_path / "a.pt2")
    done = export(stored, *words)
    assert done.exit_code == 2
    assert "--images DIR" in line_of(done)
    done = export(stored, *words, "--images", tiny_data / "nuts")
    assert done.exit_code == 0, done.stderr
    assert "AUROC" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--image-size", "0x3"), "--image-size: found '0x3', wanted HxW"),
        (("-o", "a.txt"), "wanted '.pt2' for torch"),
        (("--class", "nuts"), "wanted one of bolts"),
        (("--images", "/nowhere"), "no such folder"),
    ],
)
def test_mistakes_are_one_message(stored, words, said):
    """Exit code 2, and nothing is traced."""
    done = export(stored, "tiny", "--to", "torch", *words)
    assert done.exit_code == 2
    assert said in line_of(done)


def test_a_method_without_a_form_for_files_says_why(tiny_data, tmp_path):
    """Random scores are a hash of the image."""
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", tiny_data, "--results", tmp_path, "-c", "bolts"
    )
    assert done.exit_code == 0, done.stderr
    done = adbench("export", "random", "--to", "torch", "-o", tmp_path / "a.pt2", "--results", tmp_path)
    assert done.exit_code == 2
    assert (
        line_of(done) == "Error: random can't be exported: found scores from a hash of the image, which no format has."
    )
