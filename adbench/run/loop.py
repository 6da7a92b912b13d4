"""The one driver of ``Detector.fit``, for runs and for ``check-method``; it checks a method's reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from operator import index
from typing import Any, TypeVar

from ..api.detector import Detector, Epoch, Step
from ..data.images import Images
from ..util.errors import TaskError, type_text

T = TypeVar("T")


class CannotResumeError(Exception):
    """A stopped run must start again; the text gives the reason."""


def epochs(
    detector: Detector,
    images: Images,
    *,
    name: str,
    resumed: bool = False,
    working: Callable[[], AbstractContextManager[object]] = nullcontext,
    step: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[int, int], None] | None = None,
) -> Iterator[Epoch]:
    """Run ``fit`` and yield its checked epochs; ``detector.epoch`` is set before each.

    It ends after the epoch whose number is the total, or when ``fit`` ends.

    Args:
        detector: the detector, trained from its ``epoch`` on.
        images: the training images.
        name: the method's, for messages.
        resumed: whether the detector has loaded a saved state.
        working: entered while ``fit`` itself works, and left while its epochs are processed.
        step: called with (done, total) images of an iteration while ``fit`` works.
        progress: called with (done, total) of an epoch while ``fit`` works: the method's own steps if it reports them,
            else images.
        announce: called with the starting number and the total, if ``fit`` reports them first.

    Raises:
        CannotResumeError: ``resumed``, but ``fit`` begins with its first epoch.
        TaskError: ``fit`` reports something invalid.
    """
    seen = own_steps = False

    def count(done: int, total: int) -> None:
        nonlocal seen
        seen = True
        if step:
            step(done, total)
        if progress and not own_steps:
            progress(done, total)

    fitting = detector.fit(images)
    if not isinstance(fitting, Iterator):
        raise TaskError(f"{name}: fit", found=type_text(fitting), wanted="a generator of Epoch")
    while True:
        images.step, own_steps = count, False
        with working():
            while isinstance(report := next(fitting, None), Step):
                own_steps = True
                if progress:
                    progress(report.done, report.total)
        images.step = None  # scoring may read the training images, too, which is no progress of training
        if report is None:
            return
        epoch = _plain(report, name)
        _check_total(epoch, name)
        if epoch.number == detector.epoch and not seen:
            if announce:
                announce(epoch.number, epoch.total)
            continue
        if resumed and epoch.number <= 1:
            raise CannotResumeError("the method does not go on from a saved state.")
        _check(epoch, detector.epoch + 1, name)
        detector.epoch = epoch.number
        resumed = False
        yield epoch
        if epoch.number >= epoch.total:
            return


def _plain(report: object, name: str) -> Epoch:
    """Convert an epoch to Python's numbers, which can be stored, from tensors of one element and NumPy's numbers."""
    if not isinstance(report, Epoch):
        raise TaskError(f"{name}: fit yielded {type_text(report)}", wanted="an Epoch")
    return replace(
        report,
        number=_number(report.number, index, f"{name}: Epoch.number", "a whole number"),
        total=_number(report.total, index, f"{name}: Epoch.total", "a whole number"),
        loss=_number_or_none(report.loss, f"{name}: Epoch.loss"),
        learning_rate=_number_or_none(report.learning_rate, f"{name}: Epoch.learning_rate"),
    )


def _number_or_none(value: object, thing: str) -> float | None:
    return None if value is None else _number(value, _as_float, thing, "a number or None")


def _as_float(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError
    return float(value)


def _number(value: object, convert: Callable[[Any], T], thing: str, wanted: str) -> T:
    try:
        return convert(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(thing, found=type_text(value), wanted=wanted) from error


def _check_total(epoch: Epoch, name: str) -> None:
    """Refuse a total that this epoch contradicts; it may change later, as where training stops early."""
    least = max(1, epoch.number)
    if epoch.total < least:
        raise TaskError(
            f"{name}: fit yielded epoch {epoch.number} of {epoch.total}",
            wanted=f"a total of at least {least}",
            hint="Give the number of all epochs as the second argument of Epoch",
        )


def _check(epoch: Epoch, wanted: int, name: str) -> None:
    """Refuse reports that a method must not make."""
    if epoch.number != wanted:
        raise TaskError(
            f"{name}: fit yielded epoch {epoch.number} after epoch {wanted - 1}",
            wanted=f"epoch {wanted}",
            hint="Let fit count from self.epoch, so that a broken-off run can go on",
        )
    if epoch.loss is not None and not math.isfinite(epoch.loss):
        raise TaskError(
            f"{name}: loss in epoch {epoch.number}", found=str(epoch.loss), wanted="a finite number",
            hint="Try a lower learning rate, or --amp off",
        )  # fmt: skip
