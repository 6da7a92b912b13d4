"""Pixels that count in no metric of pixels: every metric is as if the images had none of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import save
from scipy.ndimage import label

from adbench.api.data import Sample
from adbench.api.scores import METRIC_NAMES, PIXEL_METRICS, Region
from adbench.data import memory_store
from adbench.data.framing import Framing
from adbench.data.ground_truth import GroundTruth, open_ground_truth
from adbench.data.ignored import Counted, Ignored
from adbench.metrics import metrics, pimo
from adbench.metrics.histograms import ScoreHistograms
from adbench.metrics.metrics import evaluate, evaluate_ground_truth
from adbench.metrics.undefined import reasons
from adbench.util.errors import DataError, TaskError


def overlap_area(scores, good, regions, limit):
    """AUPRO over plain arrays: scores of the good pixels (G,), and a list of those of each region."""
    levels = np.unique(np.concatenate([good, *regions]))[::-1]
    x, y = [0.0], [0.0]
    for level in levels:
        x.append(float((good >= level).mean()))
        y.append(float(np.mean([(each >= level).mean() for each in regions])))
    x, y = np.array(x), np.array(y)
    area = 0.0
    for left, right, low, high in zip(x[:-1], x[1:], y[:-1], y[1:], strict=True):
        if left >= limit:
            break
        cut = min(right, limit)
        top = high if right <= limit else low + (high - low) * (cut - left) / (right - left)
        area += (cut - left) * (low + top) / 2
    return area / limit


def plain_metrics(masks, maps, counted, threshold):
    """Pixel metrics of the counted pixels alone, by their definitions."""
    bad, good = maps[(masks != 0) & counted], maps[(masks == 0) & counted]
    beaten = (bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean()
    levels = np.unique(bad)[::-1]
    hits = np.array([(bad >= each).sum() for each in levels])
    alarms = np.array([(good >= each).sum() for each in levels])
    precision = hits / (hits + alarms)
    regions = []
    for mask, each, there in zip(masks, maps, counted, strict=True):
        numbers, count = label(mask, np.ones((3, 3)))
        found = [each[(numbers == number) & there] for number in range(1, count + 1)]
        regions += [one for one in found if len(one)]
    found, right = (maps[counted] > threshold).sum(), (bad > threshold).sum()
    return {
        "pixel_auroc": beaten,
        "pixel_ap": float(np.diff(hits, prepend=0) @ precision / len(bad)),
        "pixel_f1max": float((2 * hits / (hits + alarms + len(bad))).max()),
        "aupro": overlap_area(maps, good, regions, 0.3),
        "aupro_05": overlap_area(maps, good, regions, 0.05),
        "segf1": 2 * right / (found + len(bad)) if found + len(bad) else None,
    }


def drawn(seed, images=4, height=7, width=6, levels=9):
    """Random masks, maps with ties, and ignored pixels of which none are all of an image."""
    random = np.random.default_rng(seed)
    masks = (random.random((images, height, width)) > 0.6).astype(np.uint8)
    masks[0] = 0
    maps = random.integers(0, levels, masks.shape).astype(np.float32)
    ignored = random.random(masks.shape) > random.uniform(0.2, 0.9)
    return masks, maps, ignored


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([2, 9, 1000]), common=st.booleans())
def test_metrics_are_those_of_the_other_pixels(seed, levels, common):
    """All metrics of pixels are what their definitions give for the counted pixels; those of images don't change."""
    masks, maps, ignored = drawn(seed, levels=levels)
    ignored = ignored[0] if common else ignored
    counted = np.broadcast_to(~ignored, masks.shape)
    if (
        not all(each.any() for each in counted)
        or not ((masks != 0) & counted).any()
        or not ((masks == 0) & counted).any()
    ):
        return
    given_ = {"labels": masks.any(axis=(1, 2)), "image_scores": maps.max(axis=(1, 2)), "masks": masks, "maps": maps}
    found = evaluate(**given_, ignored=ignored, pixel_threshold=levels / 2)
    for name, value in plain_metrics(masks, maps, counted, levels / 2).items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-12), name
    whole = evaluate(**given_)
    for name in set(METRIC_NAMES) - set(PIXEL_METRICS):
        assert getattr(found, name) == getattr(whole, name)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_ignored_scores_move_nothing(seed):
    """Other scores and other marks at ignored pixels give the same numbers, histograms and tensors included."""
    torch = pytest.importorskip("torch")
    masks, maps, ignored = drawn(seed)
    other = np.where(ignored, np.float32(1e6), maps)
    labels, scores = [0, 1, 1, 1], [0.0, 1, 2, 3]
    if not all((~each).any() for each in ignored):
        return
    truth = GroundTruth.of(labels, masks).without(Ignored.of(ignored, len(masks)))
    one, two, three = (
        evaluate_ground_truth(truth, image_scores=scores, maps=each, region_maps=each, pixel_threshold=4)
        for each in (maps, other, torch.from_numpy(other))
    )
    assert one == two == three
    paths = [str(number) for number in range(len(masks))]
    first, second = (ScoreHistograms.of(truth, paths, scores, each, each, 4) for each in (maps, other))
    for name, array in first.arrays().items():
        assert np.array_equal(array, second.arrays()[name]), name
    if one.pixel_auroc is not None:
        binned = first.metrics(np.ones((1, len(masks))))
        for name in ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "segf1"):
            assert binned[name][0] == pytest.approx(getattr(one, name), abs=1e-3)


