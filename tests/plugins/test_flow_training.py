"""The training of both flow methods: it learns, resumes, stops at broken numbers, and scores each image alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flow_doubles import TinyBatch, TinyImages, small_cflow, small_msflow, train, unbroken_and_resumed

from adbench import Detector
from adbench.util.errors import TaskError

pytestmark = pytest.mark.usefixtures("one_thread")

Make = Callable[..., Detector]


@pytest.fixture(params=[small_msflow, small_cflow], ids=["msflow", "cflow"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a small detector; small decoders of CFLOW-AD compute in the wanted precision."""
    monkeypatch.setattr("adbench_plugins.cflow.decoder.NARROW", 0)
    make: Make = request.param
    return make


def trained_parts(detector: Detector) -> dict[str, torch.Tensor]:
    """What training changes, by name."""
    part: torch.nn.Module = detector.flow if hasattr(detector, "flow") else detector.decoders
    return part.state_dict()


def test_training_learns_and_reports(small: Make) -> None:
    """The loss falls, and meta-epochs end in a milestone."""
    reports = train(small(meta_epochs=4), TinyImages())

    assert reports[-1].loss < reports[0].loss
    assert [report.number for report in reports] == list(range(1, 9))
    assert [report.milestone for report in reports] == [False, True] * 4


def test_a_resumed_training_ends_in_the_same_numbers(small: Make, tmp_path: Path) -> None:
    """A detector that is stopped after an epoch, saved, loaded and resumed is equal bit for bit."""
    unbroken, resumed = unbroken_and_resumed(small, tmp_path)

    after = trained_parts(resumed)
    assert all(torch.equal(value, after[key]) for key, value in trained_parts(unbroken).items())


@torch.no_grad()
def test_an_image_scores_alone_as_in_a_batch(small: Make) -> None:
    """No other image matters, even at a size that no stride divides."""
    detector = small()
    detector.calibrate(TinyImages())  # CFLOW-AD's maxima come from the training images
    images = torch.rand(3, 3, 37, 54)

    together = detector.score(TinyBatch(images))
    alone = detector.score(TinyBatch(images[1:2]))

    assert tuple(together.map.shape) == (3, 37, 54)
    assert (together.region_map is None) == (small is small_cflow)
    for part in ("image", "map", "region_map"):
        if getattr(together, part) is not None:
            torch.testing.assert_close(getattr(alone, part)[0], getattr(together, part)[1], rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_is_a_task_error(small: Make) -> None:
    """Training stops in that epoch instead of continuing with broken weights."""
    images = TinyImages()
    images.images[0] = float("nan")

    with pytest.raises(TaskError, match="flow, epoch 1: found a loss of nan"):
        train(small(), images)


def test_fp16_scales_its_gradients_and_saves_the_scale(small: Make) -> None:
    """Training in fp16 learns as in float32, and its state keeps the scale."""
    detector, exact = small(amp="fp16"), small()
    torch.manual_seed(2)
    losses = [report.loss for report in train(detector, TinyImages())]
    torch.manual_seed(2)
    expected = [report.loss for report in train(exact, TinyImages())]
    loaded = small(amp="fp16", seed=3)

    loaded.load_state_dict(detector.state_dict())

    assert losses == pytest.approx(expected, rel=1e-2)
    assert losses != expected
    (name,) = {"scaler", "scalers"} & set(detector.state_dict())
    scales = detector.state_dict()[name]
    assert loaded.state_dict()[name] == scales
    assert all(scales)
    assert scales
