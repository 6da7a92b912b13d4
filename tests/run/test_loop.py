"""The driver of ``fit``: a method's reports are checked and passed on in plain numbers."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import brightness

from adbench import Detector, Epoch
from adbench.api.data import Sample
from adbench.data.image_store import Store
from adbench.data.images import Images
from adbench.run import loop
from adbench.util.errors import TaskError


@pytest.fixture
def images() -> Images:
    """Three grey images."""
    pixels = np.full((3, 32, 32, 3), 128, np.uint8)
    samples = tuple(Sample(Path(f"{number}.png"), 0, "good", None) for number in range(3))
    store = Store("grey", samples, pixels, None, ((32, 32),) * 3, "grey")
    return Images(store, torch.device("cpu"), 2, shuffle=False)


def detector(fit, *, epoch: int = 0) -> Detector:
    """A detector that trains with a function, after so many epochs."""

    class Made(Detector):
        def fit(self, images):
            return fit(self, images)

        def score(self, batch):
            return brightness(batch)

    made = Made(None, torch.device("cpu"))
    made.epoch = epoch
    return made


def test_epochs_are_handed_on_and_counted(images):
    """Each epoch follows the setting of the detector's number; the loop ends at the total, even if fit would go on."""

    def fit(self, images):
        for number in range(1, 10):
            yield Epoch(number, 3, loss=0.5)

    made = detector(fit)
    assert [(epoch.number, made.epoch) for epoch in loop.epochs(made, images, name="made")] == [(1, 1), (2, 2), (3, 3)]


def test_steps_count_only_while_fit_works(images):
    """Images that are read between two epochs, as in an evaluation, are no progress of training."""
    steps: list[tuple[int, int]] = []
    inside: list[bool] = []

    @contextmanager
    def working():
        inside.append(True)
        yield
        inside.append(False)

    def fit(self, images):
        for number in (1, 2):
            list(images)
            yield Epoch(number, 2)

    def step(done, total):
        assert inside[-1]
        steps.append((done, total))

    for _ in loop.epochs(detector(fit), images, name="made", working=working, step=step):
        assert not inside[-1]
        list(images)  # an evaluation looks at them
    assert steps == [(2, 3), (3, 3)] * 2


def test_the_total_may_be_announced_first(images):
    """A first epoch with fit's starting number announces the total, and is no epoch."""
    announced: list[tuple[int, int]] = []
    made = detector(lambda self, images: iter([Epoch(4, 6), Epoch(5, 6), Epoch(6, 6)]), epoch=4)
    found = loop.epochs(made, images, name="made", announce=lambda *numbers: announced.append(numbers))
    assert [epoch.number for epoch in found] == [5, 6]
    assert announced == [(4, 6)]


def test_a_resumed_detector_that_begins_again_differs_from_one_that_miscounts(images):
    """After a saved state a first epoch 1 means that the method can't resume; without a state it is a mistake."""

    def fit(self, images):
        list(images)
        yield Epoch(1, 9)

    with pytest.raises(loop.CannotResumeError, match="does not go on from a saved state"):
        list(loop.epochs(detector(fit, epoch=3), images, name="made", resumed=True))
    with pytest.raises(TaskError, match="fit yielded epoch 1 after epoch 3: wanted epoch 4"):
        list(loop.epochs(detector(fit, epoch=3), images, name="made"))


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (Epoch(1, 1, torch.tensor(0.25), torch.tensor([1e-3])), Epoch(1, 1, 0.25, pytest.approx(1e-3))),
        (Epoch(np.int64(1), np.int32(1), np.float32(0.5)), Epoch(1, 1, 0.5)),
        (Epoch(torch.tensor(1), 1, 2, milestone=False), Epoch(1, 1, 2.0, milestone=False)),
    ],
)
def test_numbers_of_torch_and_numpy_become_plain_ones(images, given, plain):
    """A loss that is still a tensor can be stored, without its graph."""
    (epoch,) = loop.epochs(detector(lambda self, images: iter([given])), images, name="made")
    assert epoch == plain
    assert {type(epoch.number), type(epoch.total)} == {int}
    assert type(epoch.loss) is float


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Epoch("1", 1), "made: Epoch.number: found a str, wanted a whole number"),
        (Epoch(1, None), "made: Epoch.total: found None, wanted a whole number"),
        (Epoch(1, 1.0), "made: Epoch.total: found a float, wanted a whole number"),
        (Epoch(1, 1, "0.5"), "made: Epoch.loss: found a str, wanted a number or None"),
        (Epoch(1, 1, torch.ones(2)), "made: Epoch.loss: found a Tensor, wanted a number or None"),
        (Epoch(1, 1, 0.5, [1e-3]), "made: Epoch.learning_rate: found a list, wanted a number or None"),
        (Epoch(1, 0), "made: fit yielded epoch 1 of 0: wanted a total of at least 1"),
        (Epoch(0, 0), "made: fit yielded epoch 0 of 0: wanted a total of at least 1"),
        (Epoch(1, -3), "made: fit yielded epoch 1 of -3: wanted a total of at least 1"),
        (Epoch(1, 1, float("inf")), "made: loss in epoch 1: found inf, wanted a finite number"),
    ],
)
def test_what_can_not_be_stored_is_refused_at_once(images, wrong, text):
    """A field of a wrong type is the method's error in its first epoch, not when the run is stored."""
    with pytest.raises(TaskError, match=text):
        list(loop.epochs(detector(lambda self, images: iter([wrong])), images, name="made"))


def test_a_total_below_the_epoch_is_refused_and_another_one_is_not(images):
    """Training may stop early or go on longer than announced, but epoch 3 of 2 is a miscount."""
    early = detector(lambda self, images: iter([Epoch(1, 9), Epoch(2, 2), Epoch(3, 9)]))
    assert [epoch.total for epoch in loop.epochs(early, images, name="made")] == [9, 2]
    wrong = detector(lambda self, images: iter([Epoch(1, 9), Epoch(2, 9), Epoch(3, 2)]))
    with pytest.raises(TaskError, match="made: fit yielded epoch 3 of 2: wanted a total of at least 3"):
        list(loop.epochs(wrong, images, name="made"))


@pytest.mark.parametrize(("report", "what"), [(3, "an int"), ("text", "a str"), ((1, 2), "a tuple")])
def test_what_is_no_epoch_is_named(images, report, what):
    """The type has its article."""
    with pytest.raises(TaskError, match=f"made: fit yielded {what}: wanted an Epoch"):
        list(loop.epochs(detector(lambda self, images: iter([report])), images, name="made"))
