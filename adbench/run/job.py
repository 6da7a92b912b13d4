"""A job: one model to train, small and picklable; and the name of its run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from ..api.context import BuildContext
from ..api.data import EvalSize, Sample, Setting, Task, size_text
from ..api.data_options import split
from ..api.levels import Levels
from ..api.options import Options, naming, option_text
from ..api.tiles import asked_size
from ..data import image_store, splits
from ..data.framing import Framing
from ..results import serialization, store
from ..results.records import GIVEN, Identity, Reading, setting_text
from ..stats import thresholds
from ..util import capacity, devices
from ..util.errors import DataError, OptionError
from ..util.text import digest_of_text, plural, safe_name

FOLDS = 5
"""Models that a cross-validation of the threshold trains, unless the user wants another number."""

IGNORE = "ignore_mask"
"""The option of data sets that names an ignore mask."""

NAMED = 3
"""Up to this many jointly trained classes, a message lists their names."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run that are independent of its data.

    ``eval_size`` is the size at which maps and masks are compared; None is the input's. ``holdout`` is the part of the
    training images held out for the threshold. ``threads`` is torch's number of threads, "auto" to find the fastest, or
    None for torch's own. ``keep`` says which checkpoints are kept: the last epoch's, or also those of the best epochs
    on the test set, or none. ``shots`` is the number of training images of each class for few-shot. ``test`` names the
    test split to score. ``target_false_alarms`` is the share of false alarms that the threshold promises. ``folds`` is
    the number of models of its cross-validation; None is ``FOLDS`` where no good image is held out, and none elsewhere.
    Neither is part of a run's name, unless ``segf1`` is "own": then SegF1 is at the pixel threshold that promises that
    share, and not at AD 2's rule. ``track`` names the trackers that log the run. ``label`` are the user's own words,
    which move no number. ``levels`` are the values of black and white the user gives for images of more than 8 bits, by
    ``levels_by``; None finds them over the training images.
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

    ``options`` are final except for ``amp``, which the engine resolves on the machine that runs it. ``classes`` are
    those of the model, sorted by name, so that their order moves no number; by default the only one is ``class_name``.
    In the setting "multi-class", which has several, ``class_name`` is empty. ``auxiliary`` has the paths of the
    method's auxiliary data by name, ``data_options`` the options of the data set's reader that the user changed.
    ``varied`` names the options that other jobs of the command have other values of.

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


@dataclass(frozen=True, eq=False)
class ResolvedClass:
    """One class of a job, and the folder of its result.

    ``task`` has the training images that the setting allows, from those of the ``whole`` task, without those
    ``held_out`` for the threshold. ``shots`` are the images that were drawn in the setting "few-shot". ``identity`` is
    that of the whole task. ``parts`` are the training images in several parts, which are opened one by one where other
    runs share them; if empty, they are opened as one.
    """

    task: Task
    whole: Task
    identity: Identity
    folder: store.RunFolder
    held_out: tuple[Sample, ...] = ()
    shots: tuple[Sample, ...] = ()
    parts: tuple[tuple[Sample, ...], ...] = ()

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.task.class_name

    @property
    def good(self) -> tuple[thresholds.Source, tuple[Sample, ...]]:
        """The good images that suggest a threshold, and their source.

        These are the held-out images; else the validation images of the data set, except for few-shot and zero-shot,
        which may see no more images than they train on; else the training images.
        """
        if self.held_out:
            return "held-out", self.held_out
        return self._validation or ("training", self.task.train)

    @property
    def good_for_pixels(self) -> tuple[thresholds.Source, tuple[Sample, ...]]:
        """The good images whose pixels give the threshold of SegF1 by AD 2's rule, and their source.

        They are those of ``good``, but validation images of the data set go before held-out ones.
        """
        return self._validation or self.good

    @property
    def _validation(self) -> tuple[thresholds.Source, tuple[Sample, ...]] | None:
        if not self.task.validation or not self.task.train or self.shots:
            return None
        return "validation", tuple(sample for sample in self.task.validation if not sample.label)


