"""DeLong's test: known values, the definition, and its level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from adbench.stats.delong import areas, p_value
from adbench.util.errors import TaskError


@dataclass(frozen=True)
class Scores:
    labels: np.ndarray
    image_scores: np.ndarray


def by_definition(labels, scores):
    """Placements pair by pair, as the paper writes them."""
    bad, good = scores[:, labels], scores[:, ~labels]
    kernel = (bad[:, :, None] > good[:, None, :]) + 0.5 * (bad[:, :, None] == good[:, None, :])
    over, under = kernel.mean(axis=2), kernel.mean(axis=1)
    return kernel.mean(axis=(1, 2)), np.cov(over) / bad.shape[1] + np.cov(under) / good.shape[1]


@given(st.lists(st.tuples(st.booleans(), *[st.integers(0, 5)] * 3), min_size=4, max_size=30))
def test_ranks_give_the_definition(rows):
    """Values and covariances equal the sums over all pairs, with many equal scores, too."""
    labels = np.array([row[0] for row in rows] + [True, True, False, False])
    scores = np.array([row[1:] for row in rows] + [(1, 2, 3), (4, 2, 0), (0, 1, 5), (3, 3, 1)], float).T
    found = areas(labels, scores)
    values, covariance = by_definition(labels, scores)
    np.testing.assert_allclose(found.values, values, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-12)
    np.testing.assert_allclose(found.values, [roc_auc_score(labels, row) for row in scores], atol=1e-12)


def test_a_difference_of_known_size():
    """The p-value is that of the normal table for the difference in standard errors, worked out by the definition."""
    generator = np.random.default_rng(3)
    labels = np.arange(60) < 25
    scores = generator.normal(size=(2, 60)) + labels * np.array([[1.5], [0.4]])
    values, covariance = by_definition(labels, scores)
    z = (values[1] - values[0]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    from scipy.stats import norm

    found = p_value([[Scores(labels, scores[0])]], [[Scores(labels, scores[1])]])
    assert found == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)


def test_the_level_holds():
    """Of two methods that are equally good, a twentieth is called different at 5 %, with seeds and classes, too."""
    generator = np.random.default_rng(0)
    labels = np.arange(80) < 40

    def seeds():
        """Two seeds of a method whose scores share a part with each other and with the other method's."""
        own = generator.normal(size=80)
        return [Scores(labels, labels * 1.2 + shared + own + generator.normal(size=80) / 2) for _ in range(2)]

    rejected = 0
    for _ in range(400):
        first, second = [], []
        for _ in range(2):
            shared = generator.normal(size=80)
            first.append(seeds())
            second.append(seeds())
        found = p_value(first, second)
        assert found is not None
        rejected += found < 0.05
    assert 8 <= rejected <= 36  # 20 expected; outside with a probability below 1e-3


def test_equal_scores_are_no_difference_and_perfect_ones_have_no_variance():
    """The same scores have p 1; where no image is misplaced by either, two different values have none."""
    labels = np.array([False, False, True, True])
    perfect, worst = Scores(labels, np.array([0.0, 1, 2, 3])), Scores(labels, np.array([3.0, 2, 1, 0]))
    assert p_value([[perfect]], [[perfect]]) == 1.0
    assert p_value([[perfect]], [[worst]]) is None


def test_what_cannot_be_compared_is_refused():
    """Other images, other classes, or shapes that don't fit are errors; too few images give no p-value."""
    labels = np.array([False, False, True, True])
    one, other = Scores(labels, np.arange(4.0)), Scores(~labels, np.arange(4.0))
    with pytest.raises(TaskError, match="found other images"):
        p_value([[one]], [[other]])
    with pytest.raises(TaskError, match="1 and 2 classes"):
        p_value([[one]], [[one], [one]])
    with pytest.raises(TaskError, match=r"found shape \(4,\), wanted \(S, 4\)"):
        areas(labels, np.arange(4.0))
    with pytest.raises(TaskError, match="wanted two of each"):
        areas([0, 0, 1], np.zeros((1, 3)))
    few = Scores(np.array([False, False, True]), np.arange(3.0))
    assert p_value([[few]], [[few]]) is None
