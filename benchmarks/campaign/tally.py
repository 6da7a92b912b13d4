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
        seed: of the campaign.
        share: of one of its tenths. Rows of another seed or share are left alone.
    """

    path: Path
    seed: int
    share: float

    def rows(self) -> dict[tuple[int, str], Row]:
        """The rows of this seed and share, by their tenth and by what was tried."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        mine = [each for each in found if (each["seed"], each["share"]) == (self.seed, self.share)]
        return {(each["tenth"], each["row"]["what"]): Row(**each["row"]) for each in mine}

    def add(self, tenth: int, row: Row) -> None:
        """Keep a row of a tenth of the campaign."""
        text = json.dumps({"seed": self.seed, "share": self.share, "tenth": tenth, "row": asdict(row)})
        files.append(self.path, f"{text}\n".encode())


def show(rows: Sequence[Row], console: Console, *, seed: int, share: float) -> None:
    """Print the table, and below it a line for each fault; rows of several tenths are added up."""
    part = "the whole campaign" if share == 1 else f"{share:g} of the campaign"
    table = Table(title=f"Killed runs, disks that fail and bad inputs: {part}, seed {seed}")
    for column in ("what", "parts run", "tried", "right result", "clear message", "faults", "s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what in dict.fromkeys(row.what for row in rows):
        parts = [row for row in rows if row.what == what]
        done = [row for row in parts if not row.skipped]
        ran = f"{len(done)} of {len(parts)}"
        table.add_row(what, *(_cells(ran, done) if done else (parts[0].skipped, *"-----")))
    done = [row for row in rows if not row.skipped]
    table.add_section()
    table.add_row("all", *_cells(f"{len(done)} of {len(rows)}", done))
    console.print(table)
    for row in rows:
        for fault in row.faults:
            console.print(f"FAULT {row.what}: {fault}", highlight=False, markup=False, soft_wrap=True)


def _cells(ran: str, rows: Sequence[Row]) -> list[str]:
    """The cells of a line over some rows."""
    columns = [(row.tried, row.right, row.clear, len(row.faults)) for row in rows]
    counts = [sum(column) for column in zip(*columns, strict=True)] or [0] * 4
    return [ran, *map(str, counts), f"{sum(row.seconds for row in rows):.0f}"]
