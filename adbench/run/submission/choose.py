"""Chooses the runs of a submission: one of each class, all of one variant and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...results.records import Result
from ...results.variants import Names, Variant, boards
from ...util.errors import ResultError, UnknownNameError, UsageError
from .. import command_line

LISTED = 6
"""Variants that an error names."""


@dataclass(frozen=True)
class Wanted:
    """What a user asked for: a method or variant by name, and what narrows it down."""

    name: str
    preset: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Chosen:
    """The runs of one variant and seed, one for each class, in the order of the classes."""

    label: str
    seed: int
    runs: tuple[Result, ...]


def choose(
    dataset: str, wanted: Wanted, counting: Sequence[Result], stale: Sequence[Result], names: Names,
    classes: Sequence[str], results: Path,
) -> Chosen:  # fmt: skip
    """Find the runs of all classes.

    Args:
        dataset: the data set's name.
        wanted: what was asked for.
        counting: stored results that are not stale.
        stale: those that are, for messages.
        names: names of their variants.
        classes: all that are needed.
        results: the folder of all results, for messages.

    Raises:
        UnknownNameError: no variant has that name.
        UsageError: several variants or seeds fit.
        ResultError: a class has no run.
    """
    own = [result for result in counting if result.dataset == dataset]
    variants = [variant for board in boards(own, names=names) for variant in board.variants]
    fitting = _fitting(variants, wanted)
    if not fitting:
        _refuse_unknown(dataset, wanted, variants, [result for result in stale if result.dataset == dataset])
    if len(fitting) > 1:
        more = ", ..." if len(fitting) > LISTED else ""
        listed = ", ".join(f"'{variant.label}'" for variant in fitting[:LISTED])
        raise UsageError(
            f"--method {wanted.name}", found=f"{len(fitting)} variants: {listed}{more}", wanted="one of them"
        )
    variant = fitting[0]
    seed = _seed(variant, wanted)
    runs = {run.class_name: run for run in variant.all_runs if run.seed == seed}
    missing = [name for name in classes if name not in runs]
    if missing:
        of_stale = {run.class_name for run in stale if names.of(run) == variant.label and run.seed == seed}
        listed = ", ".join(f"{name} (stale)" if name in of_stale else name for name in missing)
        raise ResultError(
            f"{variant.label}, seed {seed}", found=f"no run of {listed}",
            wanted=f"one of each of the {len(classes)} classes of {dataset}",
            hint=f"Make them with: {_command(variant, seed, missing, classes, results)}",
        )  # fmt: skip
    return Chosen(variant.label, seed, tuple(runs[name] for name in classes))


def _command(variant: Variant, seed: int, missing: Sequence[str], classes: Sequence[str], results: Path) -> str:
    """The command that makes the missing runs; a model of several classes is trained on all of them."""
    model = max((run for run in variant.all_runs if run.seed == seed), key=lambda run: run.finished)
    return command_line.of_result(model, classes if model.protocol.setting == "multi-class" else missing, results)


def _fitting(variants: Sequence[Variant], wanted: Wanted) -> list[Variant]:
    """The variants of a name: the one that is called so, or else all of the method."""
    found = [each for each in variants if wanted.name in each.names]
    if wanted.preset is not None:
        return [each for each in found if all(run.preset == wanted.preset for run in each.all_runs)]
    return [each for each in found if each.label == wanted.name] or found


def _refuse_unknown(dataset: str, wanted: Wanted, variants: Sequence[Variant], stale: Sequence[Result]) -> None:
    known = {name for variant in variants for name in variant.names}
    if wanted.name in known:  # so the preset doesn't fit
        presets = ", ".join(
            sorted({run.preset for each in variants if wanted.name in each.names for run in each.all_runs})
        )
        raise UsageError(f"--preset {wanted.preset}", found=f"runs of {wanted.name} with {presets}")
    if any(wanted.name in (run.method, run.variant) for run in stale):
        raise ResultError(
            f"runs of {wanted.name} on {dataset}", found="stale ones alone",
            wanted="those of the present images and code", hint="See adbench results stale, and run them again",
        )  # fmt: skip
    raise UnknownNameError(f"method or variant among the results of {dataset}", wanted.name, known)


def _seed(variant: Variant, wanted: Wanted) -> int:
    seeds = sorted({run.seed for run in variant.all_runs})
    listed = ", ".join(map(str, seeds))
    if wanted.seed is not None:
        if wanted.seed not in seeds:
            raise UsageError(f"--seed {wanted.seed}", found=f"runs of {variant.label} with seed {listed}")
        return wanted.seed
    if len(seeds) > 1:
        raise UsageError(
            f"runs of {variant.label}", found=f"those of seeds {listed}", wanted="one seed", hint="Give --seed N"
        )
    return seeds[0]
