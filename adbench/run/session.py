"""What a run remembers to resume after a kill, and to end in the same numbers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..api.detector import Detector
from ..api.scores import METRIC_NAMES, Metrics, merit
from ..results.records import Best, EpochRecord
from ..results.variants import mean
from ..util import integrity
from ..util.errors import CheckpointError
from .thread_tuner import ThreadUse

if TYPE_CHECKING:
    from ..backbones.feature_cache import FeatureCache


@dataclass
class Session:
    """The counters of one task over all processes that worked on it.

    ``evaluated`` has the metrics of each class after each evaluated epoch. Those in ``records`` are their means.
    """

    records: list[EpochRecord] = field(default_factory=list)
    evaluated: dict[int, dict[str, Metrics]] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    feature_seconds: float = 0.0
    earlier_seconds: float = 0.0
    complete: bool = False
    resumed: bool = False
    threads: ThreadUse | None = None
    validation: float = 0.0
    """Share of the training images that the method held out for its own validation."""
    tracking_seconds: float = 0.0
    """What trackers took in this process, which is no part of the run's time."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._counted = self.fit_seconds

    def mean(self, epoch: int) -> Metrics:
        """The mean of each metric over the classes in which it is defined, after an evaluated epoch."""
        found = self.evaluated[epoch].values()
        return Metrics(**{name: mean(getattr(each, name) for each in found) for name in METRIC_NAMES})

    def best_epochs(self) -> dict[str, int]:
        """The evaluated epoch with the best mean of each metric, the first of equal ones: an *oracle*.

        It is one epoch for all classes, since there is one model.
        """
        means = {epoch: self.mean(epoch) for epoch in self.evaluated}
        found: dict[str, tuple[float, int]] = {}
        for name in METRIC_NAMES:
            for epoch, metrics in means.items():
                value = getattr(metrics, name)
                if value is not None and (name not in found or merit(name, value) > found[name][0]):
                    found[name] = merit(name, value), epoch
        return {name: epoch for name, (_, epoch) in found.items()}

    def best_of(self, class_name: str) -> tuple[Best, ...]:
        """Each metric of one class after the epoch that is best for all classes."""
        found = []
        for name, epoch in self.best_epochs().items():
            value = getattr(self.evaluated[epoch][class_name], name)
            if value is not None:  # None if this class has no masks, but others have
                found.append(Best(name, value, epoch))
        return tuple(found)

    def last_of(self, class_name: str) -> Metrics:
        """The metrics of one class after the last evaluated epoch."""
        return self.evaluated[max(self.evaluated)][class_name]

    def records_of(self, class_name: str) -> list[EpochRecord]:
        """The epoch curve of one class."""
        found = {epoch: each[class_name] for epoch, each in self.evaluated.items()}
        return [replace(record, metrics=found.get(record.number)) for record in self.records]

    def take_epoch_seconds(self) -> float:
        """Return the training seconds since the last call."""
        seconds = self.fit_seconds - self._counted
        self._counted = self.fit_seconds
        return seconds

    @contextmanager
    def timing(self, part: Literal["fit", "score", "evaluate"], cache: FeatureCache) -> Iterator[None]:
        """Time a part of the run, without features that later runs share."""
        began, before = time.monotonic(), cache.seconds
        yield
        made = cache.seconds - before
        self.feature_seconds += made
        name = f"{part}_seconds"
        setattr(self, name, getattr(self, name) + time.monotonic() - began - made)

    def to_state(self, detector: Detector, device: torch.device) -> dict[str, Any]:
        """Everything, with the detector and the random generators; ready for ``torch.save`` after ``sealed``."""
        return {
            "epoch": detector.epoch,
            "detector": detector.state_dict(),
            "random": random_state(device),
            "records": [asdict(record) for record in self.records],
            "evaluated": [
                [epoch, {name: asdict(metrics) for name, metrics in each.items()}]
                for epoch, each in self.evaluated.items()
            ],
            "fit_seconds": self.fit_seconds,
            "score_seconds": self.score_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "feature_seconds": self.feature_seconds,
            "earlier_seconds": self.earlier_seconds + time.monotonic() - self._began - self.tracking_seconds,
            "complete": self.complete,
            "threads": asdict(self.threads) if self.threads else None,
            "validation": self.validation,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], detector: Detector, device: torch.device) -> Session:
        """Load a state: return the counters, and set the detector and the generators.

        Raises:
            CheckpointError: it differs from what was sealed.
        """
        content = {name: value for name, value in state.items() if name != "digest"}
        if "digest" in state:
            whole = state["digest"] == integrity.of_payload(content)
        else:  # adbench 0.1 wrote none
            whole = not state["records"] or state["records"][-1]["number"] == state["epoch"]
        if not whole:
            raise CheckpointError("saved state", found="another content than was written")
        detector.load_state_dict(state["detector"])
        detector.epoch = state["epoch"]
        set_random_state(state["random"], device)
        records = [
            EpochRecord(**{**record, "metrics": Metrics(**record["metrics"]) if record["metrics"] else None})
            for record in state["records"]
        ]
        return cls(
            records=records,
            evaluated={
                epoch: {name: Metrics(**metrics) for name, metrics in each.items()}
                for epoch, each in state["evaluated"]
            },
            fit_seconds=state["fit_seconds"],
            score_seconds=state["score_seconds"],
            evaluate_seconds=state["evaluate_seconds"],
            feature_seconds=state.get("feature_seconds", 0.0),
            earlier_seconds=state["earlier_seconds"],
            complete=state["complete"],
            resumed=True,
            threads=ThreadUse(**state["threads"]) if state.get("threads") else None,
            validation=state.get("validation", 0.0),
        )


def sealed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest over the state, which reads all of it."""
    return {**state, "digest": integrity.of_payload(state)}


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every generator in use, in types that ``torch.load(weights_only=True)`` reads."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "mps": torch.mps.get_rng_state() if device.type == "mps" else None,
    }


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore every generator from ``random_state``."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    if state.get("mps") is not None and device.type == "mps":
        torch.mps.set_rng_state(state["mps"].cpu())


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Leave every generator unchanged, so that the number of evaluations does not change the training."""
    kept = random_state(device)
    try:
        yield
    finally:
        set_random_state(kept, device)
