"""StableAdamW and its schedule against the numbers of the authors' program, and their laws."""

from __future__ import annotations

import io

import pytest
import torch
from adbench_plugins.stable_adamw import StableAdamW, WarmCosine
from flow_doubles import assert_near, golden_file
from torch import nn

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def golden():
    return golden_file("dinomaly_small.npz")


def test_steps_are_those_of_the_authors_program(golden):
    """Five steps of one tensor, with the largest running square, decay and a learning rate of 0.002."""
    parameter = nn.Parameter(torch.from_numpy(golden["stableadamw_p0"]))
    optimizer = StableAdamW([parameter], 2e-3)
    for gradient, expected in zip(golden["stableadamw_grads"], golden["stableadamw_after_amsgrad1"], strict=True):
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        assert_near(expected, parameter)


def test_the_schedule_is_that_of_the_authors_program(golden):
    """100 points from 0 to 0.002, then a cosine to 0.0002 over 10000 steps."""
    schedule = WarmCosine(2e-3, 2e-4, 100, 10000)
    for step, expected in zip(golden["sched_iters"], golden["sched_lr"], strict=True):
        assert schedule.rate(int(step)) == pytest.approx(float(expected), rel=1e-6, abs=1e-12)


def test_a_short_training_may_end_within_the_warm_up():
    """The rate rises from 0 and never leaves its bounds, whatever the lengths."""
    for warmup, steps in ((100, 4), (4, 4), (1, 3), (0, 3)):
        rates = [WarmCosine(2e-3, 2e-4, warmup, steps).rate(step) for step in range(steps)]
        assert all(0 <= rate <= 2e-3 for rate in rates)
        assert (rates[0] == 0) == (warmup > 0)


def test_a_sudden_gradient_does_not_lengthen_the_step():
    """The step after a gradient a thousand times as large is shorter than AdamW's by how much larger it is."""
    found = []
    for kind in (StableAdamW, torch.optim.AdamW):
        parameter = nn.Parameter(torch.zeros(4))
        extra = {} if kind is StableAdamW else {"amsgrad": True}
        optimizer = kind([parameter], lr=1e-2, weight_decay=0.0, **extra)
        for size in (*[1.0] * 50, 1000.0):
            before = parameter.detach().clone()
            parameter.grad = torch.full((4,), size)
            optimizer.step()
        found.append(float((parameter.detach() - before).abs().max()))
    stable, usual = found
    assert 0 < stable < 0.5 * usual


def test_state_is_saved_and_parameters_without_gradients_stay():
    """A loaded optimiser goes on with the same numbers."""
    torch.manual_seed(0)
    gradients = torch.randn(6, 3)
    results = []
    for is_broken in (False, True):
        parameter, idle = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        optimizer = StableAdamW([parameter, idle], 1e-2)
        for number, gradient in enumerate(gradients):
            if is_broken and number == 3:
                file = io.BytesIO()
                torch.save(optimizer.state_dict(), file)
                file.seek(0)
                optimizer = StableAdamW([parameter, idle], 1e-2)
                optimizer.load_state_dict(torch.load(file, weights_only=True))
            parameter.grad = gradient.clone()
            optimizer.step()
        assert torch.equal(idle, torch.ones(2))
        results.append(parameter.detach())
    assert torch.equal(*results)
