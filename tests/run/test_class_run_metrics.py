"""Metrics of a run that depend on its data set: AU-sPRO of MVTec LOCO AD, and SegF1 at a threshold of good images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import published_files as files
import pytest
from PIL import Image
from runs import job_for, made_method, one_epoch, run_one

from adbench.results import run_files
from adbench.results.protocol_text import protocol_text
from adbench.results.variants import Names
from adbench.util.errors import OptionError

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
    noisy(data)
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


def noisy(data):
    """Draw noise into all images of AD 2's class."""
    rng = np.random.default_rng(0)
    for path in sorted(data.glob("can/*/good/*.png")) + sorted(data.glob("can/test_public/bad/*.png")):
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(path)


def test_ad2_is_scored_on_its_public_test_with_thresholds_of_its_validation_split(tmp_path):
    """Both thresholds are from validation images, and the scores are those of test_public alone; so with --holdout."""
    data = files.ad2(tmp_path / "data")
    for number in range(1, 6):
        for split in ("train", "validation"):
            files.write(data / "can", f"{split}/good/{number:03d}_regular.png")
    noisy(data)
    grey = [np.asarray(Image.open(path)) / 255 for path in (data / "can/validation/good").glob("*.png")]
    wanted = np.mean(grey) + 3 * np.std(grey)
    job = job_for(METHOD, data, tmp_path / "results", dataset="mvtec_ad2", class_name="can", classes=(), size=(8, 8))
    for holdout, source in ((0.0, "validation"), (0.5, "held-out")):
        result, folder = run_one(METHOD, replace(job, holdout=holdout))
        assert {each.path.split("/")[1] for each in run_files.read_scores(folder, result)} == {"test_public"}
        assert {each.source for each in run_files.read_good_scores(folder.path, result)} == {source}
        assert source in result.threshold.rule
        assert result.protocol.segf1 == "mean + 3 sd of the pixels of validation images"
        assert result.segf1_threshold == pytest.approx(wanted, abs=1e-5)


def test_segf1_at_the_run_s_own_threshold(tiny_data, tmp_path):
    """--segf1 own takes the pixel threshold that keeps the share of false alarms; the protocol and the name say so."""
    job = job_for(METHOD, tiny_data, tmp_path, holdout=0.5, target_false_alarms=0.25)
    rule, _ = run_one(METHOD, job)
    own, folder = run_one(METHOD, replace(job, segf1="own"))
    assert own.segf1_threshold == own.threshold.pixel.value == rule.threshold.pixel.value
    assert own.protocol.segf1 == own.threshold.pixel.rule
    assert "highest pixels" in own.protocol.segf1
    assert rule.protocol.segf1 == "mean + 3 sd of the pixels of held-out images"
    assert (rule.protocol.segf1_target, own.protocol.segf1_target) == (None, 0.25)
    assert own.metrics.segf1 != rule.metrics.segf1
    assert replace(own.metrics, segf1=rule.metrics.segf1) == rule.metrics
    assert "segf1own0.25" in own.run
    names = Names([rule, own])
    assert (names.of(rule), names.of(own)) == ("made", "made:segf1=own0.25")
    assert run_files.read_histograms(folder, own).metrics([[1] * own.test_images])["segf1"] == own.metrics.segf1


def test_an_own_threshold_needs_good_images_and_a_share(tiny_data, tmp_path):
    """Without one of them nothing is trained."""
    job = job_for(METHOD, tiny_data, tmp_path, target_false_alarms=0.25)
    with pytest.raises(OptionError, match="found no held-out or validation image"):
        run_one(METHOD, replace(job, segf1="own"))
    with pytest.raises(OptionError, match="found no --target-false-alarms"):
        replace(job, target_false_alarms=None, segf1="own")
    with pytest.raises(OptionError, match="found --folds"):
        replace(job, folds=3, segf1="own")


@pytest.mark.slow
def test_held_out_images_give_a_threshold_too(tiny_data, tmp_path):
    """--holdout gives SegF1; with training images alone there is no threshold, and the run says so."""
    for holdout in (0.5, 0.0):
        result, _ = run_one(METHOD, job_for(METHOD, tiny_data, tmp_path, holdout=holdout))
        assert (result.metrics.segf1 is None) == (result.segf1_threshold is None) == (not holdout)
        assert ("segf1" in result.undefined) == (result.protocol.segf1 is None) == (not holdout)
