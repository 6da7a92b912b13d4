"""A job with everything resolved on this machine: images, identity, device, precision and the folders of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ..api.context import BuildContext
from ..api.data import Sample, Task
from ..api.levels import Levels
from ..api.options import Options
from ..data import image_store, splits
from ..data.framing import Framing
from ..results import store
from ..results.records import Identity, Reading
from ..stats import thresholds
from ..util import capacity, devices
from ..util.errors import DataError, OptionError
from ..util.text import plural
from .job import Job, run_name


@dataclass(frozen=True, eq=False)
class ResolvedClass:
    """One class of a job, and the folder of its result.

    Attributes:
        task: its images; of those for training the ones that the setting allows and that are not ``held_out``.
        whole: its images, all of them.
        identity: of the whole task.
        folder: of its result.
        held_out: good images for the threshold.
        shots: training images that were drawn in the setting "few-shot", before any were held out.
        parts: the training images in several parts, which are opened one by one where other runs share them; if empty,
            they are opened as one.
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
