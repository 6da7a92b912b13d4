"""The commands ``data list``, ``check``, ``get`` and ``prepare``."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import published_files as made
import pytest
from image_files import save
from runs import adbench


@pytest.fixture
def parts(tmp_path):
    """A class of own images without a fault."""
    random = np.random.default_rng(0)
    for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/cut/0.png"):
        save(tmp_path / "nut" / name, random.integers(0, 255, (40, 40, 3), np.uint8))
    save(tmp_path / "nut/ground_truth/cut/0_mask.png", np.eye(40, dtype=np.uint8))
    return tmp_path


def test_the_list_says_what_is_known_and_where_it_lies(tmp_path):
    """Every data set has its row; one by name shows classes, citation and archives."""
    done = adbench("data", "list", "--format", "json")
    assert done.exit_code == 0, done.stderr
    rows = {row["dataset"]: row for row in json.loads(done.stdout)[0]["rows"]}
    assert rows["visa"]["licence"] == "CC BY 4.0"
    assert rows["visa"]["found"] is None
    one = adbench("data", "list", "visa")
    assert "pipe_fryum" in one.stdout
    assert "2207.14315" in one.stdout
    assert adbench("data", "list", "vsa").exit_code == 2


def test_exit_codes_say_whether_a_run_would_stop(parts):
    """0 for a sound folder, also with warnings; 1 where something would stop a run; 2 for a mistake."""
    sound = adbench("data", "check", "folder", "--data-root", parts)
    assert (sound.exit_code, "Nothing stands in the way" in sound.stdout) == (0, True)
    (parts / "nut/test/good/copy.png").write_bytes((parts / "nut/train/good/0.png").read_bytes())
    warned = adbench("data", "check", "folder", "--data-root", parts)
    assert (warned.exit_code, "the same image in train and test" in warned.stdout) == (0, True)
    (parts / "nut/train/good/0.png").write_bytes(b"")
    stopped = adbench("data", "check", "folder", "--data-root", parts, "--format", "json")
    assert stopped.exit_code == 1
    assert [row["what"] for row in json.loads(stopped.stdout)[1]["rows"]] == ["unreadable image"]
    assert adbench("data", "check", "folder", "--data-root", parts, "-c", "bolt").exit_code == 2


def test_it_shows_how_a_folder_was_understood(parts):
    """Layout, folders with what they were taken for, masks, and what was passed over, in 80 columns also in a pipe."""
    (parts / "nut/test/good").rename(parts / "nut/test/Normal")
    save(parts / "nut/test/cut/monday/1.png", np.eye(40, dtype=np.uint8))
    shown = adbench("data", "check", "folder", "--data-root", parts).stdout
    words = " ".join(shown.split())
    for text in (
        "nut MVTec's layout 2 train, 1 test",
        "How the folders of nut were read",
        "train/good train: good 2",
        "test/Normal test: good 1",
        "test/cut test: defect cut 1 1 in ground_truth/cut",
        "passed over test/cut/monday/ (1 image).",
    ):
        assert text in words
    assert max(map(len, shown.splitlines())) <= 80
    tables = json.loads(adbench("data", "check", "folder", "--data-root", parts, "--format", "json").stdout)
    assert [row["folder"] for row in tables[-1]["rows"]] == ["train/good", "test/Normal", "test/cut"]


def test_without_a_name_only_known_data_sets_are_checked(parts, monkeypatch):
    """A folder of own images is not taken for a published data set: the message says how to check it."""
    monkeypatch.setattr("adbench_datasets.elpv.PACKAGE", "adbench_no_such_package")  # it may be installed here
    done = adbench("data", "check", "--data-root", parts)
    assert done.exit_code == 2
    assert "adbench data check folder" in done.stderr


def test_a_folder_without_a_published_data_set_is_named_beside_others(parts, tmp_path, monkeypatch):
    """That a data set was found elsewhere does not speak for a folder of own images, which is not looked at."""
    monkeypatch.setattr("adbench_datasets.elpv.PACKAGE", "adbench_no_such_package")
    made.elpv(tmp_path / "public")
    own = parts / "my nuts"
    (parts / "nut").rename(own)
    done = adbench("data", "check", "--data-root", tmp_path / "public", "--data-root", own)
    assert (done.exit_code, "elpv in" in done.stdout) == (0, True)
    warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning")]
    assert len(warnings) == 1
    assert f"adbench data check folder --data-root '{own}'" in done.stderr


def packed(path, dataset="nut"):
    """An archive with one class of four files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("train/good/0.png", "test/good/0.png", "test/cut/0.png", "ground_truth/cut/0_mask.png"):
            archive.writestr(f"{dataset}/{name}", b"x")
    return path


def test_an_archive_is_prepared_under_the_name_of_its_data_set(tmp_path):
    """The folder goes to standard output, what was found and the next command to standard error."""
    done = adbench("data", "prepare", "mvtec", packed(tmp_path / "a.zip", "bottle"), "--to", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "mvtec")
    assert "3 images in 1 class, no cable" in done.stderr
    again = adbench("data", "prepare", "mvtec", "--to", tmp_path)
    assert "were there already" in again.stderr


def test_an_unknown_archive_becomes_a_folder_of_its_name(tmp_path):
    """Own images are unpacked as well; a word that is neither an archive nor a data set is a mistake."""
    done = adbench("data", "prepare", packed(tmp_path / "mine.zip"), "--to", tmp_path / "data")
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "data" / "mine"))
    assert "adbench data check folder" in done.stderr
    assert "Did you mean 'mvtec'?" in adbench("data", "prepare", "mvtc", "--to", tmp_path).stderr


def test_a_licence_is_asked_before_anything_is_loaded(tmp_path):
    """Exit code 2 with the licence; with consent an address that needs a form says how to go on by hand."""
    asked = adbench("data", "get", "mvtec_loco", "--to", tmp_path)
    assert asked.exit_code == 2
    assert "CC BY-NC-SA 4.0" in asked.stderr
    assert "--accept-licence" in asked.stderr
    by_hand = adbench("data", "get", "mvtec_loco", "--to", tmp_path, "--accept-licence")
    assert by_hand.exit_code == 2
    assert f"adbench data prepare mvtec_loco --to {tmp_path}" in by_hand.stderr
    assert "--accept-licence" not in adbench("data", "get", "mvtec_loco", "--to", tmp_path).stderr


@pytest.mark.parametrize(
    "words", [("data", "check", "folder", "--data-root", ""), ("run", "-m", "random", "--data-root", ""),
              ("leaderboard", "--results", "")],
)  # fmt: skip
def test_an_empty_folder_is_not_the_working_folder(words):
    """As of ``--data-root "$UNSET"``: else everything below the working folder would be read, or written to."""
    done = adbench(*words)
    assert done.exit_code == 2
    assert f"{words[-2]} '': found an empty name" in done.stderr
