"""A job: one model to train, small and picklable; and the name of its run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..api.data import EvalSize, Setting, size_text
from ..api.data_options import split
from ..api.levels import Levels
from ..api.options import Options, naming, option_text
from ..api.tiles import asked_size
from ..results import serialization
from ..results.records import GIVEN, Identity, Reading, setting_text
from ..util.errors import OptionError
from ..util.text import digest_of_text, safe_name

FOLDS = 5
"""Models that a cross-validation of the threshold trains, unless the user wants another number."""

IGNORE = "ignore_mask"
"""The option of data sets that names an ignore mask."""

NAMED = 3
"""Up to this many jointly trained classes, a message lists their names."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run that are independent of its data.

    Attributes:
        device: as ``--device``.
        threads: torch's number of threads, "auto" to find the fastest, or None for torch's own.
        eval_every: epochs between two evaluations; 0 evaluates the last epoch alone, None each milestone.
        eval_size: size at which maps and masks are compared; None is the input's.
        holdout: part of the training images held out for the threshold.
        keep: which checkpoints stay: the last epoch's, or also those of the best epochs on the test set, or none.
        skip_bad: leave broken images out and record them.
        force: compute again what is stored.
        results: the folder of all results.
        plugin_files: those of ``--plugin``.
        command: the command line, which is stored with the result.
        setting: what one model is trained on.
        shots: training images of each class in the setting "few-shot".
        test: name of the test split to score; None is the data set's default.
        track: names of the trackers that log the run.
        target_false_alarms: the share of false alarms that the threshold promises. Like ``folds`` it is no part of a
            run's name, unless ``segf1`` is "own".
        folds: models of the threshold's cross-validation; None is ``FOLDS`` where no good image is held out, and none
            elsewhere.
        segf1: "own" for SegF1 at the pixel threshold that promises ``target_false_alarms``, "rule" for AD 2's rule.
        label: the user's own words, which move no number.
        levels: black and white of images of more than 8 bits as the user gives them; None finds them over the training
            images.
        levels_by: what gave them: ``GIVEN``, or the name of the data set's own file.
    """

    device: str = "auto"
    threads: int | Literal["auto"] | None = None
    eval_every: int | None = None
    eval_size: EvalSize | None = None
    holdout: float = 0.0
    keep: Literal["last", "oracle", "none"] = "last"
    skip_bad: bool = False
    force: bool = False
    results: Path = Path("results")
    plugin_files: tuple[Path, ...] = ()
    command: str = ""
    setting: Setting = "one-class"
    shots: int | None = None
    test: str | None = None
    track: tuple[str, ...] = ()
    target_false_alarms: float | None = None
    folds: int | None = None
    segf1: Literal["rule", "own"] = "rule"
    label: str = ""
    levels: Levels | None = None
    levels_by: str = GIVEN


@dataclass(frozen=True)
class Job(RunSettings):
    """One model to train, small and picklable: names and numbers, nothing opened yet.

    Attributes:
        method: its name.
        preset: its name.
        overrides: the user's changes of options that the preset doesn't have anyway.
        options: final except for ``amp``, which the engine resolves on the machine that runs it.
        dataset: its name.
        class_name: of the only class; empty for a model of several.
        data_root: the folder that the reader gets.
        seed: of all random numbers.
        classes: those of the model, sorted by name, so that their order moves no number; by default ``class_name``.
        auxiliary: paths of the method's auxiliary data by name.
        data_options: the options of the data set's reader that the user changed.
        varied: options that other jobs of the command have other values of.

    Raises:
        OptionError: classes or shots that don't fit the setting.
    """

    method: str
    preset: str
    overrides: tuple[tuple[str, Any], ...]
    options: Options
    dataset: str
    class_name: str
    data_root: Path
    seed: int = 0
    classes: tuple[str, ...] = ()
    auxiliary: tuple[tuple[str, Path], ...] = ()
    data_options: tuple[tuple[str, Any], ...] = ()
    varied: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        classes = (self.class_name,) if self.class_name else tuple(sorted(set(self.classes)))
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "class_name", classes[0] if len(classes) == 1 else "")
        if (self.setting == "multi-class") != (len(classes) > 1):
            wanted = "two classes or more" if self.setting == "multi-class" else "one class"
            raise OptionError(f"setting {self.setting}", found=", ".join(classes), wanted=wanted)
        if (self.setting == "few-shot") != (self.shots is not None) or (self.shots or 1) < 1:
            wanted = "--shots K, the training images of each class" if self.setting == "few-shot" else "no --shots"
            raise OptionError(f"setting {self.setting}", found=f"--shots {self.shots}", wanted=wanted)
        if self.segf1 == "own" and (self.target_false_alarms is None or self.folds is not None):
            found = "no --target-false-alarms" if self.folds is None else "--folds, whose thresholds come after scoring"
            raise OptionError(
                "--segf1 own", found=found, wanted="the share that a threshold of good images keeps",
                hint="Give --holdout 0.1 --target-false-alarms 1%",
            )  # fmt: skip
        if self.setting == "zero-shot" and self.target_false_alarms is not None:
            raise OptionError(
                "setting zero-shot", found="--target-false-alarms", wanted="a setting with good images for a threshold"
            )

    @property
    def marking(self) -> dict[str, Any]:
        """What the user asked to count as defect pixels, with absolute paths."""
        found, _ = split(dict(self.data_options))
        return {
            key: os.path.abspath(os.path.expanduser(value)) if key == IGNORE else value for key, value in found.items()
        }

    @property
    def segf1_target(self) -> float | None:
        """The share of false alarms of the pixel threshold that SegF1 is at; None for AD 2's rule."""
        return self.target_false_alarms if self.segf1 == "own" else None

    @property
    def target_of_own_images(self) -> float | None:
        """The share of false alarms to promise from held-out images; None where a cross-validation is wanted."""
        return self.target_false_alarms if self.folds is None else None

    @property
    def data_name(self) -> str:
        """Name the data for people: "mvtec/bottle", "mvtec/bottle+screw", or "mvtec/15 classes"."""
        return f"{self.dataset}/{self.class_names}"

    @property
    def class_names(self) -> str:
        """Name the classes for people: "bottle", "bottle+screw", or "15 classes"."""
        return "+".join(self.classes) if len(self.classes) <= NAMED else f"{len(self.classes)} classes"

    @property
    def point(self) -> str:
        """The values of the options that the command varies, as after -o: "dimensions=50 layers=1,2"."""
        whole = {"size": asked_size(self.options)} if self.options.tile else {}
        values = {**vars(self.options), **whole}
        return " ".join(f"{key}={option_text(key, values[key])}" for key in self.varied)

    @property
    def title(self) -> str:
        """Name the job for people: "padim · mvtec/bottle · few-shot=4 · dimensions=50 · seed 0"."""
        setting = setting_text(self.setting, self.shots)
        return " · ".join(filter(None, (self.method, self.data_name, setting, self.point, f"seed {self.seed}")))


