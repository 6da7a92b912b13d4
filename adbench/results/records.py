"""Records of runs: their results, protocols and timings. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..api.data import DataOptions, EvalSize, Setting, Size
from ..api.data_options import changes
from ..api.levels import Levels
from ..api.options import option_text, to_json
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
class Reading:
    """How a data set was read whose reader has options: their values in JSON's types, and the names of changed ones."""

    options: Mapping[str, Any]
    changed: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: DataOptions | None) -> Reading | None:
        """The record of a reader's options; None if there are none."""
        return None if options is None else cls(to_json(options), tuple(changes(options)))

    @property
    def words(self) -> tuple[str, ...]:
        """What names say of it: the changed options, such as "test_share=0.5"."""
        return tuple(f"{key}={option_text(key, self.options[key])}" for key in self.changed)

    @property
    def text(self) -> str:
        """All options in a line."""
        return ", ".join(f"{key}={option_text(key, value)}" for key, value in self.options.items())


GIVEN, FOUND = "--range", "the training images"
"""What decided the levels of images; the name of a data set's own file, such as dataset.toml, stands for itself."""


@dataclass(frozen=True)
class Protocol:
    """Everything that moves a number, except the method. In results that are older than a field it has its default.

    Attributes:
        size: height and width of the input.
        resize: how images get to it: "stretch" or "crop".
        picture_resampling: how their pixels are computed.
        mask_size: size at which maps and masks are compared, or "native" for each image's own.
        mask_resampling: how masks get to that size.
        epoch_policy: the epoch whose numbers count, such as "last".
        aupro_map: the map that AUPRO is taken from.
        backbone: its name; None without one.
        backbone_weights: digest of its weights.
        precision: of the computation: "off" is float32.
        map_resampling: how maps were resized to ``mask_size``; None if they have that size.
        holdout: part of the training images that was to be held out; ``Result.held_out_images`` is their number.
        setting: what one model was trained on.
        shots: training images of each class in the setting "few-shot".
        classes: those of one model in the setting "multi-class"; otherwise empty.
        test: name of the test split; None is the data set's default.
        validation: part of the training images that the method kept for its own validation.
        resize_to: size of resized images before the input was cut out of their centre; None if nothing was cut off that
            way. With ``tile``: the size of the whole image before it was cut into tiles; None for its own.
        reading: how the reader of the data set was asked to find the images; None if they depend on no option of it.
        segf1: where the pixel threshold of SegF1 is from; None without one.
        regions: in which pixels the regions of defects were looked for; None for those of the resized mask.
        segf1_target: share of false alarms of SegF1's threshold where that is the run's own.
        levels: values of black and white in images of more than 8 bits; None if all images have 8.
        levels_by: what decided them: ``GIVEN``, ``FOUND`` or the name of the data set's own file.
        tile: size of tiles that images were cut into. The metrics are those of whole images.
        overlap: pixels that neighbouring tiles have in common.
        mask_rule: what a mask marks, where the user gave a rule.
        min_defect_area: pixels of the smallest region that counts.
        ignore_mask: digest of what marks the pixels that count in no metric of pixels; None without it.
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
    resize_to: Size | None = None
    reading: Reading | None = None
    segf1: str | None = None
    regions: str | None = None
    segf1_target: float | None = None
    levels: Levels | None = None
    levels_by: str | None = None
    tile: Size | None = None
    overlap: int = 0
    mask_rule: str | None = None
    min_defect_area: int = 0
    ignore_mask: str | None = None

    @property
    def reading_words(self) -> tuple[str, ...]:
        """What names say of how the data set was read: its reader's changed options."""
        return self.reading.words if self.reading else ()

    @property
    def setting_words(self) -> tuple[str, ...]:
        """What a variant's name says of the setting and the images: none for one class and the usual images."""
        return setting_words(self.setting, self.shots, self.test, self.reading, self.levels_given)

    @property
    def levels_given(self) -> Levels | None:
        """The levels that the user gave, also in the data set's own file, which stand in names."""
        return None if self.levels_by == FOUND else self.levels


def setting_words(
    setting: Setting, shots: int | None = None, test: str | None = None, reading: Reading | None = None,
    levels_given: Levels | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """What a variant's name says of the setting and the images: none for one class and the usual images."""
    words = (setting_text(setting, shots), f"test={test}" if test else "")
    read = (*(reading.words if reading else ()), *([f"range={levels_given.text}"] if levels_given else ()))
    return (*filter(None, words), *read)


def setting_text(setting: Setting, shots: int | None = None) -> str:
    """A setting as it stands in names: "few-shot=4"; empty for "one-class"."""
    if setting == "one-class":
        return ""
    return setting if shots is None else f"{setting}={shots}"


@dataclass(frozen=True)
class Timing:
    """Seconds spent, over all sessions of a resumed run. Of a multi-class run each class has an equal share.

    Attributes:
        fit: training alone.
        score: scoring in all evaluations.
        evaluate: comparing with the ground truth in all evaluations.
        total: the whole run.
        images_per_second: from decoded image to anomaly map, including the backbone, without caches; measured
            separately, and None where it could not be.
        features: the backbone, if its outputs are cached for later runs: otherwise the second of two methods would look
            faster. None in results of an adbench that counted it with ``fit`` and ``score``.
    """

    fit: float
    score: float
    evaluate: float
    total: float
    images_per_second: float | None
    features: float | None = None


@dataclass(frozen=True)
class Environment:
    """The machine and software of a run; ``threads`` is the number during most of the training."""

    device: str
    device_name: str
    platform: str
    python: str
    threads: int
    packages: Mapping[str, str]
    cuda: str | None


@dataclass(frozen=True)
class Identity:
    """The sources of a number besides options and seed: another identity may give another number.

    Attributes:
        data: digest of the images and masks: their names, labels and contents.
        code: digest of the method's source (``source.digest``).
        numerics: number of the core's numerics (``util/numerics.py``).
        files: digest of the content of each file that an option names, by the option's name, of auxiliary data as
            "aux.NAME", and of the code of a plugin's backbone as "backbone.NAME".
        classes: digest of the images of each class of a multi-class model; otherwise empty.
        rules: the rules that adbench now decides such a run by, where it once had another one for some runs alone
            (``run/rules.py``).
    """

    data: str
    code: str
    numerics: int
    files: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)

    def of_class(self, name: str) -> Identity:
        """The identity for the result of one class: with that class's own images."""
        return replace(self, data=self.classes.get(name, self.data))


