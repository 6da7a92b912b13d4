"""Records of runs: the job that is asked for, and the result that comes of it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .methods import Options
from .samples import EvalSize, Size

METRIC_NAMES = ("image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro_05")
"""The fields of ``Metrics``, in the order in which they are shown."""

MAIN_METRICS = ("image_auroc", "pixel_auroc", "aupro")
"""Those that both papers report: shown where not all are, and each with an oracle's checkpoint."""


@dataclass(frozen=True)
class Metrics:
    """Fractions in [0, 1]; None where not defined, such as pixel metrics without masks.

    ``aupro`` is the per-region overlap up to a false-positive rate of 0.3, ``aupro_05`` up to 0.05,
    each divided by its limit.
    """

    image_auroc: float | None = None
    image_ap: float | None = None
    image_f1max: float | None = None
    pixel_auroc: float | None = None
    pixel_ap: float | None = None
    pixel_f1max: float | None = None
    aupro: float | None = None
    aupro_05: float | None = None


@dataclass(frozen=True)
class Best:
    """The best value of one metric over the evaluated epochs: an *oracle*, chosen on the test set."""

    metric: str
    value: float
    epoch: int


@dataclass(frozen=True)
class EpochRecord:
    """One line of the epoch curve; ``metrics`` is None where nothing was evaluated."""

    number: int
    total: int
    loss: float | None
    learning_rate: float | None
    seconds: float
    metrics: Metrics | None = None


@dataclass(frozen=True)
class Protocol:
    """Everything besides the method that moves a number.

    ``mask_size`` is where maps and masks are compared: a size, or "native" for each picture's own;
    ``map_resampling`` says how maps got there, None where they are of that size. ``holdout`` is the part
    of the training images that was asked to be kept from training; ``Result.held_out_images`` says how many were.
    """

    size: Size
    resize: str
    picture_resampling: str
    mask_size: EvalSize
    mask_resampling: str
    epoch_policy: str
    aupro_map: str
    backbone: str | None
    backbone_weights: str | None
    precision: str
    map_resampling: str | None = None
    holdout: float = 0.0


@dataclass(frozen=True)
class Threshold:
    """The score above which a picture is called defective, suggested without a look at the test set.

    ``rule`` says what it was made from. The rates are what it does to the test set: the part of the good
    pictures above it, and of the defective ones not above it; None where there are none of the kind.
    """

    value: float
    rule: str
    false_alarm_rate: float | None
    miss_rate: float | None

    @property
    def useless(self) -> str | None:
        """Why it decides nothing on the test set; None where it does."""
        if self.false_alarm_rate == 1:
            return "it calls every good test image defective"
        if self.miss_rate == 1:
            return "it is above the score of every defective test image"
        return None


@dataclass(frozen=True)
class Timing:
    """Seconds spent, over all sessions of a resumed run.

    ``fit`` counts training alone, ``score`` and ``evaluate`` all evaluations. ``features`` counts the
    backbone where its outputs are kept for all who come later, since that would favour the second of two
    methods; None in results of an adbench that counted it with ``fit`` and ``score``.
    ``images_per_second`` is measured apart: from decoded picture to anomaly map, backbone included,
    nothing cached.
    """

    fit: float
    score: float
    evaluate: float
    total: float
    images_per_second: float | None
    features: float | None = None


@dataclass(frozen=True)
class Environment:
    """Where a number was made; ``threads`` is the number with which most of training was done."""

    device: str
    device_name: str
    platform: str
    python: str
    threads: int
    packages: Mapping[str, str]
    cuda: str | None


