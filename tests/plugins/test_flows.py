"""Helpers of the two flow methods: position code, schedules, checks."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from adbench_plugins import flows
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adbench.util.errors import CheckpointError, OptionError, TaskError

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(quarter=st.integers(1, 8), height=st.integers(1, 9), width=st.integers(1, 9))
def test_position_code_follows_its_formula(quarter: int, height: int, width: int) -> None:
    """Each channel is the sine or cosine of the column (first half) or the row (second half)."""
    channels = 4 * quarter
    code = flows.position_code(channels, height, width, CPU)

    assert (channels, height, width) == tuple(code.shape)
    half = channels // 2
    row, column = height - 1, width - 1
    for place, offset in ((column, 0), (row, half)):
        for k in range(quarter):
            angle = place * math.exp(-2 * k * math.log(10000) / half)
            assert code[offset + 2 * k, row, column].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert code[offset + 2 * k + 1, row, column].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_position_code_made_while_scoring_can_be_trained_with() -> None:
    """A code that is first made in inference mode works in a later backward pass."""
    with torch.inference_mode():
        flows.position_code(4, 3, 17, CPU)
    weight = torch.ones((), requires_grad=True)

    (weight * flows.position_code(4, 3, 17, CPU)).sum().backward()

    assert weight.grad is not None


def test_position_code_needs_a_multiple_of_four() -> None:
    """Six channels cannot be split into sines and cosines of rows and columns."""
    with pytest.raises(OptionError, match=r"cond_channels: found 6, wanted a positive multiple of 4"):
        flows.position_code(6, 2, 2, CPU)


def test_upsampling_keeps_the_corners() -> None:
    """Corners are aligned, so the corner values stay."""
    maps = torch.rand(2, 3, 5)

    larger = flows.upsample(maps, (9, 20))

    assert tuple(larger.shape) == (2, 9, 20)
    torch.testing.assert_close(maps[:, ::2, ::4], larger[:, ::8, ::19])


def test_warm_up_climbs_straight_and_stays() -> None:
    """The factor is the start at 0, the middle half-way, and the end afterwards."""
    assert [flows.linear_warmup(p, 10, 0.1) for p in (0, 5, 10, 15)] == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert flows.linear_warmup(0, 0, 0.1) == 1.0


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_breaks_off(loss: float) -> None:
    """The message has the method, the epoch and a hint."""
    with pytest.raises(TaskError, match=r"msflow, epoch 3: found a loss of (nan|inf).*-o lr=3e-05"):
        flows.require_finite("msflow", 3, loss, 1e-4)


def test_a_state_that_does_not_fit_is_named() -> None:
    """A wrong shape, a missing and an additional entry are each named; a fitting state passes."""
    module = nn.Linear(3, 2)
    state = module.state_dict()
    flows.require_fit("part", module, state)

    with pytest.raises(CheckpointError, match=r"'part.weight': found shape 5x3, wanted shape 2x3"):
        flows.require_fit("part", module, {**state, "weight": torch.zeros(5, 3)})
    with pytest.raises(CheckpointError, match=r"'part.bias': found nothing, wanted shape 2"):
        flows.require_fit("part", module, {"weight": state["weight"]})
    with pytest.raises(CheckpointError, match=r"'part.more': found shape 1, wanted nothing"):
        flows.require_fit("part", module, {**state, "more": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"found 1 scales, wanted a list of 2"):
        flows.require_parts("parts", [module, module], [state])


def test_the_plugins_import_without_torch() -> None:
    """Listing the methods imports no torch."""
    code = (
        "import sys\n"
        "from adbench_plugins import cflow, msflow\n"
        "methods = [*cflow.adbench_methods(), *msflow.adbench_methods()]\n"
        "assert [m.name for m in methods] == ['cflow', 'msflow']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
