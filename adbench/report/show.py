"""All about one stored run, on one screen or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.method import resolve
from ..api.options import option_text, to_json
from ..api.registry import Registry
from ..api.scores import METRIC_NAMES, USUAL_METRICS, Metrics, Threshold
from ..results import serialization
from ..results.protocol_text import protocol_text
from ..results.records import Environment, Protocol, Result, Timing
from ..results.run_files import folder_of
from ..results.variants import TITLES, dataset_title, mean
from ..util.errors import AdbenchError
from ..util.sizes import bytes_text
from ..util.text import json_escaped, plural, printable
from . import threshold_commands, undefined
from .runs import environment_text
from .score_notes import NO_IMAGE, images_of, is_zero_shot, no_threshold_text, useless_of
from .tables import MISSING, Audience, Column, Table, cell_text

if TYPE_CHECKING:
    from ..run.standing import Standing

LABEL = 13
"""Width of the labels of facts, in characters."""

WHOLE = ("command", "threshold by")
"""Labels of the commands, which people copy."""


@dataclass(frozen=True)
class Change:
    """An option that differs from the preset, with values as after -o: the preset's is None if it is not at hand."""

    option: str
    value: str
    preset: str | None


@dataclass(frozen=True)
class StoredFile:
    """A file of a run: its name below the run's folder, and its size."""

    name: str
    bytes: int


@dataclass(frozen=True)
class OfClass:
    """The result of one class."""

    class_name: str
    folder: str
    metrics: Metrics
    threshold: Threshold | None
    threshold_note: str
    train_images: int
    held_out_images: int | None
    test_images: int
    skipped: tuple[str, ...]
    timing: Timing
    files: tuple[StoredFile, ...]
    undefined: Mapping[str, str] = field(default_factory=dict)
    segf1_threshold: float | None = None


@dataclass(frozen=True)
class Shown:
    """One stored run; ``classes`` has one result, or those of all classes of a model of several."""

    variant: str
    run: str
    method: str
    method_package: str
    preset: str
    changes: tuple[Change, ...]
    dataset: str
    synthetic: bool
    seed: int
    state: str
    reason: str
    finished: str
    classes: tuple[OfClass, ...]
    last_epoch: int
    parameters: int
    peak_memory_bytes: int
    protocol: Protocol
    environment: Environment
    environment_text: str
    command: str
    threshold_commands: tuple[str, ...] = ()
    label: str = ""
    evaluated_from: str | None = None


def of_run(
    run: Sequence[Result], standings: Sequence[Standing], results: Path, registry: Registry, variant: str
) -> Shown:
    """Gather what there is to say about a run.

    Args:
        run: its results, one for each class.
        standings: the standing of each.
        results: the folder of all results.
        registry: finds the method, for the values of its preset.
        variant: the name of the variant.
    """
    first = run[0]
    order = ("stale", "unchecked", "current")
    return Shown(
        variant=variant,
        run=first.run,
        method=first.method,
        method_package=first.method_package,
        preset=first.preset,
        changes=_changes(first, registry),
        dataset=first.dataset,
        synthetic=first.synthetic,
        seed=first.seed,
        state=min((each.state for each in standings), key=order.index),
        reason=", ".join(dict.fromkeys(reason for each in standings for reason in each.reasons)),
        finished=first.finished,
        classes=tuple(_of_class(each, results) for each in run),
        last_epoch=first.last_epoch,
        parameters=first.parameters,
        peak_memory_bytes=max(each.peak_memory_bytes for each in run),
        protocol=first.protocol,
        environment=first.environment,
        environment_text=environment_text(first),
        command=first.command,
        threshold_commands=threshold_commands.of_run(run, results),
        label=first.label,
        evaluated_from=first.evaluated_from,
    )


def _changes(run: Result, registry: Registry) -> tuple[Change, ...]:
    """The options that the user changed, with the values of the preset where it is at hand."""
    usual: dict[str, Any] = {}
    method = registry.methods.get(run.method)
    if method is not None:
        class_name = "" if run.protocol.classes else run.class_name
        try:
            usual = to_json(resolve(method, run.preset, {}, run.dataset, class_name))
        except AdbenchError:  # the preset is gone
            usual = {}
    return tuple(
        Change(
            key,
            option_text(key, run.options.get(key, value)),
            option_text(key, usual[key]) if key in usual else None,
        )
        for key, value in run.overrides.items()
    )


