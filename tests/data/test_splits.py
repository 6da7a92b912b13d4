"""The choice of held-out training images, and of the images of a few-shot run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.data.splits import draw, folds


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.data())
def test_shots_are_a_nested_draw_in_order(count, seed, data):
    """Only the seed decides; more shots include fewer, and the order of the samples stays."""
    most = data.draw(st.integers(1, count))
    fewer = data.draw(st.integers(1, most))
    samples = [f"{number:03d}" for number in range(count)]
    chosen = draw(samples, most, seed)
    assert len(set(chosen)) == most
    assert list(chosen) == sorted(chosen)
    assert chosen == draw(samples, most, seed)
    assert set(draw(samples, fewer, seed)) <= set(chosen)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(0, 60))
def test_folds_share_the_images_evenly_and_in_order(count, more):
    """Each image is in one fold, and the sizes differ by one at most."""
    samples = range(count + more)
    found = folds(samples, count)
    assert sorted(sample for fold in found for sample in fold) == list(samples)
    assert all(list(fold) == sorted(fold) for fold in found)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_seeds_draw_other_images():
    """Ten seeds give ten choices of 5 among 60, so that a mean over seeds is useful."""
    assert len({draw(range(60), 5, seed) for seed in range(10)}) == 10
