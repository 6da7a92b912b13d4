from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from skimage.measure import label as connected
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from adbench.data.ground_truth import GroundTruth
from adbench.metrics.curves import curve_of
from adbench.metrics.metrics import Metrics, evaluate, evaluate_ground_truth
from adbench.util.errors import TaskError

GOLDEN = Path(__file__).parents[1] / "data" / "metrics.npz"
CASES = ("continuous", "ties", "float16", "heavy_ties")
PIXEL = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro_05")
IMAGE = ("image_auroc", "image_ap", "image_f1max")

Arrays = dict[str, np.ndarray]


def golden(case: str) -> tuple[Arrays, dict[str, float]]:
    with np.load(GOLDEN) as file:
        given_arrays = {name: file[f"{case}/{name}"] for name in ("maps", "masks", "image_scores", "labels")}
        prefix = f"{case}/expected/"
        expected = {key.removeprefix(prefix): float(file[key]) for key in file.files if key.startswith(prefix)}
    return given_arrays, expected


def smooth_maps(count: int, size: int, seed: int = 0) -> Arrays:
    """Float32 maps with distinct scores, and discs of about 3 % defect pixels in most images."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    waves = rng.uniform(1, 6, (count, 2, 1, 1)) / size
    maps = np.sin(rows * waves[:, 0] * 7) * np.cos(columns * waves[:, 1] * 7) + rng.normal(0, 0.3, (count, size, size))
    masks = np.zeros((count, size, size), dtype=bool)
    for mask in masks[: count * 3 // 4]:
        for row, column in rng.integers(0, size, (2, 2)):
            mask |= (rows - row) ** 2 + (columns - column) ** 2 < (size / 11) ** 2
    maps = (maps + 1.5 * masks).astype(np.float32)
    return {"maps": maps, "masks": masks, "labels": masks.any(axis=(1, 2)), "image_scores": maps.max(axis=(1, 2))}


@st.composite
def tied_cases(draw: st.DrawFn) -> Arrays:
    """Small maps of few different integer-valued scores, so that most pixels are tied."""
    count, height, width = draw(st.integers(2, 4)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from((2, 3, 7, 1000)))
    dtype = draw(st.sampled_from((np.float16, np.float32, np.float64, np.int32)))
    masks = rng.random((count, height, width)) < draw(st.sampled_from((0.05, 0.3, 0.7)))
    assume(masks.any() and not masks.all())
    maps = (rng.integers(0, levels, masks.shape) + masks * draw(st.integers(0, 2))).astype(dtype)
    labels = rng.permutation(np.arange(count) < draw(st.integers(1, count - 1)))
    return {"maps": maps, "masks": masks, "labels": labels, "image_scores": rng.integers(0, 3, count).astype(dtype)}


def naive_f1_max(ground_truth: np.ndarray, scores: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(ground_truth, scores)
    both = precision + recall
    return float(np.max(2 * precision * recall / np.where(both > 0, both, 1)))


def naive_aupro(masks: np.ndarray, maps: np.ndarray, limit: float) -> float:
    """A naive loop over every threshold and every region."""
    numbered = [connected(mask, connectivity=2) for mask in masks]
    regions = [(i, numbers == k) for i, numbers in enumerate(numbered) for k in range(1, numbers.max() + 1)]
    rate, overlap = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        rate.append(found[~masks].mean())
        overlap.append(float(np.mean([found[i][region].mean() for i, region in regions])))
    area = 0.0
    for x0, x1, y0, y1 in zip(rate, rate[1:], overlap, overlap[1:], strict=False):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


def close(one: Metrics, other: Metrics) -> bool:
    return vars(one) == pytest.approx(vars(other), abs=1e-12)


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("case", CASES)
def test_golden_numbers(case: str) -> None:
    """All metrics equal the independent golden numbers to 1e-9: with ties, without, and in half precision."""
    arrays, expected = golden(case)
    metrics = evaluate(**arrays)
    for name in (*IMAGE, "pixel_auroc", "pixel_ap", "pixel_f1max"):
        assert getattr(metrics, name) == pytest.approx(expected[name], abs=1e-9), name
    assert metrics.aupro == pytest.approx(expected["aupro_0.3"], abs=1e-9)
    assert metrics.aupro_05 == pytest.approx(expected["aupro_0.05"], abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_golden_overlap_without_a_limit(case: str) -> None:
    """The overlap's whole area, up to a false-positive rate of 1, equals the golden number."""
    arrays, expected = golden(case)
    ground_truth = GroundTruth.of(arrays["labels"], arrays["masks"])
    curve = curve_of(arrays["maps"], ground_truth.positions, ground_truth.pixel_weights)
    assert curve is not None
    assert curve.overlap_area(1.0) == pytest.approx(expected["aupro_1.0"], abs=1e-9)


