"""Metrics of a run that depend on its data set: AU-sPRO of MVTec LOCO AD, and SegF1 at a threshold of good images."""

from __future__ import annotations

import numpy as np
import published_files as files
import pytest
from PIL import Image
from runs import job_for, made_method, one_epoch, run_one

from adbench.results.variants import protocol_text

METHOD = made_method(one_epoch)


def test_loco_has_au_spro_of_both_kinds(tmp_path):
    """A run on LOCO's layout stores AU-sPRO with its parts, and SegF1 at the threshold of its validation images."""
    job = job_for(METHOD, files.loco(tmp_path / "data"), tmp_path / "results", dataset="mvtec_loco",
                  class_name="pushpins", classes=(), eval_size="native")  # fmt: skip
    metrics = (result := run_one(METHOD, job)[0]).metrics
    assert metrics.au_spro == pytest.approx((metrics.au_spro_logical + metrics.au_spro_structural) / 2)
    assert metrics.au_spro_03 is not None
    assert set(result.undefined) == {"aupimo", "aupimo_official"}
    assert "SegF1 at mean + 3 sd of the pixels of validation images" in protocol_text(result.protocol)
    assert result.protocol.regions == "own pixels"


@pytest.mark.parametrize(
    "eval_size", ["native", pytest.param(None, marks=pytest.mark.slow), pytest.param((5, 6), marks=pytest.mark.slow)]
)
def test_ad2_has_segf1_at_the_threshold_of_its_validation_split(tmp_path, eval_size):
    """The threshold is the mean plus three deviations of the validation maps' pixels, at the size of the comparison."""
    data = files.ad2(tmp_path / "data")
    rng = np.random.default_rng(0)
    for path in sorted(data.glob("can/*/good/*.png")) + sorted(data.glob("can/test_public/bad/*.png")):
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(path)
    job = job_for(METHOD, data, tmp_path / "results", dataset="mvtec_ad2", class_name="can", classes=(), size=(8, 8),
                  eval_size=eval_size)  # fmt: skip
    result = run_one(METHOD, job)[0]
    grey = np.asarray(Image.open(next((data / "can/validation/good").glob("*.png")))) / 255
    if eval_size != (5, 6):
        assert result.segf1_threshold == pytest.approx(grey.mean() + 3 * grey.std(), abs=1e-5)
    else:
        assert 0 < result.segf1_threshold < grey.mean() + 3 * grey.std()  # averages of pixels deviate less
    assert result.metrics.segf1 is not None
    assert result.undefined["au_spro"] == "saturations of regions not given"


@pytest.mark.slow
def test_held_out_images_give_a_threshold_too(tiny_data, tmp_path):
    """--holdout gives SegF1; with training images alone there is no threshold, and the run says so."""
    for holdout in (0.5, 0.0):
        result, _ = run_one(METHOD, job_for(METHOD, tiny_data, tmp_path, holdout=holdout))
        assert (result.metrics.segf1 is None) == (result.segf1_threshold is None) == (not holdout)
        assert ("segf1" in result.undefined) == (result.protocol.segf1 is None) == (not holdout)
