"""The benchmark of PatchCore judges picks rightly, and its tables come from real work."""

from __future__ import annotations

import pytest
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import patchcore

pytestmark = pytest.mark.usefixtures("one_thread")


def cells(table: Table) -> list[list[str]]:
    """The table row by row."""
    return [list(row) for row in zip(*(column.cells for column in table.columns), strict=True)]


def test_picks_of_both_loops_are_greedy_and_others_are_not():
    """No pick is nearer than the farthest row, unless one is exchanged."""
    rows = torch.randn(5000, 10, generator=torch.Generator().manual_seed(0))
    ours, theirs = patchcore.blocked(rows, 7, 50), patchcore.plain(rows, 7, 50)
    assert ours.tolist() == theirs.tolist()
    assert float(patchcore.shortfalls(rows, ours).max()) < 1e-12
    wrong = theirs.clone()
    wrong[20] = theirs[40]
    assert float(patchcore.shortfalls(rows, wrong)[19]) > 0.01


def test_a_tie_is_no_fault():
    """Float32 may choose either of two rows that are equally far; what follows is greedy all the same."""
    rows = torch.tensor([[0.0], [1.0], [-1.0]])
    assert patchcore.shortfalls(rows, torch.tensor([0, 2, 1])).tolist() == [0, 0]


def test_tables_of_small_sizes_are_whole():
    """Each part runs; the plain loop picks the same rows, and distances are exact."""
    plain = [row for row in cells(patchcore._coresets(1, size=2000)) if row[1].startswith("plain")]
    assert [row[2:4] for row in plain] == [["20 of 20", "0"]] * 2
    ((picks, blocks, *_),) = cells(patchcore._large(3000))
    assert (picks, int(blocks) > 1) == ("300", True)
    search = {row[0]: row for row in cells(patchcore._search(1, sizes=(300, 200, 16)))}
    assert float(search["adbench"][1]) < 1e-6
    fit, score = cells(patchcore._whole_class(count=3, side=64))
    assert (fit[0], score[0]) == ("fit: a bank of (1, 1024)", "score an image")


def test_memory_is_that_of_the_work():
    """A tensor of 100 MB shows."""

    def work() -> None:
        made = torch.ones(25_000_000)
        for _ in range(20):
            made += 1

    assert 90e6 < patchcore.additional_bytes(work) < 200e6


def test_only_the_chosen_part_runs(monkeypatch):
    """The others take minutes."""
    monkeypatch.setattr(patchcore, "_search", lambda rounds: f"search, {rounds} rounds")
    console = Console(record=True, width=120)
    patchcore.run(("search",), torch.get_num_threads(), 2, console)
    assert "search, 2 rounds" in console.export_text()
