"""The one way from a file to a detector and back: what a checkpoint holds, and whether it fits.

Files come from other people as well. So each field is checked, and a state must have every part that it was written
with: what is missing would stay random, and its scores would look like any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..api import options as options_module
from ..api.context import BuildContext
from ..api.data import EvalSize, Setting
from ..api.detector import Detector
from ..api.method import Method
from ..api.options import Options
from ..api.scores import Threshold
from ..stats import thresholds
from ..stats.thresholds import Stored
from ..util import devices, torch_files
from ..util.errors import PLUGIN_ERRORS, AdbenchError, CheckpointError, TaskError, UsageError, described
from ..util.memory import is_out_of_memory
from .checkpoint_fields import Fields

if TYPE_CHECKING:
    from .job import Job

T = TypeVar("T")

MARK, VERSION = "adbench_checkpoint", 1
"""The field that tells adbench's own checkpoints, and what stands in it; a higher number is of a newer adbench."""

MOST_HELD_OUT = 0.5
"""Of the training images that ``--holdout`` may keep."""

NAMED = 5
"""So many parts of a state are named in a message."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One of adbench's own checkpoints; each field was checked.

    Attributes:
        path: the file.
        method: its name.
        options: as JSON holds them.
        dataset: what it was trained on.
        classes: likewise; several in the setting "multi-class".
        seed: of the run.
        epoch: finished epochs.
        state: of the detector, on the CPU.
        parts: the parts that the state was written with; None in files of adbench 0.1.
        thresholds: what the run suggested, by class; none where it suggested nothing.
        eval_size: where maps are compared; None for the input's size.
        holdout: part of the training images that was kept from training.
        setting: how it was trained.
        shots: training images of each class in the setting "few-shot".
        train_images: how many images it was trained on; 0 in files of adbench 0.1.
        validation: part of the training images that the method kept for a validation of its own.
    """

    path: Path
    method: str
    options: Mapping[str, Any]
    dataset: str
    classes: tuple[str, ...]
    seed: int
    epoch: int
    state: Mapping[str, Any]
    parts: frozenset[str] | None
    thresholds: Mapping[str, Stored]
    eval_size: EvalSize | None
    holdout: float
    setting: Setting
    shots: int | None
    train_images: int
    validation: float

    def options_for(self, method: Method, changes: Mapping[str, Any] | None = None) -> Options:
        """The options that it was trained with, but for what the user changes now.

        Raises:
            CheckpointError: another method's, or options that the method doesn't have.
            OptionError: a change that no task can work with.
        """
        if self.method != method.name:
            raise CheckpointError(
                f"checkpoint {self.path}", found=f"method '{self.method}'", wanted=f"'{method.name}'",
                hint=f"Use --method {self.method}",
            )  # fmt: skip
        try:
            trained = options_module.from_json(method.options, self.options, owner=method.name)
        except UsageError as error:
            thing = f"checkpoint {self.path}, {error.parts['thing']}"
            raise CheckpointError(thing, found=error.parts["found"], wanted=error.parts["wanted"]) from error
        options = replace(trained, **(changes or {}))
        options_module.check(options, owner=method.name)
        return options

    def context(self, device: torch.device, auxiliary: Mapping[str, Path] | None = None) -> BuildContext:
        """What it was built for, on the device where it is built now, with auxiliary data that is at hand now."""
        return BuildContext(
            device=device,
            seed=self.seed,
            dataset=self.dataset,
            classes=self.classes,
            train_images=self.train_images,
            setting=self.setting,
            shots=self.shots,
            auxiliary=auxiliary or {},
        )

    def threshold_of(self, class_name: str) -> Stored | None:
        """The suggested threshold for a class; that of a single class counts for any."""
        if len(self.classes) == 1:
            return self.thresholds.get(self.classes[0])
        return self.thresholds.get(class_name)


@dataclass(frozen=True, eq=False)
class AuthorsCheckpoint:
    """A checkpoint that a method's authors, or anybody else, wrote: nothing but a state."""

    path: Path
    state: Mapping[str, Any]


AnyCheckpoint = Checkpoint | AuthorsCheckpoint


# ---------------------------------------------------------------- written