@dataclass(frozen=True)
class Identity:
    """What a number was made from besides options and seed: another identity may give another number.

    ``data`` is a digest of the images and masks: their names, labels and contents; ``code`` one of the method's
    source (``source.digest``); ``numerics`` the number of the core's own (``util/numerics.py``). ``files`` holds a
    digest of the content of each file that an option names, by the option's name.
    """

    data: str
    code: str
    numerics: int
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Everything needed to trust and to redo a number.

    ``identity`` is None in results of adbench 0.1. ``fingerprint`` is the task's, ``content`` a digest over the bytes
    of the pictures and masks that were used;
    ``method_package`` names the distribution and version that the method came with. ``evaluations`` counts
    the epochs among which the oracle was chosen; None in results that are older than the field. So is
    ``threshold``, and where the training scores suggest none. ``passes`` says in how many parts batches went
    through training and scoring where memory was short. ``files`` holds the SHA-256 digests of the files that were
    stored beside the result, by name; empty in results that are older than the field. ``held_out_images`` were kept
    from training, beside the ``train_images``; ``tied_images`` counts the test images that share their score with
    another one. Both are None in results that are older than the fields.
    """

    schema: int
    run: str
    method: str
    preset: str
    overrides: Mapping[str, Any]
    options: Mapping[str, Any]
    dataset: str
    class_name: str
    synthetic: bool
    fingerprint: str
    content: str
    train_images: int
    test_images: int
    skipped: tuple[str, ...]
    seed: int
    protocol: Protocol
    metrics: Metrics
    last_epoch: int
    oracle: tuple[Best, ...]
    timing: Timing
    peak_memory_bytes: int
    parameters: int
    environment: Environment
    method_package: str
    command: str
    finished: str
    evaluations: int | None = None
    threshold: Threshold | None = None
    passes: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    held_out_images: int | None = None
    tied_images: int | None = None
    identity: Identity | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The user's changes, with digests of contents in place of files, wherever these lie."""
        files = self.identity.files if self.identity else {}
        digests = {key: digest[:12] for key, digest in files.items()}
        if self.protocol.backbone_weights:
            digests["weights"] = self.protocol.backbone_weights
        return {key: value if value is None else digests.get(key, value) for key, value in self.overrides.items()}

    @property
    def variant(self) -> str:
        """The method's name and what differs from its ``paper`` preset: "msflow:cpu,lr=0.001"."""
        return variant_name(self.method, self.preset, self.changes)


def variant_name(method: str, preset: str, overrides: Mapping[str, Any]) -> str:
    """Name a configuration of a method by what differs from its ``paper`` preset."""
    differs = ([] if preset == "paper" else [preset]) + [
        f"{key}={option_text(key, value)}" for key, value in overrides.items()
    ]
    return f"{method}:{','.join(differs)}" if differs else method


def size_text(size: EvalSize) -> str:
    """Write a size as people give it: "256x640", or "native"."""
    return size if isinstance(size, str) else "x".join(map(str, size))


def option_text(key: str, value: Any) -> str:
    """Write an option's value as it is given after -o: "256x640" for a size, "2,3" for other tuples."""
    if isinstance(value, (tuple, list)):
        return ("x" if key == "size" else ",").join(map(str, value))
    return str(value)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How tasks are run, whatever they are of.

    ``eval_size`` is where maps and masks are compared, None for the input's size; ``holdout`` the part of
    the training pictures that is kept from training, for the threshold. ``threads`` is how many torch computes
    with: a number, "auto" to find the fastest, or None for what torch has. ``keep`` says which checkpoints are
    kept: that of the last epoch, or those of the best epochs on the test set as well.
    """

    device: str = "auto"
    threads: int | Literal["auto"] | None = None
    eval_every: int | None = None
    eval_size: EvalSize | None = None
    holdout: float = 0.0
    keep: Literal["last", "oracle"] = "last"
    skip_bad: bool = False
    force: bool = False
    results: Path = Path("results")
    plugin_files: tuple[Path, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Job(RunSettings):
    """One task to run, small and picklable: names and numbers, nothing opened yet.

    ``options`` are final but for ``amp``, which the engine resolves on the machine that runs it.
    """

    method: str
    preset: str
    overrides: tuple[tuple[str, Any], ...]
    options: Options
    dataset: str
    class_name: str
    data_root: Path
    seed: int = 0