@dataclass(frozen=True, eq=False)
class ResolvedJob:
    """A job with everything resolved on this machine; ``identity`` is that of all its classes together."""

    job: Job
    options: Options
    device: torch.device
    identity: Identity
    classes: tuple[ResolvedClass, ...]

    @property
    def folder(self) -> store.RunFolder:
        """The folder of the first class, which has the lock and the state."""
        return self.classes[0].folder

    @property
    def whole(self) -> list[Task]:
        """The tasks of all classes, with all their images."""
        return [each.whole for each in self.classes]

    @property
    def reading(self) -> Reading | None:
        """How the images were found, if that depends on options of the data set's reader."""
        return _reading(self.whole)

    @property
    def levels(self) -> Levels | None:
        """The levels of images of more than 8 bits, which all classes share; None if there are no such images."""
        return next((task.levels for task in self.whole if task.levels is not None), None)

    @cached_property
    def context(self) -> BuildContext:
        """The context in which the method is built; tiles count as images."""
        framing = Framing.of(self.options)
        images = sum(image_store.rows_of(each.task.train, framing) for each in self.classes)
        return build_context(self.job, self.device, train_images=images)

    def is_finished(self) -> bool:
        """Whether every class has its result."""
        return all(each.folder.is_finished() for each in self.classes)


def _reading(tasks: Sequence[Task]) -> Reading | None:
    """How the images of a model's classes were found; a class may depend on no option."""
    return next((made for task in tasks if (made := Reading.of(task.options)) is not None), None)


def build_context(job: Job, device: torch.device, *, train_images: int) -> BuildContext:
    """Make the context in which a job's method is built."""
    return BuildContext(
        device=device,
        seed=job.seed,
        dataset=job.dataset,
        classes=job.classes,
        train_images=train_images,
        setting=job.setting,
        shots=job.shots,
        auxiliary=dict(job.auxiliary),
    )


def prepare(job: Job, tasks: Sequence[Task], identity: Identity) -> ResolvedJob:
    """Resolve device and precision, and name the run; nothing is opened or trained.

    Args:
        job: the job.
        tasks: the tasks of its classes, in their order.
        identity: of the job with these tasks.

    Raises:
        UsageError: this machine lacks the device or the precision, sizes need more memory than there is, or the
            setting needs more training images than there are.
    """
    tasks = [task.with_test(job.test) for task in tasks]
    for task in tasks:
        _require_labels(task)
    tiled = job.options.tile is not None  # then maps are in a file
    capacity.require_input(job.options.size, 0 if tiled else max(len(task.test) for task in tasks))
    capacity.require_eval_size(job.eval_size)
    device = devices.resolve_device(job.device)
    options = replace(job.options, amp=devices.resolve_amp(job.options.amp, device))
    run = run_name(job, identity, amp=options.amp, reading=_reading(tasks))
    classes = []
    for task in tasks:
        folder = store.RunFolder(job.results, job.dataset, task.class_name, job.method, run)
        train, shots = _training(task, job)
        kept, held_out = splits.split(train, job.holdout)
        own = identity.of_class(task.class_name)
        classes.append(ResolvedClass(replace(task, train=kept), task, own, folder, held_out, shots))
    if job.segf1 == "own" and any(each.good[0] == "training" for each in classes):
        raise OptionError(
            "--segf1 own", found="no held-out or validation image", wanted="some for the pixel threshold",
            hint="Give --holdout 0.1",
        )  # fmt: skip
    return ResolvedJob(job, options, device, identity, tuple(classes))


def _require_labels(task: Task) -> None:
    """Refuse images without labels, for which no metric is defined."""
    bare = [sample for sample in task.test if not sample.is_labelled]
    if bare:
        raise DataError(
            f"class {task.class_name} of {task.dataset}",
            found=f"{plural(len(bare), 'image')} without a label in {bare[0].path.parent}",
            wanted="good and defective images in folders of their own",
            hint="adbench test scores them with a trained checkpoint",
        )


def _training(task: Task, job: Job) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The training images that the setting allows, and those of them that were drawn as shots."""
    if job.setting == "zero-shot":
        return (), ()
    if not task.train:
        raise DataError(
            f"class {task.class_name} of {task.dataset}",
            found=f"no training image in {task.train_place or task.root}",
            wanted="at least one",
            hint="Unpack the data set again, correct the folder, or give a smaller --test-share",
        )
    if job.shots is None:
        return task.train, ()
    if len(task.train) < job.shots:
        raise DataError(
            f"class {task.class_name} of {task.dataset}", found=f"{len(task.train)} training images",
            wanted=f"at least the {job.shots} of --shots",
        )  # fmt: skip
    shots = splits.draw(task.train, job.shots, job.seed)
    return shots, shots