def payload(
    detector: Detector,
    job: Job,
    options: Options,
    judged: Mapping[str, Threshold | None],
    *,
    train_images: int,
    validation: float,
) -> dict[str, Any]:
    """What a checkpoint file of a run holds: the model without its optimiser, and what is needed to score with it.

    Args:
        detector: at the end of an epoch.
        job: what was asked for.
        options: final ones.
        judged: the suggested threshold of each class.
        train_images: how many images it was trained on.
        validation: part of them that the method kept for a validation of its own.
    """
    state = model_state(detector)
    found = {name: thresholds.to_checkpoint(each, detector.score_scale) for name, each in judged.items()}
    return {
        MARK: VERSION,
        "method": job.method,
        "options": options_module.to_json(options),
        "dataset": job.dataset,
        "class": job.class_name,
        "seed": job.seed,
        "epoch": detector.epoch,
        **({"class_thresholds": found} if len(found) > 1 else next(iter(found.values()))),
        "eval_size": job.eval_size,
        "holdout": job.holdout,
        "setting": job.setting,
        "shots": job.shots,
        "classes": list(job.classes),
        "train_images": train_images,
        "validation": validation,
        "parts": list(state),
        "state": state,
    }


def model_state(detector: Detector) -> dict[str, Any]:
    """The detector's state without what only training needs."""
    return {
        name: value for name, value in detector.state_dict().items() if not _only_trains(getattr(detector, name, None))
    }


def _only_trains(part: object) -> bool:
    if isinstance(part, list):
        return bool(part) and all(map(_only_trains, part))
    return isinstance(part, (torch.optim.Optimizer, torch.amp.GradScaler))


# ---------------------------------------------------------------- read


def read(path: Path, *, hint: str = "") -> AnyCheckpoint:
    """Read a checkpoint of adbench or of a method's authors; its tensors are on the CPU.

    Args:
        path: the file.
        hint: what the user can do about a file that can't be used.

    Raises:
        CheckpointError: the file is missing, damaged or unreadable, or a field of adbench's own is odd.
    """
    saved = torch_files.load(path, hint=hint)
    if MARK not in saved:
        return AuthorsCheckpoint(path, saved)
    fields = Fields(path, saved, hint)
    version = fields.whole(MARK, 1)
    if version > VERSION:
        raise CheckpointError(
            f"checkpoint {path}", found=f"version {version}, written by a newer adbench", wanted=f"version {VERSION}",
            hint="Upgrade adbench to read it",
        )  # fmt: skip
    classes, parts = fields.texts("classes") or (fields.text("class"),), fields.texts("parts")
    return Checkpoint(
        path=path,
        method=fields.text("method"),
        options=fields.table("options"),
        dataset=fields.text("dataset"),
        classes=classes,
        seed=fields.whole("seed", 0),
        epoch=fields.whole("epoch", 0),
        state=fields.table("state"),
        parts=None if parts is None else frozenset(parts),
        thresholds=_thresholds(fields, classes),
        eval_size=fields.eval_size(),
        holdout=fields.share("holdout", MOST_HELD_OUT),
        setting=fields.setting(),
        shots=fields.shots(),
        train_images=fields.whole("train_images", 0, 0),
        validation=fields.share("validation", 1.0),
    )


def _thresholds(fields: Fields, classes: tuple[str, ...]) -> dict[str, Stored]:
    """The thresholds by class: of a single class they stand beside the other fields."""
    if len(classes) == 1:
        of_class: Mapping[str, Any] = {classes[0]: fields.saved}
    else:
        of_class = fields.table("class_thresholds")
    found = {}
    for name, each in of_class.items():
        try:
            stored = thresholds.from_checkpoint(each)
        except (ValueError, TypeError, AttributeError) as error:
            raise fields.odd("threshold", str(error), "a finite number and the rule that found it") from error
        if stored is not None:
            found[name] = stored
    return found


# ---------------------------------------------------------------- put into a detector


