"""The greedy choice in blocks against plain loops, those of the authors' program and of anomalib among them."""

from __future__ import annotations

import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from adbench_plugins.patchcore.coreset import KCentre
from flow_doubles import golden_file
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

pytestmark = pytest.mark.usefixtures("one_thread")


def picked(search: KCentre, count: int) -> tuple[list[int], list[float], int]:
    """All picks, their radii and the number of ties."""
    found = list(search.picks(count))
    rows, radii = ([float(each) for some in found for each in getattr(some, name)] for name in ("rows", "radii"))
    return [int(row) for row in rows], radii, sum(some.ties for some in found)


def plain(rows: torch.Tensor, nearest: np.ndarray, count: int) -> tuple[list[int], list[float]]:
    """Row after row in float64: the first of the farthest rows, and how far each was."""
    values, picks, radii = rows.double().numpy(), [], []
    for _ in range(count):
        pick = int(nearest.argmax())
        picks.append(pick)
        radii.append(float(nearest[pick]))
        nearest = np.minimum(nearest, np.linalg.norm(values - values[pick], axis=1))
    return picks, radii


@pytest.mark.parametrize("case", ["a", "b"])
def test_picks_are_those_of_the_authors_approximate_sampler(case):
    """37 and 94 picks from 378 projected rows, from the program's own starts."""
    archive = golden_file("patchcore_small.npz")
    rows = torch.from_numpy(archive[f"off_{case}_train_embed"] @ archive[f"off_{case}_proj"].T)
    search = KCentre(rows)
    search.from_means(torch.from_numpy(archive[f"off_{case}_starts"]).long())
    expected = archive[f"off_{case}_coreset"].tolist()
    assert picked(search, len(expected))[0] == expected


def test_picks_are_those_of_the_authors_exact_sampler():
    """Its start, the norms of a matrix of all distances, is computed without the matrix."""
    archive = golden_file("patchcore_small.npz")
    search = KCentre(torch.from_numpy(archive["off_a_train_embed"] @ archive["off_a_proj"].T))
    search.from_all()
    expected = archive["off_a_coreset_full"].tolist()
    assert picked(search, len(expected))[0] == expected


def test_picks_are_those_of_anomalibs_sampler():
    """From its first pick on its projected rows, and so are the distances before its last one."""
    archive = golden_file("patchcore_small.npz")
    first, *expected, last = archive["al_coreset"].tolist()
    search = KCentre(torch.from_numpy(archive["al_train_embed"] @ archive["al_proj"].T))
    search.from_row(first)
    assert picked(search, len(expected))[0] == expected
    expected = search.distances()
    expected[last] = 0  # all that anomalib does with it
    np.testing.assert_allclose(expected.numpy(), archive["al_min_distances_end"], rtol=1e-4, atol=1e-5)


