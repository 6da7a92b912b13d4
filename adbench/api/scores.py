"""Scores of a batch, and the metrics of a test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Scores:
    """Anomaly scores of one batch, higher = more anomalous.

    ``image`` (B,), kept in float64; ``map`` (B, H, W) at the input size, or None if the method makes no maps.
    An image score that saturates, such as 1 - exp(-x), makes ties between images with different x.
    ``region_map`` is only for a method whose paper takes AUPRO from another map.
    """

    image: torch.Tensor
    map: torch.Tensor | None = None
    region_map: torch.Tensor | None = None


IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1max", "image_fpr95", "pg2", "pb2")
"""The fields of ``Metrics`` that depend on labels and image scores alone."""

PIXEL_METRICS = (
    "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro_05", "segf1", "aupimo", "aupimo_official",
    "au_spro", "au_spro_03", "au_spro_logical", "au_spro_structural",
)  # fmt: skip
"""The fields of ``Metrics`` that depend on masks and maps."""

METRIC_NAMES = (
    "image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro_05",
    "image_fpr95", "pg2", "pb2", "segf1", "aupimo", "aupimo_official",
    "au_spro", "au_spro_03", "au_spro_logical", "au_spro_structural",
)  # fmt: skip
"""The fields of ``Metrics``, in the order of tables."""

USUAL_METRICS = METRIC_NAMES[:8]
"""Metrics that every test set of good and bad images with masks has."""

LOWER_IS_BETTER = frozenset({"image_fpr95"})
"""The fields of ``Metrics`` whose lowest value is the best."""


def merit(name: str, value: float) -> float:
    """A number that is higher where a metric is better."""
    return -value if name in LOWER_IS_BETTER else value


MAIN_METRICS = ("image_auroc", "pixel_auroc", "aupro")
"""Metrics that both papers report: the default of tables; each has an oracle checkpoint."""

SPECIAL_METRICS = ("segf1", "au_spro")
"""Metrics that need more than a test set with masks, and that tables show by default where most runs have them: MVTec
AD 2 ranks by SegF1, MVTec LOCO AD by AU-sPRO."""


@dataclass(frozen=True)
class Metrics:
    """Fractions in [0, 1]; None where not defined, such as pixel metrics without masks.

    ``aupro`` is the per-region overlap up to a false-positive rate of 0.3, ``aupro_05`` up to 0.05,
    each divided by its limit. ``docs/metrics.md`` defines all of them. Of ``image_fpr95`` alone, lower is better.
    ``au_spro_logical`` and ``au_spro_structural`` are the parts of ``au_spro``, up to a rate of 0.05, where a data set
    has both kinds of regions.
    """

    image_auroc: float | None = None
    image_ap: float | None = None
    image_f1max: float | None = None
    pixel_auroc: float | None = None
    pixel_ap: float | None = None
    pixel_f1max: float | None = None
    aupro: float | None = None
    aupro_05: float | None = None
    image_fpr95: float | None = None
    pg2: float | None = None
    pb2: float | None = None
    segf1: float | None = None
    aupimo: float | None = None
    aupimo_official: float | None = None
    au_spro: float | None = None
    au_spro_03: float | None = None
    au_spro_logical: float | None = None
    au_spro_structural: float | None = None


@dataclass(frozen=True, eq=False)
class Region:
    """One defect of an image, for AU-sPRO: a method need not find more than a part of it.

    Attributes:
        image: number of the image that it is in.
        mask: (H, W) array, not zero in the defect; it may be in several pieces.
        saturation: number of pixels that count as the whole defect; at most those that it has, and at least 1.
        kind: "logical" or "structural" where a data set has both kinds; each then has a value of its own.
    """

    image: int
    mask: NDArray[Any]
    saturation: float
    kind: str = ""


@dataclass(frozen=True)
class Promise:
    """What a threshold promises of new good images that are like those that it came from (``stats/conformal.py``).

    Attributes:
        target: the share of false alarms that was asked for.
        images: number of good images that it came from.
        expected: share of false alarms to expect, at most ``target`` where there are enough images.
        bound: share that is guaranteed as the mean over draws of the good images. For held-out images it is
            ``expected``, for cross-validated ones it is larger.
        certain: share that this very threshold exceeds with a probability of at most 5 %; None where cross-validated.
        folds: number of models of the cross-validation; None for images that were held out of the training.
    """

    target: float
    images: int
    expected: float
    bound: float
    certain: float | None = None
    folds: int | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there were enough images for the target."""
        return self.expected <= self.target


BY_HAND = "set by hand"
"""The rule of a threshold that a user chose."""


@dataclass(frozen=True)
class Threshold:
    """The score above which an image is called defective, found without the test set.

    ``rule`` describes its source. The rates are measured on the test set: the share of good images above it, and the
    share of defective ones not above it; None if there are no such images. ``promise`` is None where it promises
    nothing. ``pixel`` is the threshold of the anomaly map, where there is one: there an image is above it where any
    pixel is.
    """

    value: float
    rule: str
    false_alarm_rate: float | None
    miss_rate: float | None
    promise: Promise | None = None
    pixel: Threshold | None = None

    @property
    def useless(self) -> str | None:
        """Why it decides nothing on the test set; None if it does decide."""
        if self.false_alarm_rate == 1:
            return "it calls every good test image defective"
        if self.miss_rate == 1:
            return "it is above the score of every defective test image"
        return None
