"""The one path from a file to a detector and back: a checkpoint's fields, and whether it fits.

Files come from other people as well. So each field is checked, and a state must have every part that was written: a
missing part would stay random, and its scores would look like any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..api import options as options_module
from ..api import tiles
from ..api.context import BuildContext
from ..api.data import EvalSize, Setting
from ..api.detector import Detector
from ..api.levels import Levels
from ..api.method import Method
from ..api.options import Options
from ..api.scores import Threshold
from ..stats import thresholds
from ..stats.thresholds import Stored
from ..util import devices, torch_files
from ..util.errors import PLUGIN_ERRORS, AdbenchError, CheckpointError, TaskError, UsageError, described
from ..util.memory import is_out_of_memory
from .checkpoint_fields import Fields
from .provenance import Provenance

if TYPE_CHECKING:
    from .resolved import ResolvedJob

T = TypeVar("T")

MARK, VERSION = "adbench_checkpoint", 1
"""The field that marks adbench's own checkpoints, and its value; a higher number is of a newer adbench."""

MOST_HELD_OUT = 0.5
"""Range of the share of training images for ``--holdout``."""

NAMED = 5
"""Number of a state's parts that a message lists."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint of adbench with checked fields.

    Attributes:
        path: the file.
        method: its name.
        options: in JSON's types.
        dataset: the data set of its training.
        classes: the classes of its training; several in the setting "multi-class".
        seed: of the run.
        epoch: number of finished epochs.
        state: of the detector, on the CPU.
        parts: the parts of the written state; None in files of adbench 0.1.
        thresholds: the run's suggestions by class; empty if it suggested nothing.
        eval_size: size at which maps are compared; None for the input's size.
        holdout: held-out part of the training images.
        setting: the setting of its training.
        shots: training images of each class in the setting "few-shot".
        train_images: number of training images; 0 in files of adbench 0.1.
        validation: part of the training images that the method held out for its own validation.
        provenance: what made it; None in files of adbench 0.1.
        map_scale: map values to draw darkest and brightest, from the run's test images; None in files of adbench 0.1,
            and without maps.
        data_options: the options of the data set's reader on which the images of its training depended.
        levels: of the images of more than 8 bits of its training; None if all had 8.
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
    provenance: Provenance | None = None
    map_scale: tuple[float, float] | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    levels: Levels | None = None

    def options_for(self, method: Method, changes: Mapping[str, Any] | None = None) -> Options:
        """The options of its training with the user's changes.

        Raises:
            CheckpointError: the checkpoint is another method's, or the method lacks an option.
            OptionError: a change that no task can use.
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
        options = tiles.changed(trained, changes or {}, owner=method.name)
        options_module.check(options, owner=method.name)
        return options

    def context(self, device: torch.device, auxiliary: Mapping[str, Path] | None = None) -> BuildContext:
        """The context of its training, on the present device, with the present auxiliary data."""
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
        """The suggested threshold for a class; that of a single class is for any class."""
        if len(self.classes) == 1:
            return self.thresholds.get(self.classes[0])
        return self.thresholds.get(class_name)


@dataclass(frozen=True, eq=False)
class AuthorsCheckpoint:
    """A checkpoint from a method's authors, or from anyone else: only a state."""

    path: Path
    state: Mapping[str, Any]


AnyCheckpoint = Checkpoint | AuthorsCheckpoint


# ---------------------------------------------------------------- written


