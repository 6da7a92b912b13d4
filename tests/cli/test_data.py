"""The commands ``data list`` and ``data check``."""

from __future__ import annotations

import json

import numpy as np
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


def test_without_a_name_only_known_data_sets_are_checked(parts):
    """A folder of own images is not taken for a published data set: the message says how to check it."""
    done = adbench("data", "check", "--data-root", parts)
    assert done.exit_code == 2
    assert "adbench data check folder" in done.stderr
