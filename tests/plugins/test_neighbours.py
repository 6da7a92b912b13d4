"""The search against distances in float64 to all rows."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.patchcore import neighbours as module
from adbench_plugins.patchcore.neighbours import Neighbours
from flow_doubles import golden_file
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("one_thread")


def exact(queries: torch.Tensor, bank: torch.Tensor, count: int) -> torch.Tensor:
    """Distances to the nearest rows, float64, from differences."""
    distances = torch.linalg.vector_norm(queries.double()[:, None] - bank.double(), dim=2)
    return distances.sort(dim=1).values[:, :count]


def assert_exact(queries: torch.Tensor, bank: torch.Tensor, count: int) -> None:
    """Distances are equal to 1e-5, and the rows have them."""
    found = Neighbours(bank).find(queries, count)
    expected = exact(queries, bank, count)
    torch.testing.assert_close(found.squares.sqrt().double(), expected, rtol=1e-5, atol=1e-12)
    of_rows = torch.linalg.vector_norm(queries.double()[:, None] - bank[found.rows].double(), dim=2)
    torch.testing.assert_close(of_rows, expected, rtol=1e-5, atol=1e-12)
    assert all(len(set(rows)) == len(rows) for rows in found.rows.tolist())


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 150),
    queries=st.integers(1, 40),
    dimensions=st.integers(1, 20),
    count=st.integers(1, 12),
    offset=st.sampled_from([0.0, 100.0]),
    spread=st.sampled_from([1e-3, 1.0]),
    seed=st.integers(0, 1000),
)
def test_distances_are_those_to_all_rows(rows, queries, dimensions, count, offset, spread, seed):
    """For any numbers of rows and neighbours, also where rows are close together and far from zero."""
    draw = torch.Generator().manual_seed(seed)
    bank = offset + torch.randn(rows, dimensions, generator=draw)
    near = bank[torch.randint(rows, (queries,), generator=draw)]
    assert_exact(near + spread * torch.randn(queries, dimensions, generator=draw), bank, min(count, rows))


def test_rows_that_a_product_confuses_are_told_from_each_other():
    """Two clusters far from each other: float32 products round more than rows of one cluster differ."""
    draw = torch.Generator().manual_seed(0)
    sides = torch.tensor([[1000.0], [-1000.0]]).expand(2, 64)
    bank = sides.repeat(100, 1) + torch.randn(200, 64, generator=draw)
    queries = sides.repeat(20, 1) + torch.randn(40, 64, generator=draw)
    by_product = (bank.square().sum(1) / 2 - queries @ bank.T).argmin(1)
    expected = exact(queries, bank, 1)[:, 0]
    wrong = torch.linalg.vector_norm((queries - bank[by_product]).double(), dim=1) > 1.001 * expected
    assert wrong.any()
    assert_exact(queries, bank, 1)
    assert_exact(queries, bank, 3)


def test_few_queries_need_float64():
    """With ordinary rows the product settles nearly all of them."""
    draw = torch.Generator().manual_seed(0)
    search = Neighbours(torch.randn(2000, 128, generator=draw))
    _, is_sure = search._candidates(torch.randn(500, 128, generator=draw), 1)
    assert is_sure.float().mean() > 0.97


def test_a_query_that_is_a_row_is_at_no_distance():
    """Exactly 0, where norms and products would leave a thousandth of its length."""
    bank = torch.randn(300, 50, generator=torch.Generator().manual_seed(0))
    found = Neighbours(bank).find(bank)
    assert torch.equal(found.rows[:, 0], torch.arange(300))
    assert not found.squares.any()


def test_neighbours_are_those_of_the_authors_index():
    """Squared distances and rows of faiss, for one and three neighbours."""
    archive = golden_file("patchcore_small.npz")
    for case, count in (("a", 1), ("b", 3)):
        embed, test = (torch.from_numpy(archive[f"off_{case}_{part}_embed"]) for part in ("train", "test"))
        found = Neighbours(embed[torch.from_numpy(archive[f"off_{case}_coreset"]).long()]).find(test, count)
        torch.testing.assert_close(found.squares, torch.from_numpy(archive[f"off_{case}_nn_sqdist"]), rtol=1e-4, atol=0)
        assert found.rows.tolist() == archive[f"off_{case}_nn_index"].tolist()


def test_blocks_change_nothing(monkeypatch):
    """Queries are processed in blocks that bound the memory."""
    draw = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(700, 9, generator=draw), torch.randn(100, 9, generator=draw)
    whole = Neighbours(bank).find(queries, 2)
    monkeypatch.setitem(module.SCRATCH, "cpu", 1)
    parts = Neighbours(bank).find(queries, 2)
    assert torch.equal(parts.rows, whole.rows)
    torch.testing.assert_close(parts.squares, whole.squares)
