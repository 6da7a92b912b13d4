"""Score histograms: they agree with the exact metrics, and add up under any weighting."""

from __future__ import annotations

import threading
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_maps import Arrays, discs, small
from made_results import make_result
from runs import adbench, brightness, job_for, made_method, only_run, run_one, run_tiny

from adbench import Epoch, Scores
from adbench.data.ground_truth import GroundTruth, Resized
from adbench.data.numbered import pairs
from adbench.metrics.histograms import MEASURED, ScoreHistograms
from adbench.metrics.metrics import Metrics, evaluate, evaluate_ground_truth
from adbench.results import run_files, store
from adbench.stats import intervals
from adbench.util.errors import ResultError, TaskError

COMPARED = [name for name in MEASURED if name not in ("segf1", "aupimo") and "spro" not in name]
"""Those that need no threshold or saturations and are exact or nearly so; ``test_weighted`` has the others."""


def histograms_of(case: Arrays, region_maps: np.ndarray | None = None) -> ScoreHistograms:
    ground_truth = GroundTruth.of(case["labels"], case["masks"])
    names = [f"test/{number}.png" for number in range(len(case["labels"]))]
    return ScoreHistograms.of(ground_truth, names, case["image_scores"], case["maps"], region_maps)


def as_values(metrics: Metrics) -> list[float]:
    return [np.nan if (value := getattr(metrics, name)) is None else value for name in COMPARED]


def once(histograms: ScoreHistograms) -> list[float]:
    values = histograms.metrics(np.ones((1, len(histograms.labels))))
    return [values[name][0] for name in COMPARED]


class MainThreadOnly:
    """Maps that stand for maps on a GPU: no other thread may read them."""

    def __init__(self, maps: np.ndarray) -> None:
        self.maps = maps

    def __getitem__(self, number: int) -> np.ndarray:
        assert threading.current_thread() is threading.main_thread()
        return self.maps[number]


def test_maps_are_read_in_the_main_thread():
    """Maps may be on a GPU, which pool threads must not use; the bins are the same."""
    case = discs(8, 64, 3)
    apart = {**case, "maps": MainThreadOnly(case["maps"])}

    assert once(histograms_of(apart)) == once(histograms_of(case))


# ---------------------------------------------------------------- against the exact metrics


@pytest.mark.parametrize("seed", range(3))
def test_many_distinct_scores_come_close(seed):
    """A thousand bins stand for a million pixels; F1, a maximum over thresholds, has the largest error."""
    case = discs(16, 256, seed)
    regions = np.log(case["maps"] + 0.3)
    assert once(histograms_of(case)) == pytest.approx(as_values(evaluate(**case)), abs=3e-4)
    histograms = histograms_of(case, regions)
    assert histograms.overlap.good.shape[1] < histograms.pixels.good.shape[1] < 1100
    assert once(histograms) == pytest.approx(as_values(evaluate(**case, region_maps=regions)), abs=3e-4)