@settings(max_examples=120, deadline=None)
@given(tied_cases())
def test_equal_to_brute_force_under_heavy_ties(case: Arrays) -> None:
    """scikit-learn and a naive overlap loop give the same numbers if most scores are tied."""
    metrics = evaluate(**case)
    ground_truth, scores = case["masks"].ravel(), case["maps"].ravel().astype(float)
    assert metrics.pixel_auroc == pytest.approx(roc_auc_score(ground_truth, scores), abs=1e-12)
    assert metrics.pixel_ap == pytest.approx(average_precision_score(ground_truth, scores), abs=1e-12)
    assert metrics.pixel_f1max == pytest.approx(naive_f1_max(ground_truth, scores), abs=1e-12)
    assert metrics.aupro == pytest.approx(naive_aupro(case["masks"], case["maps"], 0.3), abs=1e-12)
    assert metrics.aupro_05 == pytest.approx(naive_aupro(case["masks"], case["maps"], 0.05), abs=1e-12)
    labels, image_scores = case["labels"], case["image_scores"].astype(float)
    assert metrics.image_auroc == pytest.approx(roc_auc_score(labels, image_scores), abs=1e-12)
    assert metrics.image_ap == pytest.approx(average_precision_score(labels, image_scores), abs=1e-12)
    assert metrics.image_f1max == pytest.approx(naive_f1_max(labels, image_scores), abs=1e-12)


def test_many_chunks_give_the_same_as_scikit_learn() -> None:
    """Maps that are sorted in several chunks by several threads lose no count."""
    case = smooth_maps(16, 256)
    metrics = evaluate(**case)
    assert metrics.pixel_auroc == pytest.approx(roc_auc_score(case["masks"].ravel(), case["maps"].ravel()), abs=1e-12)
    assert metrics.pixel_ap == pytest.approx(
        average_precision_score(case["masks"].ravel(), case["maps"].ravel()), abs=1e-12
    )


