"""Maps of likelihoods, computed in logarithms."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.flow_maps import log_likelihoods, negative_log_mean, upsample_logarithms
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.api import maps

pytestmark = pytest.mark.usefixtures("one_thread")

SIDES = st.integers(1, 7)


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_logarithms_are_resized_like_their_exponentials(h: int, w: int, height: int, width: int, seed: int) -> None:
    """Where nothing underflows, the result is the logarithm of the resized map, for larger and smaller sizes."""
    logs = torch.randn(2, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    found = upsample_logarithms(logs, (height, width))

    torch.testing.assert_close(found, maps.upsample(logs.exp(), (height, width)).log())


def test_the_map_ranks_as_the_mean_likelihood() -> None:
    """exp(-map) is the mean over levels of the resized likelihoods exp(-|z|^2 / 2C)."""
    generator = torch.Generator().manual_seed(0)
    z = [torch.randn(2, c, h, w, generator=generator) for c, h, w in ((4, 8, 6), (5, 4, 3))]

    found = negative_log_mean(log_likelihoods(z), (16, 12))

    likelihoods = [torch.exp(-0.5 * (level**2).mean(1)) for level in z]
    wanted = sum(maps.upsample(each, (16, 12)) for each in likelihoods) / 2
    torch.testing.assert_close(torch.exp(-found), wanted)


def test_unlikely_pixels_still_rank() -> None:
    """Likelihoods that are 0 in float32 and in float64 keep their order, and stay finite beside likely ones."""
    logs = -torch.tensor([[0.5, 300.0], [2000.0, 1e6]]).view(1, 2, 2)

    found = negative_log_mean([logs, logs - 1], (8, 8))

    assert found.isfinite().all()
    corners = found[0, ::7, ::7].flatten()
    assert (corners.diff() > 100).all()
