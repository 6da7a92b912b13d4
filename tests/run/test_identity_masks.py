"""All masks of an image, how they are read, and the rules of their regions are a part of a result's identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adbench.api import RegionRules, Sample, Saturation, Task
from adbench.run.identity import data_digest
from adbench.util.digests import Digests

RULES = RegionRules((Saturation("cut", 255, 0.5, True),), {"cut": "structural"})


@pytest.fixture
def task(tmp_path) -> Task:
    for name in ("image.png", "0.png", "1.png"):
        (tmp_path / name).write_text(name)
    image = Sample(tmp_path / "image.png", 1, "cut", tmp_path / "0.png", (tmp_path / "1.png",))
    return Task("made", "bolts", tmp_path, (), (image,))


def test_what_makes_another_identity(task, tmp_path):
    """Each change gives another digest, and the fingerprint follows the files."""
    (image,) = task.test

    def digest(changed: Task) -> str:
        return data_digest(changed, Digests(tmp_path))

    digests = [
        digest(task),
        digest(replace(task, test=(replace(image, more_masks=()),))),
        digest(replace(task, test=(replace(image, mask_above=127),))),
        digest(replace(task, region_rules=RULES)),
        digest(replace(task, region_rules=replace(RULES, groups={}))),
    ]
    (tmp_path / "1.png").write_text("another")
    digests.append(digest(task))
    assert len(set(digests)) == len(digests)


def test_the_fingerprint_knows_all_masks(task, tmp_path):
    """It changes with the length of a further mask, and with how masks are read."""
    before = task.fingerprint
    assert replace(task, test=(replace(task.test[0], mask_above=127),)).fingerprint != before
    (tmp_path / "1.png").write_text("longer than before")
    assert task.fingerprint != before