def test_picks_and_radii_are_those_of_k_centre_by_hand():
    """60 of 2,000 rows, in several blocks."""
    archive = golden_file("patchcore_small.npz")
    first, *expected = archive["kc_picks"].tolist()
    search = KCentre(torch.from_numpy(archive["kc_x"]))
    search.from_row(first)
    found = list(search.picks(len(expected)))
    assert torch.cat([some.rows for some in found]).tolist() == expected
    assert len(found) > 1
    np.testing.assert_allclose(torch.cat([some.radii for some in found]), archive["kc_radius"], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 200),
    dimensions=st.integers(1, 9),
    share=st.floats(0.01, 1),
    offset=st.sampled_from([0.0, 1000.0]),
    clusters=st.integers(1, 5),
    block=st.sampled_from([1, 2, 7, 300]),
    seed=st.integers(0, 1000),
)
def test_blocks_pick_what_the_plain_loop_picks(count, dimensions, share, offset, clusters, block, seed):
    """For blocks of any size, also with close clusters far from each other and from zero."""
    draw = torch.Generator().manual_seed(seed)
    centres = 100 * torch.randn(clusters, dimensions, generator=draw) + offset
    rows = centres[torch.arange(count) % clusters] + torch.randn(count, dimensions, generator=draw)
    search = KCentre(rows)
    search.block = block
    search.from_row(0)
    wanted = max(1, int(share * count) - 1)
    first = np.linalg.norm((rows - rows[0]).double().numpy(), axis=1)
    expected, radii = plain(rows, first, wanted)
    clear = sum(radius > 0.01 for radius in radii)  # the others are as near as float32 rows round
    actual, found, _ = picked(search, wanted)
    assert actual[:clear] == expected[:clear]
    np.testing.assert_allclose(found[:clear], radii[:clear], rtol=1e-6)
    assert len(set(actual)) == len(actual)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60),
    block=st.sampled_from([1, 3, 100]),
)
def test_of_rows_that_tie_the_lowest_is_picked(values, block):
    """On a small lattice with repeated points most rows tie; it ends when each row equals a picked one."""
    rows = torch.tensor(values, dtype=torch.float32)
    search = KCentre(rows)
    search.block = block
    search.from_row(0)
    expected, radii = plain(rows, np.linalg.norm((rows - rows[0]).double().numpy(), axis=1), len(rows))
    expected = [pick for pick, radius in zip(expected, radii, strict=True) if radius > 0]
    assert picked(search, len(rows))[0] == expected
    assert len(expected) == len(set(values)) - 1


def test_ties_are_counted():
    """The corners of a square tie after the first two picks; random rows don't."""
    square = KCentre(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
    square.from_row(0)
    assert picked(square, 3) == ([3, 1, 2], pytest.approx([2**0.5, 1, 1]), 1)
    normal = KCentre(torch.randn(500, 20, generator=torch.Generator().manual_seed(0)))
    normal.from_row(0)
    assert picked(normal, 50)[2] == 0


def test_rows_that_are_all_equal_leave_one():
    """So do those of black images, whatever the start."""
    for start in (KCentre.from_all, lambda search: search.from_means(torch.arange(5))):
        search = KCentre(torch.ones(9, 4))
        start(search)
        assert picked(search, 5)[0] == [0]


def test_bounds_of_the_start_stay_in_the_minimum():
    """A row near the starting ones is picked late though it is far from all picks, as in the authors' program."""
    rows = torch.tensor([[0.0], [0.2], [10.0], [4.0]])
    search = KCentre(rows)
    search.from_means(torch.tensor([0, 1]))
    means = (rows - rows[:2].T).abs().mean(1).double().numpy()
    assert picked(search, 4)[0] == plain(rows, means, 4)[0]


class Live(TorchDispatchMode):
    """The most bytes that tensors made inside hold at once."""

    def __init__(self) -> None:
        super().__init__()
        self.holders: Counter[int] = Counter()
        self.bytes = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if torch.is_tensor(each)}
        for each in tree_leaves(result):
            if torch.is_tensor(each) and (place := each.untyped_storage().data_ptr()) not in given | {0}:
                self._hold(each, place, each.untyped_storage().nbytes())
        return result

    def _hold(self, tensor: torch.Tensor, place: int, size: int) -> None:
        self.bytes += size if not self.holders[place] else 0
        self.holders[place] += 1
        self.most = max(self.most, self.bytes)
        weakref.finalize(tensor, self._release, place, size)

    def _release(self, place: int, size: int) -> None:
        self.holders[place] -= 1
        self.bytes -= size if not self.holders[place] else 0


def test_memory_is_less_than_a_quarter_of_the_rows():
    """In addition to the rows, however many are picked."""
    rows = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))
    with Live() as live:
        search = KCentre(rows)
        search.from_means(torch.arange(10))
        assert len(picked(search, 300)[0]) == 300
    assert 0.03 * rows.nbytes < live.most < 0.25 * rows.nbytes
