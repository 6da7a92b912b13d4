"""A method as its plugin declares it, with its presets and published numbers."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    get_args,
)

from ..util.errors import OptionError, SizeError, TaskError, UnknownNameError, UsageError, type_text
from .context import BuildContext
from .data import SETTINGS, Setting
from .detector import Detector
from .options import Options, check
from .requirements import Requirements
from .tiles import changed

if TYPE_CHECKING:
    import torch

Word = TypeVar("Word", bound=str)


@dataclass(frozen=True)
class Preset:
    """Named options, and changes for single classes: {"mvtec/transistor": {"size": (256, 256)}}.

    ``settings`` are those that the options are for; () for all of the method's. A run in another one is refused.
    """

    options: Options
    summary: str = ""
    per_class: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()

    def resolve(self, dataset: str, class_name: str) -> Options:
        """The options for one class."""
        return replace(self.options, **self.per_class.get(f"{dataset}/{class_name}", {}))


Policy = Literal["last", "oracle", "unknown"]
"""Epoch of a published number: the last, the best one on the test set, or unknown."""

POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True)
class Published:
    """One number that a method's authors report.

    Attributes:
        dataset: name of the data set.
        class_name: name of the class.
        metric: a field of ``Metrics``; others are never compared.
        value: a fraction in [0, 1].
        policy: the kind of epoch.
        source: where it is published.
        epoch: number of the epoch, if it is known.
        setting: the kind of the authors' training images.
        shots: training images of each class, in the setting "few-shot".
        configuration: distinguishes several configurations in one source.
    """

    dataset: str
    class_name: str
    metric: str
    value: float
    policy: Policy
    source: str
    epoch: int | None = None
    setting: Setting = "one-class"
    shots: int | None = None
    configuration: str = ""

    @classmethod
    def read_csv(cls, path: Path, *, method: str | None = None) -> tuple[Published, ...]:
        """Read rows of ``dataset, class, metric, source, epoch, percent``.

        The columns ``policy, setting, shots, configuration`` are optional, and others are ignored. Without a policy, a
        source that says "last evaluated epoch" has the last epoch's, any other the best one's.

        Args:
            path: the file.
            method: reads only rows with this name in the column ``method``.

        Raises:
            ValueError: an unknown policy or setting, or text in place of a number; with file and line.
        """
        found = []
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream)
            for row in rows:
                if method is not None and row.get("method") != method:
                    continue
                try:
                    found.append(cls._of_row(row))
                except ValueError as error:
                    raise ValueError(f"{path}, line {rows.line_num}: {error}") from error
        return tuple(found)

    @classmethod
    def _of_row(cls, row: Mapping[str, str]) -> Published:
        guessed = "last" if "last evaluated epoch" in row["source"] else "oracle"
        return cls(
            dataset=row["dataset"],
            class_name=row["class"],
            metric=row["metric"],
            value=float(row["percent"]) / 100,
            policy=_one_of(POLICIES, row.get("policy") or guessed),
            source=row["source"],
            epoch=int(row["epoch"]) if row["epoch"] else None,
            setting=_one_of(SETTINGS, row.get("setting") or "one-class"),
            shots=int(row["shots"]) if row.get("shots") else None,
            configuration=row.get("configuration") or "",
        )


def _one_of(known: tuple[Word, ...], text: str) -> Word:
    for word in known:
        if word == text:
            return word
    raise ValueError(f"found '{text}', wanted one of {', '.join(map(str, known))}")


@dataclass(frozen=True)
class Method:
    """A method as its plugin declares it.

    Attributes:
        name: of the method.
        summary: a line about it.
        build: makes a small detector without data, of the options and a context; torch is imported there and not
            before. Its second parameter is called ``context`` or annotated as ``BuildContext``; otherwise it gets only
            the device, as in adbench 0.1.
        options: a frozen dataclass type derived from ``Options`` with the paper's values as defaults.
        presets: named options; ``paper`` is added if it is missing.
        paper: where it is published.
        published: numbers that its authors report.
        settings: in which it can be trained; ``adbench run`` refuses others.
        requirements: what it needs besides training images.
    """

    name: str
    summary: str
    build: Callable[[Any, BuildContext], Detector] | Callable[[Any, torch.device], Detector]
    options: type[Options] = Options
    presets: Mapping[str, Preset] = field(default_factory=dict)
    paper: str = ""
    published: tuple[Published, ...] = ()
    settings: tuple[Setting, ...] = ("one-class",)
    requirements: Requirements = field(default_factory=Requirements)

    def __post_init__(self) -> None:
        if "paper" not in self.presets:
            object.__setattr__(self, "presets", {"paper": Preset(self.options()), **self.presets})

    def make(self, options: Options, context: BuildContext) -> Detector:
        """Build a detector.

        Args:
            options: resolved options.
            context: the context; a ``build`` of adbench 0.1 gets only its device.

        Raises:
            TaskError: ``build`` returned something else.
            OptionError: tiles of a size that the method doesn't take.
        """
        build: Callable[[Any, Any], Any] = self.build
        try:
            detector = build(options, context if takes_context(build) else context.device)
        except SizeError as error:
            if options.tile is None:
                raise
            parts = {**error.parts, "hint": error.parts["hint"].replace("--size", "--tile")}
            raise OptionError(**{**parts, "thing": parts["thing"].replace("size", "tile", 1)}) from error
        if not isinstance(detector, Detector):
            raise TaskError(f"{self.name}: build returned {type_text(detector)}", wanted="a Detector")
        return detector


def takes_context(build: Callable[..., Any]) -> bool:
    """Whether the second parameter of a function or class is a ``BuildContext``, by its name or its annotation."""
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):  # a callable that does not say
        return False
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 2:
        return False
    second = positional[1]
    return second.name == "context" or "BuildContext" in str(second.annotation)


def settings_of(method: Method, preset: str) -> tuple[Setting, ...]:
    """The settings in which a method can be trained with a preset. Raises ``UnknownNameError`` as ``find_preset``."""
    return find_preset(method, preset).settings or method.settings


def require_setting(methods: Sequence[Method], setting: Setting, preset: str | None = None) -> None:
    """Refuse a setting that one of the methods, or its preset, does not support.

    Raises:
        UsageError: names the supported ones.
    """
    unfit = [method for method in methods if setting not in method.settings]
    if unfit:
        reasons = (
            f"{each.name} does not support --setting {setting}, only {', '.join(each.settings)}" for each in unfit
        )
        raise UsageError("; ".join(reasons))
    if preset is None:
        return
    for method in methods:
        if setting not in (known := settings_of(method, preset)):
            wanted = " or ".join(f"--setting {each}" for each in known)
            raise UsageError(f"preset {preset} of {method.name}", found=f"--setting {setting}", wanted=wanted)


def resolve(method: Method, preset: str, overrides: Mapping[str, Any], dataset: str, class_name: str) -> Options:
    """The options of one task: the preset's, those of the class, and the user's changes.

    Raises:
        UnknownNameError: the method has no such preset.
        OptionError: values that no task can work with.
    """
    options = changed(find_preset(method, preset).resolve(dataset, class_name), overrides, owner=method.name)
    check(options, owner=method.name)
    return options


def find_preset(method: Method, preset: str) -> Preset:
    """Find a preset. Raises ``UnknownNameError`` with the nearest name."""
    if preset not in method.presets:
        raise UnknownNameError(f"preset of {method.name}", preset, method.presets)
    return method.presets[preset]


def real_overrides(method: Method, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out changes that the preset has for every class already, so that a variant has one name."""
    chosen = find_preset(method, preset)
    per_class = {key for changes in chosen.per_class.values() for key in changes}
    if overrides.get("tile"):
        per_class |= {"size", "resize_to"}  # without them, tiles are cut out of the image's own pixels
    return {
        key: value
        for key, value in sorted(overrides.items())
        if key in per_class or getattr(chosen.options, key) != value
    }
