"""What the campaign counts and finds, the file that keeps it, and the table that it prints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adbench.util import files

NOT_RUN = "not run"


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


@dataclass(frozen=True)
class Kept:
    """Rows that are done, in a file of lines in JSON: a campaign that was stopped goes on from there.

    Attributes:
        path: the file; several processes may add to it at once.
        seed, share: of the campaign; rows of others are left alone.
    """

    path: Path
    seed: int
    share: float

    def rows(self) -> dict[str, Row]:
        """The rows of this seed and share, by what was tried."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        mine = [each for each in found if (each["seed"], each["share"]) == (self.seed, self.share)]
        return {each["row"]["what"]: Row(**each["row"]) for each in mine}

    def add(self, row: Row) -> None:
        """Keep a row."""
        text = json.dumps({"seed": self.seed, "share": self.share, "row": asdict(row)})
        files.append(self.path, f"{text}\n".encode())


def show(rows: Sequence[Row], console: Console, *, seed: int, share: float) -> None:
    """Print the table, and below it a line for each fault."""
    part = "the whole campaign" if share == 1 else f"{share:g} of the campaign"
    table = Table(title=f"Killed runs, disks that fail and bad inputs: {part}, seed {seed}")
    for column in ("what", "tried", "right result", "clear message", "faults", "s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        if row.skipped:
            table.add_row(row.what, "-", "-", "-", row.skipped, "-")
            continue
        counts = (row.tried, row.right, row.clear, len(row.faults))
        table.add_row(row.what, *map(str, counts), f"{row.seconds:.0f}")
    total = [sum(values) for values in zip(*((r.tried, r.right, r.clear, len(r.faults)) for r in rows), strict=True)]
    table.add_section()
    table.add_row("all", *map(str, total), f"{sum(row.seconds for row in rows):.0f}")
    console.print(table)
    left = [row.what for row in rows if row.skipped == NOT_RUN]
    if left:
        console.print(f"{len(rows) - len(left)} of {len(rows)} rows were run.", highlight=False)
    for row in rows:
        for fault in row.faults:
            console.print(f"FAULT {row.what}: {fault}", highlight=False, markup=False, soft_wrap=True)
