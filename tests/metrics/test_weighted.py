"""Metrics of which draws of the test images give intervals: SegF1, PG2, PB2, AUPIMO and AU-sPRO."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_maps import discs, small

from adbench.api.scores import Region
from adbench.data.ground_truth import GroundTruth
from adbench.metrics.histograms import SPRO, ScoreHistograms
from adbench.metrics.metrics import evaluate
from adbench.stats import intervals


def histograms(case, threshold=None) -> ScoreHistograms:
    truth = GroundTruth.of(case["labels"], case["masks"])
    paths = [str(number) for number in range(len(case["labels"]))]
    return ScoreHistograms.of(truth, paths, case["image_scores"], case["maps"], pixel_threshold=threshold)


def repeated(case, counts):
    rows = np.repeat(np.arange(len(counts)), counts)
    return {key: value[rows] for key, value in case.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3), min_size=5, max_size=5), st.integers(-1, 9))
def test_segf1_and_presorting_are_exact(seed, counts, threshold):
    """Under any weighting they are those of the test set with images repeated; stored and read again, too."""
    case = small(seed, 7, np.float32)
    made = histograms(case, float(threshold))
    again = ScoreHistograms.from_arrays(made.arrays())
    names = ["segf1", "pg2", "pb2"]
    if sum(counts):
        wanted = evaluate(**repeated(case, counts), pixel_threshold=float(threshold))
        for each in (made, again):
            found = each.metrics([counts], names)
            for name in names:
                value = getattr(wanted, name)
                assert found[name][0] == pytest.approx(np.nan if value is None else value, abs=1e-12, nan_ok=True)
    left_out, zero = made.without_each(names), made.metrics(1 - np.eye(5), names)
    for name in names:
        assert left_out[name] == pytest.approx(zero[name], abs=1e-12, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 120), st.integers(2, 120))
def test_presorting_takes_numpy_s_quantile(seed, good, bad):
    """PG2 and PB2 of many images with distinct scores, and of ties, are those of ``evaluate``."""
    draw = np.random.default_rng(seed)
    labels = np.arange(good + bad) >= good
    for scores in (draw.normal(size=good + bad) + labels, draw.integers(0, 5, good + bad).astype(np.float32)):
        wanted = evaluate(labels=labels, image_scores=scores)
        made = ScoreHistograms.of(GroundTruth.of(labels), [""] * len(labels), scores)
        found = made.metrics(np.ones((1, len(labels))), ["pg2", "pb2"])
        assert (found["pg2"][0], found["pb2"][0]) == pytest.approx((wanted.pg2, wanted.pb2), abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_aupimo_comes_close(seed):
    """From bins it is within a thousandth of the exact one, also of a draw."""
    case = discs(24, 192, seed)
    counts = np.ones(24, int)
    counts[:20:3] = 2
    made = histograms(case)
    found = made.metrics([np.ones(24, int), counts], ["aupimo"])["aupimo"]
    for number, each in enumerate((np.ones(24, int), counts)):
        wanted = evaluate(**repeated(case, each)).aupimo
        assert wanted is not None
        assert found[number] == pytest.approx(wanted, abs=1e-3)
    assert made.without_each(["aupimo"])["aupimo"][3] == pytest.approx(
        made.metrics([np.arange(24) != 3], ["aupimo"])["aupimo"][0], abs=1e-9
    )


def saturated_case(seed: int, count: int = 20, side: int = 96):
    """Discs as regions with saturations, of two kinds in turn; some have two regions that overlap."""
    case, draw = discs(count, side, seed), np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    case["masks"][:] = False
    regions = []
    for number in range(count * 3 // 4):
        for _ in range(1 + number % 3 // 2):
            row, column = draw.integers(8, side - 8, 2)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < draw.uniform(2, 8) ** 2
            case["masks"][number] |= disc
            kind = ("logical_anomalies", "structural_anomalies")[number % 2]
            regions.append(Region(number, disc, disc.sum() * (0.3, 1.0)[number // 2 % 2], kind))
    case["maps"] += 2.0 * case["masks"] * draw.random(case["masks"].shape).astype(np.float32)
    return case, regions


def repeated_regions(regions, counts):
    starts = np.cumsum([0, *counts])
    return [
        replace(each, image=int(starts[each.image]) + copy) for each in regions for copy in range(counts[each.image])
    ]


@pytest.mark.parametrize("only", ["", "logical_anomalies"])
@pytest.mark.parametrize("levels", [0, 12])
def test_au_spro_comes_close(only, levels):
    """From bins it is within a thousandth of the exact one, of both kinds or of one, also of a draw, and stored."""
    case, regions = saturated_case(0)
    regions = [replace(each, kind=only or each.kind) for each in regions]
    if levels:
        case["maps"] = np.round(case["maps"].clip(0, 3) * levels).astype(np.float32)
    truth = GroundTruth.of(case["labels"], case["masks"]).with_regions(regions)
    made = ScoreHistograms.of(truth, [""] * 20, case["image_scores"], case["maps"])
    again = ScoreHistograms.from_arrays(made.arrays())
    counts = [*np.random.default_rng(1).multinomial(15, np.ones(15) / 15).tolist(), 1, 2, 0, 1, 1]
    for each in ([1] * 20, counts):
        wanted = evaluate(**repeated(case, each), regions=repeated_regions(regions, each))
        for name in SPRO:
            value = getattr(wanted, name)
            for found in (made, again):
                value = np.nan if value is None else value
                assert found.metrics([each], [name])[name][0] == pytest.approx(value, abs=1e-3, nan_ok=True)
    assert made.without_each(["au_spro"])["au_spro"] == pytest.approx(
        made.metrics(1 - np.eye(20), ["au_spro"])["au_spro"], abs=1e-9
    )
    assert intervals.interval([made], "au_spro") is not None
    assert "not stored" in histograms(case).why_not("au_spro")


@pytest.mark.parametrize("side", [8, 16])
def test_au_spro_of_few_pixels_is_exact(side):
    """Where a test set has few pixels or few pixels in regions, no score shares its bin with another one."""
    draw = np.random.default_rng(side)
    masks = np.zeros((7, side, side), bool)
    regions = []
    for number in range(4):
        for _ in range(2):
            row, column = draw.integers(0, side - 4, 2)
            mask = np.zeros((side, side), bool)
            mask[row : row + 4, column : column + 3] = True
            masks[number] |= mask
            regions.append(Region(number, mask, 7.0, ("logical", "structural")[number % 2]))
    maps = (draw.normal(size=masks.shape) + masks).astype(np.float32)
    labels = masks.any(axis=(1, 2))
    truth = GroundTruth.of(labels, masks).with_regions(regions)
    found = ScoreHistograms.of(truth, [""] * 7, labels, maps).metrics(np.ones((1, 7)), list(SPRO))
    wanted = evaluate(labels=labels, image_scores=labels, masks=masks, maps=maps, regions=regions)
    for name in SPRO:
        assert found[name][0] == pytest.approx(getattr(wanted, name), abs=2e-5), name


def test_aupimo_is_undefined_with_few_normal_pixels():
    """As the exact one: rates of 1e-5 need 100,000 normal pixels."""
    assert np.isnan(histograms(discs(8, 64, 0)).metrics(np.ones((1, 8)), ["aupimo"])["aupimo"]).all()


def test_no_interval_where_draws_say_too_little():
    """A 2 % quantile needs 50 images, AUPIMO normal images that share their highest scores, SegF1 its counts."""
    labels = np.arange(110) >= 60
    scores = np.random.default_rng(0).normal(size=110) + 2 * labels
    enough = ScoreHistograms.of(GroundTruth.of(labels), [""] * 110, scores)
    assert enough.why_not("pg2") == enough.why_not("pb2") == ""
    found = intervals.interval([enough], "pg2")
    assert found is not None
    assert found.low < evaluate(labels=labels, image_scores=scores).pg2 < found.high
    few = ScoreHistograms.of(GroundTruth.of(labels[:109]), [""] * 109, scores[:109])
    assert few.why_not("pg2") == "49 defective images, but it takes 50"
    assert intervals.interval([few], "pg2") is None
    case = discs(24, 192, 0)
    made = histograms(case)
    assert "not stored" in made.why_not("segf1")
    assert made.why_not("aupimo").startswith("the highest scores of normal pixels are those of about")
    assert histograms(case, 1.0).why_not("segf1") == ""
    assert intervals.interval([histograms(case, 1.0)], "segf1") is not None
    plain = discs(40, 128, 1)
    plain["masks"][4:] = False
    plain["maps"][4:] = np.random.default_rng(0).normal(size=(36, 128, 128))
    assert histograms(plain).why_not("aupimo") == ""
    assert intervals.interval([histograms(plain)], "aupimo") is not None
