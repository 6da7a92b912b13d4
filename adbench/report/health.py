"""Tables of what the doctor found, and of the backbones' weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .tables import Column, Table

if TYPE_CHECKING:
    from ..backbones.weight_files import WeightFile
    from ..run.doctor import Finding


def findings(found: Sequence[Finding]) -> Table[Finding]:
    """A table of the doctor's findings, in the order of the checks."""
    columns: tuple[Column[Finding], ...] = (
        Column("status", "status", lambda each: each.status, role="key", whole=True),
        Column("check", "check", lambda each: each.check, role="main"),
        Column("text", "what was found -> what to do", _sentence, role="main", audience="people"),
        Column("found", "what was found", lambda each: each.found, audience="programs"),
        Column("remedy", "what to do", lambda each: each.remedy, audience="programs"),
    )
    counts = Counter(each.status for each in found)
    said = ", ".join(f"{counts[status]} {status}" for status in ("green", "yellow", "red") if counts[status])
    return Table(f"Doctor: {said}", columns, tuple(found), prose=True)


def _sentence(found: Finding) -> str:
    """What was found and what to do, in one cell: two columns of sentences would be too narrow in 80 characters."""
    return f"{found.found} -> {found.remedy}" if found.remedy else found.found


def weights(found: Sequence[WeightFile]) -> Table[WeightFile]:
    """A table of backbones' weights: which are here, and where they come from."""
    columns: tuple[Column[WeightFile], ...] = (
        Column("backbone", "backbone", lambda each: each.name, role="key", whole=True),
        Column("state", "weights", lambda each: f"{each.state}: {each.note}" if each.note else each.state, role="main"),
        Column("bytes", "size", lambda each: each.bytes, "bytes", role="main"),
        Column("from", "published by", _publisher, audience="people"),
        Column("source", "published at", lambda each: each.source, audience="programs"),
        Column("path", "path", lambda each: str(each.path or ""), audience="programs"),
    )
    notes = (
        "adbench weights get NAME fetches them; adbench weights get NAME --from FILE takes a file brought by hand.",
        "Any model of timm: timm:NAME.",
    )
    return Table("Weights of backbones", columns, tuple(found), notes)


def _publisher(found: WeightFile) -> str:
    """Who publishes a file: the host of its address, or the package."""
    return urlsplit(found.source).netloc or found.source.removeprefix("pip install ")
