"""Tables about merged results: what came from each folder or archive, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..results.sharing.merge import Merged, What
from ..results.sharing.scan import LeftOut
from .tables import AnyTable, Audience, Column, Table


@dataclass(frozen=True)
class _Source:
    """A folder or an archive with what was done with its runs."""

    place: Path
    merged: Merged

    def count(self, *kinds: What) -> int:
        """Runs with which one of these things was done."""
        return sum(run.source == self.place for run in self.merged.of(*kinds))

    @property
    def audits(self) -> int:
        """Audits that are new or newer."""
        return sum(source == self.place for source, _ in self.merged.audits)

    @property
    def left_out(self) -> int:
        """Runs that are left out."""
        return sum(each.source == self.place for each in self.merged.left_out)


def tables(merged: Merged, sources: list[Path], target: str, *, dry_run: bool = False) -> list[AnyTable]:
    """A row for each source; for programs also the runs that are left out, which people get as warnings.

    Args:
        merged: what was done.
        sources: the folders or archives, in their order.
        target: the folder of results, or the repository.
        dry_run: nothing was done yet.
    """
    rows = tuple(_Source(place, merged) for place in dict.fromkeys(sources))
    columns: tuple[Column[_Source], ...] = (
        Column("source", "from", lambda row: str(row.place), role="key"),
        Column("added", "added", lambda row: row.count("added"), "count", role="main"),
        Column("replaced", "replaced", lambda row: row.count("replaced"), "count", _if_any(merged, "replaced")),
        Column("completed", "completed", lambda row: row.count("completed"), "count", _if_any(merged, "completed")),
        Column("there", "there already", lambda row: row.count("same", "kept"), "count"),
        Column("audits", "audits", lambda row: row.audits, "count", "all" if merged.audits else "programs"),
        Column("left_out", "left out", lambda row: row.left_out, "count", role="main"),
    )
    title = f"Runs that would be merged into {target}" if dry_run else f"Runs merged into {target}"
    return [Table(title, columns, rows), *([_left_out(merged)] if merged.left_out else [])]


def _if_any(merged: Merged, what: What) -> Audience:
    """For whom a column is: people don't see one without a run."""
    return "all" if merged.of(what) else "programs"


def _left_out(merged: Merged) -> Table[LeftOut]:
    columns: tuple[Column[LeftOut], ...] = (
        Column("source", "from", lambda each: str(each.source), role="key"),
        Column("place", "run", lambda each: str(each.place), role="key"),
        Column("kind", "kind", lambda each: each.kind),
        Column("reason", "why", lambda each: each.reason),
    )
    return Table("Left out", columns, merged.left_out, audience="programs")