def _of_class(run: Result, results: Path) -> OfClass:
    folder = folder_of(results, run).path
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return OfClass(
        class_name=run.class_name,
        folder=str(folder),
        metrics=run.metrics,
        threshold=run.threshold,
        threshold_note=_threshold_note(run),
        train_images=run.train_images,
        held_out_images=run.held_out_images,
        test_images=run.test_images,
        skipped=run.skipped,
        timing=run.timing,
        files=tuple(StoredFile(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths),
        undefined={name: undefined.reason(run, name) for name in METRIC_NAMES if getattr(run.metrics, name) is None},
        segf1_threshold=run.segf1_threshold,
    )


def _threshold_note(run: Result) -> str:
    """Why a threshold is useless, or why there is none; empty if it decides."""
    if run.threshold is not None:
        return useless_of(run)
    if is_zero_shot(run):
        return NO_IMAGE
    return "the held-out scores are all equal." if run.held_out_images else no_threshold_text(images_of(run))


# ---------------------------------------------------------------- written


def to_json_text(shown: Shown) -> str:
    """One JSON object with all fields."""
    return json_escaped(serialization.to_text(shown))


def metrics_table(shown: Shown) -> Table[OfClass]:
    """The metrics of each class, and their means if there are several.

    People see the eight that every test set with masks has, and others where they are defined.
    """

    def metric(name: str) -> Column[OfClass]:
        defined = any(getattr(each.metrics, name) is not None for each in shown.classes)
        audience: Audience = "all" if defined or name in USUAL_METRICS else "programs"
        return Column(name, TITLES[name], lambda row: getattr(row.metrics, name), "percent", audience)

    where = dataset_title(shown.dataset, shown.synthetic)
    title = f"{shown.variant} on {where}, seed {shown.seed}: metrics in % at the last epoch"
    columns: tuple[Column[OfClass], ...] = (
        Column("class", "class", lambda row: row.class_name, role="key"),
        *map(metric, METRIC_NAMES),
    )
    footers: tuple[OfClass, ...] = ()
    if len(shown.classes) > 1:
        means = {name: mean(getattr(each.metrics, name) for each in shown.classes) for name in METRIC_NAMES}
        footers = (replace(shown.classes[0], class_name=f"mean ({len(shown.classes)})", metrics=Metrics(**means)),)
    return Table(title, columns, shown.classes, footers=footers)


def to_text(shown: Shown, width: int) -> str:
    """All other facts as lines of at most ``width`` characters, but for paths and commands, which stay whole."""
    lines: list[str] = []
    for label, text in facts(shown):
        room = max(width - LABEL, 20)
        folded = [text] if label in WHOLE else textwrap.wrap(text, room, break_long_words=False,
                                                                 break_on_hyphens=False)  # fmt: skip
        lines += [f"{label if not number else '':{LABEL}}{line}" for number, line in enumerate(folded or [MISSING])]
    return "\n".join(lines) + "\n"


def facts(shown: Shown) -> list[tuple[str, str]]:
    """All other facts: a label and a text for each."""
    first = shown.classes[0]
    several = len(shown.classes) > 1
    folders = first.folder + (f" and {plural(len(shown.classes) - 1, 'folder')} of other classes" if several else "")
    state = f"{shown.state}{f' ({shown.reason})' if shown.reason else ''}, finished "
    state += shown.finished[:16].replace("T", " ")
    facts = [
        ("folder", folders),
        *([("label", shown.label)] if shown.label else []),
        ("state", state),
        *([("evaluated", f"again, from the checkpoint of {shown.evaluated_from}")] if shown.evaluated_from else []),
        ("changes", _changes_text(shown)),
        ("images", "; ".join(dict.fromkeys(_images_text(each) for each in shown.classes))),
        *(("threshold", f"{each.class_name}: {_threshold_text(each)}" if several else _threshold_text(each))
          for each in shown.classes),
        ("time", _time_text([each.timing for each in shown.classes])),
        ("model", f"{plural(shown.last_epoch, 'epoch')}, {shown.parameters} parameters, "
                  f"{round(shown.peak_memory_bytes / 1e6)} MB at most"),
        ("protocol", protocol_text(shown.protocol)),
        ("environment", shown.environment_text),
        ("files", _files_text(first.files)),
        ("command", shown.command),
        *(("threshold by", each) for each in shown.threshold_commands),
    ]  # fmt: skip
    return [(label, printable(text)) for label, text in facts]


def _changes_text(shown: Shown) -> str:
    if not shown.changes:
        return f"none: the preset {shown.preset} as it is"
    parts = []
    for change in shown.changes:
        usual = "" if change.preset is None else f" ({shown.preset}: {change.preset})"
        parts.append(f"{change.option}={change.value}{usual}")
    return ", ".join(parts)


def _images_text(each: OfClass) -> str:
    held_out = f", {each.held_out_images} held out for the threshold" if each.held_out_images else ""
    skipped = f", {len(each.skipped)} broken ones left out" if each.skipped else ""
    return f"{each.train_images} for training{held_out}, {each.test_images} for testing{skipped}"


def _threshold_text(each: OfClass) -> str:
    note = f" {each.threshold_note}" if each.threshold_note else ""
    found = each.threshold
    if found is None:
        return f"none:{note}"
    rates = f"{_percent(found.false_alarm_rate)} false alarms, {_percent(found.miss_rate)} missed"
    return f"{cell_text(found.value, 'score')} ({found.rule}): {rates}{f';{note}' if note else ''}"


def _percent(rate: float | None) -> str:
    return MISSING if rate is None else f"{cell_text(rate, 'percent')} %"


def _time_text(timings: Sequence[Timing]) -> str:
    parts = [("training", "fit"), ("features", "features"), ("scoring", "score"), ("evaluation", "evaluate")]
    texts = []
    for title, part in parts:
        values = [getattr(each, part) for each in timings]
        if None not in values:
            texts.append(f"{title} {cell_text(float(sum(values)), 'seconds')} s")
    speed = mean(each.images_per_second for each in timings)
    rate = "" if speed is None else f"; {cell_text(speed, 'rate')} images/s"
    return f"{', '.join(texts)}, all {cell_text(sum(each.total for each in timings), 'seconds')} s{rate}"


def _files_text(files: Sequence[StoredFile]) -> str:
    """The files with their sizes; of a folder such as ``maps`` the number."""
    plain = [file for file in files if "/" not in file.name]
    folders: dict[str, list[StoredFile]] = {}
    for file in files:
        if "/" in file.name:
            folders.setdefault(file.name.partition("/")[0], []).append(file)
    texts = [f"{file.name} ({bytes_text(file.bytes)})" for file in plain]
    for name, inside in folders.items():
        texts.append(f"{name}/ ({plural(len(inside), 'file')}, {bytes_text(sum(file.bytes for file in inside))})")
    return ", ".join(texts)
