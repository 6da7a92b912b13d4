"""Notes about image scores under a table: ties, and whether suggested thresholds are useful."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ..api.scores import Threshold
from ..results.records import Result
from ..results.variants import Variant

NO_THRESHOLD = "the training scores are too few, or all equal. Run with --holdout 0.1."

NO_IMAGE = "a zero-shot method sees no good image that could suggest one."

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


def useless_text(threshold: Threshold) -> str:
    """Why a threshold decides nothing, and what to do; empty if it does decide."""
    if threshold.useless is None:
        return ""
    hint = "Run with --holdout 0.1." if "training" in threshold.rule else "Run with a larger --holdout."
    return f"useless, since {threshold.useless}. {hint}"


def is_zero_shot(run: Result) -> bool:
    """Whether there was no good image that could suggest a threshold."""
    return run.protocol.setting == "zero-shot"


def _useless(variants: Sequence[Variant]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for label, run in _runs(variants):
        if run.threshold and run.threshold.useless:
            by_reason.setdefault(useless_text(run.threshold), []).append(label)
    return [f"The suggested threshold of {_listed(labels)} is {reason}" for reason, labels in by_reason.items()]


def _sources(variants: Sequence[Variant]) -> list[str]:
    rules: dict[str, list[str]] = {}
    for variant in variants:
        for run in variant.all_runs:
            none = "zero-shot" if is_zero_shot(run) else "held-out" if run.held_out_images else ""
            labels = rules.setdefault(re.sub(r" of \d+", " of", run.threshold.rule) if run.threshold else none, [])
            if variant.label not in labels:
                labels.append(variant.label)
    without_rule, all_equal, without_images = rules.pop("", []), rules.pop("held-out", []), rules.pop("zero-shot", [])
    lines = [f"Thresholds of {', '.join(labels)}: {rule}." for rule, labels in rules.items()]
    if without_rule:
        lines.append(f"No threshold for {', '.join(without_rule)}: {NO_THRESHOLD}")
    if all_equal:
        lines.append(f"No threshold for {', '.join(all_equal)}: the held-out scores are all equal.")
    if without_images:
        lines.append(f"No threshold for {', '.join(without_images)}: {NO_IMAGE}")
    if any("training" in rule for rule in rules):
        lines.append("Training scores are lower than those of new good images; --holdout 0.1 gives honest ones.")
    return lines


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
        notes.append(f"Kept from training for the threshold: {found}.")
    if found := _by_run(variants, none):
        notes.append(f"Too few to keep any from training for the threshold (at least 3, at most half): {found}.")
    return notes


def _runs(variants: Sequence[Variant]) -> Iterable[tuple[str, Result]]:
    """Every run with the shortest name that is unique among ``variants``; in an order of its own."""
    for variant in variants:
        for run in sorted(variant.all_runs, key=lambda run: (run.class_name, run.seed)):
            words = [run.class_name] if len(variants) == 1 else [variant.label, run.class_name]
            yield " ".join([*words, *([f"seed {run.seed}"] if variant.seeds > 1 else [])]), run


def _by_run(variants: Sequence[Variant], fact: Callable[[Result], str | None]) -> str:
    """A fact of every run that has it: "34 of 60 images (brick), 2 of 50 images (tile)"; empty if no run has it."""
    by_fact: dict[str, list[str]] = {}
    for label, run in _runs(variants):
        if found := fact(run):
            by_fact.setdefault(found, []).append(label)
    return _listed([f"{found} ({_listed(labels)})" for found, labels in by_fact.items()])


def _listed(items: Sequence[str]) -> str:
    more = len(items) - LISTED
    return ", ".join([*items[:LISTED], *([f"{more} more"] if more > 0 else [])])
