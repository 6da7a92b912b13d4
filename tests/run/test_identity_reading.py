"""Results on images that are read in another way than by earlier versions are told from those of now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deep_files import turned_file
from image_files import save
from runs import ONE, adbench, run_tiny

from adbench.api.data import Sample, Task
from adbench.api.marking import Marking
from adbench.data import depths, mask_kinds
from adbench.run.identity import data_digest
from adbench.util.digests import Digests


def both(path, monkeypatch) -> tuple[str, str]:
    """The digests of an image now, and as an earlier version made them."""
    task = Task("folder", "screw", path.parent, (Sample(path),))
    now = data_digest(task, Digests())
    with monkeypatch.context() as patch:
        patch.setattr(depths, "reading_facts", lambda depth: ())
        return now, data_digest(task, Digests())


def test_an_upright_image_of_8_bits_keeps_its_digest(tmp_path, monkeypatch):
    """Stored numbers on such images stay current."""
    now, before = both(save(tmp_path / "a.png", np.zeros((4, 6), np.uint8)), monkeypatch)
    assert now == before


@pytest.mark.parametrize("kind", ["deep", "turned"])
def test_other_images_have_another_one(kind, tmp_path, monkeypatch):
    """Those of more than 8 bits, and those that a camera turned."""
    path = tmp_path / "a.png"
    if kind == "deep":
        save(path, np.zeros((4, 6), np.uint16))
    else:
        turned_file(path, np.zeros((4, 6), np.uint8), 3)
    now, before = both(path, monkeypatch)
    assert now != before


def test_a_run_of_an_earlier_version_on_such_images_is_stale(tmp_path, monkeypatch):
    """It is left out of the leaderboard, and computed again."""
    draw = np.random.default_rng(0)
    for part in ("train/good/0", "train/good/1", "test/good/0", "test/cut/0"):
        save(tmp_path / f"data/bolts/{part}.png", draw.integers(0, 4000, (40, 40), np.uint16))
    with monkeypatch.context() as patch:
        patch.setattr(depths, "reading_facts", lambda depth: ())
        assert run_tiny(tmp_path / "data", tmp_path / "results", *ONE).exit_code == 0
    left_out = adbench("leaderboard", "--results", tmp_path / "results")
    assert "images or masks changed" in " ".join((left_out.output + left_out.stderr).split())
    again = run_tiny(tmp_path / "data", tmp_path / "results", *ONE)
    assert "computed again" in " ".join(again.stderr.split())


SOFT = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (40, 1))


@pytest.mark.parametrize("kind", ["plain", "classes", "soft", "transparent", "blurred"])
def test_masks_that_earlier_versions_read_alike_keep_their_digest(kind, tmp_path, monkeypatch):
    """Black and white, and numbers of classes; but not soft edges, transparency, and a threshold beside lossy noise."""
    sample = Sample(save(tmp_path / "a.png", np.zeros((40, 40), np.uint8)), 1, "cut", tmp_path / "mask.png")
    values = {"plain": np.where(SOFT > 99, 255, 0), "classes": SOFT // 90}.get(kind, SOFT).astype(np.uint8)
    if kind == "blurred":
        sample = replace(sample, mask=tmp_path / "mask.jpg")
    elif kind == "transparent":
        values = np.dstack([np.full_like(SOFT, 255)] * 3 + [np.where(SOFT > 99, 255, 0).astype(np.uint8)])
    save(sample.mask, values)
    task = Task("folder", "screw", tmp_path, (), (sample,))
    now = data_digest(task, Digests())
    monkeypatch.setattr(mask_kinds, "read_otherwise", lambda *args, **known: frozenset())
    assert (now != data_digest(task, Digests())) == (kind in ("soft", "transparent"))


def test_a_rule_of_the_user_is_on_the_same_images(tmp_path):
    """So a board compares runs with different rules for soft masks."""
    mask = save(tmp_path / "mask.png", SOFT)
    sample = Sample(save(tmp_path / "a.png", np.zeros((40, 40), np.uint8)), 1, "cut", mask)
    task = Task("folder", "screw", tmp_path, (), (sample,))
    assert data_digest(task.marked(Marking("above:200")), Digests()) == data_digest(task, Digests())
