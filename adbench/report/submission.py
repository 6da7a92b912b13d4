"""Tables of a submission to a data set's server: what was written of each class, and what is wrong with an archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .tables import Column, Table, constant

if TYPE_CHECKING:
    from ..run.submission.check import Fault
    from ..run.submission.make import Written

NAMED = 3
"""Files that a row names."""


def written(rows: Sequence[Written], label: str, seed: int) -> Table[Written]:
    """The classes of an archive, with their thresholds."""
    columns: tuple[Column[Written], ...] = (
        Column("class", "class", lambda row: row.run.class_name, role="key"),
        constant("method", "method", label),
        constant("seed", "seed", seed),
        Column("run", "run", lambda row: row.run.run, audience="programs"),
        Column("images", "private images", lambda row: row.images, "count"),
        Column("validation_images", "validation images", lambda row: row.scale.images, "count"),
        Column("threshold", "threshold", lambda row: row.scale.threshold, "score"),
        Column("unit", "sd", lambda row: row.scale.unit, "score"),
        Column("found", "pixels above it %", lambda row: row.found, "percent"),
        Column("clipped", "clipped pixels", lambda row: row.clipped, "count", audience="programs"),
    )
    notes = (
        "Threshold: mean + 3 sd of the pixels of validation images. Values in the maps: (score - threshold) / sd.",
    )
    return Table(f"{label}, seed {seed}", columns, tuple(rows), notes)


def faults(rows: Sequence[Fault], archive: str) -> Table[Fault]:
    """What is wrong with an archive, by folder."""

    def some(row: Fault) -> str:
        more = f", and {len(row.files) - NAMED} more" if len(row.files) > NAMED else ""
        return ", ".join(row.files[:NAMED]) + more

    columns: tuple[Column[Fault], ...] = (
        Column("folder", "folder", lambda row: row.place or ".", role="key"),
        Column("found", "found", lambda row: row.found, role="main"),
        Column("wanted", "wanted", lambda row: row.wanted, role="main"),
        Column("files", "files", lambda row: len(row.files) or None, "count", role="main"),
        Column("names", "names", some, audience="people"),
        Column("all_names", "names", lambda row: " ".join(row.files), audience="programs"),
    )
    return Table(f"What the server or adbench refuses in {archive}", columns, tuple(rows))