def test_aupimo_counts_the_other_pixels_of_normal_images(monkeypatch):
    """It is that of images in which the ignored pixels are not there; an image with an ignored defect is not normal."""
    monkeypatch.setattr(pimo, "FEWEST_POINTS", 2)
    random = np.random.default_rng(0)
    masks = np.zeros((6, 200, 300), np.uint8)
    masks[0, :20, :20] = masks[1, 50:60, 150:190] = masks[2, :4, :4] = 1
    maps = random.normal(size=masks.shape) + 3 * masks
    ignored = np.zeros((200, 300), bool)
    ignored[:10, :12] = True
    found = evaluate(labels=[1, 1, 1, 0, 0, 0], image_scores=range(6), masks=masks, maps=maps, ignored=ignored)

    normal, bad = np.sort(maps[3:][:, ~ignored].reshape(-1))[::-1], []
    rates = np.arange(1, len(normal) + 1) / len(normal)
    for number in (0, 1):
        scores = maps[number][(masks[number] != 0) & ~ignored]
        ends = np.append([1e-9], rates)
        shares = np.array([(scores > level).mean() for level in normal[:60]])
        area, low, high = 0.0, np.log(1e-5), np.log(1e-4)
        for share, left, right in zip(shares, ends[:60], ends[1:61], strict=True):
            area += share * max(0.0, min(np.log(right), high) - max(np.log(left), low))
        bad.append(area / (high - low))
    assert found.aupimo == pytest.approx(np.mean(bad), abs=1e-9)
    truth = GroundTruth.of([1, 1, 1, 0, 0, 0], masks).without(Ignored.of(ignored, 6))
    binned = ScoreHistograms.of(truth, list("abcdef"), range(6), maps).metrics(np.ones((1, 6)))
    assert binned["aupimo"][0] == pytest.approx(found.aupimo, abs=2e-3)


def test_ignored_pixels_of_each_image_are_those_of_all():
    """The same pixels given once for all images, or for each image, give the same numbers, AUPIMO among them."""
    random = np.random.default_rng(0)
    masks = np.zeros((4, 300, 400), np.uint8)
    masks[0, :20, :20] = masks[1, 50:60, 150:190] = 1
    maps = random.normal(size=masks.shape) + 3 * masks
    ignored = np.zeros((300, 400), bool)
    ignored[200:] = True
    given_ = {"labels": [1, 1, 0, 0], "image_scores": range(4), "masks": masks, "maps": maps}
    common, each = evaluate(**given_, ignored=ignored), evaluate(**given_, ignored=np.stack([ignored] * 4))
    assert common == each
    assert each.aupimo is not None


