"""What a method must not do, and the error of its task."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import brightness, curve_of, job_for, made_method, one_epoch, run_one

from adbench import Epoch, Scores
from adbench.util.errors import TaskError


@pytest.mark.parametrize("numbers", [[2], [1, 3], [1, 1], [1, 2, 1], [-1]])
def test_wrong_epoch_numbers_are_refused(tiny_data, tmp_path, numbers):
    """Epochs that skip, repeat or go back are an error with the method and the wanted epoch."""

    def fit(detector, images):
        for number in numbers:
            for _ in images:
                pass
            yield Epoch(number, 9)

    method = made_method(fit)
    with pytest.raises(TaskError, match=r"made: fit yielded epoch -?\d after epoch \d: wanted epoch \d"):
        run_one(method, job_for(method, tiny_data, tmp_path))


def test_a_fit_that_is_no_generator_or_yields_something_else_is_refused(tiny_data, tmp_path):
    """A fit that returns, or yields a number, gets a message for its author."""
    for fit, text in (
        (lambda detector, images: None, "made: fit: found None"),
        (lambda detector, images: iter([0.5]), "made: fit yielded a float: wanted an Epoch"),
    ):
        method = made_method(fit)
        with pytest.raises(TaskError, match=text):
            run_one(method, job_for(method, tiny_data, tmp_path))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_task(tiny_data, tmp_path, loss):
    """A diverged training is an error with a hint, not a result."""
    method = made_method(lambda detector, images: iter([Epoch(1, 2, loss)]))
    with pytest.raises(TaskError, match=r"made: loss in epoch 1: .*lower learning rate"):
        run_one(method, job_for(method, tiny_data, tmp_path))
    assert not list(Path(tmp_path).rglob("result.json"))


def test_a_fit_that_ends_early_is_scored_at_its_last_epoch(tiny_data, tmp_path):
    """After early stopping the last trained epoch ranks, not the last evaluated one."""

    def fit(detector, images):
        for number in (1, 2, 3):
            yield Epoch(number, 9, milestone=number < 3)

    def score(detector, batch):
        found = brightness(batch)
        return found if detector.epoch == 3 else Scores(-found.image, -found.map)

    method = made_method(fit, score)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    assert result.last_epoch == 3
    assert result.metrics.image_auroc == 1
    assert {best.metric: best.epoch for best in result.oracle}["image_auroc"] == 3
    assert [row["number"] for row in curve_of(folder)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda s: Scores(s.image * float("nan"), s.map), "Scores.image: found NaN"),
        (lambda s: Scores(s.image, s.map / 0), "Scores.map: found NaN or infinity"),
        (lambda s: Scores(s.image[:-1], s.map), r"Scores.image: found shape \(3,\), wanted shape \(4,\)"),
        (lambda s: Scores(s.image, s.map[:, :32]), r"Scores.map: found shape \(4, 32, 64\)"),
        (lambda s: Scores(s.image, s.map, s.map[0]), "Scores.region_map: found shape"),
        (lambda s: Scores(None, s.map), "Scores.image: found None"),
        (lambda s: Scores(s.image.tolist(), s.map), "Scores.image: found a list, wanted a tensor"),
        (lambda s: Scores(s.image.double() * 1e300 * 1e300, s.map), "Scores.image: found NaN or infinity"),
        (lambda s: s.map, "score returned a Tensor: wanted Scores"),
    ],
)
def test_scores_that_would_poison_the_metrics_are_refused(tiny_data, tmp_path, wrong, text):
    """NaN, infinity, wrong shapes and types are an error that names the method."""
    method = made_method(one_epoch, lambda detector, batch: wrong(brightness(batch)))
    with pytest.raises(TaskError, match=f"made: {text}"):
        run_one(method, job_for(method, tiny_data, tmp_path))


def test_maps_for_some_images_only_are_refused(tiny_data, tmp_path):
    """A method gives maps for all images or for none."""

    def score(detector, batch):
        found = brightness(batch)
        return found if len(batch) == 4 else Scores(found.image)

    method = made_method(one_epoch, score)
    with pytest.raises(TaskError, match=r"made: Scores\.map: found None for some images"):
        run_one(method, job_for(method, tiny_data, tmp_path))


def test_a_method_without_maps_has_no_pixel_metrics(tiny_data, tmp_path):
    """A method that does not localise gets its image metrics, and None for the others."""
    method = made_method(one_epoch, lambda detector, batch: Scores(brightness(batch).image))
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert result.metrics.image_auroc == 1
    assert (result.metrics.pixel_auroc, result.metrics.aupro) == (None, None)


def test_a_region_map_is_used_for_aupro_and_said_so(tiny_data, tmp_path):
    """If a method has a map for regions, AUPRO uses it, and the protocol says so."""

    def score(detector, batch):
        found = brightness(batch)
        return Scores(found.image, -found.map, found.map)

    method = made_method(one_epoch, score)
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert result.protocol.aupro_map == "region map"
    assert result.metrics.aupro > 0.9
    assert result.metrics.pixel_auroc < 0.1
