"""Pairs of images and masks, and the split by names that data sets without one of their own share."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
from adbench_datasets.paired import SplitOptions, divide, read_pairs
from adbench_datasets.plain import split
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import save

from adbench.api.data import Sample

BLACK, MARKED = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)


def test_labels_are_those_of_the_masks_in_any_form_of_letters(tmp_path):
    """A black mask is a good image; two masks of one image, and a missing one, are problems."""
    masks = {"ä": (BLACK, "bmp"), "ö": (MARKED, "bmp"), "two": (MARKED, "bmp"), "alone": (BLACK, "bmp")}
    for name, (mask, suffix) in masks.items():
        save(tmp_path / f"{unicodedata.normalize('NFD', name)}_label.{suffix}", mask)
    save(tmp_path / "two_LABEL.png", MARKED)
    for name in ("ä", "ö", "two", "none"):
        save(tmp_path / f"{name}.png", MARKED)
    pairs = read_pairs([tmp_path], "_label")
    assert [sample.path.stem for sample in pairs.good] == ["ä"]
    assert [sample.path.stem for sample in pairs.bad] == ["ö"]
    assert [problem.path.stem for problem in pairs.problems] == ["none", "two"]
    assert [path.name for path in pairs.unused] == ["alone_label.bmp"]


@settings(max_examples=30)
@given(st.lists(st.text("abc019", min_size=1, max_size=6), min_size=2, max_size=30, unique=True), st.floats(0.05, 0.95))
def test_images_are_divided_as_the_rule_says_and_groups_stay_together(names, share):
    """Nothing is lost or in both parts, and a group is in one of them."""
    good = [Sample(Path(name) / f"{number}.png") for name in names for number in range(2)]
    train, test = divide(good, SplitOptions(test_share=share), lambda sample: sample.path.parent.name)
    chosen = {sorted(names)[place] for place in split(sorted(names), share, 0)}
    assert {sample.path.parent.name for sample in test} == chosen
    assert sorted([*train, *test], key=lambda sample: sample.path) == sorted(good, key=lambda sample: sample.path)