def test_a_saturation_becomes_the_same_share():
    """Half of a region is ignored, so half of its saturation is enough; a region without a pixel left goes."""
    mask, gone = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    mask[:4, :10], gone[9, 9] = True, True
    ignored = gone.copy()
    ignored[:2] = True
    regions = [Region(0, mask, 20, "a"), Region(0, gone, 1, "a")]
    maps = np.zeros((2, 10, 10), np.float32)
    maps[0, 2] = 1
    truth = GroundTruth.of([1, 0], np.stack([mask | gone, np.zeros((10, 10))])).with_regions(regions)
    saturated = truth.without(Ignored.of(ignored, 2)).saturated
    assert (saturated.saturations.tolist(), [len(each) for each in saturated.positions]) == ([10.0], [20])
    assert evaluate_ground_truth(truth.without(Ignored.of(ignored, 2)), image_scores=[1, 0], maps=maps).au_spro == 1


def test_maps_stay_tensors():
    """A map on a device is a tensor without the ignored pixels, and so is one of an array an array."""
    torch = pytest.importorskip("torch")
    _, maps, ignored = drawn(3)
    one, two = (Counted(each, Ignored.of(ignored, len(maps)))[1] for each in (maps, torch.from_numpy(maps)))
    assert (type(one), type(two)) == (np.ndarray, torch.Tensor)
    assert one.tolist() == two.tolist() == [maps[1][~ignored[1]].tolist()]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tensors_give_the_same_numbers(device, monkeypatch):
    """Maps that stay on a GPU give the metrics of the same maps as an array; that code computes on the CPU as well."""
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    monkeypatch.setattr(metrics, "on_cuda", lambda values: isinstance(values, torch.Tensor))
    masks, maps, ignored = drawn(5, images=9, height=120, width=90, levels=500)
    labels, scores = masks.any(axis=(1, 2)), maps.max(axis=(1, 2))
    masks[7:] = 0
    regions = [Region(1, masks[1], 30, "a")]
    one, two = (
        evaluate(
            labels=labels, image_scores=scores, masks=masks, maps=each, region_maps=each, regions=regions,
            ignored=ignored, pixel_threshold=200,
        )
        for each in (maps, torch.from_numpy(maps).to(device))
    )  # fmt: skip
    assert one == two
    assert None not in (one.pixel_auroc, one.aupro, one.segf1, one.au_spro)


def test_the_reason_says_that_every_defect_is_ignored():
    """A metric without a defect pixel left says why it is not defined."""
    masks, maps, _ = drawn(2)
    truth = GroundTruth.of([0, 1, 1, 1], masks).without(Ignored.of(masks, len(masks)))
    found = evaluate_ground_truth(truth, image_scores=range(4), maps=maps)
    assert found.pixel_auroc is None
    assert reasons(found, truth, has_maps=True)["pixel_auroc"] == "every defect pixel is ignored"


@pytest.mark.parametrize(
    ("ignored", "message"),
    [(np.ones((7, 6)), "every pixel ignored"), (np.zeros((7, 7)), "other sizes"), (np.zeros((3, 7, 6)), "shape")],
)
def test_what_cannot_be_ignored(ignored, message):
    """All pixels, pixels of another size, or of another number of images are refused."""
    masks, maps, _ = drawn(0)
    with pytest.raises(TaskError, match=message):
        evaluate(labels=[0, 1, 1, 1], image_scores=range(4), masks=masks, maps=maps, ignored=ignored)


# ---------------------------------------------------------------- from files


def stored(folder, masks, framing, size=(20, 30)):
    """Images with these masks; None for a good one."""
    samples = []
    for number, mask in enumerate(masks):
        image = save(folder / f"{number}.png", np.full((*size, 3), number, np.uint8))
        path = None if mask is None else save(folder / f"{number}_mask.png", mask.astype(np.uint8) * 255)
        samples.append(Sample(image, int(mask is not None), "good" if mask is None else "cut", path))
    return memory_store.read(samples, framing)


def test_small_regions_are_ignored(tmp_path):
    """Regions of fewer pixels, in the mask's own, are neither good nor defective; the image keeps its label."""
    two, small = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    two[2:6, 2:8] = two[12:14, 20:22] = True  # 24 and 4 pixels
    small[5, 5:8] = True
    framing = Framing((20, 30))
    store = stored(tmp_path, [two, small, None], framing)
    for eval_size in (None, "native", (40, 60)):
        truth = open_ground_truth(store, framing, eval_size=eval_size, least_area=5)
        scale = 4 if eval_size == (40, 60) else 1
        assert truth.labels.tolist() == [True, True, False]
        assert truth.region_sizes.tolist() == [24 * scale]
        assert [width for _, width in truth.sizes] == [596 * scale, 597 * scale, 600 * scale]
        assert truth.spoiled == (0, 1)
    whole = open_ground_truth(store, framing, least_area=3)
    assert (whole.ignored, sorted(whole.region_sizes.tolist())) == (None, [3, 4, 24])