@pytest.mark.parametrize("levels", [None, 5])
def test_region_maps_give_aupro_alone(levels: int | None) -> None:
    """AUPRO comes from the region maps, by a shorter path, and equals that of the same maps; other metrics stay."""
    case, other = smooth_maps(16, 256), smooth_maps(16, 256, seed=1)["maps"]
    other = other if levels is None else np.round(other * levels)
    metrics = evaluate(**case, region_maps=other)
    plain, swapped = evaluate(**case), evaluate(**{**case, "maps": other})
    assert metrics.pixel_auroc == plain.pixel_auroc
    assert metrics.pixel_ap == plain.pixel_ap
    assert metrics.aupro == pytest.approx(swapped.aupro, abs=1e-12)
    assert metrics.aupro_05 == pytest.approx(swapped.aupro_05, abs=1e-12)
    assert metrics.aupro != pytest.approx(plain.aupro, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(tied_cases())
def test_region_maps_on_small_maps(case: Arrays) -> None:
    """The shorter path to AUPRO is exact for region maps with any ties."""
    assert close(evaluate(**case, region_maps=case["maps"]), evaluate(**case))


def test_regions_touch_at_corners_and_weigh_the_same() -> None:
    """Pixels that touch at a corner are one region, and a region of one pixel counts like one of nine."""
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[0, 0, 0] = masks[0, 1, 1] = True
    masks[0, 4, 7] = masks[0, 5, 0] = True  # the end of one row and the start of the next do not touch
    masks[1, 2:5, 2:5] = True
    ground_truth = GroundTruth.of([1, 1], masks)
    assert sorted(ground_truth.region_sizes) == [1, 1, 2, 9]
    assert ground_truth.pixel_weights.sum() == pytest.approx(1)
    maps = np.zeros((2, 8, 8))
    maps[1] = masks[1]
    assert curve_of(maps, ground_truth.positions, ground_truth.pixel_weights).overlap[0] == pytest.approx(1 / 4)


# ---------------------------------------------------------------- laws


@settings(max_examples=60, deadline=None)
@given(tied_cases(), st.randoms(use_true_random=False))
def test_monotone_scores_and_the_order_of_images_do_not_matter(case: Arrays, random: Any) -> None:
    """Only the ranking counts: a rising function of the scores or another order of images changes nothing."""
    order = random.sample(range(len(case["labels"])), len(case["labels"]))
    moved = {name: array[order] for name, array in case.items()}
    for name in ("maps", "image_scores"):
        moved[name] = moved[name].astype(np.float64) ** 3 - 50
    assert close(evaluate(**moved), evaluate(**case))


@settings(max_examples=60, deadline=None)
@given(tied_cases())
def test_negated_scores_mirror_auroc(case: Arrays) -> None:
    """Negated scores mirror AUROC."""
    metrics = evaluate(**case)
    turned = evaluate(**{**case, "maps": -case["maps"], "image_scores": -case["image_scores"]})
    assert turned.pixel_auroc == pytest.approx(1 - metrics.pixel_auroc, abs=1e-12)
    assert turned.image_auroc == pytest.approx(1 - metrics.image_auroc, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(tied_cases())
def test_perfect_and_constant_scores(case: Arrays) -> None:
    """The masks themselves score exactly 1 everywhere; constant scores give AUROC 0.5 and AP the share of defects."""
    perfect = evaluate(**{**case, "maps": case["masks"], "image_scores": case["labels"]})
    assert {getattr(perfect, name) for name in (*IMAGE, *PIXEL, "pg2", "pb2")} == {1.0}
    assert perfect.image_fpr95 == 0
    constant = evaluate(**{**case, "maps": np.ones(case["maps"].shape), "image_scores": np.ones(len(case["labels"]))})
    assert constant.pixel_auroc == constant.image_auroc == 0.5
    assert constant.pixel_ap == pytest.approx(case["masks"].mean())
    assert constant.aupro == pytest.approx(0.3 / 2)
    assert constant.aupro_05 == pytest.approx(0.05 / 2)


# ---------------------------------------------------------------- kinds of input


@pytest.mark.parametrize("case", CASES)
def test_tensors_equal_arrays(case: str) -> None:
    """CPU tensors, with or without gradients, give exactly the numbers of NumPy arrays."""
    arrays, _ = golden(case)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors["maps"].requires_grad_()
    assert evaluate(**tensors) == evaluate(**arrays)


@pytest.mark.parametrize("case", [*CASES, "chunks"])
def test_counting_in_tensors_equals_counting_in_arrays(case: str) -> None:
    """The code for a GPU, run here on the CPU, counts exactly as NumPy does."""
    arrays = smooth_maps(16, 256) if case == "chunks" else golden(case)[0]
    ground_truth = GroundTruth.of(arrays["labels"], arrays["masks"])
    one = curve_of(arrays["maps"], ground_truth.positions, ground_truth.pixel_weights)
    other = curve_of(torch.from_numpy(arrays["maps"]), ground_truth.positions, ground_truth.pixel_weights)
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", [*CASES, "chunks"])
def test_cuda_equals_cpu(case: str) -> None:
    """Maps on a GPU give exactly the numbers of the same maps on the CPU."""
    arrays = smooth_maps(16, 256) if case == "chunks" else golden(case)[0]
    tensors = {name: torch.from_numpy(array).cuda() for name, array in arrays.items()}
    assert close(evaluate(**tensors, region_maps=-tensors["maps"]), evaluate(**arrays, region_maps=-arrays["maps"]))


def test_bfloat16_and_strided_maps_are_exact() -> None:
    """bfloat16, reversed and sliced maps give the numbers of plain float32 copies."""
    case = smooth_maps(6, 64)
    halves = torch.from_numpy(case["maps"]).bfloat16()
    assert evaluate(**{**case, "maps": halves}) == evaluate(**{**case, "maps": halves.float()})
    flipped = {**case, "maps": case["maps"][:, ::-1, ::2], "masks": case["masks"][:, ::-1, ::2]}
    copied = {name: array.copy() for name, array in flipped.items()}
    assert evaluate(**flipped) == evaluate(**copied)


def test_float64_scores_are_not_rounded() -> None:
    """Scores that differ only in float64 stay different."""
    maps = np.array([[[1.0, 1.0 + 1e-12]]])
    assert evaluate(labels=[1], image_scores=[0.0], masks=[[[0, 1]]], maps=maps).pixel_auroc == 1.0
    assert evaluate(labels=[1], image_scores=[0.0], masks=[[[0, 1]]], maps=maps.astype("f4")).pixel_auroc == 0.5


def test_masks_of_any_value() -> None:
    """Any value except zero in a mask is defective: booleans, 255 and class numbers mean the same."""
    case = smooth_maps(4, 32)
    for masks in (case["masks"] * np.uint8(255), case["masks"] * 3, case["masks"].astype(np.float32)):
        assert evaluate(**{**case, "masks": masks}) == evaluate(**case)


def test_prepared_ground_truth_gives_the_same_metrics() -> None:
    """Regions labelled once and evaluated twice give the numbers from the masks."""
    case, other = smooth_maps(6, 64), smooth_maps(6, 64, seed=1)["maps"]
    ground_truth = GroundTruth.of(case["labels"], case["masks"])
    for maps in (case["maps"], other):
        expected = evaluate(**{**case, "maps": maps})
        assert evaluate_ground_truth(ground_truth, image_scores=case["image_scores"], maps=maps) == expected


# ---------------------------------------------------------------- not defined


@pytest.mark.parametrize("label", [0, 1])
def test_image_metrics_need_both_kinds_of_images(label: int) -> None:
    """With images of one kind only, image metrics are None and pixel metrics are not."""
    case = smooth_maps(3, 32)
    metrics = evaluate(**{**case, "labels": [label] * 3})
    assert [getattr(metrics, name) for name in IMAGE] == [None] * 3
    assert None not in [getattr(metrics, name) for name in PIXEL]


def test_pixel_metrics_need_masks_and_maps() -> None:
    """Without masks, without maps, or with masks of one kind only, pixel metrics are None."""
    case = smooth_maps(4, 32)
    empty, full = np.zeros_like(case["masks"]), np.ones_like(case["masks"])
    for changed in ({"masks": None}, {"maps": None}, {"masks": empty}, {"masks": full}, {"masks": None, "maps": None}):
        metrics = evaluate(**{**case, **changed})
        assert [getattr(metrics, name) for name in PIXEL] == [None] * 5, changed
        assert metrics.image_auroc is not None


def test_a_defective_image_may_have_an_empty_mask() -> None:
    """The masks decide about pixels, the labels about images."""
    case = smooth_maps(4, 32)
    assert evaluate(**{**case, "labels": [0, 1, 1, 1]}).pixel_auroc == evaluate(**case).pixel_auroc


def test_region_maps_alone_give_aupro_alone() -> None:
    """AUPRO needs only the region maps."""
    case = smooth_maps(4, 32)
    metrics = evaluate(**{**case, "maps": None}, region_maps=case["maps"])
    assert metrics.aupro == pytest.approx(evaluate(**case).aupro, abs=1e-12)
    assert metrics.pixel_auroc is None


# ---------------------------------------------------------------- mistakes

BAD: list[tuple[dict[str, Any], str]] = [
    ({"labels": [0, 1, 2, 1]}, "labels: found 2, wanted 0"),
    ({"labels": [0, 1, np.nan, 1]}, "labels: found nan, wanted 0"),
    ({"labels": [], "image_scores": []}, r"labels: found shape \(0,\)"),
    ({"labels": [[0, 1], [0, 1]]}, r"labels: found shape \(2, 2\)"),
    ({"labels": ["good", "bad", "bad", "good"]}, "labels: found values of type <U4"),
    ({"image_scores": np.zeros(3)}, r"image_scores: found shape \(3,\), wanted \(4,\)"),
    ({"image_scores": np.array([0, 1, np.nan, 2])}, "image_scores of image 2: found NaN"),
    ({"image_scores": [[1], [2, 3]]}, "image_scores: found rows of different length"),
    ({"image_scores": np.zeros(4, complex)}, "image_scores: found values of type complex128"),
    ({"masks": np.zeros((3, 32, 32))}, r"masks: found shape \(3, 32, 32\), wanted \(4, H, W\)"),
    ({"masks": np.full((4, 32, 32), np.nan)}, "masks of image 0: found NaN"),
    ({"maps": np.zeros((4, 32, 31))}, r"maps: found shape \(4, 32, 31\), wanted \(4, 32, 32\) as the masks"),
    ({"maps": np.zeros((4, 1, 32, 32))}, r"maps: found shape \(4, 1, 32, 32\), wanted \(4, H, W\)"),
    ({"region_maps": np.zeros((4, 16, 16))}, r"region_maps: found shape \(4, 16, 16\)"),
    ({"masks": None, "maps": np.zeros((5, 32, 32))}, r"maps: found shape \(5, 32, 32\)"),
]


@pytest.mark.parametrize(("changed", "message"), BAD, ids=[message for _, message in BAD])
def test_mistakes_are_named(changed: dict[str, Any], message: str) -> None:
    """A wrong shape, type or value is refused; the message has the thing, what was found and what was wanted."""
    with pytest.raises(TaskError, match=message):
        evaluate(**{**smooth_maps(4, 32), **changed})


@pytest.mark.parametrize("name", ["maps", "region_maps"])
@pytest.mark.parametrize("with_masks", [True, False])
@pytest.mark.parametrize(("value", "found"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_maps_that_are_not_finite(name: str, with_masks: bool, value: float, found: str) -> None:
    """One NaN or infinity in one pixel is refused with the image's number, in arrays and in tensors."""
    case = smooth_maps(4, 32)
    bad = case["maps"].copy()
    bad[2, 5, 7] = value
    case = {**case, "masks": case["masks"] if with_masks else None}
    for maps in (bad, torch.from_numpy(bad)):
        with pytest.raises(TaskError, match=f"{name} of image 2: found {found}"):
            evaluate(**{**case, name: maps})


# ---------------------------------------------------------------- cost


def test_memory_stays_below_two_and_a_half_maps() -> None:
    """An evaluation's peak is at most 1.5 times the maps' memory besides the maps, with region maps or without."""
    case = smooth_maps(30, 256)
    evaluate(**smooth_maps(2, 16))
    for region_maps in (None, case["maps"]):
        tracemalloc.start()
        evaluate(**case, region_maps=region_maps)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 1.5 * case["maps"].nbytes