def payload(
    detector: Detector, resolved: ResolvedJob, judged: Mapping[str, Threshold | None], *, validation: float,
    provenance: Provenance, map_scale: tuple[float, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Content of a run's checkpoint file: the model without its optimiser, and what scoring needs.

    Args:
        detector: at the end of an epoch.
        resolved: the job.
        judged: the suggested threshold of each class.
        validation: part of the training images that the method held out for its own validation.
        provenance: what made it.
        map_scale: map values to draw darkest and brightest.
    """
    job, reading, levels = resolved.job, resolved.reading, resolved.levels
    state = model_state(detector)
    found = {name: thresholds.to_checkpoint(each, detector.score_scale) for name, each in judged.items()}
    return {
        MARK: VERSION,
        "method": job.method,
        "options": options_module.to_json(resolved.options),
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
        "train_images": resolved.context.train_images,
        "validation": validation,
        "provenance": provenance.to_table(),
        "map_scale": None if map_scale is None else list(map_scale),
        "data_options": {**(reading.options if reading else {}), **job.marking},
        "levels": None if levels is None else [levels.black, levels.white],
        "parts": list(state),
        "state": state,
    }


def model_state(detector: Detector) -> dict[str, Any]:
    """The detector's state without the parts that only training needs."""
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
        CheckpointError: the file is missing, damaged or unreadable, or a field of adbench's own is invalid.
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
        provenance=_provenance(fields),
        map_scale=fields.numbers("map_scale"),
        data_options=fields.table("data_options", {}),
        levels=None if (levels := fields.numbers("levels")) is None else Levels(*levels),
    )


def _provenance(fields: Fields) -> Provenance | None:
    if "provenance" not in fields.saved:
        return None
    try:
        return Provenance.from_table(fields.table("provenance"))
    except ValueError as error:
        raise fields.odd("provenance", f"another '{error}'", "what made the checkpoint") from error


def _thresholds(fields: Fields, classes: tuple[str, ...]) -> dict[str, Stored]:
    """The thresholds by class; for a single class they are beside the other fields."""
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
    """Build a detector and load a checkpoint into it.

    Raises:
        CheckpointError: the checkpoint doesn't fit the method.
        UsageError: a requirement of the method is missing here.
        TaskError: building failed.
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
    """Load a checkpoint into a freshly built detector, and set its ``epoch``.

    Raises:
        CheckpointError: the state lacks a part, has an additional one, or doesn't fit.
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
    """Load one detector's state into a freshly built one, as a checkpoint would. Raises the same errors as ``restore``.

    Args:
        trained: the detector with the state.
        fresh: the detector that loads it.
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
    except PLUGIN_ERRORS as error:  # an odd state makes a method raise any error
        if is_out_of_memory(error):
            raise TaskError(f"{thing} doesn't fit into memory", found=described(error)) from error
        raise CheckpointError(f"{thing} does not fit {type(detector).__name__}", found=described(error)) from error


def _loads_by_default(detector: Detector) -> bool:
    """Whether ``Detector`` loads the state; a method's own loading decides for itself what it needs."""
    return type(detector).load_state_dict is Detector.load_state_dict


def _parts_of(detector: Detector) -> frozenset[str]:
    """The parts of a freshly built detector's state, without those that ``fit`` makes."""
    try:
        return frozenset(model_state(detector))
    except PLUGIN_ERRORS:  # the method's own state_dict needs a fitted detector
        return frozenset()


def _require_parts(detector: Detector, found: frozenset[str], written: frozenset[str] | None, thing: str) -> None:
    """Refuse a state without all parts that were ``written``, and all that the detector has before ``fit``."""
    wanted = written or frozenset()
    if _loads_by_default(detector):
        wanted |= _parts_of(detector)
    if wanted - found:
        raise CheckpointError(f"{thing}, 'state'", found=f"no {_listed(wanted - found)}", wanted=_listed(wanted))
    if written is not None and found - written:
        raise CheckpointError(f"{thing}, 'state'", found=f"also {_listed(found - written)}", wanted=_listed(written))


def _require_own_parts(detector: Detector, found: frozenset[str], thing: str) -> None:
    """Refuse an authors' state with other parts than this detector's; parts that ``fit`` makes may be missing."""
    wanted = _parts_of(detector)
    if wanted - found or any(not hasattr(detector, name) for name in found):
        parts = f"the parts of a {type(detector).__name__} ({_listed(wanted)})"
        raise CheckpointError(thing, found=_listed(found) or "nothing", wanted=parts)


def _listed(names: frozenset[str]) -> str:
    some = sorted(names)
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return ", ".join(f"'{name}'" for name in some[:NAMED]) + more