@dataclass(frozen=True)
class DataRoot:
    """The folder of a run's data set: absolute, and relative to the folder of all results, with forward slashes.

    ``relative`` is None where there is no such path: on another drive of Windows.
    """

    absolute: str
    relative: str | None


@dataclass(frozen=True)
class Result:
    """Everything that is needed to trust and to reproduce a number.

    In results that are older than one of the fields with a default, it has that default.

    Attributes:
        schema: version of the record.
        run: name of the run (``job.run_name``).
        method: its name.
        preset: its name.
        overrides: the user's changes of options.
        options: all of them, in JSON's types.
        dataset: its name.
        class_name: name of the class.
        synthetic: whether a program made the images.
        fingerprint: that of the task.
        content: digest of the bytes of the used images and masks.
        train_images: number of training images.
        test_images: number of test images.
        skipped: broken images that were left out, each with what is wrong.
        seed: of the run.
        protocol: what else moves the numbers.
        metrics: of the last epoch.
        last_epoch: its number.
        oracle: the best value of each metric over the evaluated epochs.
        timing: seconds spent.
        peak_memory_bytes: on a GPU of its allocator, else of the process.
        parameters: number of trainable ones.
        environment: machine and software.
        method_package: distribution and version of the method.
        command: the command line.
        finished: when, in UTC.
        evaluations: number of epochs from which the oracle was chosen.
        threshold: the suggested one; None where the scores of good images suggest none.
        passes: micro-batches per batch in training and scoring where memory was short.
        files: SHA-256 digests of the files beside the result, by name, and several with blanks between them while a
            file is replaced.
        held_out_images: number of those held out of the training, besides the ``train_images``.
        tied_images: number of test images that share their score with another one.
        identity: of its images and code; None in results of adbench 0.1.
        shots: training images that were drawn in the setting "few-shot", before any were held out.
        digest: of the stored numbers.
        label: the user's own words.
        data_root: where the images lay.
        eval_every: epochs between two evaluations, as the user asked for.
        evaluated_from: name of the run whose checkpoint was evaluated again at another size, without training; None for
            a run that was trained.
        undefined: the reason for each metric that is None, by its field.
        segf1_threshold: pixel threshold of SegF1.
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
    digest: str | None = None
    label: str = ""
    data_root: DataRoot | None = None
    eval_every: int | None = None
    evaluated_from: str | None = None
    undefined: Mapping[str, str] = field(default_factory=dict)
    segf1_threshold: float | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The user's changes, with digests of contents in place of files, wherever the files lie."""
        files = self.identity.files if self.identity else {}
        return changes_by_content(self.overrides, files, self.protocol.backbone_weights)

    @property
    def variant(self) -> str:
        """The method's name and its differences from the ``paper`` preset: "msflow:cpu,lr=0.001"."""
        return variant_name(self.method, self.preset, self.changes, self.protocol.setting_words)


def changes_by_content(
    changes: Mapping[str, Any], files: Mapping[str, str], backbone_weights: str | None
) -> dict[str, Any]:
    """A user's changes, with digests of contents in place of files.

    Args:
        changes: options and their values.
        files: the digest of each file that an option names.
        backbone_weights: the digest of the backbone's weights, however a file holds them.
    """
    digests = {key: digest[:12] for key, digest in files.items()}
    if backbone_weights:
        digests["weights"] = backbone_weights
    return {key: value if value is None else digests.get(key, value) for key, value in changes.items()}


def variant_name(method: str, preset: str, overrides: Mapping[str, Any], setting: Sequence[str] = ()) -> str:
    """Name a configuration of a method by what differs from its ``paper`` preset in the setting "one-class"."""
    differs = [
        *([] if preset == "paper" else [preset]),
        *setting,
        *(f"{key}={option_text(key, value)}" for key, value in overrides.items()),
    ]
    return f"{method}:{','.join(differs)}" if differs else method


_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


def in_order(run: Result) -> tuple[bool, bool, list[tuple[str, float]]]:
    """A key that sorts the variants of a method: presets without changes first, "paper" before the others.

    Others follow by their names, with numbers by their values: noise=0.5 before noise=2.0 before noise=10.
    """
    parts = _NUMBER.split(run.variant)
    values = [(text, float(number or "0")) for text, number in zip(parts[::2], [*parts[1::2], ""], strict=True)]
    return len(run.overrides) > 0, run.preset != "paper", values
