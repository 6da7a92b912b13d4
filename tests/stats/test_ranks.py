"""Ranks over data sets: Demsar's worked example, the laws of ranks, and the level of Friedman's test."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare

from adbench.stats.ranks import rank
from adbench.util.errors import TaskError


@pytest.mark.parametrize(
    ("methods", "quantile"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_critical_differences_are_those_of_the_paper(methods, quantile):
    """Demsar's table 5 has these quantiles; four methods on 14 data sets have his critical difference of 1.25."""
    values = np.random.default_rng(0).normal(size=(14, methods))
    scale = (methods * (methods + 1) / (6 * 14)) ** 0.5
    assert rank(values).critical_difference / scale == pytest.approx(quantile, abs=1.5e-3)
    assert methods != 4 or rank(values).critical_difference == pytest.approx(1.25, abs=0.005)


def test_friedmans_statistic_of_known_ranks():
    """Three methods on four data sets, ranks 1 2 3, 1 2 3, 1 3 2, 2 1 3: chi square 4.5, F 3.857 with 2 and 6."""
    from scipy.stats import f

    found = rank([[3, 2, 1], [3, 2, 1], [3, 1, 2], [2, 3, 1]])
    np.testing.assert_allclose(found.mean_ranks, [1.25, 2.0, 2.75])
    assert found.p_value == pytest.approx(f.sf(3 * 4.5 / (8 - 4.5), 2, 6))
    assert found.datasets == 4


def test_cliques_are_the_bars_of_the_diagram():
    """A method far from the rest stands alone; overlapping groups are both shown, and none within another."""
    values = np.tile([5.0, 4.0, 3.0, 2.0, 1.0], (12, 1))
    found = rank(values)  # ranks 1 to 5, critical difference 1.76
    assert found.cliques == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert found.p_value == 0.0
    far = np.hstack([values[:, :2], np.zeros((12, 1))])
    assert rank(np.tile(far, (4, 1))).cliques == []  # 48 data sets: every difference is significant


@given(
    st.integers(2, 5).flatmap(
        lambda count: st.lists(st.lists(st.integers(0, 3), min_size=count, max_size=count), min_size=2, max_size=8)
    )
)
def test_laws_of_ranks(rows):
    """Mean ranks add up, a change of scale moves nothing, and a better value never worsens a mean rank."""
    values = np.array(rows, float)
    methods = values.shape[1]
    found = rank(values)
    assert found.mean_ranks.sum() == pytest.approx(methods * (methods + 1) / 2)
    again = rank(np.exp(values))
    np.testing.assert_allclose(again.mean_ranks, found.mean_ranks)
    assert again.p_value == found.p_value
    better = values.copy()
    better[0, 0] += 10
    assert rank(better).mean_ranks[0] <= found.mean_ranks[0]
    assert 0 <= found.p_value <= 1


@settings(max_examples=50)
@given(
    st.integers(2, 6).flatmap(
        lambda count: st.tuples(
            st.lists(st.lists(st.integers(0, 5), min_size=count, max_size=count), min_size=2, max_size=8),
            st.permutations(range(count)),
        )
    )
)
def test_laws_of_cliques(drawn):
    """A clique is whole, the largest of its kind, and the same whatever the order of methods and of data sets."""
    rows, order = drawn
    values = np.array(rows, float)
    found = rank(values)
    spans = [{found.mean_ranks[each] for each in clique} for clique in found.cliques]
    for clique, span in zip(found.cliques, spans, strict=True):
        assert max(span) - min(span) <= found.critical_difference
        outside = [value for each, value in enumerate(found.mean_ranks) if each not in clique]
        assert all(max(span | {value}) - min(span | {value}) > found.critical_difference for value in outside)
    joined = {frozenset(pair) for clique in found.cliques for pair in combinations(clique, 2)}
    close = {
        frozenset(pair)
        for pair in combinations(range(values.shape[1]), 2)
        if abs(found.mean_ranks[pair[0]] - found.mean_ranks[pair[1]]) <= found.critical_difference
    }
    assert joined == close
    again = rank(values[::-1, list(order)])
    np.testing.assert_allclose(again.mean_ranks, found.mean_ranks[list(order)])
    moved = {frozenset(order[each] for each in clique) for clique in again.cliques}
    assert moved == {frozenset(clique) for clique in found.cliques}


def test_the_statistic_is_that_of_scipy_in_another_form():
    """Iman and Davenport's F comes from the chi square that SciPy prints, with ties."""
    from scipy.stats import f

    values = np.random.default_rng(1).integers(0, 4, (9, 4)).astype(float)
    chi = friedmanchisquare(*values.T).statistic
    expected = f.sf(8 * chi / (9 * 3 - chi), 3, 24)
    assert rank(values).p_value == pytest.approx(expected)


def test_equal_methods_are_called_different_in_a_twentieth():
    """Of 300 tables of noise, about 15 have a p-value below 5 %."""
    generator = np.random.default_rng(0)
    rejected = sum(rank(generator.normal(size=(12, 4))).p_value < 0.05 for _ in range(300))
    assert 4 <= rejected <= 29


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, np.nan], [1.0, 2.0]]])
def test_a_table_that_ranks_nothing_is_refused(values):
    """One data set, one method, or a missing value."""
    with pytest.raises(TaskError):
        rank(values)
