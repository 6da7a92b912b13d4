"""Miniatures of the published layouts that lie outside the project: every image, label, split and mask is as listed.

They lie in ``minis`` beside the folder ADBENCH_REAL_DATA, each with NAME.expected.json.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from adbench.api import registry
from adbench.api.data import Problem
from adbench.data import masks

FOLDERS = {
    "autovi": "AutoVI",
    "btad": "BTech_Dataset_transformed",
    "dagm": "DAGM_KaggleUpload",
    "dtd_synthetic": "DTD-Synthetic",
    "elpv": "elpv",
    "goodsad": "GoodsAD",
    "kolektorsdd": "KolektorSDD",
    "kolektorsdd2": "KolektorSDD2",
    "mpdd": "MPDD",
    "mtd": "MTD",
    "mvtec_ad2": "mvtec_ad_2",
    "mvtec_loco": "mvtec_loco_anomaly_detection",
    "real_iad": "Real-IAD",
    "vad": "VAD",
    "visa": "VisA",
}
SIZE = (32, 32)


def minis() -> Path:
    place = Path(os.environ.get("ADBENCH_REAL_DATA", "none")).parent / "minis"
    if not place.is_dir():
        pytest.skip("no miniatures beside ADBENCH_REAL_DATA")
    return place


def facts(sample, split: str) -> tuple[str, int, str | None, int]:
    """Split, label (-1 if unknown), type of defect, and pixels of the joined masks."""
    pixels = 0
    if sample.mask is not None:
        found = masks.decode_mask(sample, SIZE, (0, 0, *SIZE), None)
        assert not isinstance(found, Problem), found
        pixels = int((found > 0).sum())  # numbers of regions
    label = sample.label if sample.is_labelled else -1
    return split, label, sample.defect if sample.label else None, pixels


@pytest.mark.parametrize("name", FOLDERS)
def test_a_miniature_is_read_as_listed(name):
    """Defective training images alone are not read; masks of good images are black and are no masks."""
    root = minis() / FOLDERS[name]
    listed = json.loads((minis() / f"{FOLDERS[name]}.expected.json").read_text(encoding="utf-8"))["samples"]
    wanted, masks = {}, {}
    for each in listed:
        if each["split"] == "train" and each["label"]:
            continue
        pixels = each.get("mask_pixels_gt127", each["mask_pixels"]) or 0
        wanted[each["image"]] = [each["category"], (each["split"], each["label"], each["defect"], pixels)]
        masks[each["image"]] = each["masks"] if each["label"] == 1 else []
    reader = registry.load().datasets[name]
    there = {facts[0] for facts in wanted.values()}
    found, found_masks = {}, {}
    for class_name in there if name == "visa" else reader.classes(root):
        for split, samples in reader.load(root, class_name).splits.items():
            for sample in samples:
                path = sample.path.relative_to(root).as_posix()
                found[path] = [class_name, facts(sample, split)]
                found_masks[path] = [mask.relative_to(root).as_posix() for mask in sample.masks]
    for path, (_, (split, label, defect, pixels)) in wanted.items():  # what the list leaves open is as found
        read = found.get(path, [None, (None, None, None, None)])[1]
        wanted[path][1] = (split or read[0], label, defect if defect or not label else read[2], pixels)
    assert found == {path: [each[0], each[1]] for path, each in wanted.items()}
    assert found_masks == masks
