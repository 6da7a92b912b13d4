"""Groups runs into variants of methods, with means over seeds, and with notes about them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..api.data import size_text
from ..api.options import LATER
from .records import Result, in_order, variant_name
from .serialization import canonical

TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1max": "pixel F1-max",
    "aupro": "AUPRO",
    "aupro_05": "AUPRO 0.05",
    "image_fpr95": "image FPR@95TPR",
    "pg2": "PG2",
    "pb2": "PB2",
    "segf1": "SegF1",
    "aupimo": "AUPIMO",
    "aupimo_official": "AUPIMO (official)",
    "au_spro": "AU-sPRO 0.05",
    "au_spro_03": "AU-sPRO 0.3",
    "au_spro_logical": "AU-sPRO logical",
    "au_spro_structural": "AU-sPRO structural",
}
"""Titles of the metrics for people."""

SKIPPED_LISTED = 6
"""Number of broken files that a remark names."""


@dataclass(frozen=True)
class Variant:
    """One configuration of a method on one data set, with all its classes and seeds.

    ``runs`` holds the runs of each class, one per seed.
    """

    label: str
    method: str
    runs: Mapping[str, tuple[Result, ...]]

    def metric(self, class_name: str, name: str) -> float | None:
        """The metric at the last epoch, as the mean over seeds; None where it is not defined."""
        return mean(getattr(run.metrics, name) for run in self.runs.get(class_name, ()))

    def oracle(self, class_name: str, name: str) -> float | None:
        """The best value over the epochs, chosen on the test set, as the mean over seeds."""
        best = ({each.metric: each.value for each in run.oracle} for run in self.runs.get(class_name, ()))
        return mean(each.get(name) for each in best)

    def timing(self, class_name: str, name: str) -> float | None:
        """One field of ``Timing``, as the mean over seeds."""
        return mean(getattr(run.timing, name) for run in self.runs.get(class_name, ()))

    def threshold(self, class_name: str, name: str) -> float | None:
        """One number of ``Threshold``, as the mean over seeds; None if none was suggested."""
        found = (run.threshold for run in self.runs.get(class_name, ()))
        return mean(getattr(each, name) for each in found if each is not None)

    def promised(self, class_name: str) -> float | None:
        """The share of false alarms that the thresholds guarantee, as the mean over seeds; None if none does."""
        found = (run.threshold.promise if run.threshold else None for run in self.runs.get(class_name, ()))
        return mean(each.bound for each in found if each is not None)

    @property
    def all_runs(self) -> tuple[Result, ...]:
        """The runs of all classes."""
        return tuple(run for runs in self.runs.values() for run in runs)

    @property
    def seeds(self) -> int:
        """Number of seeds, in the class that has the fewest."""
        return min(len(runs) for runs in self.runs.values())

    @property
    def names(self) -> set[str]:
        """All names that may stand for this variant: its label, its variant's, its method's."""
        return {self.label, self.method, *(run.variant for run in self.all_runs)}


@dataclass(frozen=True)
class Board:
    """All variants on the same images of one data set.

    ``test`` is the test split, None for the one that is scored by default; ``reading`` says which options of the data
    set's reader were changed.
    """

    dataset: str
    synthetic: bool
    variants: tuple[Variant, ...]
    remarks: tuple[str, ...]
    test: str | None = None
    reading: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The data set's name, with what differs from its usual images: the test split, and options of the reader."""
        return ", ".join([self.dataset, *([f"test split {self.test}"] if self.test else []), *self.reading])

    @property
    def title(self) -> str:
        """The name, marked where the data set is synthetic."""
        return dataset_title(self.name, self.synthetic)

    def holds(self, run: Result) -> bool:
        """Whether a run is on this board's images."""
        return _images(run) == (self.dataset, self.test, self.reading)


def dataset_title(name: str, synthetic: bool) -> str:
    """A data set's name for people."""
    return f"{name} (synthetic)" if synthetic else name


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None if there are none."""
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


_USUAL = {
    "eval-size": "input", "holdout": 0, "classes": None, "segf1": None, "segf1-from": "validation",
    "mask-rule": None, "min-defect-area": 0, "ignore-mask": None,
}  # fmt: skip
"""Values of a configuration that names don't say."""


