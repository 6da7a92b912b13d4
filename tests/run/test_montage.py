"""Test images beside the maps of several runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import make_result
from runs import TINY

from adbench.api import registry
from adbench.results import store
from adbench.results.store import ImageScore
from adbench.run import montage
from adbench.run.reopen import Reopener
from adbench.util.errors import UsageError


@pytest.fixture(scope="module")
def bolts(ran):
    """The runs of tiny on the class bolts, with two seeds."""
    runs = [run for run in store.read_all(ran).results if run.method == "tiny" and run.class_name == "bolts"]
    return [(f"seed {run.seed}", run) for run in sorted(runs, key=lambda run: run.seed)]


def made(bolts, ran, tiny_data, **choice):
    return montage.make(bolts, ran, Reopener(registry.load([TINY]), [tiny_data], "cpu"), **choice)


def test_each_image_has_a_map_of_each_run(bolts, ran, tiny_data):
    """Images, masks and overlays have the image's own size, and two runs make two maps."""
    found = made(bolts, ran, tiny_data, count=2)
    assert found.labels == ("seed 0", "seed 1")
    assert [row.defect for row in found.rows] == ["spot", "spot"]
    for row in found.rows:
        assert row.image.shape == row.overlays[0].shape == (80, 80, 3)
        assert row.mask.sum() == 16 * 16
        assert not np.array_equal(*row.overlays)


def test_images_can_be_asked_for(bolts, ran, tiny_data):
    """By any part of their paths, in the order of the question; a part of several images or of none is a mistake."""
    found = made(bolts[:1], ran, tiny_data, images=["spot/002", "good/000"])
    assert [row.path.partition("test/")[2] for row in found.rows] == ["spot/002.png", "good/000.png"]
    assert found.rows[1].mask is None or not found.rows[1].mask.any()
    with pytest.raises(UsageError, match=r"image 'spot': found 4 images: .*, \.\.\., wanted a part of the path of one"):
        made(bolts, ran, tiny_data, images=["spot"])
    with pytest.raises(UsageError, match="found no such test image"):
        made(bolts, ran, tiny_data, images=["hole"])


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([], "no run"),
        ([make_result(f"m{number}") for number in range(9)], "9 runs, wanted at most 8"),
        ([make_result("a", "bolts"), make_result("a", "nuts")], "runs on folder/bolts, folder/nuts"),
        ([make_result("a"), replace(make_result("b"), fingerprint="other")], "runs on different images"),
    ],
)
def test_runs_that_share_no_images_are_refused(tmp_path, runs, found):
    """Before anything is scored."""
    with pytest.raises(UsageError, match=found):
        montage.make([(run.method, run) for run in runs], tmp_path, object())


@given(
    st.lists(st.tuples(st.sampled_from(["good", "hole", "crack"]), st.integers(0, 9)), max_size=20), st.integers(1, 6)
)
def test_types_of_defects_take_turns(rows, count):
    """As many images as wanted, each type before a second one of any, and good ones only if there is no other."""
    scores = [ImageScore(f"{number}", int(kind != "good"), kind, float(score))
              for number, (kind, score) in enumerate(rows)]  # fmt: skip
    chosen = montage.choose(scores, count)
    kinds = {each.defect for each in scores if each.label} or {each.defect for each in scores}
    pool = [each for each in scores if each.defect in kinds]
    assert len(chosen) == min(count, len(pool))
    assert len({each.path for each in chosen}) == len(chosen)
    assert len({each.defect for each in chosen}) == min(count, len(kinds))
    assert chosen == montage.choose(scores[::-1], count)
