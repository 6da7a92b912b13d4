"""Regions of masks, numbered in the masks' own pixels and carried along to other sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import label

from adbench.api.data import Sample
from adbench.data import image_files, image_store, memory_store
from adbench.data.decode import Decoded, decode_sample
from adbench.data.framing import Framing
from adbench.data.ground_truth import GroundTruth, open_ground_truth
from adbench.data.masks import decode_mask
from adbench.data.numbered import numbered, resized
from adbench.metrics.metrics import evaluate_ground_truth

DIAGONAL = np.eye(60, dtype=bool)


@st.composite
def cases(draw):
    """A mask, a part of it with fractions of pixels, and a size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    mask = rng.random((height, width)) < draw(st.sampled_from((0.02, 0.2, 0.6)))
    left, top = rng.uniform(0, width * 0.4), rng.uniform(0, height * 0.4)
    part = (left, top, rng.uniform(left + 0.5, width), rng.uniform(top + 0.5, height)) if draw(st.booleans()) else None
    return mask, part or (0, 0, width, height), (draw(st.integers(1, 20)), draw(st.integers(1, 20)))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_region_stays_one(case):
    """Each region in the part is in the result, up to the number of pixels, and no new one is."""
    mask, (left, top, right, bottom), size = case
    numbers = numbered(mask)
    found = resized(numbers, (left, top, right, bottom), size)
    inside = numbers[
        int(np.ceil(top - 0.5)) : int(np.ceil(bottom - 0.5)), int(np.ceil(left - 0.5)) : int(np.ceil(right - 0.5))
    ]
    wanted = set(np.unique(inside)) - {0}
    there = set(np.unique(np.abs(found))) - {0}
    assert there <= set(np.unique(numbers)) - {0}
    assert len(there) >= min(len(wanted), found.size)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_pixels_that_are_defective_are_those_of_before(case):
    """They are those of the nearest pixel; beyond them only regions that were lost have one pixel each."""
    mask, part, size = case
    numbers = numbered(mask)
    found = resized(numbers, part, size)
    before = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST, box=part))
    np.testing.assert_array_equal(found > 0, before > 0)
    kept = -found[found < 0]
    assert len(np.unique(kept)) == len(kept)
    assert not np.isin(kept, found).any()


def test_numbers_are_those_of_connected_pixels():
    """Pixels that touch at a corner are one region."""
    mask = np.random.default_rng(0).random((40, 50)) < 0.3
    expected, count = label(mask, np.ones((3, 3)))
    np.testing.assert_array_equal(numbered(mask), expected)
    assert numbered(mask & False).max() == 0
    assert count > 1


def test_a_thin_line_is_not_torn():
    """A diagonal line that shrinks in one direction falls apart into pixels that don't touch, and stays one region."""
    found = resized(numbered(DIAGONAL), (0, 0, 60, 60), (60, 12))
    assert label(found > 0, np.ones((3, 3)))[1] > 1
    assert set(np.unique(found)) == {0, 1}


def test_a_small_region_keeps_its_nearest_pixel():
    """Two dots that no sampled pixel hits keep a pixel each, at their places."""
    mask = np.zeros((64, 64), bool)
    mask[1, 1] = mask[62, 33] = True
    found = resized(numbered(mask), (0, 0, 64, 64), (8, 8))
    np.testing.assert_array_equal(np.argwhere(found), [[0, 0], [7, 4]])


def test_a_lost_region_takes_no_other_regions_last_pixel():
    """Beside a dot another dot takes the next pixel; beside a large region it takes one of that region's."""
    dots = np.zeros((40, 40), bool)
    dots[10, 10] = dots[10, 12] = dots[12, 10] = dots[12, 12] = True
    assert set(np.abs(resized(numbered(dots), (0, 0, 40, 40), (4, 4))).ravel()) == {0, 1, 2, 3, 4}
    large = np.ones((40, 40), bool)
    large[8:13, 8:13] = False
    large[10, 10] = True
    found = resized(numbered(large), (0, 0, 40, 40), (4, 4))
    assert sorted(np.unique(found, return_counts=True)[1]) == [1, 15]
    assert (found > 0).all()


# ---------------------------------------------------------------- on the way to a run


def written(folder, *masks):
    samples = []
    for number, mask in enumerate(masks):
        image, drawn = folder / f"{number}.png", folder / f"{number}_mask.png"
        Image.new("RGB", mask.shape[::-1]).save(image)
        Image.fromarray(mask.astype(np.uint8) * 255).save(drawn)
        samples.append(Sample(image, 1, "bad", drawn))
    return (*samples, Sample(samples[0].path))