def test_a_small_file_of_a_region_is_ignored_where_files_are_regions(tmp_path):
    """There, the area is that of a file, with all its blobs."""
    from adbench.api.data import RegionRules, Saturation

    blobs, small = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    blobs[2, 2:5] = blobs[9, 2:5] = True
    small[15, 20:23] = True
    framing = Framing((20, 30))
    image = save(tmp_path / "a.png", np.zeros((20, 30, 3), np.uint8))
    paths = [
        save(tmp_path / f"{number}.png", each.astype(np.uint8) * 255) for number, each in enumerate((blobs, small))
    ]
    store = memory_store.read([Sample(image, 1, "cut", paths[0], (paths[1],))], framing)
    rules = RegionRules((Saturation("cut", 255, 1.0, relative=True),))
    truth = open_ground_truth(store, framing, rules=rules, least_area=5)
    assert (sorted(truth.region_sizes.tolist()), truth.sizes) == ([3, 3], ((1, 597),))
    assert [len(each) for each in truth.saturated.positions] == [6]


def test_a_small_file_within_a_larger_region_is_no_region(tmp_path):
    """Its pixels are still those of the larger region, but it counts for no AU-sPRO of its own."""
    from adbench.api.data import RegionRules, Saturation

    large, small = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    large[2:6, 2:8] = small[3, 3:6] = True
    image = save(tmp_path / "a.png", np.zeros((20, 30, 3), np.uint8))
    paths = [
        save(tmp_path / f"{number}.png", each.astype(np.uint8) * 255) for number, each in enumerate((large, small))
    ]
    framing = Framing((20, 30))
    store = memory_store.read([Sample(image, 1, "cut", paths[0], (paths[1],))], framing)
    rules = RegionRules((Saturation("cut", 255, 1.0, relative=True),))
    for least, wanted in ((0, [24, 3]), (3, [24, 3]), (4, [24])):
        truth = open_ground_truth(store, framing, rules=rules, least_area=least)
        assert [len(each) for each in truth.saturated.positions] == wanted
        assert (truth.region_sizes.tolist(), truth.ignored) == ([24], None)


@pytest.mark.parametrize(
    "framing",
    [
        Framing((10, 15)),
        Framing((10, 10), "crop"),
        Framing((20, 31)),
        Framing((20, 30), "crop"),
    ],  # half a pixel cut off
)
@pytest.mark.parametrize("eval_size", [None, "native", (8, 8)])
def test_an_ignore_mask_is_resized_as_masks_are(tmp_path, framing, eval_size):
    """A mask with the same marks as the ignore mask loses every defect pixel, at any size and with any crop."""
    mask = np.random.default_rng(1).random((20, 31)) > 0.5
    store = stored(tmp_path, [mask, None], framing, (20, 31))
    plain = open_ground_truth(store, framing, eval_size=eval_size)
    path = save(tmp_path / "ignore.png", mask.astype(np.uint8) * 255)
    truth = open_ground_truth(store, framing, eval_size=eval_size, ignored=path)
    assert len(truth.defects) == 0
    pixels = [height * width for height, width in plain.map_sizes]
    assert [width for _, width in truth.sizes] == [count - len(plain.defects) for count in pixels]


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (np.zeros((20, 30)), "no pixel that is ignored"),
        (np.ones((20, 30)), "every pixel ignored"),
        (np.ones((20, 31)), "31x20 pixels, wanted 30x20 as 0.png"),
    ],
)
def test_an_ignore_mask_that_does_not_fit_is_refused(tmp_path, mask, found):
    """The message names the file, and what is wrong with it."""
    framing = Framing((10, 15))
    drawn_ = np.zeros((20, 30), bool)
    drawn_[3:5, 3:5] = True
    store = stored(tmp_path, [drawn_, None], framing)
    path = save(tmp_path / "ignore.png", mask.astype(np.uint8))
    with pytest.raises(DataError, match=found) as error:
        open_ground_truth(store, framing, ignored=path)
    assert str(path) in str(error.value)