class Names:
    """Names of variants, which are the same wherever a run is shown.

    Runs of one method, preset and changes get different names if they differ in options, weights, precision or
    evaluation among all stored runs of a data set. So a name doesn't depend on the shown runs. They also get different
    names if they differ in code among the runs that count.

    Args:
        stored: all runs.
        counting: the shown runs that are not stale; by default all.
    """

    def __init__(self, stored: Iterable[Result], counting: Iterable[Result] | None = None) -> None:
        runs = list(stored)
        self._keys = {group: _differing_options(found) for group, found in _by_group(runs).items()}
        codes = _by_group(runs if counting is None else counting)
        self._several_codes = {group for group, found in codes.items() if len(set(map(_code, found))) > 1}

    def of(self, run: Result) -> str:
        """The name of a run's variant: "msflow:cpu,lr=0.001"."""
        keys = self._keys.get(_group(run), ())
        facts = configuration(run).items()
        differs = {key: value for key, value in facts if key in keys and _USUAL.get(key, object()) != value}
        code = {"code": _code(run)} if _group(run) in self._several_codes else {}
        return variant_name(run.method, run.preset, {**run.changes, **differs, **code}, run.protocol.setting_words)


def _group(run: Result) -> tuple[str, str]:
    return run.dataset, run.variant


