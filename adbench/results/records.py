"""Records of runs: the job that is asked for, and the result that comes of it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..api.data import EvalSize, Setting, Size
from ..api.options import option_text
from ..api.scores import Metrics, Threshold


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

    ``mask_size`` is where maps and masks are compared: a size, or "native" for each image's own;
    ``map_resampling`` says how maps got there, None where they are of that size. ``holdout`` is the part
    of the training images that was asked to be kept from training; ``Result.held_out_images`` says how many were.
    ``shots`` are the training images of each class in the setting "few-shot", ``classes`` those that one model was
    trained on in the setting "multi-class"; else empty. ``test`` names the test split, None for the one that the
    data set scores by default. All of these have their defaults in results that are older than the fields.
    ``validation`` is the part of the training images that the method kept for a validation of its own.
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
    setting: Setting = "one-class"
    shots: int | None = None
    classes: tuple[str, ...] = ()
    test: str | None = None
    validation: float = 0.0

    @property
    def setting_words(self) -> tuple[str, ...]:
        """What a variant's name says of the setting and the test split: none for one class and the usual test."""
        words = (setting_text(self.setting, self.shots), f"test={self.test}" if self.test else "")
        return tuple(filter(None, words))


def setting_text(setting: Setting, shots: int | None = None) -> str:
    """A setting as names tell it: "few-shot=4"; empty for "one-class"."""
    if setting == "one-class":
        return ""
    return setting if shots is None else f"{setting}={shots}"


@dataclass(frozen=True)
class Timing:
    """Seconds spent, over all sessions of a resumed run. Of a multi-class run each class has an equal share.

    ``fit`` counts training alone, ``score`` and ``evaluate`` all evaluations. ``features`` counts the
    backbone where its outputs are kept for all who come later, since that would favour the second of two
    methods; None in results of an adbench that counted it with ``fit`` and ``score``.
    ``images_per_second`` is measured apart: from decoded image to anomaly map, backbone included,
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
    digest of the content of each file that an option names, by the option's name, and of auxiliary data as "aux.NAME".
    ``classes`` holds the digest of the images of each class that was trained together with others; else it is empty.
    """

    data: str
    code: str
    numerics: int
    files: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)

    def of_class(self, name: str) -> Identity:
        """The identity of what was trained, as the result of one class holds it: with that class's own images."""
        return replace(self, data=self.classes.get(name, self.data))


@dataclass(frozen=True)
class Result:
    """Everything needed to trust and to redo a number.

    ``identity`` is None in results of adbench 0.1. ``fingerprint`` is the task's, ``content`` a digest over the bytes
    of the images and masks that were used;
    ``method_package`` names the distribution and version that the method came with. ``evaluations`` counts
    the epochs among which the oracle was chosen; None in results that are older than the field. So is
    ``threshold``, and where the training scores suggest none. ``micro_batches`` says in how many parts batches went
    through training and scoring where memory was short. ``files`` holds the SHA-256 digests of the files that were
    stored beside the result, by name; empty in results that are older than the field. ``held_out_images`` were kept
    from training, beside the ``train_images``; ``tied_images`` counts the test images that share their score with
    another one. Both are None in results that are older than the fields. ``shots`` names the training images that were
    drawn in the setting "few-shot", before any were held out.
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
    shots: tuple[str, ...] = ()

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
        return variant_name(self.method, self.preset, self.changes, self.protocol.setting_words)


def variant_name(method: str, preset: str, overrides: Mapping[str, Any], setting: Sequence[str] = ()) -> str:
    """Name a configuration of a method by what differs from its ``paper`` preset in the setting "one-class"."""
    differs = [
        *([] if preset == "paper" else [preset]),
        *setting,
        *(f"{key}={option_text(key, value)}" for key, value in overrides.items()),
    ]
    return f"{method}:{','.join(differs)}" if differs else method