def test_a_score_that_many_pixels_share_is_no_slope():
    """Maps clipped at both ends, as from a saturated method, agree as well."""
    case = discs(16, 192, 5)
    case["maps"] = case["maps"].clip(0.8, 2.0)
    assert once(histograms_of(case)) == pytest.approx(as_values(evaluate(**case)), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from((1, 2, 7, 1000)),
    dtype=st.sampled_from((np.float16, np.float32, np.float64, np.int32)),
)
def test_few_scores_are_exact_ties_and_all(seed, levels, dtype):
    """If every score has its bin, only the steps of overlap are rounded; undefined metrics are NaN."""
    case = small(seed, levels, dtype)
    expected = as_values(evaluate(**case))
    assert once(histograms_of(case)) == pytest.approx(expected, abs=3e-5, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_a_weight_repeats_an_image(seed, counts):
    """A weight of two equals the image twice; a weight of zero equals its absence."""
    case = small(seed, 9, np.float32)
    rows = np.repeat(np.arange(5), counts)
    values = histograms_of(case).metrics([counts, [1] * 5])
    expected = (
        as_values(evaluate(**{key: value[rows] for key, value in case.items()}))
        if len(rows)
        else [np.nan] * len(COMPARED)
    )
    assert [values[name][0] for name in COMPARED] == pytest.approx(expected, abs=3e-5, nan_ok=True)


def test_a_resample_of_many_pixels_agrees_too():
    """The bins were chosen for the whole test set, and still serve for a resample of it."""
    case = discs(24, 128, 7)
    weights = np.random.default_rng(0).multinomial(24, np.ones(24) / 24, size=300)
    values = histograms_of(case).metrics(weights)
    for number in (0, 150, 299):
        rows = np.repeat(np.arange(24), weights[number])
        expected = as_values(evaluate(**{key: value[rows] for key, value in case.items()}))
        assert [values[name][number] for name in COMPARED] == pytest.approx(expected, abs=5e-4)


def dots(width: int, count: int, seed: int, per_image: int = 1) -> Arrays:
    """Maps of noise; half of them have ``per_image`` defects of ``width`` x 1 pixels, most with high scores."""
    rng = np.random.default_rng(seed)
    maps, masks = rng.normal(size=(count, 80, 90)).astype(np.float32), np.zeros((count, 80, 90), bool)
    for number in range(count // 2):
        for _ in range(per_image):
            row, column = rng.integers(0, (80, 90 - width))
            masks[number, row, column : column + width] = True
    maps[masks] += rng.normal(4, 1.5, masks.sum()).astype(np.float32)
    return {"maps": maps, "masks": masks, "labels": masks.any(axis=(1, 2)), "image_scores": maps.max(axis=(1, 2))}


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("per_image", [1, 12])
@pytest.mark.parametrize("seed", range(3))
def test_defects_of_one_or_two_pixels_are_exact(width, per_image, seed):
    """Each score of a defect pixel has its own bin, so even AP, made of a few precisions, is exact."""
    case = dots(width, 20, seed, per_image)
    counts = np.random.default_rng(seed).multinomial(20, np.ones(20) / 20)
    rows = np.repeat(np.arange(20), counts)
    values = histograms_of(case).metrics([np.ones(20, int), counts])
    for number, wanted in enumerate((case, {key: value[rows] for key, value in case.items()})):
        assert [values[name][number] for name in COMPARED] == pytest.approx(as_values(evaluate(**wanted)), abs=3e-5)


def test_more_small_defects_stay_close():
    """If there are too many defect pixels for a bin each, the bins are close together."""
    case = dots(2, 20, 4, per_image=60)
    assert case["masks"].sum() > 1000
    assert once(histograms_of(case)) == pytest.approx(as_values(evaluate(**case)), abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from((2, 9, 1000)), count=st.integers(1, 7))
def test_without_each_is_a_weight_of_zero(seed, levels, count):
    """Leaving out each image in turn equals a row of weights with a zero for it, for every metric."""
    histograms = histograms_of(small(seed, levels, np.float32, count))
    wanted, found = histograms.metrics(1 - np.eye(count)), histograms.without_each(MEASURED)
    for name in MEASURED:
        assert found[name] == pytest.approx(wanted[name], abs=1e-9, nan_ok=True)


def test_memory_does_not_grow_with_the_square_of_the_images():
    """An interval of thousands of images takes a fraction of the memory of an (images, images) array."""
    count = 6000
    draw = np.random.default_rng(0)
    labels = np.arange(count) >= count // 2
    histograms = ScoreHistograms.of(GroundTruth.of(labels), [""] * count, draw.normal(size=count) + labels)
    tracemalloc.start()
    values = histograms.metrics(np.ones((2, count)), ["image_auroc", "image_ap"])
    without = histograms.without_each(["image_ap"])
    drawn = sum(len(part) for part in intervals.resample(labels, 3000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert drawn == 3000
    assert np.isfinite(values["image_ap"]).all()
    assert np.ptp(without["image_ap"]) > 0
    assert peak < 90e6 < count**2 * 8 / 3


def test_a_handful_of_defect_pixels_agrees_too():
    """Average precision counts each defect itself, which matters for a few defects."""
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(6, 64, 64)).astype(np.float32)
    masks = np.zeros(maps.shape, bool)
    masks[:3, 10:14, 20:24] = True
    maps[masks] += rng.normal(4, 1.5, masks.sum()).astype(np.float32)
    case = {"maps": maps, "masks": masks, "labels": masks.any(axis=(1, 2)), "image_scores": maps.max(axis=(1, 2))}
    exact, got = as_values(evaluate(**case)), once(histograms_of(case))
    assert got == pytest.approx(exact, abs=2e-3)


def test_maps_of_several_sizes_are_looked_at_one_by_one():
    """With native sizes, each map is resized when it is read, as in the exact metrics."""
    case = discs(8, 64, 3)
    sizes = tuple((50 + 9 * number, 70) for number in range(8))
    masks = [np.kron(mask, np.ones((3, 2), bool))[:height, :width] for mask, (height, width) in
             zip(case["masks"], sizes, strict=True)]  # fmt: skip
    ground_truth = GroundTruth.of_sizes(case["labels"], masks)
    maps = Resized(torch.from_numpy(case["maps"]), sizes)
    histograms = ScoreHistograms.of(ground_truth, ["p"] * 8, case["image_scores"], maps)
    exact = evaluate_ground_truth(ground_truth, image_scores=case["image_scores"], maps=maps)
    assert once(histograms) == pytest.approx(as_values(exact), abs=1e-3)


def test_without_maps_or_masks_only_images_are_measured():
    """Pixel metrics are NaN, and there are no curves."""
    case = discs(8, 32, 1)
    bare = ScoreHistograms.of(GroundTruth.of(case["labels"]), ["p"] * 8, case["image_scores"], case["maps"])
    values = bare.metrics(np.ones((2, 8)), ("image_auroc", "aupro"))
    assert set(values) == {"image_auroc", "aupro"}
    assert values["image_auroc"] == pytest.approx(evaluate(**case).image_auroc)
    assert np.isnan(values["aupro"]).all()
    assert bare.roc() == bare.pro() == bare.precision_recall() == []


def test_weights_of_another_shape_are_refused():
    """Each row of weights needs one for each image."""
    with pytest.raises(TaskError, match=r"weights.*\(B, 8\)"):
        histograms_of(discs(8, 32, 1)).metrics(np.ones((2, 7)))


def test_curves_rise_to_one_and_hold_the_areas():
    """Curves go from corner to corner, left to right; the area under the ROC curve is the AUROC."""
    case = discs(12, 128, 2)
    histograms, exact = histograms_of(case), evaluate(**case)
    for points in (histograms.roc(), histograms.pro()):
        assert points[0] == (0, 0)
        assert points[-1] == pytest.approx((1, 1))
        assert (np.diff(points, axis=0) >= 0).all()
    across, up = np.transpose(histograms.roc())
    assert np.sum(np.diff(across) * (up[1:] + up[:-1]) / 2) == pytest.approx(exact.pixel_auroc, abs=1e-4)
    recall, precision = np.transpose(histograms.precision_recall())
    assert (recall[0], recall[-1]) == (0, 1)
    assert precision[-1] == pytest.approx(case["masks"].mean())
    assert np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2) == pytest.approx(exact.pixel_ap, abs=1e-3)


# ---------------------------------------------------------------- on disk


@pytest.mark.parametrize("own_region_map", [False, True])
def test_what_is_stored_comes_back(tmp_path, own_region_map):
    """Written and read, score histograms are the same to the last digit, and small."""
    case = discs(40, 128, 4)
    histograms = histograms_of(case, -1 / case["maps"] if own_region_map else None)
    folder = store.RunFolder(tmp_path, "d", "c", "m", "r")
    assert run_files.read_histograms(folder, make_result()) is None
    result = replace(make_result(), files={store.HISTOGRAMS: folder.write_histograms(histograms)})
    assert (folder.path / "evidence.npz").stat().st_size < 150_000
    back = run_files.read_histograms(folder, result)
    for field in ("labels", "image_scores", "regions"):
        np.testing.assert_array_equal(getattr(back, field), getattr(histograms, field))
    assert back.paths == histograms.paths
    for name in ("pixels", "overlap"):
        for each in fields(getattr(histograms, name)):
            np.testing.assert_array_equal(
                getattr(getattr(back, name), each.name), getattr(getattr(histograms, name), each.name)
            )
    assert once(back) == once(histograms)


@pytest.mark.parametrize("seed", range(4))
def test_a_pixel_kept_for_its_region_is_no_false_alarm_of_the_overlap(seed):
    """It is good for metrics of pixels, and neither good nor missing for AUPRO; stored and read again, too."""
    draw = np.random.default_rng(seed)
    numbers = np.zeros((3, 8, 9), np.int32)
    numbers[1, 2:4, 2:5], numbers[1, 6, 6], numbers[2, 0, 0], numbers[2, 7, 1] = 1, -2, -1, -2
    maps = (draw.integers(0, 9, numbers.shape) + 3 * (numbers != 0)).astype(np.float32)
    truth = GroundTruth.of([0, 1, 1], numbers > 0, [pairs(each) for each in numbers])
    wanted = evaluate_ground_truth(truth, image_scores=range(3), maps=maps)
    made = ScoreHistograms.of(truth, list("abc"), range(3), maps)
    for each in (made, ScoreHistograms.from_arrays(made.arrays())):
        found = each.metrics(np.ones((1, 3)))
        for name in ("aupro", "aupro_05", "pixel_auroc", "pixel_ap", "pixel_f1max"):
            assert found[name][0] == pytest.approx(getattr(wanted, name), abs=2e-5), name


def test_a_broken_file_is_named(tmp_path):
    """No zip, half a zip, or arrays that don't fit: one error with the file and a hint."""
    folder = store.RunFolder(tmp_path, "d", "c", "m", "r")
    histograms = histograms_of(discs(8, 32, 1))
    folder.write_histograms(histograms)
    path = folder.path / "evidence.npz"
    whole, arrays = path.read_bytes(), histograms.arrays()
    damaged = bytearray(whole)
    damaged[1000:1400] = bytes(400)
    for data in (b"", b"hello", whole[: len(whole) // 2], bytes(damaged)):
        path.write_bytes(data)
        with pytest.raises(ResultError, match=r"evidence\.npz.*--force"):
            run_files.read_histograms(folder, make_result())
    for changed in (
        {"pixel_found": arrays["pixel_found"][1:]},
        {"labels": arrays["labels"][1:]},
        {"format": np.array([99])},
        {"paths": np.array([None] * 8)},
    ):
        np.savez(path, **{**arrays, **changed})
        with pytest.raises(ResultError, match=r"evidence\.npz"):
            run_files.read_histograms(folder, make_result())


# ---------------------------------------------------------------- of runs


def one_epoch(detector, images):
    yield Epoch(1, 1)


@pytest.mark.parametrize("eval_size", [None, (48, 32), "native"])
def test_a_run_leaves_histograms_that_give_its_metrics(tiny_data, tmp_path, eval_size):
    """Every test image is in it, and its counts give the run's metrics."""

    def score(self, batch):
        scores = brightness(batch)
        return Scores(scores.image, scores.map, scores.map.square() + batch.images[:, 0])

    method = made_method(one_epoch, score)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path, eval_size=eval_size))
    histograms = run_files.read_histograms(folder, result)
    scores = run_files.read_scores(folder, result)
    assert histograms.paths == tuple(each.path for each in scores)
    assert histograms.labels.tolist() == [bool(each.label) for each in scores]
    assert histograms.image_scores.tolist() == [each.score for each in scores]
    assert once(histograms) == pytest.approx(as_values(result.metrics), abs=2e-4)


def test_a_method_without_maps_leaves_histograms_of_images(tiny_data, tmp_path):
    """Only image scores can be resampled."""
    method = made_method(one_epoch, lambda self, batch: Scores(image=batch.images.amax(dim=(1, 2, 3))))
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    histograms = run_files.read_histograms(folder, result)
    assert histograms.pixels is histograms.overlap is None
    assert once(histograms) == pytest.approx(as_values(result.metrics), nan_ok=True)


def test_the_report_draws_pixel_curves_of_a_run_and_says_which_file_is_broken(tiny_data, tmp_path):
    """Three charts over pixels come from the file; without a readable file there is a sentence."""
    assert run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1").exit_code == 0

    def page() -> str:
        done = adbench("report", "-o", tmp_path / "page", "--results", tmp_path, "--no-images")
        assert done.exit_code == 0, done.stderr
        return Path(tmp_path / "page" / "index.html").read_text(encoding="utf-8")

    assert "Per-region overlap" in page()
    (only_run(tmp_path) / "evidence.npz").write_bytes(b"no zip")
    broken = page()
    assert "Per-region overlap" not in broken
    assert "evidence.npz" in broken
