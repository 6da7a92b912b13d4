"""Notes about image scores under a table: ties, and whether suggested thresholds are useful."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ..api.scores import BY_HAND, Threshold
from ..results.records import Result
from ..results.variants import Variant

NO_IMAGE = "a zero-shot method sees no good image that could suggest one."

FEW = 20
"""A threshold from fewer held-out images is rough."""

RANKS_FROM = 0.6
"""Where image AUROC is below it, no threshold separates good images from defective ones."""

LISTED = 6
"""Number of runs up to which a note names each."""


def tie_notes(variants: Sequence[Variant]) -> list[str]:
    """Say how many test images share their score with another one, if some do."""

    def ties(run: Result) -> str | None:
        return f"{run.tied_images} of {run.test_images} images" if run.tied_images else None

    found = _by_run(variants, ties)
    return [ties_text(found)] if found else []


def ties_text(found: str) -> str:
    """The note on ties; ``found`` counts them: "34 of 60 images (brick)"."""
    return f"Test images that share a score: {found}. A tie counts half in image AUROC."


def threshold_notes(variants: Sequence[Variant], *, shown: bool) -> list[str]:
    """Name useless thresholds, and the sources of thresholds if they are ``shown``."""
    return [*(_sources(variants) if shown else ()), *_useless(variants), *_held_out(variants)]


def useless_text(threshold: Threshold, images: int | None, auroc: float | None = None, *, several: bool = False) -> str:
    """Why a threshold decides nothing, and what to do; empty if it does decide.

    Args:
        threshold: the threshold.
        images: number of training images with those held out; None where it isn't known.
        auroc: image AUROC; None where it isn't defined.
        several: whether the sentence is about several thresholds.
    """
    if threshold.useless is None:
        return ""
    reason = f"each {threshold.useless.removeprefix('it ')}" if several else threshold.useless
    if auroc is not None and auroc < RANKS_FROM:
        return f"useless, since {reason}. No threshold is better where image AUROC is below {RANKS_FROM:.0%}."
    if threshold.promise or threshold.rule == BY_HAND:
        return f"useless, since {reason}. adbench threshold RUN sets another one."
    return f"useless, since {reason}. {_hint(images, larger='training' not in threshold.rule)}"


def useless_of(run: Result, *, several: bool = False) -> str:
    """Why a run's threshold decides nothing, as ``useless_text`` says it; empty if it does decide, or there is none."""
    if run.threshold is None:
        return ""
    return useless_text(run.threshold, images_of(run), run.metrics.image_auroc, several=several)


def no_threshold_text(images: int | None) -> str:
    """Why there is no threshold from training scores, and what to do; ``images`` as in ``useless_text``."""
    return f"the training scores are too few, or all equal. {_hint(images)}"


def images_of(run: Result) -> int:
    """Number of training images of a run, with those held out."""
    return run.train_images + (run.held_out_images or 0)


def can_hold_out(images: int) -> bool:
    """Whether so many training images are enough to hold some out."""
    from ..data.splits import FEWEST  # with NumPy

    return images >= 2 * FEWEST


def _hint(images: int | None, *, larger: bool = False) -> str:
    if images is not None and not can_hold_out(images):
        return "There are too few training images to hold some out for a better one."
    return "Run with a larger --holdout." if larger else "Run with --holdout 0.1, or --target-false-alarms 1%."


def is_zero_shot(run: Result) -> bool:
    """Whether there was no good image that could suggest a threshold."""
    return run.protocol.setting == "zero-shot"


def _useless(variants: Sequence[Variant]) -> list[str]:
    by_reason: dict[str, list[Result]] = {}
    for _, run in _runs(variants):
        if run.threshold and run.threshold.useless:
            by_reason.setdefault(useless_of(run), []).append(run)
    notes = []
    for reason, runs in by_reason.items():
        text = reason
        if len(runs) > 1:
            text = useless_of(runs[0], several=True)
        noun, verb = ("threshold", "is") if len(runs) == 1 else ("thresholds", "are")
        notes.append(f"The suggested {noun} of {_names(variants, runs)} {verb} {text}")
    return notes


