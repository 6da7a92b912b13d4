"""Rules of adbench that changed for some runs alone: they are a part of these runs' identities, and of no other's.

``NUMERICS`` makes every stored result stale. Where a change moves numbers of few runs, it stands here instead: such a
run has the present rule by name, and one of before has none. So the latter is stale, and all other runs stay.

| rule | what moved results |
| --- | --- |
| segf1-from | with ``--holdout``, SegF1's threshold was that of held-out images also where there are validation ones |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..api.data import Setting, Task
from ..data import splits

SEGF1_FROM = "segf1-from"
"""The images that give the pixel threshold of SegF1, by AD 2's rule."""


class Settings(Protocol):
    """What rules depend on besides the images: a job has it, and a result's protocol."""

    @property
    def setting(self) -> Setting:
        """What a model is trained on."""
        ...

    @property
    def shots(self) -> int | None:
        """The training images of each class for few-shot."""
        ...

    @property
    def holdout(self) -> float:
        """The part of the training images that is held out."""
        ...

    @property
    def segf1_target(self) -> float | None:
        """The share of false alarms of SegF1's threshold where it is the run's own."""
        ...


def of(tasks: Iterable[Task], settings: Settings) -> dict[str, str]:
    """The rules of a run on the images of its classes."""
    if settings.setting in ("few-shot", "zero-shot") or settings.segf1_target is not None:
        return {}
    moved = any(task.validation and splits.split(task.train, settings.holdout)[1] for task in tasks)
    return {SEGF1_FROM: "validation"} if moved else {}
