"""The coupling blocks without a condition against FrEIA's own, which stay the definition."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from adbench_plugins.flow_blocks import PlainBlock, Subnet, plain_flow
from FrEIA.modules import AllInOneBlock
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("one_thread")


def blocks(channels: int, kernel: int, ratio: float) -> tuple[AllInOneBlock, PlainBlock]:
    """FrEIA's block and the fast one, in float64 and with the same random parameters."""
    subnet = partial(Subnet, kernel=kernel, ratio=ratio, precision=None)
    plain, fast = (
        kind([(channels, 1, 1)], subnet_constructor=subnet, global_affine_type="SOFTPLUS").double()
        for kind in (AllInOneBlock, PlainBlock)
    )
    with torch.no_grad():
        for parameter in fast.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    plain.load_state_dict(fast.state_dict())
    return plain, fast


def results(block: AllInOneBlock, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, log-Jacobian, and the gradients of a function of both."""
    x = x.clone().requires_grad_()
    (y,), log_jac = block((x,))
    ((y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum() + (log_jac * log_jac).sum()).backward()
    return [y.detach(), log_jac.detach(), x.grad, *(p.grad for p in block.parameters() if p.requires_grad)]


@settings(deadline=None, max_examples=20)
@given(
    st.integers(2, 9), st.sampled_from([1, 3]), st.sampled_from([0.16, 1.0, 1.5]), st.integers(1, 5), st.integers(0, 99)
)
def test_a_plain_block_is_freias(channels: int, kernel: int, ratio: float, side: int, seed: int) -> None:
    """Output, log-Jacobian and every gradient equal FrEIA's, odd channels too; the inverse restores the input."""
    torch.manual_seed(seed)
    plain, fast = blocks(channels, kernel, ratio)
    x = torch.randn(2, channels, side, side + 1, dtype=torch.float64)

    for wanted, actual in zip(results(plain, x), results(fast, x), strict=True):
        torch.testing.assert_close(actual, wanted)
    (y,), log_jac = fast((x,))
    (back,), inverse = fast((y,), rev=True)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(inverse, -log_jac)


def test_the_log_jacobian_is_that_of_autograd() -> None:
    """The log-determinant of a whole flow is autograd's."""
    torch.manual_seed(0)
    flow = plain_flow(5, (3, 1, 3), ratio=1.0, clamp=2.0, precision=None).double()
    for parameter in flow.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter) * parameter.requires_grad
    x = torch.randn(1, 5, 2, 3, dtype=torch.float64)

    _, log_jac = flow(x)
    matrix = torch.autograd.functional.jacobian(lambda flat: flow(flat.view_as(x))[0].flatten(), x.flatten())

    torch.testing.assert_close(log_jac[0], torch.linalg.slogdet(matrix).logabsdet)
    assert log_jac.abs().item() > 0.01


def test_a_subnet_has_at_least_one_hidden_channel() -> None:
    """Hidden channels are rounded down, but never to none."""
    assert [Subnet(c, 4, 3, 0.16, None)[0].out_channels for c in (3, 10, 20)] == [1, 1, 3]


def test_bf16_stays_near_float32() -> None:
    """Convolutions in bf16 are a few percent off; z and log-Jacobian are float32."""
    torch.manual_seed(0)
    exact = plain_flow(6, (3, 1), ratio=1.0, clamp=2.0, precision=None)
    rough = plain_flow(6, (3, 1), ratio=1.0, clamp=2.0, precision=torch.bfloat16)
    rough.load_state_dict(exact.state_dict())
    x = torch.randn(2, 6, 4, 4)

    (wanted, wanted_jac), (found, found_jac) = exact(x), rough(x)

    assert found.dtype == found_jac.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02)
    torch.testing.assert_close(found_jac, wanted_jac, rtol=0.02, atol=0.1)
    assert not torch.equal(found, wanted)