def _sources(variants: Sequence[Variant]) -> list[str]:
    rules: dict[str, list[str]] = {}
    for variant in variants:
        for run in variant.all_runs:
            none = "zero-shot" if is_zero_shot(run) else "held-out" if run.held_out_images else _no_rule(run)
            labels = rules.setdefault(re.sub(r" of \d+", " of", run.threshold.rule) if run.threshold else none, [])
            if variant.label not in labels:
                labels.append(variant.label)
    all_equal, without_images = rules.pop("held-out", []), rules.pop("zero-shot", [])
    without_rule = {rule: rules.pop(rule) for rule in list(rules) if rule.startswith(_NO_RULE)}
    lines = [f"Thresholds of {', '.join(labels)}: {rule}." for rule, labels in rules.items()]
    lines += [
        f"No threshold for {', '.join(labels)}: {rule.removeprefix(_NO_RULE)}" for rule, labels in without_rule.items()
    ]
    if all_equal:
        lines.append(f"No threshold for {', '.join(all_equal)}: the held-out scores are all equal.")
    if without_images:
        lines.append(f"No threshold for {', '.join(without_images)}: {NO_IMAGE}")
    trained = [run for _, run in _runs(variants) if run.threshold and "training" in run.threshold.rule]
    if trained:
        lines.append("Training scores are lower than those of new good images.")
    if any(can_hold_out(images_of(run)) for run in trained):
        lines[-1] = "Training scores are lower than those of new good images; --holdout 0.1 gives honest ones."
    return lines


_NO_RULE = "none: "


def _no_rule(run: Result) -> str:
    return _NO_RULE + no_threshold_text(images_of(run))


def _held_out(variants: Sequence[Variant]) -> list[str]:
    """Say how many images were held out, and where none could be."""

    def kept(run: Result) -> str | None:
        if not run.held_out_images:
            return None
        return f"{run.held_out_images} of {run.held_out_images + run.train_images} training images"

    def none(run: Result) -> str | None:
        return f"{run.train_images} training images" if run.protocol.holdout and run.held_out_images == 0 else None

    notes = []
    if found := _by_run(variants, kept):
        fewest = min(run.held_out_images for _, run in _runs(variants) if run.held_out_images)
        rough = f" A threshold from fewer than {FEW} images is rough." if fewest < FEW else ""
        notes.append(f"Kept from training for the threshold: {found}.{rough}")
    if found := _by_run(variants, none):
        notes.append(f"Too few to keep any from training for the threshold (at least 3, at most half): {found}.")
    return notes


def _runs(variants: Sequence[Variant]) -> Iterable[tuple[Variant, Result]]:
    """Every run with its variant, ordered by class and seed."""
    for variant in variants:
        for run in sorted(variant.all_runs, key=lambda run: (run.class_name, run.seed)):
            yield variant, run


def _names(variants: Sequence[Variant], runs: Sequence[Result]) -> str:
    """Name some of the runs of ``variants``, as short as is unique among them: "padim, msflow brick seeds 0, 2".

    A class stands for all its seeds, and one variant of several for all its classes.
    """
    names = []
    wanted = set(map(id, runs))
    for variant in variants:
        own = [run for _, run in _runs([variant]) if id(run) in wanted]
        whose = [variant.label] if len(variants) > 1 else []
        if whose and len(own) == len(variant.all_runs):
            names += whose
            continue
        for class_name in dict.fromkeys(run.class_name for run in own):
            seeds = [run.seed for run in own if run.class_name == class_name]
            words = [*whose, class_name]
            if len(seeds) < len(variant.runs[class_name]):
                words.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
            names.append(" ".join(words))
    return _listed(names)


def _by_run(variants: Sequence[Variant], fact: Callable[[Result], str | None]) -> str:
    """A fact of every run that has it: "34 of 60 images (brick), 2 of 50 images (tile)"; empty if no run has it."""
    by_fact: dict[str, list[Result]] = {}
    for _, run in _runs(variants):
        if found := fact(run):
            by_fact.setdefault(found, []).append(run)
    return _listed([f"{found} ({_names(variants, runs)})" for found, runs in by_fact.items()])


def _listed(items: Sequence[str]) -> str:
    more = len(items) - LISTED
    return ", ".join([*items[:LISTED], *([f"{more} more"] if more > 0 else [])])