FRAMING = Framing((60, 12))


def test_a_store_keeps_the_numbers(tmp_path, monkeypatch):
    """The regions of decoded masks are stored and come back, and the ground truth counts them."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    two = DIAGONAL.copy()
    two[50, 3] = True
    samples = written(tmp_path, DIAGONAL, two)
    for _ in range(2):  # made, then read
        store = image_store.open_store(samples, root=tmp_path, framing=FRAMING)
        assert [len(np.unique(each[:, 1])) for each in store.regions] == [1, 2, 0]
        assert open_ground_truth(store, FRAMING).region_sizes.tolist() == [12, 12, 1]
    memory = memory_store.read(samples, FRAMING)
    assert [each.tolist() for each in memory.regions] == [each.tolist() for each in store.regions]
    torn = GroundTruth.of([1, 1, 0], store.masks)
    assert len(torn.region_sizes) > 3
    np.testing.assert_array_equal(torn.positions, open_ground_truth(store, FRAMING).defects)


def test_a_kept_pixel_counts_for_its_region_alone(tmp_path, monkeypatch):
    """Pixel metrics are those of the resized mask, bit by bit; AUPRO also counts the region that it lost."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    mask, rng = np.zeros((40, 40), bool), np.random.default_rng(3)
    mask[20:30, 20:30] = mask[1, 1] = mask[1, 38] = True
    framing = Framing((8, 8))
    store = image_store.open_store(written(tmp_path, mask, mask), root=tmp_path, framing=framing)
    truth, plain = open_ground_truth(store, framing), GroundTruth.of([1, 1, 0], store.masks)
    assert (len(truth.region_sizes), len(plain.region_sizes), int(truth.kept.sum())) == (6, 2, 4)
    maps = rng.integers(0, 9, (3, 8, 8)).astype(np.float32)
    maps[:2, 0, 0] = 8
    found, before = (evaluate_ground_truth(each, image_scores=[1, 1, 0], maps=maps) for each in (truth, plain))
    names = ("pixel_auroc", "pixel_ap", "pixel_f1max")
    assert [getattr(found, name) for name in names] == pytest.approx(
        [getattr(before, name) for name in names], abs=1e-12
    )
    outside = np.ones(maps.shape, bool)
    outside.reshape(-1)[truth.positions] = False
    rates, shares = [0.0], [0.0]
    for level in np.unique(maps)[::-1]:
        rates.append((maps[outside] >= level).mean())
        hit = (maps.reshape(-1)[truth.positions] >= level).astype(float)
        shares.append(np.mean([hit[truth.regions == number].mean() for number in range(6)]))
    at = np.append(np.array(rates)[np.array(rates) < 0.3], 0.3)
    heights = np.interp(at, rates, shares)
    assert found.aupro == pytest.approx(np.diff(at) @ (heights[1:] + heights[:-1]) / 0.6, abs=1e-12)
    assert evaluate_ground_truth(truth, image_scores=[1, 1, 0], maps=-maps, region_maps=maps).aupro == found.aupro


@pytest.mark.parametrize("eval_size", ["native", (60, 12), (30, 30)])
def test_other_evaluation_sizes_count_the_same_regions(tmp_path, monkeypatch, eval_size):
    """Whatever the size of the comparison, the regions are those of the masks' own pixels."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    store = image_store.open_store(written(tmp_path, DIAGONAL, DIAGONAL[::-1]), root=tmp_path, framing=FRAMING)
    assert len(open_ground_truth(store, FRAMING, eval_size=eval_size).region_sizes) == 2


def test_a_crop_counts_what_it_shows(tmp_path):
    """A region that a crop cuts in two is one; one that lies outside is none."""
    mask = np.zeros((40, 80), bool)
    mask[5:9, :] = mask[5:35, 0:3] = mask[30:35, :30] = mask[20, 75] = True  # a bow around the left side, and a dot
    (sample, _) = written(tmp_path, mask)
    framing = Framing((20, 20), "crop")
    with image_files.quiet():
        own = decode_mask(sample, (40, 80), framing.shown_part((40, 80)), None)
        decoded = decode_sample(sample, framing)
    assert isinstance(decoded, Decoded)
    assert set(np.unique(own)) == {0, 1}
    assert set(decoded.regions[:, 1].tolist()) == {1}
    assert label(decoded.mask, np.ones((3, 3)))[1] == 2
