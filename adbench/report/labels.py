"""Labels of runs in tables: a column where any run has one, and for programs always."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..results.records import Result
from ..results.variants import Variant
from .tables import Column, Row


def label_column(
    results: Iterable[Result], runs_of: Callable[[Row], Sequence[Result]], *, spare: int = 0
) -> Column[Row]:
    """The labels of a row's runs, each once.

    Args:
        results: all runs of the table.
        runs_of: the runs of a row.
        spare: as in ``Column``.
    """
    return Column(
        "label", "label", lambda row: labels_text(runs_of(row)),
        audience="all" if any(run.label for run in results) else "programs", spare=spare,
    )  # fmt: skip


def label_notes(variants: Sequence[Variant]) -> list[str]:
    """A note with the labels of variants, for tables in which these are columns."""
    found = [f"{each.label}: {text}" for each in variants if (text := labels_text(each.all_runs))]
    return [f"Labels: {'; '.join(found)}."] if found else []


def labels_text(runs: Sequence[Result]) -> str | None:
    """The labels of some runs, each once; None if there is none."""
    return ", ".join(dict.fromkeys(run.label for run in runs if run.label)) or None