def run_name(job: Job, identity: Identity, *, amp: str, reading: Reading | None = None) -> str:
    """Name a configuration, readable and with a digest: "cpu-seed0-1a2b3c4d".

    Everything that can move a number counts, including ``eval_every`` for the oracle, and so does the variant's name.
    The place of the run (device, folders) does not. The name is the same in every process, on every platform, and for
    all classes that are trained together.

    Args:
        job: the task to run.
        identity: of the data, of the files that options name, and of the code.
        amp: the precision that ``job.options.amp`` was resolved to.
        reading: how the images were found, if that depends on options.
    """
    facts = {
        "method": job.method,
        "preset": job.preset,
        "changed": sorted(key for key, _ in job.overrides),
        "options": {**naming(job.options), "amp": amp, **identity.files},
        "dataset": job.dataset,
        "class": job.class_name,
        "data": identity.data,
        "code": identity.code,
        "numerics": identity.numerics,
        "seed": job.seed,
    }
    if identity.rules:
        facts["rules"] = identity.rules
    if job.eval_every is not None:
        facts["eval_every"] = job.eval_every
    words = [safe_name(job.preset), f"seed{job.seed}"]
    if job.setting != "one-class":
        facts |= {"setting": job.setting, "classes": job.classes, "shots": job.shots}
        words.insert(1, f"{job.setting}{job.shots or ''}")
    if job.test is not None:
        facts["test"] = job.test
        words.append(safe_name(job.test))
    if reading is not None and reading.changed:
        facts["reading"] = reading.words
        words.append(safe_name(",".join(reading.words)))
    if job.levels is not None:
        facts["levels"] = [job.levels.black, job.levels.white]
        words.append(safe_name(f"range{job.levels.text}"))
    if job.eval_size is not None:
        facts["eval_size"] = job.eval_size
        words.append(size_text(job.eval_size))
    if truth := {key: value for key, value in split(dict(job.data_options))[0].items() if key != IGNORE}:
        facts["marking"] = truth  # the content of an ignore mask is among the files
        words += [safe_name(f"{key.replace('_', '')}-{value}".replace(":", "")) for key, value in truth.items()]
    if job.holdout:
        facts["holdout"] = job.holdout
        words.append(f"holdout{job.holdout:g}")
    if job.segf1_target is not None:
        facts["segf1"] = job.segf1_target
        words.append(f"segf1own{job.segf1_target:g}")
    return "-".join([*words, digest_of_text(serialization.canonical(facts))])