def build(saved: AnyCheckpoint, method: Method, options: Options, context: BuildContext) -> Detector:
    """Build a detector and put it where a checkpoint left it.

    Raises:
        CheckpointError: the checkpoint doesn't fit the method.
        UsageError: what the method needs can't be had here.
        TaskError: building broke off.
    """
    devices.seed_everything(context.seed)
    try:
        detector = method.make(options, context)
    except AdbenchError:
        raise
    except PLUGIN_ERRORS as error:
        raise TaskError(f"building {method.name} broke off", found=described(error)) from error
    restore(detector, saved)
    return detector


def restore(detector: Detector, saved: AnyCheckpoint) -> None:
    """Put a freshly built detector where a checkpoint left it, its ``epoch`` as well.

    Raises:
        CheckpointError: the state lacks a part, has one too many, or doesn't fit.
        TaskError: memory ran out.
    """
    thing = f"checkpoint {saved.path}"
    if isinstance(saved, Checkpoint):
        _require_parts(detector, frozenset(saved.state), saved.parts, thing)
        _load(detector, saved.state, thing)
        detector.epoch = saved.epoch
    else:
        if _loads_by_default(detector):
            _require_own_parts(detector, frozenset(map(str, saved.state)), thing)
        _load(detector, saved.state, thing)


def hand_over(trained: Detector, fresh: Detector, through: Callable[[Any], Any]) -> None:
    """Put a freshly built detector where another one is, as a checkpoint would. Raises what ``restore`` raises.

    Args:
        trained: the detector that has the state.
        fresh: the one that gets it.
        through: writes the state to a file and reads it back.
    """
    state = model_state(trained)
    read_back = through(state)
    _require_parts(fresh, frozenset(read_back), frozenset(state), "the saved state")
    _load(fresh, read_back, "the saved state")
    fresh.epoch = trained.epoch


def _load(detector: Detector, state: Mapping[str, Any], thing: str) -> None:
    try:
        detector.load_state_dict(state)
    except CheckpointError as error:
        own = error.parts["thing"]
        named = own.replace("checkpoint", thing, 1) if own.startswith("checkpoint") else f"{thing}, {own}"
        raise CheckpointError(**{**error.parts, "thing": named}) from error
    except UsageError:
        raise
    except PLUGIN_ERRORS as error:  # a method raises whatever an odd state leads it to
        if is_out_of_memory(error):
            raise TaskError(f"{thing} has no room in memory", found=described(error)) from error
        raise CheckpointError(f"{thing} does not fit {type(detector).__name__}", found=described(error)) from error


def _loads_by_default(detector: Detector) -> bool:
    """Whether the method leaves loading to ``Detector``; one that loads by itself has its own say of what it needs."""
    return type(detector).load_state_dict is Detector.load_state_dict


def _parts_of(detector: Detector) -> frozenset[str]:
    """The parts of a freshly built detector's state; those that ``fit`` makes are not among them yet."""
    try:
        return frozenset(model_state(detector))
    except PLUGIN_ERRORS:  # a state_dict of the method's own, which wants a fitted detector
        return frozenset()


def _require_parts(detector: Detector, found: frozenset[str], written: frozenset[str] | None, thing: str) -> None:
    """Refuse a state without all the parts that it was ``written`` with, and that the detector has by itself."""
    wanted = written or frozenset()
    if _loads_by_default(detector):
        wanted |= _parts_of(detector)
    if wanted - found:
        raise CheckpointError(f"{thing}, 'state'", found=f"no {_listed(wanted - found)}", wanted=_listed(wanted))
    if written is not None and found - written:
        raise CheckpointError(f"{thing}, 'state'", found=f"also {_listed(found - written)}", wanted=_listed(written))


def _require_own_parts(detector: Detector, found: frozenset[str], thing: str) -> None:
    """Refuse an authors' state that is not of this detector's parts; parts that ``fit`` makes may be missing."""
    wanted = _parts_of(detector)
    if wanted - found or any(not hasattr(detector, name) for name in found):
        parts = f"the parts of a {type(detector).__name__} ({_listed(wanted)})"
        raise CheckpointError(thing, found=_listed(found) or "nothing", wanted=parts)


def _listed(names: frozenset[str]) -> str:
    some = sorted(names)
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return ", ".join(f"'{name}'" for name in some[:NAMED]) + more