def _by_group(runs: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    found: dict[tuple[str, str], list[Result]] = {}
    for run in runs:
        found.setdefault(_group(run), []).append(run)
    return found


def boards(
    results: Iterable[Result], remarks: Mapping[str, Sequence[str]] | None = None, names: Names | None = None
) -> list[Board]:
    """Group runs into a board for each data set, test split and way to read it, in the order of the runs.

    Runs of one name whose options, weights, precision or code differ become separate variants. If the images of a
    class changed, only its runs on the newest images count, since others are not comparable.

    Args:
        results: runs of any methods, data sets and seeds.
        remarks: further notes on each data set's runs (``standing.Sorted``).
        names: names of the variants; by default from these results alone.
    """
    by_images: dict[_Images, list[Result]] = {}
    for result in results:
        by_images.setdefault(_images(result), []).append(result)
    return [_board(images, runs, (remarks or {}).get(images[0], ()), names) for images, runs in by_images.items()]


_Images = tuple[str, str | None, tuple[str, ...]]


def _images(run: Result) -> _Images:
    """What a board's runs share: the data set, the test split, and the changed options of the reader."""
    return run.dataset, run.protocol.test, run.protocol.reading_words


def _board(images: _Images, runs: Sequence[Result], said: Sequence[str], names: Names | None) -> Board:
    dataset, test, reading = images
    runs, remarks = _on_newest_images(runs)
    remarks.extend(said)
    names = names or Names(runs)
    by_label: dict[str, list[Result]] = {}
    for run in runs:
        by_label.setdefault(names.of(run), []).append(run)
    for label, group in by_label.items():
        skipped = {run.class_name: run.skipped for run in group if run.skipped}
        remarks.extend(f"{label}: left out of {name}: {_some(files)}." for name, files in skipped.items())
    methods = list(dict.fromkeys(run.method for run in runs))

    def place(each: tuple[str, list[Result]]) -> tuple[Any, ...]:
        run = each[1][0]
        return methods.index(run.method), *in_order(run)

    ordered = sorted(by_label.items(), key=place)
    variants = tuple(Variant(label, group[0].method, _by_class(group)) for label, group in ordered)
    return Board(dataset, any(run.synthetic for run in runs), variants, tuple(remarks), test, reading)


def _some(files: Sequence[str]) -> str:
    """The first of some broken files, and how many more there are."""
    more = len(files) - SKIPPED_LISTED
    return ", ".join(files[:SKIPPED_LISTED]) + (f", and {more} more (see result.json)" if more > 0 else "")


def _on_newest_images(runs: Sequence[Result]) -> tuple[list[Result], list[str]]:
    newest: dict[str, Result] = {}
    for run in runs:
        if run.class_name not in newest or run.finished > newest[run.class_name].finished:
            newest[run.class_name] = run
    kept = [run for run in runs if _on_images_of(run, newest)]
    dropped: dict[str, int] = {}
    for run in runs:
        if not _on_images_of(run, newest):
            dropped[run.class_name] = dropped.get(run.class_name, 0) + 1
    return kept, [
        f"{name}: {count} older run(s) on other images left out; the data set has changed since."
        for name, count in dropped.items()
    ]


def _on_images_of(run: Result, newest: Mapping[str, Result]) -> bool:
    """Whether a run used the images of the newest run of its class, and its model those of all its other classes."""
    trained_on = run.identity.classes if run.identity else {}
    others = ((newest[name].identity, data) for name, data in trained_on.items() if name in newest)
    return _same_images(run, newest[run.class_name]) and all(made is None or made.data == data for made, data in others)


def _same_images(run: Result, other: Result) -> bool:
    """Whether two runs used the same images; for results of adbench 0.1 only names and lengths are known."""
    if run.identity and other.identity:
        return run.identity.data == other.identity.data
    return run.fingerprint == other.fingerprint


def configuration(run: Result) -> dict[str, Any]:
    """Every option, with digests of contents in place of files, and how it was evaluated."""
    files = {key: digest[:12] for key, digest in run.identity.files.items()} if run.identity else {}
    how = run.protocol
    truth = {"mask-rule": how.mask_rule, "min-defect-area": how.min_defect_area, "ignore-mask": how.ignore_mask}
    whole = {"size": how.resize_to} if how.tile else {}  # of the image, as the user gave it
    decided = {**LATER, **run.options, **whole, **files, "weights": how.backbone_weights, **truth, **_conditions(run)}
    return decided | ({} if (source := _segf1_source(run)) is None else {"segf1-from": source})


def _segf1_source(run: Result) -> str | None:
    """The images that the threshold of SegF1 is from, where --holdout gives a choice."""
    how = run.protocol
    if not how.holdout or how.segf1 is None:
        return None
    if how.segf1_target is not None:
        return "held-out"
    found = re.search(r"of (\S+) images$", how.segf1)
    return found[1] if found else None


def _conditions(run: Result) -> dict[str, Any]:
    """Settings that no preset changes for single classes, so that they distinguish runs wherever they differ."""
    compared = "input" if run.protocol.map_resampling is None else size_text(run.protocol.mask_size)
    return {
        "amp": run.protocol.precision,
        "eval-size": compared,
        "holdout": run.protocol.holdout,
        "classes": _class_set(run.protocol.classes),
        "segf1": None if run.protocol.segf1_target is None else f"own{run.protocol.segf1_target:g}",
    }


def _class_set(classes: Sequence[str]) -> str | None:
    """The classes that one model was trained on, as short as a name can take them; None for a single one."""
    if len(classes) <= 3:
        return "+".join(classes) or None
    return f"{len(classes)}.{hashlib.sha256(canonical(classes).encode()).hexdigest()[:4]}"


def _code(run: Result) -> str:
    """The method's code and the core's numerics, short enough for a name."""
    return f"{run.identity.code[:8]}.{run.identity.numerics}" if run.identity else "unknown"


def _differing_options(runs: Sequence[Result]) -> list[str]:
    """The options in which runs of one name differ: within a class, or anywhere in precision and evaluation.

    Other options may differ between classes, since presets have values for single classes.
    """
    by_class: dict[str, list[Result]] = {}
    for run in runs:
        by_class.setdefault(run.class_name, []).append(run)
    keys = set()
    for group in by_class.values():
        keys |= _differing([configuration(run) for run in group])
    return sorted(keys | _differing([_conditions(run) for run in runs]))


def _differing(configurations: Sequence[Mapping[str, Any]]) -> set[str]:
    keys = {key for each in configurations for key in each}
    return {key for key in keys if len({canonical(each.get(key)) for each in configurations}) > 1}


def _by_class(runs: Sequence[Result]) -> dict[str, tuple[Result, ...]]:
    """The runs of each class: the newest one of each seed."""
    newest: dict[str, dict[int, Result]] = {}
    for run in sorted(runs, key=lambda run: run.finished):
        newest.setdefault(run.class_name, {})[run.seed] = run
    order = dict.fromkeys(run.class_name for run in runs)
    return {name: tuple(newest[name].values()) for name in order}
