"""What the campaign counts and finds, and the table that it prints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Row:
    """One line of the table: what was tried, how often, and how it ended.

    Each try is one of ``right`` (the right result), ``clear`` (one clear message) and ``faults``, which has a line for
    each. ``skipped`` says why nothing was tried.
    """

    what: str
    right: int = 0
    clear: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    @property
    def tried(self) -> int:
        """The number of tries."""
        return self.right + self.clear + len(self.faults)

    @property
    def text(self) -> str:
        """The row in a line."""
        counts = f"tried {self.tried}, right result {self.right}, clear message {self.clear}, faults {len(self.faults)}"
        return "; ".join((f"{counts}, {self.seconds:.0f} s", *self.faults)) if not self.skipped else self.skipped

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Add the seconds of what is done inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began


def show(rows: list[Row], console: Console) -> None:
    """Print the table, and below it a line for each fault."""
    table = Table(title="What adbench does when it is killed, when the disk fails and when inputs are bad")
    for column in ("what", "tried", "right result", "clear message", "faults", "s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        if row.skipped:
            table.add_row(row.what, "-", "-", "-", f"skipped: {row.skipped}", "-")
            continue
        counts = (row.tried, row.right, row.clear, len(row.faults))
        table.add_row(row.what, *map(str, counts), f"{row.seconds:.0f}")
    total = [sum(values) for values in zip(*((r.tried, r.right, r.clear, len(r.faults)) for r in rows), strict=True)]
    table.add_section()
    table.add_row("all", *map(str, total), f"{sum(row.seconds for row in rows):.0f}")
    console.print(table)
    for row in rows:
        for fault in row.faults:
            console.print(f"FAULT {row.what}: {fault}", highlight=False, markup=False, soft_wrap=True)
