"""Principal components from sums: golden numbers of the authors' program, and their laws."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.subspacead.components import Components, Moments
from flow_doubles import assert_near, golden_file
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("one_thread")

REFERENCES = 4
CASES = {"ev99": (0.99, 0), "ev90": (0.9, 0), "k4": (0.99, 4)}


def golden_tokens() -> torch.Tensor:
    """Tokens of four references and three test images, (7, 8, 9, 20)."""
    return torch.from_numpy(golden_file("subspacead_small.npz")["tokens"])


def golden_components(share: float, count: int = 0) -> Components:
    """Those of the references, which come in two parts."""
    moments = Moments()
    for part in golden_tokens()[:REFERENCES].split(3):
        moments.add(part.flatten(0, 2))
    return moments.components(share, count)


@pytest.mark.parametrize(("case", "choice"), CASES.items())
def test_golden_components(case, choice):
    """Their number, mean, variances and the space that they span, by a share of the variance or by number."""
    archive = golden_file("subspacead_small.npz")
    found = golden_components(*choice)
    assert found.basis.shape[1] == int(archive[f"{case}_k"])
    assert_near(archive[f"{case}_mu"], found.mean, 1e-5)
    wanted = archive[f"{case}_basis"]
    assert_near(wanted @ wanted.T, found.basis @ found.basis.T, 1e-5)
    kept = archive[f"{case}_eig"][: len(found.variance)]
    assert_near(kept, found.variance, 1e-5)


def test_golden_shares():
    """Cumulative shares of the variance, which choose the number of components."""
    found = golden_components(1.0).variance.double()
    assert_near(golden_file("subspacead_small.npz")["ratios"][: len(found)], (found / found.sum()).cumsum(0), 1e-5)


@pytest.mark.parametrize(("case", "choice"), CASES.items())
def test_golden_residuals(case, choice):
    """The squared length of what the components leave out of each test token."""
    found = golden_components(*choice).residual(golden_tokens()[REFERENCES:].flatten(0, 2))
    assert_near(golden_file("subspacead_small.npz")[f"{case}_scores"], found.view(3, 8, 9), 1e-5)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("mahalanobis", lambda components, vectors: components.mahalanobis(vectors)),
        ("cosine", lambda components, vectors: components.cosine(vectors)),
        ("drop2", lambda components, vectors: components.residual(vectors, 2)),
    ],
)
def test_golden_other_scores(name, score):
    """The program's other scores, which its scripts don't use."""
    found = score(golden_components(0.9), golden_tokens()[REFERENCES:].flatten(0, 2))
    assert_near(golden_file("subspacead_small.npz")[f"ev90_{name}"], found.view(3, 8, 9), 1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 20), st.floats(0.05, 1), st.sampled_from([0.0, 1000.0]), st.integers(0, 10**6)
)
def test_components_are_those_of_a_singular_value_decomposition(count, dimensions, share, offset, seed):
    """For few or many vectors near and far from zero, whatever parts they come in: the least that reach the share."""
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, dimensions, generator=draw) * 3 + offset
    moments = Moments()
    for part in vectors.split(7):
        moments.add(part)
    found = moments.components(share)

    exact = vectors.double() - vectors.double().mean(0)
    singular = torch.linalg.svdvals(exact)
    kept = found.basis.shape[1]
    rest = exact - (exact @ found.basis.double()) @ found.basis.double().T
    total = float(singular.square().sum())
    torch.testing.assert_close(found.basis.T @ found.basis, torch.eye(kept), atol=1e-4, rtol=0)
    torch.testing.assert_close(rest.square().sum(), singular[kept:].square().sum(), atol=1e-4 * total + 1e-6, rtol=1e-3)
    torch.testing.assert_close(
        found.variance.double(), (singular.square() / max(count - 1, 1))[:kept], rtol=1e-4, atol=1e-5
    )
    assert kept <= min(max(count - 1, 0), dimensions)
    assert float(singular[:kept].square().sum()) >= share * total * (1 - 1e-6)
    assert kept == 0 or float(singular[: kept - 1].square().sum()) <= share * total * (1 + 1e-6)


def test_equal_vectors_leave_the_distance_from_their_mean():
    """They have no components, and what these leave out is all."""
    moments = Moments()
    moments.add(torch.full((5, 3), 2.0))
    found = moments.components(0.99)
    assert found.basis.shape == (3, 0)
    torch.testing.assert_close(found.residual(torch.tensor([[2.0, 2, 4], [2, 2, 2]])), torch.tensor([4.0, 0]))
