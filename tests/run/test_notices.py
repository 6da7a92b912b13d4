"""What is said of the images before training: remarks once, and copies by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adbench.api.data import DataOptions, Sample, Task
from adbench.data.image_store import Store
from adbench.run.notices import Notices, copies, mostly_marked
from adbench.util.digests import Digests


def make(root: Path, **contents: str) -> Task:
    """A task with a file for each content: names begin with "train", "good" or "bad"."""
    samples: dict[str, list[Sample]] = {"train": [], "good": [], "bad": []}
    for name, content in contents.items():
        path = root / name
        path.write_text(content)
        part = name.rstrip("0123456789")
        samples[part].append(Sample(path, int(part == "bad"), part))
    test = (*samples["good"], *samples["bad"])
    return Task("d", "c", root, tuple(samples["train"]), test, options=DataOptions(), remarks=("d/c: a split.",))


def test_copies_in_training_and_test_are_named(tmp_path):
    """Only the content counts; copies within one side are nobody's leak."""
    task = make(tmp_path, train0="a", train1="b", train2="b", good0="b", good1="c", good2="c", bad0="a", bad1="d")
    assert copies(task, Digests(tmp_path)) == [
        "Warning: d/c: 2 test images are copies of training images, so the metrics are too good: good0 = train2, "
        "bad0 = train0. Remove the copies."
    ]


def test_an_image_that_is_good_and_bad_is_named(tmp_path):
    """Two test images of one content have one score: one of the labels must be wrong."""
    task = make(tmp_path, train0="a", good0="b", bad0="b")
    assert copies(task, Digests(tmp_path)) == [
        "Warning: d/c: 1 test image is both good and bad: bad0 = good0. Remove the copies."
    ]


def test_many_copies_are_counted(tmp_path):
    """A few are named; files that can't be read are no copies of each other."""
    task = make(tmp_path, **{f"{part}{number}": str(number) for part in ("train", "good") for number in range(5)})
    (line,) = copies(task, Digests(tmp_path))
    assert "5 test images are copies" in line
    assert "good2 = train2 and 2 more." in line
    for path in tmp_path.glob("*[0-9]"):
        path.unlink()
    assert copies(task, Digests(tmp_path)) == []


def test_each_line_is_said_once(tmp_path):
    """Methods and seeds share their images; copies are looked for whoever made the split."""
    said: list[str] = []
    task = make(tmp_path, train0="a", good0="a", bad0="b")
    notices = Notices(Digests(tmp_path), said.append)
    notices.tell([task])
    notices.tell([task, replace(task)])
    assert [line[:16] for line in said] == ["d/c: a split.", "d/c: no masks, s", "Warning: d/c: 1 "]
    Notices(Digests(tmp_path), said.append).tell([replace(task, options=None, remarks=())])
    assert [line[:16] for line in said[3:]] == ["d/c: no masks, s", "Warning: d/c: 1 "]


@pytest.mark.parametrize(
    ("counts", "rule", "said"),
    [
        ((60, 97, 10), "auto", "the masks of 2 of 3 images mark over half of the pixels, up to 97.0%."),
        ((60, 97, 10), "inverted", "the masks of 2 of 3 images mark over half"),
        ((60, 97, 10), "nonzero", None),
        ((97, 50, 10), "auto", None),
        ((), "auto", None),
    ],
)
def test_masks_that_mostly_mark_over_half_are_told(tmp_path, counts, rule, said):
    """Small defects whose masks are inverted turn all metrics of pixels; one large defect is nothing special."""
    task = make(tmp_path, train0="a")
    samples = tuple(Sample(tmp_path / f"{n}.png", 1, "bad", tmp_path / f"{n}_m.png", mask_rule=rule) for n in counts)
    regions = tuple(np.zeros((count, 2), np.int32) for count in counts)
    masks = np.zeros((len(counts), 10, 10), np.uint8)
    store = Store("key", samples, masks, masks, ((10, 10),) * len(counts), "content", regions=regions)
    lines = mostly_marked(task, store)
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]
    assert all("See --mask-rule" in line for line in lines)
